"""The schema of the configuration: a tree of tables and keys, derived from the Structs that are configured.

Loading, `--set`, the help on strategies, the reference and the tests of the example file all use it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from msgspec import Struct

from papertape.events.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLES_KEPT_MAX: Final = 256
Kind = Literal["whole number", "number", "text", "choice", "list", "moment"]
PLURAL: dict[Kind, str] = {
    "whole number": "a whole number",
    "number": "a number",
    "text": "a string",
    "choice": "one of the known words",
    "list": "a list of strings",
    "moment": "a date like 2025-01-01 or 20250101, a time like 2025-01-01T12:00:00Z, or a Unix time in s or ms",
}


class ConfigKey(Struct, frozen=True):
    """A key with its type, default, valid range, unit and meaning. A missing bound is None."""

    kind: Kind
    default: Any
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""
    may_be_empty: bool = True
    items_max: int | None = None
    unit: str = ""
    meaning: str = ""
    is_secret: bool = False


class ConfigTable(Struct, frozen=True):
    """A table: its known keys, and the node of every other key if any name is valid (symbols)."""

    keys: dict[str, ConfigKey | ConfigTable]
    noun: str = "key"
    rest: ConfigKey | ConfigTable | None = None

    def at(self, name: str) -> ConfigKey | ConfigTable | None:
        """Return the node under a name; None for an invalid name."""
        return self.keys.get(name, self.rest)


Node = ConfigKey | ConfigTable


@lru_cache(maxsize=TABLES_KEPT_MAX)
def table_of(kind: type[Struct], noun: str = "key") -> ConfigTable:
    """Return the table that a Struct describes. Raise ConfigError for a field whose type no key has."""
    fields = msgspec.inspect.type_info(kind).fields  # type: ignore[attr-defined]
    return ConfigTable({field.name: _key(kind, field) for field in fields}, noun)


def _key(kind: type[Struct], field: msgspec.inspect.Field) -> ConfigKey:
    """Return the key of a field, with the metadata of its annotation."""
    info, extra, meaning = field.type, {}, ""
    if isinstance(info, msgspec.inspect.Metadata):
        extra, meaning = info.extra or {}, (info.extra_json_schema or {}).get("description", "")
        info = info.type
    common = {
        "default": field.default,
        "unit": extra.get("unit", ""),
        "meaning": meaning,
        "is_secret": bool(extra.get("secret")),
    }
    match info:
        case msgspec.inspect.IntType():
            return ConfigKey("whole number", **_bounds(info), **common)
        case msgspec.inspect.FloatType():
            return ConfigKey("number", **_bounds(info), **common)
        case msgspec.inspect.LiteralType():
            return ConfigKey("choice", choices=tuple(str(value) for value in info.values), **common)
        case msgspec.inspect.StrType():
            empty = not info.min_length
            return ConfigKey("moment" if extra.get("moment") else "text", may_be_empty=empty, **common)
        case msgspec.inspect.VarTupleType(item_type=msgspec.inspect.StrType(pattern=pattern)):
            return ConfigKey(
                "list", pattern=pattern or "", may_be_empty=not info.min_length, items_max=info.max_length, **common
            )
        case _:
            raise ConfigError(f"{kind.__module__}.{kind.__name__}.{field.name}: no key can have the type {info}")


def _bounds(info: msgspec.inspect.IntType | msgspec.inspect.FloatType) -> Mapping[str, Any]:
    return {"ge": info.ge, "gt": info.gt, "le": info.le, "lt": info.lt}


def range_text(key: ConfigKey) -> str:
    """Return the valid range in words: `1 to 500 candles`, `above 0 to 50 %`, `"sim" or "file"`."""
    if key.choices:
        return " or ".join(f'"{choice}"' for choice in key.choices)
    if key.kind not in ("whole number", "number"):
        return PLURAL[key.kind]
    low = _bound("", key.ge) or _bound("above ", key.gt)
    high = _bound("", key.le) or _bound("below ", key.lt)
    text = f"{low} to {high}" if low and high else (f"{low} or more" if low else high or "any number")
    return f"{text} {key.unit}".strip()


def _bound(word: str, bound: float | None) -> str:
    return "" if bound is None else f"{word}{number_text(bound)}"


def number_text(value: float) -> str:
    """Return a number without a needless fraction: 1000000, 0.02, -5."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def value_text(value: object) -> str:
    """Return a value as a TOML file contains it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return number_text(value) if value == value and abs(value) != float("inf") else str(value)  # noqa: PLR0124
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(value_text(item) for item in value)}]"
    return str(value)
