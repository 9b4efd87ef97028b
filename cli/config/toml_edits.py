"""Change keys of one table of a TOML text line by line, so that comments, order and everything else stay."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from papertape.cli.config.toml_lines import locate_keys, value_extent
from papertape.events.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.cli.config.toml_lines import Path

    Values = Mapping[str, str | int | float]


def with_keys(text: str, table: Path, values: Values) -> str:
    """Return a valid TOML text with keys of a table set: in their own lines, else below the table's header.

    A table that does not exist is added at the end. Raise ConfigError if the text does not then mean exactly that, as
    for a table that is written inline or with dotted keys.
    """
    before = tomllib.loads(text)
    locations, lines = locate_keys(text), text.splitlines(keepends=True)
    new = [f"{key} = {toml_value(value)}" for key, value in values.items() if (*table, key) not in locations.lines]
    for key, value in values.items():
        line = locations.lines.get((*table, key))
        if line is not None:
            lines[line - 1] = _with_value(lines[line - 1], toml_value(value))
    changed = "".join(_with_lines(lines, table, new) if new else lines)
    if not _means(changed, before, table, values):
        name = ".".join(table)
        raise ConfigError(f"{name} cannot be changed where it stands; write it as a table of its own, [{name}]")
    return changed


def toml_value(value: str | float) -> str:
    """Return a value as TOML: a text in single quotes, which therefore must contain none, or a number."""
    if isinstance(value, str):
        assert "'" not in value, "a literal string cannot contain a single quote"
        return f"'{value}'" if '"' in value or "\\" in value else f'"{value}"'
    return repr(value)


def _with_value(line: str, value: str) -> str:
    """Return the line of a key with another value; the comment behind it keeps its column where it can."""
    start, end = value_extent(line)
    rest = line[end:]
    if rest.lstrip().startswith("#"):
        room = len(line[start:end]) + len(rest) - len(rest.lstrip()) - len(value)
        rest = " " * max(room, 1) + rest.lstrip()
    return line[:start] + value + rest


def _with_lines(lines: list[str], table: Path, new: list[str]) -> list[str]:
    """Return the lines with new ones below the header of a table, which is added at the end if there is none."""
    ending = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    added = [f"{line}{ending}" for line in new]
    header = locate_keys("".join(lines)).headers.get(table)
    if header is not None:
        return [*lines[: header - 1], lines[header - 1].rstrip("\r\n") + ending, *added, *lines[header:]]
    last = [lines[-1].rstrip("\r\n") + ending] if lines else []
    return [*lines[:-1], *last, ending, f"[{'.'.join(table)}]{ending}", *added]


def _means(text: str, before: dict[str, Any], table: Path, values: Values) -> bool:
    """Return whether a text is the TOML of a tree with only these values changed."""
    node = before
    for name in table:
        node = node.setdefault(name, {})
        if not isinstance(node, dict):
            return False
    node |= values
    try:
        return tomllib.loads(text) == before
    except tomllib.TOMLDecodeError:
        return False
