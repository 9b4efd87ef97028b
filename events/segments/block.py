"""A block: a run of commits in one compressed piece of a segment, which is read without any other.

The events of a block are grouped in lanes: one for each type, or for each type and symbol of market facts. The lanes of
a type form a table of columns. The types of which a block has few events share the last lane, in which each event is
encoded as in a row: it is as short, and columns of few values take longer to decode. The number of each event's lane
gives their order. A row that would not be encoded to the same bytes again is kept verbatim.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from itertools import accumulate, chain, compress, islice, repeat
from itertools import count as numbers
from operator import attrgetter
from typing import Final

import msgspec
from msgspec import Struct

from papertape.events.chain import Row, row_hash
from papertape.events.codec import Codec, raw_tags
from papertape.events.errors import LogDamaged, LogFromNewerVersion
from papertape.events.facts import CandleClosed, Event, FundingRateSettled, OpenInterestObserved
from papertape.events.log import Commit, EventStretch, Recorded, stretch_of
from papertape.events.segments.columns import Integers, pack_integers, split, unpack_integers, unpack_places
from papertape.events.segments.compression import zstd
from papertape.events.segments.order import log_order, merged, pick
from papertape.events.segments.table import EventColumns, Ordering, Table, pack_table, unpack_table

LEVEL: Final = 15
CONTENT_BYTES_MAX: Final = 1 << 28
"""The longest content of a block; an ordinary one has about 200 KB."""
TABLE_EVENTS_MIN: Final = 64
"""With fewer events in a block, a type other than market data has no table."""
_MARKET: Final = (CandleClosed, FundingRateSettled, OpenInterestObserved)


class Content(Struct, frozen=True, array_like=True):
    """What a block holds. Rows kept verbatim count as rows, but their events are in no lane.

    `caused_places` are the places, among the events in lanes, of those with a cause; `causes` are relative to the seq
    with which the block begins. `mixed` are the events of the last lane, like a row without causes; the first format of
    the file has no such lane.
    """

    counts: Integers
    recorded_at_ms: Integers
    lanes: Integers
    tables: list[Table]
    caused_places: Integers
    causes: Integers
    verbatim_places: Integers
    verbatim: list[bytes]
    mixed: bytes = b""


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
    lanes, tables, mixed = _pack_lanes(events)
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
            mixed=codec.encode_as_written(mixed, []) if mixed else b"",
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


def _pack_lanes(events: Sequence[Event]) -> tuple[list[int], list[Table], list[Event]]:
    """Return the lane of each event, the tables, and the events of the last lane."""
    kinds: dict[type[Event], dict[str, list[Event]]] = {}
    keys = [(type(event), event.symbol if isinstance(event, _MARKET) else "") for event in events]
    for event, (kind, symbol) in zip(events, keys, strict=True):
        kinds.setdefault(kind, {}).setdefault(symbol, []).append(event)
    rare = {kind for kind, lanes in kinds.items() if kind not in _MARKET and len(lanes[""]) < TABLE_EVENTS_MIN}
    in_tables = {kind: lanes for kind, lanes in kinds.items() if kind not in rare}
    names = [(kind, symbol) for kind, lanes in in_tables.items() for symbol in lanes]
    numbers = {name: number for number, name in enumerate(names)}
    tables = [pack_table(kind, [*lanes.values()]) for kind, lanes in in_tables.items()]
    mixed = [event for event in events if type(event) in rare]
    return [numbers.get(key, len(names)) for key in keys], tables, mixed


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
        """Return the rows with their events in their newest shapes. Raise LogDamaged or LogFromNewerVersion at once.

        Where numpy is loaded, the events of a row are built when it is asked for, so that they are still in the
        processor's cache when they are used.
        """
        events = self._events(newest=True)
        with naming_damage(self._first_seq):
            causes = self._causes()
        if self._content.verbatim:
            return self._commits_among_verbatim(events, iter(causes))
        counts, times = self._rows
        seqs = accumulate(counts, initial=self._first_seq)
        places = map(slice, accumulate(counts, initial=0), accumulate(counts))
        rows = map(list, map(islice, repeat(events), counts))
        return map(Commit, seqs, times, rows, map(causes.__getitem__, places))

    def _commits_among_verbatim(self, events: Iterator[Event], causes: Iterator[int]) -> Iterator[Commit]:
        for seq, count, recorded_at_ms, blob in self._heads():
            if blob is None:
                yield Commit(seq, recorded_at_ms, list(islice(events, count)), list(islice(causes, count)))
            else:
                yield Commit(seq, recorded_at_ms, *self._decode_verbatim(seq, count, blob))

    def stretch(self, row_hash: bytes) -> EventStretch:
        """Return all events in their newest shapes; `row_hash` is that of the last row. Raise like `commits`."""
        if self._content.verbatim:
            return stretch_of(list(self.commits()), row_hash)
        return EventStretch(self._first_seq, *self._ordered(newest=True), self._places()[1], row_hash)

    def recorded_at(self, seq: int) -> Recorded | None:
        """Return one event without decoding those of other types; None if rows were kept verbatim. Raise LogDamaged."""
        if self._content.verbatim:
            return None
        with naming_damage(seq):
            place, lanes, first_lane = seq - self._first_seq, unpack_places(self._content.lanes), 0
            lane, (_, times), causes = lanes[place], self._places(), self._causes()
            for table in self._content.tables:
                lengths, own_lane = unpack_integers(table.lane_lengths), lane - first_lane
                if own_lane < len(lengths) and table.tag in self._codec.kinds:
                    events = list(unpack_table(self._codec.kinds[table.tag], table, lengths))
                    event = events[sum(lengths[:own_lane]) + lanes[:place].count(lane)]
                    return Recorded(seq, times[place], causes[place], self._codec.newest(event))
                if own_lane < len(lengths):
                    return None
                first_lane += len(lengths)
            with suppress(LogFromNewerVersion):  # Reading the whole block finds the seq of an unknown event.
                events, _ = self._codec.decode(self._first_seq, self._content.mixed)
                return Recorded(seq, times[place], causes[place], events[lanes[:place].count(lane)])
        return None

    def rows(self, hash_before: bytes) -> Iterator[Row]:
        """Yield the rows as they were written, with the hashes of the chain that begins with `hash_before`."""
        events, causes = self._ordered(newest=False)
        at = 0
        for seq, count, recorded_at_ms, verbatim in self._heads():
            blob = verbatim
            if blob is None:
                blob = self._codec.encode_as_written(events[at : at + count], causes[at : at + count])
                at += count
            hash_before = row_hash(hash_before, seq, count, recorded_at_ms, blob)
            yield seq, count, recorded_at_ms, blob, hash_before

    def columns(self, kind: type[Event]) -> EventColumns | None:
        """Return the events of one type; None if the block has no table of them. Raise LogDamaged."""
        number = 0
        with naming_damage(self._first_seq):
            for table in self._content.tables:
                lengths = unpack_integers(table.lane_lengths)
                if table.tag == kind.__struct_config__.tag:
                    lanes = unpack_places(self._content.lanes)
                    seqs = partial(self._seqs_of, range(number, number + len(lengths)))
                    return EventColumns(kind, table, lengths, Ordering(lanes, number, seqs))
                number += len(lengths)
        return None

    def others(self, *kinds: type[Event]) -> list[Recorded]:
        """Return the events that are not in the columns of some types, in the order of the log and their newest shapes.

        Those of the last lane and of rows kept verbatim are among them, whatever their types. Raise LogDamaged or
        LogFromNewerVersion.
        """
        with naming_damage(self._first_seq):
            lanes, sources = self._sources(newest=True, without=kinds)
            seqs, times = self._places()
            chosen = bytes(map(sources.__contains__, lanes))
            fields = (compress(values, chosen) for values in (seqs, times, self._causes()))
            events = map(next, pick(sources, list(compress(lanes, chosen))))
            found = list(map(Recorded, *fields, events))
        if not self._content.verbatim:
            return found
        for seq, count, at_ms, blob in self._heads():
            if blob is not None:
                found += Commit(seq, at_ms, *self._decode_verbatim(seq, count, blob)).recorded()
        return sorted(found, key=attrgetter("seq"))

    def _decode_verbatim(self, seq: int, count: int, blob: bytes) -> tuple[list[Event], list[int]]:
        events, causes = self._codec.decode(seq, blob)
        if not count == len(events) == len(causes):
            raise LogDamaged(seq, f"the row declares {count} events, but holds {len(events)}, {len(causes)} causes")
        return events, causes

    @cached_property
    def _rows(self) -> tuple[list[int], list[int]]:
        """The number of events of each row, and when it was recorded."""
        with naming_damage(self._first_seq):
            counts = list(unpack_integers(self._content.counts))
            times = list(unpack_integers(self._content.recorded_at_ms))
            if len(counts) != len(times):
                raise ValueError("the rows do not fit their times")
        return counts, times

    def _heads(self) -> Iterable[tuple[int, int, int, bytes | None]]:
        """Return seq, count and recorded_at_ms of each row, and the blob of one kept verbatim."""
        counts, times = self._rows
        seqs = accumulate(counts, initial=self._first_seq)
        with naming_damage(self._first_seq):
            places = unpack_integers(self._content.verbatim_places)
            verbatim = dict(zip(places, self._content.verbatim, strict=True))
        return zip(seqs, counts, times, map(verbatim.get, numbers()), strict=False)

    def _places(self) -> tuple[Sequence[int], list[int]]:
        """Return seq and recorded_at_ms of the events in lanes."""
        if not self._content.verbatim:
            counts, row_times = self._rows
            times = list(chain.from_iterable(map(repeat, row_times, counts)))
            return range(self._first_seq, self._first_seq + len(times)), times
        heads = [(seq, count, at_ms) for seq, count, at_ms, blob in self._heads() if blob is None]
        times = list(chain.from_iterable(repeat(at_ms, count) for _, count, at_ms in heads))
        return list(chain.from_iterable(range(seq, seq + count) for seq, count, _ in heads)), times

    def _seqs_of(self, lanes: range) -> Iterator[int]:
        """Return the seqs of the events in some lanes, in the order of the log."""
        return compress(self._places()[0], map(lanes.__contains__, unpack_places(self._content.lanes)))

    def _ordered(self, *, newest: bool) -> tuple[list[Event], list[int]]:
        """Return the events of all lanes in the order of the log, and their causes."""
        with naming_damage(self._first_seq):
            return list(self._events(newest=newest)), self._causes()

    def _events(self, *, newest: bool) -> Iterator[Event]:
        """Return the events of all lanes in the order of the log."""
        with naming_damage(self._first_seq):
            lanes, sources = self._sources(newest=newest)
            if len(lanes) != self._count():
                raise ValueError("the rows do not fit their events")
            return merged(sources, lanes)

    def _count(self) -> int:
        """Return the number of events in lanes."""
        if not self._content.verbatim:
            return sum(self._rows[0])
        return sum(count for _, count, _, blob in self._heads() if blob is None)

    def _sources(
        self, *, newest: bool, without: Collection[type[Event]] = ()
    ) -> tuple[Sequence[int], dict[int, Iterator[Event]]]:
        """Return the lane of each event, and the events of each lane, except those in tables of some types."""
        lanes = unpack_places(self._content.lanes)
        lengths = [unpack_integers(table.lane_lengths) for table in self._content.tables]
        mixed = self._mixed(lanes, lengths, newest=newest)
        if sum(map(sum, lengths)) + len(mixed) != len(lanes):
            raise ValueError("the lanes do not fit their events")
        sources: dict[int, Iterator[Event]] = {}
        number = 0
        for table, own in zip(self._content.tables, lengths, strict=True):
            kind = self._codec.kinds[table.tag]
            if kind not in without:
                order = log_order(lanes, number, own)
                events = unpack_table(kind, table, own, order)
                if newest and self._codec.is_old(kind):
                    events = map(self._codec.newest, events)
                by_lane = map(iter, split(list(events), own)) if order is None else repeat(events, len(own))
                sources.update(enumerate(by_lane, start=number))
            number += len(own)
        sources[number] = iter(mixed)
        return lanes, sources

    def _mixed(self, lanes: Sequence[int], lengths: Sequence[Sequence[int]], *, newest: bool) -> list[Event]:
        """Return the events of the last lane, once all types in the block are known to the codec.

        Raise LogFromNewerVersion for the first event whose type is not.
        """
        blob, kinds = self._content.mixed, self._codec.kinds
        unknown = [table.tag for table in self._content.tables if table.tag not in kinds]
        with suppress(LogFromNewerVersion):
            decode = self._codec.decode if newest else self._codec.decode_as_written
            mixed = decode(self._first_seq, blob)[0] if blob else []
            if not unknown:
                return mixed
        tags = [repeat(table.tag) for table, own in zip(self._content.tables, lengths, strict=True) for _ in own]
        tags_by_lane: list[Iterator[str | None]] = [*tags, iter(raw_tags(blob))]
        for seq, lane in zip(self._places()[0], lanes, strict=True):
            tag = next(tags_by_lane[lane], None)
            if tag is not None and tag not in kinds:
                raise LogFromNewerVersion(seq, f"this version does not know the event {tag}")
        raise ValueError("the lanes do not fit their events")

    def _causes(self) -> list[int]:
        """Return the cause of each event in lanes."""
        causes = [0] * (len(self._content.lanes.planes) // self._content.lanes.width)
        places = unpack_integers(self._content.caused_places)
        for place, cause in zip(places, unpack_integers(self._content.causes), strict=True):
            causes[place] = self._first_seq + cause
        return causes


def _decompress(packed: bytes, size: int) -> bytes:
    """Return exactly `size` bytes. Raise ValueError or ZstdError if there are others."""
    if not 0 <= size <= CONTENT_BYTES_MAX:
        raise ValueError(f"a content cannot have {size} bytes")
    decompressor = zstd.ZstdDecompressor()
    content = decompressor.decompress(packed, size + 1)
    if len(content) != size or not decompressor.eof or decompressor.unused_data:
        raise ValueError(f"the content is not {size} bytes")
    return content
