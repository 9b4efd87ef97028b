"""Logs that are sealed in part, for tests."""

from __future__ import annotations

import asyncio
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from papertape.events.segments import segment_file
from papertape.events.segments.sealing import write_next_segment
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader
from tests.build import candles
from tests.events.loop import clock_ms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from papertape.events.chain import Row
    from papertape.events.log import Head


async def seal_up_to(log: SqliteEventLog, last_seq: int, *, keep_rows: int = 0) -> None:
    """Seal what is not sealed yet, up to the row that ends at `last_seq`; leave `keep_rows` of its rows in SQLite."""
    info = await asyncio.to_thread(write_next_segment, log.path, last_seq, lambda _: None)
    await log.add_segment(info)
    await log.delete_sealed_rows(max(0, info.rows - keep_rows))


async def append_rows(log: SqliteEventLog, rows: int, events: int = 2) -> Head:
    """Append commits of a few candles."""
    for _ in range(rows):
        await log.append(log.head.seq, candles(events, log.head.seq))
    return log.head


async def write_sealed(path: Path, rows: int = 10, seals: tuple[int, ...] = (6, 12), keep_rows: int = 0) -> Head:
    """Write a log of commits of two events each, and seal it up to each of `seals`; return its head.

    `keep_rows` of the last segment's rows stay in SQLite, as if the seal had been interrupted.
    """
    log = await SqliteEventLog.open(path, clock_ms=clock_ms)
    try:
        await append_rows(log, rows)
        for last_seq in seals:
            await seal_up_to(log, last_seq, keep_rows=keep_rows if last_seq == seals[-1] else 0)
        return log.head
    finally:
        await log.close()


def all_rows(path: Path) -> list[Row]:
    """Return every row of a log, byte for byte, checked against the chain."""
    with closing(SqliteLogReader(path)) as reader:
        rows = list(reader.rows_after(0))
        assert [commit.seq for commit in reader.rehashed_commits()] == [row[0] for row in rows]
        return rows


def sealed_seq(path: Path) -> int:
    """Return the last event of a log that is in a segment."""
    with closing(SqliteLogReader(path)) as reader:
        return reader.sealed_end().seq


@contextmanager
def small_blocks(events: int = 4) -> Iterator[None]:
    """Write segments with blocks of a few events meanwhile."""
    names = vars(segment_file)
    usual = names["BLOCK_EVENTS"]
    names["BLOCK_EVENTS"] = events
    try:
        yield
    finally:
        names["BLOCK_EVENTS"] = usual
