"""Reads run in a thread, in order, one at a time."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from papertape.events.errors import LogBusy, LogMissing
from papertape.events.log_thread import WAITING_MAX, LogThread
from papertape.events.memory_log import MemoryEventLog, MemoryLogReader
from papertape.events.sqlite_log import SqliteLogReader
from tests.build import candles
from tests.events.loop import clock_ms, in_loop
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.events.log import Recorded


class SlowReader(MemoryLogReader):
    """Waits for leave before each page, and notices two callers at once."""

    def __init__(self, log: MemoryEventLog) -> None:
        super().__init__(log.rows)
        self.begun, self.leave = threading.Event(), threading.Event()
        self.closed = False
        self._alone = threading.Lock()

    def read(self, after_seq: int, limit: int = 10_000) -> list[Recorded]:
        assert self._alone.acquire(blocking=False), "two callers at once"
        try:
            self.begun.set()
            assert self.leave.wait(PATIENCE_S)
            assert not self.closed
            return super().read(after_seq, limit)
        finally:
            self._alone.release()

    def close(self) -> None:
        self.closed = True


async def slow(events: int = 4) -> tuple[SlowReader, LogThread]:
    log = MemoryEventLog(clock_ms=clock_ms)
    await log.append(0, candles(events))
    reader = SlowReader(log)
    return reader, LogThread(lambda: reader)


@in_loop
async def test_a_page_is_what_the_reader_reads_and_the_loop_runs_on_meanwhile() -> None:
    reader, pages = await slow()
    reading = asyncio.ensure_future(pages.read(1, 2))
    await asyncio.sleep(0.02)
    assert not reading.done()
    reader.leave.set()
    assert [recorded.seq for recorded in await reading] == [2, 3]
    pages.close()
    assert reader.closed


@in_loop
async def test_reads_stay_serial_after_a_caller_was_cancelled() -> None:
    reader, pages = await slow()
    first, second = asyncio.ensure_future(pages.read(0, 1)), asyncio.ensure_future(pages.read(1, 1))
    await asyncio.to_thread(reader.begun.wait)
    first.cancel()
    third = asyncio.ensure_future(pages.read(2, 1))
    await asyncio.sleep(0.02)
    reader.leave.set()
    assert [(await one)[0].seq for one in (second, third)] == [2, 3]
    pages.close()


@in_loop
async def test_closing_refuses_those_that_wait() -> None:
    reader, pages = await slow()
    reading = [asyncio.ensure_future(pages.read(0, 1)) for _ in range(3)]
    await asyncio.to_thread(reader.begun.wait)
    threading.Timer(0.05, reader.leave.set).start()
    pages.close()
    pages.close()
    found = await asyncio.gather(*reading, return_exceptions=True)
    assert isinstance(found[0], list)
    assert [type(one) for one in found[1:]] == [LogBusy, LogBusy]
    with pytest.raises(LogBusy):
        await pages.read(0, 1)


@in_loop
async def test_more_than_may_wait_are_refused() -> None:
    reader, pages = await slow()
    reading = [asyncio.ensure_future(pages.read(0, 1)) for _ in range(WAITING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(LogBusy):
        await pages.read(0, 1)
    reader.leave.set()
    await asyncio.gather(*reading)
    assert len(await pages.read(0, 4)) == 4
    pages.close()


@in_loop
async def test_a_log_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    pages = LogThread(lambda: SqliteLogReader(tmp_path / "none.db"))
    for _ in range(2):
        with pytest.raises(LogMissing):
            await pages.read(0, 1)
    pages.close()
