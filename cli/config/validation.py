"""Checking a configuration's values against what may stand there, and saying what is wrong.

A `ConfigProblem` knows the path of its key; where that key stands (a line of a file, a `--set`) is added by the one
who knows the source.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from difflib import get_close_matches
from math import isfinite
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from papertape.cli.config.schema import PLURAL, ConfigKey, ConfigTable, Node, number_text, range_text, value_text
from papertape.events.errors import ConfigError
from papertape.events.units import MINUTE_MS
from papertape.projections.text import formats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from papertape.cli.config.toml_lines import Path

PROBLEMS_MAX = 20
VALUE_CHARS_MAX = 60
KNOWN_MAX = 24


class ConfigProblem(Struct, frozen=True):
    """One mistake: the key's full path, what is wrong with it, and the item of a list where one is meant."""

    path: Path
    text: str
    item: str = ""

    @property
    def name(self) -> str:
        """The path as one writes it."""
        return ".".join(self.path)


def error_of(problems: Iterable[ConfigProblem], place: Callable[[ConfigProblem], str]) -> ConfigError:
    """All problems as one error, a line each; `place` says where a problem stands."""
    lines = [f"{place(problem)}: {problem.name} {problem.text}" for problem in problems]
    more = len(lines) - PROBLEMS_MAX
    return ConfigError("\n".join([*lines[:PROBLEMS_MAX], *([f"... and {more} more"] if more > 0 else [])]))


def validate_value(value: object, node: Node, path: Path, problems: list[ConfigProblem]) -> Any:
    """The value in its plain form; what is wrong with it is added to `problems`."""
    if isinstance(node, ConfigTable):
        return _checked_table(value, node, path, problems)
    found: list[str] = []
    plain = _checked_key(value, node, path, problems, found)
    problems.extend(ConfigProblem(path, f"= {_short(value)}: {text}{_default(node)}") for text in found)
    return plain


def unknown_key_text(name: str, known: Iterable[str], noun: str) -> str:
    """`is an unknown key; did you mean x? There are a, b, c`."""
    names = list(known)
    close = get_close_matches(name.lower(), [n.lower() for n in names], n=1, cutoff=0.6)
    meant = next((n for n in names if close and n.lower() == close[0]), "")
    shown = ", ".join(names[:KNOWN_MAX]) + (", ..." if len(names) > KNOWN_MAX else "")
    hint = f"did you mean {meant}? " if meant else ""
    return f"is an unknown {noun}; {hint}There are: {shown}" if meant else f"is an unknown {noun}; there are: {shown}"


def _checked_table(value: object, table: ConfigTable, path: Path, problems: list[ConfigProblem]) -> dict[str, Any]:
    if not isinstance(value, dict):
        problems.append(ConfigProblem(path, f"= {_short(value)}: must be a table"))
        return {}
    plain = {}
    for name, given in value.items():
        node = table.at(name)
        if node is None:
            problems.append(ConfigProblem((*path, name), unknown_key_text(name, table.keys, table.noun)))
        else:
            plain[name] = validate_value(given, node, (*path, name), problems)
    return plain


def _checked_key(value: object, key: ConfigKey, path: Path, problems: list[ConfigProblem], found: list[str]) -> object:
    match key.kind:
        case "whole number" | "number":
            found += _number_faults(value, key)
        case "choice":
            if value not in key.choices:
                found.append(f"must be {range_text(key)}")
        case "text":
            if not isinstance(value, str) or not (value or key.may_be_empty):
                found.append("must be a text" + ("" if key.may_be_empty else " that is not empty"))
        case "list":
            return _checked_list(value, key, path, problems, found)
        case "moment":
            return _checked_moment(value, key, found)
    return value


def _number_faults(value: object, key: ConfigKey) -> list[str]:
    whole = key.kind == "whole number"
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return [f"must be {PLURAL[key.kind]}, {range_text(key)}"]
    if not isfinite(value):
        return [f"must be a finite number, {range_text(key)}"]
    inside = (
        (key.ge is None or value >= key.ge)
        and (key.gt is None or value > key.gt)
        and (key.le is None or value <= key.le)
        and (key.lt is None or value < key.lt)
    )
    return [] if inside else [f"must be {range_text(key)}"]


def _checked_list(
    value: object, key: ConfigKey, path: Path, problems: list[ConfigProblem], found: list[str]
) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        found.append(f"must be {PLURAL['list']}")
        return []
    items = [str(item) for item in value]
    if not items and not key.may_be_empty:
        found.append("must not be empty")
    if key.items_max is not None and len(items) > key.items_max:
        found.append(f"holds {len(items)}, at most {key.items_max}")
    for place, item in enumerate(items):
        name = (*path[:-1], f"{path[-1]}[{place}]")
        if item in items[:place]:
            problems.append(ConfigProblem(name, f"= {_short(item)}: stands twice", item))
        elif not item or (key.pattern and not re.search(key.pattern, item)):
            must = "must be written like BTCUSDT: capitals and digits" if key.pattern else "must not be empty"
            problems.append(ConfigProblem(name, f"= {_short(item)}: {must}", item))
    return items


def _checked_moment(value: object, key: ConfigKey, found: list[str]) -> str:
    if value == "" and key.default == "":
        return ""
    at_ms = _moment_ms(value)
    if at_ms is not None and at_ms % MINUTE_MS == 0:
        moment = datetime.fromtimestamp(at_ms / 1_000, UTC)
        if 1971 <= moment.year <= 2099:
            return moment_text(moment)
    found.append(f"must be {range_text(key)}, in whole minutes, from 1971 to 2099")
    return str(key.default)


def _moment_ms(value: object) -> int | None:
    """Return the UTC milliseconds of a TOML date, time or number, or of a text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | date):
        return None
    return formats.moment_ms(value.isoformat() if isinstance(value, date) else str(value))


def moment_text(moment: datetime) -> str:
    """The one spelling of a time: the day alone at midnight, else the time in UTC."""
    return f"{moment:%Y-%m-%d}" if moment.hour == moment.minute == 0 else f"{moment:%Y-%m-%dT%H:%M:00Z}"


def moment_ms(text: str) -> int | None:
    """UTC milliseconds of a checked time; None for an empty text."""
    return formats.moment_ms(text) if text else None


def _default(key: ConfigKey) -> str:
    shown = number_text(key.default) if isinstance(key.default, int | float) else value_text(key.default)
    return f" (default {shown})"


def _short(value: object) -> str:
    text = value_text(value)
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[:VALUE_CHARS_MAX]}..."
