"""The contract of an event log, verified for every implementation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from papertape.events.chain import row_hash
from papertape.events.codec import CODEC
from papertape.events.errors import LogWriteFailed, SequenceConflict, UsageError
from papertape.events.log import COMMIT_EVENTS_MAX, READ_EVENTS_MAX, Entry, EventLog, Head
from papertape.events.memory_log import MemoryEventLog
from papertape.events.sqlite_log import PAGE_ROWS_MAX, SqliteEventLog
from tests.build import candle, candles, ordered, settled
from tests.events.loop import RECORDED_AT_MS, clock_ms, in_loop
from tests.events.segments.logs import seal_up_to


class Contract:
    """Subclasses say how to open a log, and one with room for a few events only."""

    async def open(self, folder: Path, /) -> EventLog:
        raise NotImplementedError

    async def open_small(self, folder: Path, /) -> EventLog:
        raise NotImplementedError

    @asynccontextmanager
    async def opened(self, folder: Path, *, small: bool = False) -> AsyncIterator[EventLog]:
        log = await (self.open_small(folder) if small else self.open(folder))
        try:
            yield log
        finally:
            await log.close()

    @in_loop
    async def test_a_new_log_is_empty(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as log:
            reader = log.reader()
            assert log.head == reader.head() == Head()
            assert (list(reader.commits()), reader.read(0)) == ([], [])
            reader.close()

    @in_loop
    async def test_a_commit_is_one_row_with_its_causes(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as log:
            await log.append(0, candles(2))
            head = await log.append(2, [Entry(candle(2, 100.0)), Entry(ordered(), 3), Entry(settled(0, 0.0001), 1)])
            reader = log.reader()
            first, second = reader.commits()
            assert (first.seq, first.last_seq, second.seq, second.last_seq) == (1, 2, 3, 5)
            assert (second.events, second.causes) == ([candle(2, 100.0), ordered(), settled(0, 0.0001)], [0, 3, 1])
            assert second.recorded_at_ms == RECORDED_AT_MS
            assert head == log.head == reader.head()
            assert reader.hash_at(5) == head.hash
            reader.close()

    @in_loop
    async def test_each_hash_covers_the_row_before(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as log:
            previous = log.head.hash
            for number in range(3):
                head = await log.append(number, candles(1, number))
                blob = CODEC.encode_commit(candles(1, number))
                assert head.hash == row_hash(previous, number + 1, 1, RECORDED_AT_MS, blob)
                previous = head.hash

    @in_loop
    async def test_another_expected_seq_is_a_conflict_and_writes_nothing(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as log:
            await log.append(0, candles(2))
            for expected in (0, 1, 3):
                with pytest.raises(SequenceConflict) as refused:
                    await log.append(expected, candles(1))
                assert (refused.value.expected_seq, refused.value.head_seq) == (expected, 2)
            assert (await log.append(2, candles(1))).seq == 3

    @in_loop
    async def test_of_two_appends_at_once_one_is_a_conflict(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as log:
            outcomes = await asyncio.gather(
                log.append(0, candles(1)), log.append(0, candles(2)), return_exceptions=True
            )
            assert [type(outcome) for outcome in outcomes] == [Head, SequenceConflict]
            assert log.head.seq == 1

    @in_loop
    async def test_what_cannot_be_a_commit_is_refused_and_harmless(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as log:
            for entries in (
                [],
                candles(1) * (COMMIT_EVENTS_MAX + 1),
                [Entry(candle(0, 100.0), 1)],
                [Entry(candle(0, 100.0), -1)],
            ):
                with pytest.raises(UsageError):
                    await log.append(0, entries)
            assert (await log.append(0, candles(COMMIT_EVENTS_MAX))).seq == COMMIT_EVENTS_MAX

    @in_loop
    async def test_a_read_begins_and_ends_inside_rows(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as log:
            for first in (0, 3, 6):
                await log.append(first, [Entry(candle(first + place, 100.0), first) for place in range(3)])
            reader = log.reader()
            for after in range(10):
                for limit in range(1, 11):
                    found = [(recorded.seq, recorded.event, recorded.cause) for recorded in reader.read(after, limit)]
                    seqs = range(after + 1, min(after + limit, 9) + 1)
                    assert found == [(seq, candle(seq - 1, 100.0), (seq - 1) // 3 * 3) for seq in seqs]
                    stretches = list(reader.stretches(after, limit))
                    assert [one for part in stretches for one in part.recorded()] == reader.read(after)
                    assert all(part.hash == reader.hash_at(part.last_seq) for part in stretches)
            reader.close()

    @in_loop
    async def test_commits_begin_with_the_row_that_holds_the_next_event(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as log:
            for first in (0, 3, 6):
                await log.append(first, candles(3, first))
            reader = log.reader()
            begins = [[commit.seq for commit in reader.commits(after)] for after in (0, 1, 2, 3, 5, 8, 9, 50)]
            assert begins == [[1, 4, 7], [1, 4, 7], [1, 4, 7], [4, 7], [4, 7], [7], [], []]
            reader.close()

    @in_loop
    async def test_more_rows_than_a_page_come_without_a_seam(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as log:
            rows = 2 * PAGE_ROWS_MAX + 1
            for seq in range(rows):
                await log.append(seq, candles(1, seq))
            reader = log.reader()
            assert [commit.seq for commit in reader.commits()] == list(range(1, rows + 1))
            assert len(reader.read(5)) == rows - 5
            reader.close()

    @in_loop
    async def test_rows_appended_while_reading_are_read_too(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as log:
            await log.append(0, candles(1))
            reader = log.reader()
            commits = reader.commits()
            assert next(commits).seq == 1
            await log.append(1, candles(2, 1))
            assert [commit.seq for commit in commits] == [2]
            assert [commit.seq for commit in reader.commits(1)] == [2]
            reader.close()

    @in_loop
    async def test_a_reader_that_begins_beyond_the_end_waits_for_what_is_beyond(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as log:
            await log.append(0, candles(1))
            reader = log.reader()
            commits = reader.commits(3)
            for seq in range(1, 5):
                await log.append(seq, candles(1, seq))
            assert [commit.seq for commit in commits] == [4, 5]
            reader.close()

    @in_loop
    async def test_a_limit_outside_its_range_is_refused(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as log:
            reader = log.reader()
            for limit in (0, -1, READ_EVENTS_MAX + 1):
                with pytest.raises(UsageError):
                    reader.read(0, limit)
            reader.close()

    @in_loop
    async def test_a_hash_is_found_by_the_seq_its_row_ends_with(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as log:
            first = await log.append(0, candles(2))
            second = await log.append(2, candles(3, 2))
            reader = log.reader()
            ends = [None, first.hash, None, None, second.hash, None]
            assert [reader.hash_at(seq) for seq in range(1, 7)] == ends
            reader.close()

    @in_loop
    async def test_a_full_disk_is_named_and_ends_all_writing(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path, small=True) as log:
            with pytest.raises(LogWriteFailed, match=r"^the disk is full"):
                await fill(log)
            head = log.head
            with pytest.raises(LogWriteFailed, match="refuses"):
                await log.append(head.seq, candles(1))
            reader = log.reader()
            assert reader.head() == head != Head()
            reader.close()

    @in_loop
    async def test_a_closed_log_refuses_and_closes_twice(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as log:
            await log.close()
            with pytest.raises(UsageError, match="closed"):
                await log.append(0, candles(1))


async def fill(log: EventLog) -> None:
    while True:
        await log.append(log.head.seq, candles(200))


class TestMemoryLog(Contract):
    async def open(self, _folder: Path, /) -> EventLog:
        return MemoryEventLog(clock_ms=clock_ms)

    async def open_small(self, _folder: Path, /) -> EventLog:
        return MemoryEventLog(clock_ms=clock_ms, blob_bytes_max=100_000)


class TestSqliteLog(Contract):
    async def open(self, folder: Path, /) -> EventLog:
        return await SqliteEventLog.open(folder / "tape.db", clock_ms=clock_ms)

    async def open_small(self, folder: Path, /) -> EventLog:
        return await SqliteEventLog.open(folder / "tape.db", clock_ms=clock_ms, pages_max=40)


class SealedBehind(SqliteEventLog):
    """A log that is sealed while it is written: every third append moves rows into a segment, but deletes one fewer."""

    async def append(self, expected_seq: int, entries: Sequence[Entry]) -> Head:
        before = self.head.seq
        head = await super().append(expected_seq, entries)
        if before and head.seq % 3 == 0:
            await seal_up_to(self, before, keep_rows=1)
        return head


class TestPartlySealedLog(Contract):
    async def open(self, folder: Path, /) -> EventLog:
        return await SealedBehind.open(folder / "tape.db", clock_ms=clock_ms)

    async def open_small(self, folder: Path, /) -> EventLog:
        log = await SealedBehind.open(folder / "tape.db", clock_ms=clock_ms, pages_max=40)
        for _ in range(3):
            await log.append(log.head.seq, candles(3, log.head.seq))
        return log
