"""Fork a fold: make a copy that continues independently from the same state.

Immutable values are shared: strings, numbers, frozen Structs, tuples of them, and the pieces of growing lists. Mutable
objects are copied, each of them once, so that two folds that read the same third fold read the same copy of it too.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterable
from copy import copy
from enum import Enum
from types import NoneType
from typing import Any, Final, TypeVar

from msgspec import Struct

from papertape.projections.persistence.append_only import Chunk, Part

T = TypeVar("T")
_Copy = Callable[[Any, "_Fork"], Any]


def fork(fold: T) -> T:
    """Return a copy of a fold that can take events without changing the original.

    Folds are trees of plain objects, mutable Structs, dicts, lists, deques, sets and arrays. Raises TypeError for any
    other type, because the copies might share mutable state.
    """
    twin: T = _Fork().of(fold)
    return twin


class _Fork:
    """One copy in progress; `twins` maps the identity of each original to its copy."""

    def __init__(self) -> None:
        self.twins: dict[int, Any] = {}

    def of(self, value: Any) -> Any:
        """Return an immutable value itself, any other value as its copy."""
        make = _COPIES.get(type(value)) or _learn(type(value))
        if make is _share:
            return value
        twin = self.twins.get(id(value))
        return twin if twin is not None else make(value, self)

    def shares(self, values: Iterable[Any]) -> bool:
        """Return whether all these values are immutable."""
        return all((_COPIES.get(kind) or _learn(kind)) is _share for kind in dict.fromkeys(map(type, values)))


def _share(value: Any, _: _Fork) -> Any:
    return value


def _tuple(value: tuple[Any, ...], making: _Fork) -> tuple[Any, ...]:
    """Rebuild a tuple only if one of its items had to be copied."""
    if making.shares(value):
        return value
    parts = tuple(map(making.of, value))
    same = all(part is one for part, one in zip(parts, value, strict=True))
    twin = making.twins[id(value)] = value if same else parts
    return twin


def _list(value: list[Any], making: _Fork) -> list[Any]:
    twin = making.twins[id(value)] = value.copy()
    if not making.shares(value):
        twin[:] = map(making.of, value)
    return twin


def _array(value: array[Any], making: _Fork) -> array[Any]:
    twin = making.twins[id(value)] = value[:]
    return twin


def _deque(value: deque[Any], making: _Fork) -> deque[Any]:
    twin = making.twins[id(value)] = value.copy()
    if not making.shares(value):
        twin.clear()
        twin.extend(map(making.of, value))
    return twin


def _dict(value: dict[Any, Any], making: _Fork) -> dict[Any, Any]:
    _check_keys(value)
    twin = making.twins[id(value)] = value.copy()
    if not making.shares(value.values()):
        twin.update((key, making.of(one)) for key, one in value.items())
    return twin


def _set(value: set[Any], making: _Fork) -> set[Any]:
    _check_keys(value)
    twin = making.twins[id(value)] = value.copy()
    return twin


def _check_keys(keys: Iterable[Any]) -> None:
    """Raise TypeError for a key that is compared by identity: a lookup in the copy would not find it."""
    for kind in dict.fromkeys(map(type, keys)):
        if (_COPIES.get(kind) or _learn(kind)) not in (_share, _tuple):
            raise TypeError(f"a fold has a key of type {kind.__qualname__}, which a copy would not find again")


def _struct(value: Struct, making: _Fork) -> Struct:
    twin = making.twins[id(value)] = copy(value)
    for name in value.__struct_fields__:
        part = getattr(value, name)
        part_twin = making.of(part)
        if part_twin is not part:
            setattr(twin, name, part_twin)
    return twin


def _object(value: Any, making: _Fork) -> Any:
    twin = making.twins[id(value)] = object.__new__(type(value))
    twin.__dict__.update((name, making.of(part)) for name, part in value.__dict__.items())
    return twin


_COPIES: Final[dict[type, _Copy]] = {
    **dict.fromkeys((NoneType, bool, int, float, str, bytes, frozenset, type, Chunk, Part), _share),
    tuple: _tuple,
    list: _list,
    deque: _deque,
    dict: _dict,
    set: _set,
    array: _array,
}
"""The copy function of each type; new types are added when they are first seen."""


def _learn(kind: type) -> _Copy:
    if issubclass(kind, Struct):
        make: _Copy = _share if kind.__struct_config__.frozen else _struct
    elif issubclass(kind, Enum):
        make = _share
    elif _is_plain(kind):
        make = _object
    else:
        raise TypeError(f"a fold contains a {kind.__qualname__}: it is not known whether copies may share it")
    return _COPIES.setdefault(kind, make)


def _is_plain(kind: type) -> bool:
    """Return whether an object keeps all of its state in its `__dict__`."""
    bases = [base for base in kind.__mro__ if base is not object]
    return all(base.__flags__ & _HEAP_TYPE and not vars(base).get("__slots__") for base in bases)


_HEAP_TYPE: Final = 1 << 9
"""CPython's flag of a class created by a class statement."""
