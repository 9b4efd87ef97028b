"""Structs as records: the same tree, for CPython an object, for numba a row of a structured array."""

from __future__ import annotations

import struct
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from msgspec import Struct

T = TypeVar("T", bound="Struct")
Array = Any
"""A structured numpy array; numpy cannot type its fields."""
FILLER = (0,)
"""The one leaf of a Struct without fields: a row of no bytes is nothing that numpy can count."""


def dtype_of(kind: type[Struct], **replaced: np.dtype[Any]) -> np.dtype[Any]:
    """The record type of a Struct: int as i8, float as f8, a nested Struct as a nested record.

    `replaced` gives the record type of a field whose type the Struct leaves open.
    """
    fields = [(item.name, replaced.get(item.name) or _leaf(item)) for item in msgspec.structs.fields(kind)]
    return np.dtype(fields or [("filler", "i8")], align=True)


def _leaf(item: Any) -> Any:
    """The numpy type of one field, seen through Annotated."""
    info = msgspec.inspect.type_info(item.type)
    if isinstance(info, msgspec.inspect.Metadata):
        info = info.type
    if isinstance(info, msgspec.inspect.IntType):
        return "i8"
    if isinstance(info, msgspec.inspect.FloatType):
        return "f8"
    if isinstance(info, msgspec.inspect.StructType):
        return dtype_of(info.cls)
    raise TypeError(f"{item.name} is no scalar")


def records_of(structs: Sequence[Struct]) -> Array:
    """Structs of one type as a structured array. A few thousand are packed at once: numpy takes them one by one."""
    dtype = _dtype(type(structs[0]))
    leaves = chain.from_iterable(map(_leaves, structs))
    packed = bytearray(struct.pack(f"={_leaf_codes(dtype) * len(structs)}", *leaves))
    return np.frombuffer(packed, dtype=dtype)


def _leaves(item: Struct) -> Iterator[Any]:
    """The leaves of a Struct, one after the other."""
    if not _nested(type(item)):
        return iter(msgspec.structs.astuple(item) or FILLER)
    return chain.from_iterable(
        _leaves(value) if isinstance(value, msgspec.Struct) else (value,) for value in msgspec.structs.astuple(item)
    )


def values_of(item: Struct) -> tuple[Any, ...]:
    """The leaves of a Struct as the nested tuple numpy takes."""
    values = msgspec.structs.astuple(item)
    return tuple(values_of(value) if isinstance(value, msgspec.Struct) else value for value in values) or FILLER


@cache
def _dtype(kind: type[Struct]) -> np.dtype[Any]:
    """`dtype_of`, made once for each type."""
    return dtype_of(kind)


def leaves_of(rows: Array) -> Iterator[tuple[Any, ...]]:
    """The leaves of every row as one flat tuple: ten times as quick as numpy's own `tolist`."""
    return struct.iter_unpack(f"={_leaf_codes(rows.dtype)}", rows.tobytes())


def structs_of(kind: type[T], rows: Array) -> list[T]:
    """The Structs behind rows without nested records."""
    return [kind(*leaves) for leaves in leaves_of(rows)]


def leaf_reader(dtype: np.dtype[Any], names: Sequence[str]) -> Callable[[bytes, int], tuple[Any, ...]]:
    """What takes the named fields out of the row at an index of rows as bytes, in that order; nested ones leaf by leaf.

    What is not asked for costs nothing.
    """
    codes = {name: _leaf_codes(dtype[name]) for name in dtype.names or ()}
    take = struct.Struct("=" + "".join(code if name in names else f"{8 * len(code)}x" for name, code in codes.items()))
    taken = [(name, leaf) for name, code in codes.items() if name in names for leaf in range(len(code))]
    ordered = itemgetter(*(taken.index((name, leaf)) for name in names for leaf in range(len(codes[name]))))
    size = dtype.itemsize
    return lambda rows, index: ordered(take.unpack_from(rows, index * size))


def _leaf_codes(dtype: np.dtype[Any]) -> str:
    """A letter for each leaf, as the module `struct` writes them; leaves of eight bytes leave no gaps."""
    if dtype.fields is None:
        return {"i": "q", "f": "d"}[dtype.kind]
    return "".join(_leaf_codes(dtype.fields[name][0]) for name in dtype.names or ())


def struct_of(kind: type[T], values: Sequence[Any]) -> T:
    """The Struct behind a row given as (nested) tuple."""
    nested = _nested(kind)
    if not nested:
        return kind(*values) if kind.__struct_fields__ else kind()
    made = list(values)
    for position, inner in nested:
        made[position] = struct_of(inner, made[position])
    return kind(*made)


@cache
def _nested(kind: type[Struct]) -> tuple[tuple[int, type[Struct]], ...]:
    """The positions of a Struct's nested Structs."""
    found = []
    for position, item in enumerate(msgspec.structs.fields(kind)):
        info = msgspec.inspect.type_info(item.type)
        if isinstance(info, msgspec.inspect.StructType):
            found.append((position, info.cls))
    return tuple(found)
