"""Validate a configuration's values against the schema, and describe every problem.

A `ConfigProblem` contains the path of its key; the caller, who knows the source, adds the line or the `--set`.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from difflib import get_close_matches
from math import isfinite
from typing import TYPE_CHECKING, Any, assert_never

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
    """One mistake: the key's full path, what is wrong with it, and the list item if only that is wrong."""

    path: Path
    text: str
    item: str = ""

    @property
    def name(self) -> str:
        """The dotted path."""
        return ".".join(self.path)


def error_of(problems: Iterable[ConfigProblem], place: Callable[[ConfigProblem], str]) -> ConfigError:
    """Return all problems as one error with a line each; `place` returns the place of a problem."""
    lines = [f"{place(problem)}: {problem.name} {problem.text}" for problem in problems]
    more = len(lines) - PROBLEMS_MAX
    return ConfigError("\n".join([*lines[:PROBLEMS_MAX], *([f"... and {more} more"] if more > 0 else [])]))


def validate_value(value: object, node: Node, path: Path, problems: list[ConfigProblem]) -> Any:
    """Return the value in its plain form, and add its problems to `problems`."""
    if isinstance(node, ConfigTable):
        return _checked_table(value, node, path, problems)
    faults: list[str] = []
    plain = _checked_key(value, node, path, problems, faults)
    problems.extend(ConfigProblem(path, f"= {_short(value)}: {text}{_default(node)}") for text in faults)
    return plain


def unknown_key_text(name: str, known: Iterable[str], noun: str) -> str:
    """Return `is an unknown key; did you mean x? Choose from: a, b, c`."""
    names = list(known)
    close = get_close_matches(name.lower(), [n.lower() for n in names], n=1, cutoff=0.6)
    meant = next((n for n in names if close and n.lower() == close[0]), "")
    shown = ", ".join(names[:KNOWN_MAX]) + (", ..." if len(names) > KNOWN_MAX else "")
    hint = f"did you mean {meant}? Choose" if meant else "choose"
    return f"is an unknown {noun}; {hint} from: {shown}"


def _checked_table(value: object, table: ConfigTable, path: Path, problems: list[ConfigProblem]) -> dict[str, Any]:
    if not isinstance(value, dict):
        problems.append(ConfigProblem(path, f"= {_short(value)}: must be a table"))
        return {}
    plain = {}
    for name, item in value.items():
        node = table.at(name)
        if node is None:
            problems.append(ConfigProblem((*path, name), unknown_key_text(name, table.keys, table.noun)))
        else:
            plain[name] = validate_value(item, node, (*path, name), problems)
    return plain


def _checked_key(value: object, key: ConfigKey, path: Path, problems: list[ConfigProblem], faults: list[str]) -> object:
    match key.kind:
        case "whole number" | "number":
            faults += _number_faults(value, key)
        case "choice":
            if value not in key.choices:
                faults.append(f"must be {range_text(key)}")
        case "text":
            if not isinstance(value, str) or not (value or key.may_be_empty):
                faults.append(f"must be {PLURAL['text']}" if key.may_be_empty else "must be a string that is not empty")
        case "list":
            return _checked_list(value, key, path, problems, faults)
        case "moment":
            return _checked_moment(value, key, faults)
        case _:
            assert_never(key.kind)
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
    value: object, key: ConfigKey, path: Path, problems: list[ConfigProblem], faults: list[str]
) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        faults.append(f"must be {PLURAL['list']}")
        return []
    items = [str(item) for item in value]
    if not items and not key.may_be_empty:
        faults.append("must not be empty")
    if key.items_max is not None and len(items) > key.items_max:
        faults.append(f"has {len(items)} items, but at most {key.items_max} are allowed")
    for place, item in enumerate(items):
        name = (*path[:-1], f"{path[-1]}[{place}]")
        if item in items[:place]:
            problems.append(ConfigProblem(name, f"= {_short(item)}: is a duplicate", item))
        elif not item or (key.pattern and not re.search(key.pattern, item)):
            must = "must be capital letters and digits, like BTCUSDT" if key.pattern else "must not be empty"
            problems.append(ConfigProblem(name, f"= {_short(item)}: {must}", item))
    return items


def _checked_moment(value: object, key: ConfigKey, faults: list[str]) -> str:
    if value == "" and key.default == "":
        return ""
    at_ms = _moment_ms(value)
    if at_ms is not None and at_ms % MINUTE_MS == 0:
        moment = datetime.fromtimestamp(at_ms / 1_000, UTC)
        if 1971 <= moment.year <= 2099:
            return moment_text(moment)
    faults.append(f"must be {range_text(key)}, in whole minutes, from 1971 to 2099")
    return str(key.default)


def _moment_ms(value: object) -> int | None:
    """Return the UTC milliseconds of a TOML date, time or number, or of a text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | date):
        return None
    return formats.moment_ms(value.isoformat() if isinstance(value, date) else str(value))


def moment_text(moment: datetime) -> str:
    """Return the canonical spelling of a time: only the day at midnight, else the time in UTC."""
    return f"{moment:%Y-%m-%d}" if moment.hour == moment.minute == 0 else f"{moment:%Y-%m-%dT%H:%M:00Z}"


def moment_ms(text: str) -> int | None:
    """Return the UTC milliseconds of a valid time; None for an empty text."""
    return formats.moment_ms(text) if text else None


def _default(key: ConfigKey) -> str:
    shown = number_text(key.default) if isinstance(key.default, int | float) else value_text(key.default)
    return f" (default {shown})"


def _short(value: object) -> str:
    text = value_text(value)
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[:VALUE_CHARS_MAX]}..."
