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
from itertools import accumulate, chain, islice, pairwise, repeat
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from papertape.events.chain import Row, row_hash
from papertape.events.codec import Codec
from papertape.events.errors import LogDamaged, LogFromNewerVersion
from papertape.events.facts import CandleClosed, Event, FundingRateSettled, OpenInterestObserved
from papertape.events.log import Commit
from papertape.events.segments.columns import (
    Column,
    Decimals,
    Integers,
    iterate_decimals,
    pack_choices,
    pack_decimals,
    pack_integers,
    split,
    unpack_choices,
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


_SENSELESS: Final = (
    ArithmeticError,
    EOFError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    msgspec.MsgspecError,
    zstd.ZstdError,
)
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
    except (
        ValueError,
        TypeError,
        LookupError,
        ArithmeticError,
        EOFError,
        RecursionError,
        msgspec.MsgspecError,
        zstd.ZstdError,
    ) as error:
        raise LogDamaged(seq, f"the block of a sealed segment cannot be decoded: {error}") from error


class BlockReader:
    """A block that was read, and whose checksum is right."""

    def __init__(self, first_seq: int, packed: bytes, size: int, codec: Codec) -> None:
        """Decompress a block whose content has `size` bytes. Raise LogDamaged."""
        self._first_seq, self._codec = first_seq, codec
        with naming_damage(first_seq):
            self._content = _decode_content(_decompress(packed, size))

    def commits(self) -> Iterator[Commit]:
        """Yield the rows with their events in their newest shapes. Raise LogDamaged or LogFromNewerVersion."""
        for seq, count, recorded_at_ms, blob, events, causes in self._rows(newest=True):
            if blob is None:
                yield Commit(seq, recorded_at_ms, events, causes)
                continue
            own_events, own_causes = self._codec.decode(seq, blob)
            if not count == len(own_events) == len(own_causes):
                raise LogDamaged(seq, f"the row declares {count} events, but holds {len(own_events)}")
            yield Commit(seq, recorded_at_ms, own_events, own_causes)

    def rows(self, hash_before: bytes) -> Iterator[Row]:
        """Yield the rows as they were written, with the hashes of the chain that begins with `hash_before`."""
        for seq, count, recorded_at_ms, verbatim, events, causes in self._rows(newest=False):
            blob = self._codec.encode_as_written(events, causes) if verbatim is None else verbatim
            hash_before = row_hash(hash_before, seq, count, recorded_at_ms, blob)
            yield seq, count, recorded_at_ms, blob, hash_before

    def _rows(self, *, newest: bool) -> Iterator[tuple[int, int, int, bytes | None, list[Event], list[int]]]:
        """Yield seq, count, recorded_at_ms and events and causes of each row, or the blob of one kept verbatim."""
        with naming_damage(self._first_seq):
            content, seq, at = self._content, self._first_seq, 0
            verbatim = dict(zip(unpack_integers(content.verbatim_places), content.verbatim, strict=True))
            causes, merged = self._causes(), self._merged(newest=newest)
            counts, times = unpack_integers(content.counts), unpack_integers(content.recorded_at_ms)
            for place, (count, recorded_at_ms) in enumerate(zip(counts, times, strict=True)):
                if place in verbatim:
                    yield seq, count, recorded_at_ms, verbatim[place], [], []
                else:
                    events = list(islice(merged, count))
                    if len(events) != count:
                        raise ValueError("the rows do not fit their events")
                    yield seq, count, recorded_at_ms, None, events, causes[at : at + count]
                    at += count
                seq += count

    def _merged(self, *, newest: bool) -> Iterator[Event]:
        """Return the events of all tables in the order of the log."""
        lanes = unpack_integers(self._content.lanes)
        lengths = [unpack_integers(table.lane_lengths) for table in self._content.tables]
        if sum(map(sum, lengths)) != len(lanes):
            raise ValueError("the lanes do not fit their events")
        self._refuse_unknown(lanes, lengths)
        sources: list[Iterator[Event]] = []
        for table, own in zip(self._content.tables, lengths, strict=True):
            kind = self._codec.kinds[table.tag]
            events = list(map(kind, *_fields(kind, table.columns, own)))
            if len(events) != sum(own):
                raise ValueError("the columns of a table do not fit its lanes")
            if newest and self._codec.is_old(kind):
                events = list(map(self._codec.newest, events))
            sources += map(iter, split(events, own))
        return map(next, map(sources.__getitem__, lanes))

    def _causes(self) -> list[int]:
        """Return the cause of each event in the tables."""
        causes = [0] * (len(self._content.lanes.planes) // self._content.lanes.width)
        places = unpack_integers(self._content.caused_places)
        for place, cause in zip(places, unpack_integers(self._content.causes), strict=True):
            causes[place] = self._first_seq + cause
        return causes

    def _seqs(self) -> Iterator[int]:
        """Return the seqs of the events in the tables."""
        seqs = accumulate(unpack_integers(self._content.counts), initial=self._first_seq)
        verbatim = {*unpack_integers(self._content.verbatim_places)}
        rows = (range(*row) for place, row in enumerate(pairwise(seqs)) if place not in verbatim)
        return chain.from_iterable(rows)

    def _refuse_unknown(self, lanes: Sequence[int], lengths: Sequence[Sequence[int]]) -> None:
        """Raise LogFromNewerVersion for the first event whose tag is unknown."""
        tags = [table.tag for table, own in zip(self._content.tables, lengths, strict=True) for _ in own]
        unknown = {number for number, tag in enumerate(tags) if tag not in self._codec.kinds}
        for seq, lane in zip(self._seqs(), lanes, strict=True) if unknown else ():
            if lane in unknown:
                raise LogFromNewerVersion(seq, f"this version does not know the event {tags[lane]}")


def _fields(kind: type[Event], columns: Sequence[Column], lengths: Sequence[int]) -> list[Iterator[Any]]:
    """Return an iterator over the values of each field of a table's events."""
    fields: list[Iterator[Any]] = []
    for column in columns:
        if isinstance(column, Decimals):
            stride = column.integers.stride
            values = iterate_decimals(column, [length * stride for length in lengths])
            fields.extend(repeat(values, stride))  # One iterator gives the values of all fields of a record in turn.
        elif isinstance(column, Integers):
            fields.append(iter(unpack_integers(column)))
        else:
            fields.append(unpack_choices(column, _decoders(kind)[len(fields)], sum(lengths)))
    return fields


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
