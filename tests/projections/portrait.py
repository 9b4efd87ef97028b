"""A fold's whole state as plain data for comparisons: immutable objects by value, mutable ones by position."""

from __future__ import annotations

from array import array
from collections import deque
from enum import Enum
from typing import Any

import msgspec

from papertape.projections.persistence.append_only import Chunk, Part


def portrait(fold: object) -> Any:
    """Return data that is equal for two folds with equal contents, order and sharing. Caches are left out.

    Whether immutable frozen Structs are shared does not matter.
    """
    return _drawn(fold, {}, [])


def _drawn(thing: object, seen: dict[int, int], kept: list[object]) -> Any:
    """Draw one object. `seen` numbers mutable objects to show cycles and sharing; `kept` keeps them alive."""
    if thing is None or isinstance(thing, Enum | str | int | bytes):
        return thing
    if isinstance(thing, float):
        return thing.hex()
    if isinstance(thing, tuple):
        return ("tuple", *[_drawn(one, seen, kept) for one in thing])
    if isinstance(thing, Chunk | Part):
        return _drawn(thing.items, seen, kept)
    if isinstance(thing, frozenset):
        return ("frozenset", *sorted(thing))
    if isinstance(thing, msgspec.Struct) and thing.__struct_config__.frozen:
        return _fields(thing, {}, kept)
    if id(thing) in seen:
        return ("again", seen[id(thing)])
    seen[id(thing)] = len(seen)
    kept.append(thing)
    if isinstance(thing, msgspec.Struct):
        return _fields(thing, seen, kept)
    if isinstance(thing, dict):
        return ("dict", *[(_drawn(key, seen, kept), _drawn(value, seen, kept)) for key, value in thing.items()])
    if isinstance(thing, list | deque | array):
        maximum = thing.maxlen if isinstance(thing, deque) else None
        return (type(thing).__name__, maximum, *[_drawn(one, seen, kept) for one in thing])
    return (type(thing).__name__, _drawn(thing.__getstate__(), seen, kept))


def _fields(struct: msgspec.Struct, seen: dict[int, int], kept: list[object]) -> Any:
    return (type(struct).__name__, *[_drawn(getattr(struct, one), seen, kept) for one in struct.__struct_fields__])
