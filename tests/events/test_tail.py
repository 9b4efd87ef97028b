"""Followers of a log learn that it has grown: in the writing process from the bus, elsewhere from the tail."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from typing import TYPE_CHECKING

import pytest

from papertape.events.bus import Bus
from papertape.events.errors import LogBusy, LogError, LogForeign, LogReplaced, UsageError
from papertape.events.memory_log import MemoryEventLog
from papertape.events.sqlite_log import SqliteEventLog
from papertape.events.tail import FAILED_POLLS_MAX, WAITERS_MAX, FileEnd, Tail, make_tail
from tests.build import candles
from tests.events.loop import clock_ms, in_loop
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from papertape.events.log import EventLog

OFTEN_S = 0.002
A_WHILE_S = 0.05


class Announced:
    """A log and what announces it; subclasses say which."""

    def opened(self, folder: Path, /) -> AbstractAsyncContextManager[tuple[EventLog, Bus | Tail]]:
        raise NotImplementedError

    async def append(self, log: EventLog, said: Bus | Tail, count: int) -> None:
        head = await log.append(log.head.seq, candles(count, log.head.seq))
        if isinstance(said, Bus):
            said.publish(head.seq)

    @in_loop
    async def test_what_is_there_is_told_at_once(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as (log, said):
            await self.append(log, said, 3)
            assert await said.wait_beyond(0) == await said.wait_beyond(2) == said.head_seq == 3

    @in_loop
    async def test_everybody_who_waits_hears_of_what_comes(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as (log, said), asyncio.TaskGroup() as group:
            waiting = [group.create_task(said.wait_beyond(seq)) for seq in (0, 1, 4)]
            await self.append(log, said, 1)
            assert await waiting[0] == 1
            await self.append(log, said, 4)
            assert [await waiting[1], await waiting[2]] == [5, 5]

    @in_loop
    async def test_nobody_is_woken_by_what_he_has_seen(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as (log, said):
            await self.append(log, said, 2)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(said.wait_beyond(2), A_WHILE_S)

    @in_loop
    async def test_at_the_end_all_are_woken_and_told_where_it_stopped(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as (log, said), asyncio.TaskGroup() as group:
            await self.append(log, said, 2)
            waiting = [group.create_task(said.wait_beyond(seq)) for seq in (2, 99)]
            await asyncio.sleep(A_WHILE_S)
            said.close()
            said.close()
            assert [await one for one in waiting] == [2, 2]
            assert said.closed and await said.wait_beyond(1_000) == 2

    @in_loop
    async def test_more_than_there_are_seats_are_refused_and_leave_no_trace(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as (log, said):
            seats = WAITERS_MAX if isinstance(said, Tail) else 1_024
            waiting = [asyncio.ensure_future(said.wait_beyond(0)) for _ in range(seats)]
            await asyncio.sleep(0)
            with pytest.raises(UsageError):
                await said.wait_beyond(0)
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            await self.append(log, said, 1)
            assert await said.wait_beyond(0) == 1


class TestBus(Announced):
    @asynccontextmanager
    async def opened(self, _: Path, /) -> AsyncIterator[tuple[EventLog, Bus | Tail]]:
        yield MemoryEventLog(clock_ms=clock_ms), Bus()


class TestTailInMemory(Announced):
    @asynccontextmanager
    async def opened(self, _: Path, /) -> AsyncIterator[tuple[EventLog, Bus | Tail]]:
        log = MemoryEventLog(clock_ms=clock_ms)
        yield log, Tail(lambda: log.head.seq, every_s=OFTEN_S)


class TestTailOfFile(Announced):
    @asynccontextmanager
    async def opened(self, folder: Path, /) -> AsyncIterator[tuple[EventLog, Bus | Tail]]:
        log, tail = await written(folder / "log.db", 0), make_tail(folder / "log.db", OFTEN_S)
        try:
            yield log, tail
        finally:
            tail.close()
            await log.close()


async def written(path: Path, count: int) -> SqliteEventLog:
    log = await SqliteEventLog.open(path, clock_ms=clock_ms)
    if count:
        await log.append(0, candles(count))
    return log


# ---------------------------------------------------------------- what happens to files


@in_loop
async def test_a_log_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "later.db"
    tail = make_tail(path, OFTEN_S)
    waiting = asyncio.ensure_future(tail.wait_beyond(0))
    await asyncio.sleep(A_WHILE_S)
    assert not waiting.done() and tail.head_seq == 0
    log = await written(path, 3)
    assert await waiting == 3
    tail.close()
    await log.close()


@in_loop
async def test_a_writer_that_leaves_and_comes_again_is_followed_on(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await (await written(path, 3)).close()
    tail = make_tail(path, OFTEN_S)
    assert await tail.wait_beyond(0) == 3
    for seq in (3, 4, 5):
        log = await SqliteEventLog.open(path, clock_ms=clock_ms)
        await log.append(seq, candles(1, seq))
        await log.close()
        assert await tail.wait_beyond(seq) == seq + 1
    tail.close()


@in_loop
async def test_another_log_at_its_place_is_noticed_for_good(tmp_path: Path) -> None:
    path, other = tmp_path / "log.db", tmp_path / "other.db"
    await (await written(path, 3)).close()
    await (await written(other, 9)).close()
    tail = make_tail(path, OFTEN_S)
    assert await tail.wait_beyond(0) == 3
    waiting = asyncio.ensure_future(tail.wait_beyond(3))
    await asyncio.sleep(A_WHILE_S)
    other.replace(path)
    for _ in range(2):
        with pytest.raises(LogReplaced):
            await waiting
        waiting = asyncio.ensure_future(tail.wait_beyond(3))
    tail.close()
    await asyncio.gather(waiting, return_exceptions=True)


@in_loop
async def test_a_log_that_was_removed_stands_still_until_another_one_comes(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    path = tmp_path / "logs" / "log.db"
    await (await written(path, 3)).close()
    tail = make_tail(path, OFTEN_S)
    assert await tail.wait_beyond(0) == 3
    shutil.move(tmp_path / "logs", tmp_path / "gone")
    (tmp_path / "logs").mkdir()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(tail.wait_beyond(3), A_WHILE_S)
    await (await written(path, 5)).close()
    with pytest.raises(LogReplaced):
        await tail.wait_beyond(3)
    tail.close()


@in_loop
async def test_a_log_that_grew_shorter_is_another_one() -> None:
    heads = iter((7, 8, 5))
    tail = Tail(lambda: next(heads), every_s=OFTEN_S)
    assert (await tail.wait_beyond(0), await tail.wait_beyond(7)) == (7, 8)
    with pytest.raises(LogReplaced, match="8"):
        await tail.wait_beyond(8)


@in_loop
async def test_a_busy_log_is_polled_again(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = await written(path, 3)
    await log.close()
    tail = make_tail(path, OFTEN_S)
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("PRAGMA journal_mode = DELETE")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LogBusy):
            FileEnd(path).read_head_seq()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(tail.wait_beyond(0), A_WHILE_S)
        holder.execute("ROLLBACK")
    assert await tail.wait_beyond(0) == 3
    tail.close()


@in_loop
async def test_a_log_that_stays_busy_is_an_error_by_name() -> None:
    looks = 0

    def look() -> int:
        nonlocal looks
        looks += 1
        raise LogBusy("somebody has it for himself")

    with pytest.raises(LogBusy):
        await Tail(look, every_s=0.0).wait_beyond(0)
    assert looks == FAILED_POLLS_MAX + 1


@in_loop
async def test_a_foreign_file_is_a_named_error(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no log " * 1_000)
    tail = make_tail(path, OFTEN_S)
    for _ in range(2):
        with pytest.raises(LogForeign):
            await tail.wait_beyond(0)
    tail.close()


@in_loop
async def test_it_polls_at_a_bounded_rate_and_only_while_somebody_waits() -> None:
    looks = 0

    def look() -> int:
        nonlocal looks
        looks += 1
        return 0

    tail = Tail(look, every_s=0.02)
    await asyncio.sleep(0.1)
    assert looks == 0
    waiting = [asyncio.ensure_future(tail.wait_beyond(0)) for _ in range(20)]
    begun_s = asyncio.get_running_loop().time()
    async with asyncio.timeout(PATIENCE_S):
        while looks < 8:  # noqa: ASYNC110 - a look tells nobody.
            await asyncio.sleep(0.02)
    took_s = asyncio.get_running_loop().time() - begun_s
    assert looks <= took_s / (0.02 * 0.9) + 1
    tail.close()
    await asyncio.gather(*waiting)
    seen = looks
    await asyncio.sleep(0.05)
    assert looks == seen


@in_loop
async def test_looking_changes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await (await written(path, 3)).close()
    before = path.read_bytes()
    end = FileEnd(path)
    assert end.read_head_seq() == 3
    end.close()
    end.close()
    assert path.read_bytes() == before


def test_every_error_of_the_driver_has_one_of_our_names(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    asyncio.run(_written_and_closed(path))
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xff" * 8_192)
    with pytest.raises(LogError):
        FileEnd(path).read_head_seq()


async def _written_and_closed(path: Path) -> None:
    await (await written(path, 3)).close()
