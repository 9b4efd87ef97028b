"""A table: the events of one type in columns, lane by lane."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, islice
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct, structs

from papertape.events.facts import CandleClosed, Event
from papertape.events.segments.columns import (
    Choices,
    Column,
    Decimals,
    Integers,
    iterate_decimals,
    pack_choices,
    pack_decimals,
    pack_integers,
    unpack_choices,
    unpack_decimals,
    unpack_integers,
)
from papertape.events.segments.order import in_order, places_in_log_order

_RECORDS: Final[dict[tuple[type[Event], str], int]] = {(CandleClosed, "open"): 4}
"""Fields that are so near to their successors that they form one column together: the prices of a candle."""


class Table(Struct, frozen=True, array_like=True):
    """The events of one type, lane by lane."""

    tag: str
    lane_lengths: Integers
    columns: list[Column]


def pack_table(kind: type[Event], lanes: Sequence[Sequence[Event]]) -> Table:
    """Return the events of each lane as a table."""
    lengths = [len(lane) for lane in lanes]
    fields = dict(zip(kind.__struct_fields__, zip(*map(structs.astuple, chain(*lanes)), strict=True), strict=True))
    columns: list[Column] = []
    rest = iter(fields)
    for name in rest:
        stride = _RECORDS.get((kind, name), 1)
        together = [fields[name], *(fields[other] for other in islice(rest, stride - 1))]
        columns.append(_pack_column([*chain.from_iterable(zip(*together, strict=True))], lengths, stride))
    return Table(str(kind.__struct_config__.tag), pack_integers(lengths), columns)


def _pack_column(values: Sequence[Any], lengths: Sequence[int], stride: int) -> Column:
    types = set(map(type, values))
    if types == {float}:
        return pack_decimals(values, [length * stride for length in lengths], stride)
    if types == {int} and 4 * len(set(values)) > len(values) and max(values) < 1 << 63:
        return pack_integers(values)
    return pack_choices(values)


def unpack_table(kind: type[Event], table: Table, lengths: Sequence[int], order: Any = None) -> Iterator[Event]:
    """Return an iterator over the events: lane by lane, or in a given order (`order.log_order`).

    Raise ValueError, LookupError or MsgspecError at once if the bytes make no sense.
    """
    fields: list[Iterator[Any]] = []
    for column in table.columns:
        if isinstance(column, Decimals):
            fields += iterate_decimals(column, lengths, order)
        else:
            fields.append(iter(_values(kind, len(fields), column, lengths, order)))
    if len(fields) != len(kind.__struct_fields__):
        raise ValueError("a table has columns for other fields")
    return map(kind, *fields)


def _stride(column: Column) -> int:
    return column.integers.stride if isinstance(column, Decimals) else 1


def _values(
    kind: type[Event], field: int, column: Integers | Choices, lengths: Sequence[int], order: Any = None
) -> Iterable[Any]:
    if isinstance(column, Choices):
        return unpack_choices(column, _decoders(kind)[field], sum(lengths), order)
    values = unpack_integers(column)
    if len(values) != sum(lengths):
        raise ValueError("a column does not fit its lanes")
    return values if order is None else in_order(array("q", values), order)


class Ordering(NamedTuple):
    """Where the lanes of a table stand in the log: the lane of each event of the block, and the first of the table."""

    lanes: Sequence[int]
    first_lane: int
    seqs: Callable[[], Iterable[int]]
    """Returns the seqs of the table's events in the order of the log."""


class EventColumns:
    """The events of one type in a block as columns: lane by lane, which for a candle means symbol by symbol.

    `lengths` are the lengths of the lanes. A column is decoded when it is asked for; it raises ValueError, LookupError
    or MsgspecError if its bytes make no sense.
    """

    def __init__(self, kind: type[Event], table: Table, lengths: Sequence[int], ordering: Ordering) -> None:
        """Read a table whose events stand in the log as `ordering` says."""
        self.kind, self.lengths, self.ordering = kind, lengths, ordering
        self._columns = [(column, place) for column in table.columns for place in range(_stride(column))]
        self._fields: dict[int, Sequence[Any]] = {}

    def event(self, place: int) -> Event:
        """Return the event at a place of the columns, such as the last one of a lane."""
        return self.kind(*(self.values(field)[place] for field in self.kind.__struct_fields__))

    def seqs(self) -> list[int]:
        """Return the seq of each event."""
        seqs = [0] * sum(self.lengths)
        for place, seq in zip(self.log_order(), self.ordering.seqs(), strict=True):
            seqs[place] = seq
        return seqs

    def log_order(self) -> array[int]:
        """Return the places of the events in the order of the log: 64-bit integers, which numpy reads in place."""
        return places_in_log_order(self.ordering.lanes, self.ordering.first_lane, self.lengths)

    def values(self, field: str) -> Sequence[Any]:
        """Return the values of a field: an array of doubles for floats, which numpy reads in place."""
        number = self.kind.__struct_fields__.index(field)
        if number not in self._fields:
            column, place = self._columns[number]
            if isinstance(column, Decimals):
                self._fields.update(enumerate(unpack_decimals(column, self.lengths), start=number - place))
            else:
                self._fields[number] = list(_values(self.kind, number, column, self.lengths))
        return self._fields[number]


@cache
def _decoders(kind: type[Event]) -> list[msgspec.msgpack.Decoder[list[Any]]]:
    """Return a decoder for lists of each of a type's fields."""
    return [msgspec.msgpack.Decoder(list[field.type]) for field in structs.fields(kind)]  # type: ignore[name-defined]
