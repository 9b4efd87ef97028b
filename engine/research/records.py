"""Structs as records: the same tree is an object for CPython, and a row of a structured array for numba."""

from __future__ import annotations

import struct
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from msgspec import Struct

T = TypeVar("T", bound="Struct")
Array = Any
"""A structured numpy array; numpy cannot type its fields."""
FILLER = (0,)
"""The one leaf of a Struct without fields: a row of no bytes is nothing that numpy can count."""


def dtype_of(kind: type[Struct], **replaced: np.dtype[Any]) -> np.dtype[Any]:
    """Return the record type of a Struct: int as i8, float as f8, a nested Struct as a nested record.

    `replaced` gives the record type of a field whose type the Struct leaves open.
    """
    return _dtype(kind, tuple(replaced.items()))


@cache
def _dtype(kind: type[Struct], replacements: tuple[tuple[str, np.dtype[Any]], ...] = ()) -> np.dtype[Any]:
    """Return `dtype_of`, computed once for each type."""
    replaced = dict(replacements)
    fields = [(item.name, replaced.get(item.name) or _leaf(item)) for item in msgspec.structs.fields(kind)]
    return np.dtype(fields or [("filler", "i8")], align=True)


def _leaf(item: Any) -> Any:
    """Return the numpy type of one field, looking through Annotated."""
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
    """Return Structs of one type as a structured array, packed at once: numpy would convert them one by one."""
    dtype = _dtype(type(structs[0]))
    leaves = chain.from_iterable(map(_leaves, structs))
    packed = bytearray(struct.pack(f"={_leaf_codes(dtype) * len(structs)}", *leaves))
    return np.frombuffer(packed, dtype=dtype)


def _leaves(item: Struct) -> Iterable[Any]:
    """Return the leaves of a Struct in order."""
    if not _nested(type(item)):
        return msgspec.structs.astuple(item) or FILLER
    return chain.from_iterable(
        _leaves(value) if isinstance(value, msgspec.Struct) else (value,) for value in msgspec.structs.astuple(item)
    )


def values_of(item: Struct) -> tuple[Any, ...]:
    """Return the leaves of a Struct as the nested tuple that numpy expects."""
    values = msgspec.structs.astuple(item)
    return tuple(values_of(value) if isinstance(value, msgspec.Struct) else value for value in values) or FILLER


def leaves_of(rows: Array) -> Iterator[tuple[Any, ...]]:
    """Yield the leaves of every row as one flat tuple, ten times as fast as numpy's own `tolist`."""
    return struct.iter_unpack(f"={_leaf_codes(rows.dtype)}", rows.tobytes())


def structs_of(kind: type[T], rows: Array) -> list[T]:
    """Return the Structs of rows without nested records."""
    return [kind(*leaves) for leaves in leaves_of(rows)]


@cache
def _leaf_codes(dtype: np.dtype[Any]) -> str:
    """Return a format character of `struct` for each leaf; leaves of eight bytes leave no gaps."""
    if dtype.fields is None:
        return {"i": "q", "f": "d"}[dtype.kind]
    return "".join(_leaf_codes(dtype.fields[name][0]) for name in dtype.names or ())


def struct_of(kind: type[T], values: Sequence[Any]) -> T:
    """Return the Struct of a row given as a (nested) tuple."""
    nested = _nested(kind)
    if not nested:
        return kind(*values) if kind.__struct_fields__ else kind()
    fields = list(values)
    for position, inner in nested:
        fields[position] = struct_of(inner, fields[position])
    return kind(*fields)


@cache
def _nested(kind: type[Struct]) -> tuple[tuple[int, type[Struct]], ...]:
    """Return the positions and types of a Struct's nested Structs."""
    nested = []
    for position, item in enumerate(msgspec.structs.fields(kind)):
        info = msgspec.inspect.type_info(item.type)
        if isinstance(info, msgspec.inspect.StructType):
            nested.append((position, info.cls))
    return tuple(nested)
