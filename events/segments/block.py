"""A block: a run of commits in one compressed piece of a segment, which is read without any other.

The events of a block stand in lanes: one for each type, or for each type and symbol where the market brings many. The
lanes of a type form a table of columns; the number of each event's lane gives their order. A row that would not be
encoded to the same bytes again is kept verbatim.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain, islice
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from papertape.events.chain import Row, row_hash
from papertape.events.codec import Codec
from papertape.events.errors import LogDamaged, LogFromNewerVersion
from papertape.events.facts import CandleClosed, Event, FundingRateSettled, OpenInterestObserved
from papertape.events.log import Commit
from papertape.events.segments.columns import (
    Choices,
    Column,
    Decimals,
    Integers,
    pack_choices,
    pack_decimals,
    pack_integers,
    unpack_choices,
    unpack_decimals,
    unpack_integers,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEVEL: Final = 15
CONTENT_BYTES_MAX: Final = 1 << 28
"""The longest content of a block; that of an ordinary one is about 200 KB."""
_MARKET: Final = (CandleClosed, FundingRateSettled, OpenInterestObserved)
_RECORDS: Final[dict[tuple[type[Event], str], int]] = {(CandleClosed, "open"): 4}
"""Fields that are so near to their successors that they form one column together."""


class Table(Struct, frozen=True, array_like=True):
    """The events of one type, lane by lane."""

    tag: str
    lane_lengths: Integers
    columns: list[Column]


class Content(Struct, frozen=True, array_like=True):
    """What a block holds. Rows kept verbatim count as rows, but their events are in no table.

    `caused_places` are the places, among the events in tables, of those with a cause; `causes` are relative to the seq
    with which the block begins.
    """

    counts: Integers
    recorded_at_ms: Integers
    lanes: Integers
    tables: list[Table]
    caused_places: Integers
    causes: Integers
    verbatim_places: Integers
    verbatim: list[bytes]


_encode_content = msgspec.msgpack.Encoder().encode
_decode_content = msgspec.msgpack.Decoder(Content).decode


def pack_block(rows: Sequence[Row], codec: Codec) -> tuple[bytes, int]:
    """Return rows as a compressed block, and the length of its content. Raise OverflowError if it is too long."""
    first_seq = rows[0][0]
    events: list[Event] = []
    caused: list[tuple[int, int]] = []
    verbatim: list[tuple[int, bytes]] = []
    for place, row in enumerate(rows):
        decoded = _as_canonical(row, codec)
        if decoded is None:
            verbatim.append((place, row[3]))
            continue
        caused += [(at, cause - first_seq) for at, cause in enumerate(decoded[1], start=len(events)) if cause]
        events += decoded[0]
    lanes, tables = _pack_tables(events)
    content = _encode_content(
        Content(
            counts=pack_integers([row[1] for row in rows]),
            recorded_at_ms=pack_integers([row[2] for row in rows]),
            lanes=pack_integers(lanes, allow_steps=False),
            tables=tables,
            caused_places=pack_integers([place for place, _ in caused]),
            causes=pack_integers([cause for _, cause in caused]),
            verbatim_places=pack_integers([place for place, _ in verbatim]),
            verbatim=[blob for _, blob in verbatim],
        )
    )
    if len(content) > CONTENT_BYTES_MAX:
        raise OverflowError(f"the rows from seq {first_seq} on have {len(content)} bytes, too many for a block")
    return zstd.compress(content, LEVEL), len(content)


def _as_canonical(row: Row, codec: Codec) -> tuple[list[Event], list[int]] | None:
    """Return the events and causes of a row that they determine to the byte; None for any other row."""
    seq, count, _, blob, _ = row
    try:
        events, causes = codec.decode_as_written(seq, blob)
    except LogDamaged:
        return None
    is_ordinary = count == len(events) == len(causes) and all(0 <= cause < seq + count for cause in causes)
    return (events, causes) if is_ordinary and codec.encode_as_written(events, causes) == blob else None


def _pack_tables(events: Sequence[Event]) -> tuple[list[int], list[Table]]:
    """Return the lane of each event, and the tables."""
    kinds: dict[type[Event], dict[str, list[Event]]] = {}
    keys = [(type(event), event.symbol if isinstance(event, _MARKET) else "") for event in events]
    for event, (kind, symbol) in zip(events, keys, strict=True):
        kinds.setdefault(kind, {}).setdefault(symbol, []).append(event)
    names = ((kind, symbol) for kind, lanes in kinds.items() for symbol in lanes)
    numbers = {name: number for number, name in enumerate(names)}
    return [numbers[key] for key in keys], [_pack_table(kind, [*lanes.values()]) for kind, lanes in kinds.items()]


def _pack_table(kind: type[Event], lanes: Sequence[Sequence[Event]]) -> Table:
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


@contextmanager
def naming_damage(seq: int) -> Iterator[None]:
    """Raise LogDamaged at `seq` for bytes that make no sense."""
    try:
        yield
    except (ValueError, TypeError, LookupError, ArithmeticError, EOFError, msgspec.MsgspecError, zstd.ZstdError) as error:
        raise LogDamaged(seq, f"the block of a sealed segment cannot be decoded: {error}") from error


class Block:
    """A block that was read, and whose checksum is right."""

    def __init__(self, first_seq: int, packed: bytes, size: int, codec: Codec) -> None:
        """Decompress a block whose content has `size` bytes. Raise LogDamaged."""
        self._first_seq, self._codec = first_seq, codec
        with naming_damage(first_seq):
            self._content = _decode_content(_decompress(packed, size))

    def commits(self) -> Iterator[Commit]:
        """Yield the rows with their events in their newest shapes. Raise LogDamaged or LogFromNewerVersion."""
        events, causes = self._events(newest=True)
        at = 0
        for seq, count, recorded_at_ms, blob in self._rows(len(events)):
            if blob is None:
                yield Commit(seq, recorded_at_ms, events[at : at + count], causes[at : at + count])
                at += count
                continue
            own_events, own_causes = self._codec.decode(seq, blob)
            if not count == len(own_events) == len(own_causes):
                raise LogDamaged(seq, f"the row declares {count} events, but holds {len(own_events)}")
            yield Commit(seq, recorded_at_ms, own_events, own_causes)

    def rows(self, hash_before: bytes) -> Iterator[Row]:
        """Yield the rows as they were written, with the hashes of the chain that begins with `hash_before`."""
        events, causes = self._events(newest=False)
        at = 0
        for seq, count, recorded_at_ms, verbatim in self._rows(len(events)):
            blob = verbatim
            if blob is None:
                blob = self._codec.encode_as_written(events[at : at + count], causes[at : at + count])
                at += count
            hash_before = row_hash(hash_before, seq, count, recorded_at_ms, blob)
            yield seq, count, recorded_at_ms, blob, hash_before

    def _rows(self, events: int) -> list[tuple[int, int, int, bytes | None]]:
        """Return seq, count, recorded_at_ms and the blob kept verbatim, if any, of each row."""
        with naming_damage(self._first_seq):
            content = self._content
            counts = unpack_integers(content.counts)
            verbatim = dict(zip(unpack_integers(content.verbatim_places), content.verbatim, strict=True))
            if events + sum(counts[place] for place in verbatim) != sum(counts) or min(counts) < 1:
                raise ValueError("the rows do not fit their events")
            times = unpack_integers(content.recorded_at_ms)
            rows, seq = [], self._first_seq
            for place, (count, recorded_at_ms) in enumerate(zip(counts, times, strict=True)):
                rows.append((seq, count, recorded_at_ms, verbatim.get(place)))
                seq += count
        return rows

    def _events(self, *, newest: bool) -> tuple[list[Event], list[int]]:
        """Return the events of all tables in the order of the log, and their causes."""
        with naming_damage(self._first_seq):
            content = self._content
            lanes = unpack_integers(content.lanes)
            lengths = [unpack_integers(table.lane_lengths) for table in content.tables]
            if sum(map(sum, lengths)) != len(lanes) or any(min(own, default=-1) < 0 for own in lengths):
                raise ValueError("the lanes do not fit their events")
            sources: list[Iterator[Event]] = []
            for table, own in zip(content.tables, lengths, strict=True):
                sources += self._lanes(table, own, newest=newest)
            events = list(map(next, map(sources.__getitem__, lanes)))
            if len(events) != len(lanes):
                raise ValueError("the lanes do not fit their order")
            causes = [0] * len(events)
            for place, cause in zip(unpack_integers(content.caused_places), unpack_integers(content.causes), strict=True):
                causes[place] = self._first_seq + cause
        return events, causes

    def _lanes(self, table: Table, lengths: Sequence[int], *, newest: bool) -> list[Iterator[Event]]:
        """Return the events of a table, lane by lane. Raise LogFromNewerVersion for an unknown tag."""
        kind = self._codec.kinds.get(table.tag)
        if kind is None:
            raise LogFromNewerVersion(self._first_seq, f"this version does not know the event {table.tag}")
        count = sum(lengths)
        events: list[Event] = list(map(kind, *_fields(kind, table.columns, lengths, count)))
        if len(events) != count:
            raise ValueError("the columns of a table do not fit its lanes")
        if newest:
            events, _ = self._codec.upcast((events, []))
        rest = iter(events)
        return [iter([*islice(rest, length)]) for length in lengths]


def _fields(kind: type[Event], columns: Sequence[Column], lengths: Sequence[int], count: int) -> list[Any]:
    """Return the values of each field of a table's events."""
    values: list[Any] = []
    for column in columns:
        if isinstance(column, Decimals):
            stride = column.integers.stride
            floats = unpack_decimals(column, [length * stride for length in lengths])
            values += [floats[place::stride] for place in range(stride)] if stride > 1 else [floats]
        elif isinstance(column, Integers):
            values.append(unpack_integers(column))
        else:
            values.append(unpack_choices(column, _decoders(kind)[len(values)], count))
    return values


@cache
def _decoders(kind: type[Event]) -> list[msgspec.msgpack.Decoder[list[Any]]]:
    """Return a decoder for lists of each of a type's fields."""
    return [msgspec.msgpack.Decoder(list[field.type]) for field in structs.fields(kind)]  # type: ignore[name-defined]


def _decompress(packed: bytes, size: int) -> bytes:
    """Return exactly `size` bytes. Raise ValueError or ZstdError if there are others."""
    if not 0 <= size <= CONTENT_BYTES_MAX:
        raise ValueError(f"a content of {size} bytes is none")
    decompressor = zstd.ZstdDecompressor()
    content = decompressor.decompress(packed, size + 1)
    if len(content) != size or not decompressor.eof or decompressor.unused_data:
        raise ValueError(f"the content is not {size} bytes")
    return content
