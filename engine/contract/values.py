"""What is known of a value before a strategy runs: its type, whose it is, and the fields it has."""

from __future__ import annotations

from enum import Enum, auto
from functools import cache
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import msgspec


class Kind(Enum):
    """The type of a value, as far as the source shows it."""

    INT = auto()
    FLOAT = auto()
    NUMBER = auto()
    """An int on one path and a float on another."""
    BOOL = auto()
    NONE = auto()
    TEXT = auto()
    STRUCT = auto()
    RING = auto()
    TUPLE = auto()
    FUNCTION = auto()
    CLASS = auto()
    MODULE = auto()
    UNKNOWN = auto()


NUMERIC = (Kind.INT, Kind.FLOAT, Kind.NUMBER, Kind.BOOL)


class Owner(Enum):
    """Whose value it is, which determines who may change it."""

    LOCAL = auto()
    STATE = auto()
    ANSWER = auto()
    READING = auto()
    VIEW = auto()
    MODULE = auto()
    SEVERAL = auto()


class Shape(NamedTuple):
    """The fields of a Struct by name. `closed` is false where more fields may exist than the source shows."""

    name: str
    fields: dict[str, Value]
    closed: bool = True


class Value(NamedTuple):
    """What is known of a value. `path` is how the author reached it; `target` is a function, a class or a module."""

    kind: Kind
    owner: Owner = Owner.LOCAL
    path: str = ""
    shape: Shape | None = None
    items: tuple[Any, ...] = ()
    target: Any = None

    def named(self, path: str, owner: Owner) -> Value:
        """Return the value as reached by a path, owned by an owner."""
        return self._replace(path=path, owner=owner)


INT, FLOAT, NUMBER, BOOL = Value(Kind.INT), Value(Kind.FLOAT), Value(Kind.NUMBER), Value(Kind.BOOL)
NONE, TEXT, UNKNOWN = Value(Kind.NONE), Value(Kind.TEXT), Value(Kind.UNKNOWN)


def struct_value(shape: Shape) -> Value:
    """Return a value with these fields."""
    return Value(Kind.STRUCT, shape=shape)


def ring_value(rows: Shape) -> Value:
    """Return a ring of rows with these fields."""
    return Value(Kind.RING, shape=rows)


@cache
def shape_of(kind: type[msgspec.Struct]) -> Shape:
    """Return the shape of a Struct of the kernel."""
    return Shape(kind.__name__, {item.name: value_of_type(item.type) for item in msgspec.structs.fields(kind)})


def value_of_type(hint: Any) -> Value:
    """Return what a type annotation says of a value."""
    if get_origin(hint) is Annotated:
        return value_of_type(get_args(hint)[0])
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return struct_value(shape_of(hint))
    return {int: INT, float: FLOAT, bool: BOOL, str: TEXT, None: NONE, type(None): NONE}.get(hint, UNKNOWN)


def joined(one: Value, other: Value) -> Value:
    """Return what holds of a value that is one of two."""
    if one == other:
        return one
    owner = one.owner if one.owner == other.owner else Owner.SEVERAL
    if one.kind == other.kind and one.shape == other.shape and len(one.items) == len(other.items):
        items = tuple(map(joined, one.items, other.items))
        return one._replace(owner=owner, items=items)
    return Value(_joined_kind({one.kind, other.kind}), owner, one.path or other.path)


def _joined_kind(kinds: set[Kind]) -> Kind:
    if kinds <= {Kind.INT, Kind.BOOL}:
        return Kind.BOOL
    return Kind.NUMBER if kinds <= set(NUMERIC) else Kind.UNKNOWN
