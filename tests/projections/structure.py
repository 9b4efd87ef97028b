"""Everything a fold holds as plain values, to compare two of them by: what is the same object has the same number."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Any

from msgspec import Struct


def structure_of(fold: Any) -> Any:
    """Equal for two folds exactly when they hold the same values and share the same objects among themselves."""
    return _of(fold, {})


def _of(value: Any, numbers: dict[int, int]) -> Any:
    if isinstance(value, str | int | float | bytes | Enum | None):
        return repr(value)  # NaN is equal to itself, and 0 is not False.
    if isinstance(value, tuple):
        return ("tuple", *[_of(one, numbers) for one in value])
    if id(value) in numbers:
        return ("again", numbers[id(value)])
    frozen = isinstance(value, Struct) and value.__struct_config__.frozen
    if not frozen:
        numbers[id(value)] = len(numbers)
    return (type(value).__qualname__, *[(name, _of(part, numbers)) for name, part in _parts(value)])


def _parts(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return [(repr(key), part) for key, part in value.items()]
    if isinstance(value, list | deque):
        return [("maxlen", getattr(value, "maxlen", None)), *enumerate(value)]
    if isinstance(value, set):
        return list(enumerate(sorted(value, key=repr)))
    if isinstance(value, Struct):
        return [(name, getattr(value, name)) for name in value.__struct_fields__]
    return list(vars(value).items())
