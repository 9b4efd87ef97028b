"""A running engine seals old commits in the background, and says so when it cannot."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from papertape.engine.ports.clock import ManualClock
from papertape.engine.sealing import Sealing
from papertape.events.bus import Bus
from papertape.events.errors import LogDamaged
from papertape.events.segments.folder import sealed_folder
from papertape.events.sqlite_file import connect_to_read
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader
from papertape.events.units import DAY_MS
from tests.build import candles
from tests.events.loop import RECORDED_AT_MS, clock_ms
from tests.events.segments.logs import all_rows, append_rows
from tests.events.test_damage import tamper
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

SOON_S = 0.02


async def write(path: Path, rows: int = 60) -> None:
    log = await SqliteEventLog.open(path, clock_ms=clock_ms)
    await append_rows(log, rows)
    await log.close()


async def watched(path: Path, days: int, seal_until: int, said: list[str]) -> None:
    """Seal a log that was written so many days ago, and append to it, until it is sealed so far or says why not."""
    log = await SqliteEventLog.open(path, clock_ms=clock_ms)
    bus = Bus()
    clock = ManualClock(RECORDED_AT_MS + days * DAY_MS)
    sealing = asyncio.ensure_future(Sealing(log, bus, clock, said.append, events_min=10).watch(SOON_S, SOON_S))
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not (sealing.done() or said or is_sealed(path, seal_until)):
                await log.append(log.head.seq, candles(2, log.head.seq))
                await asyncio.sleep(SOON_S)
    finally:
        bus.close()
        await asyncio.wait({sealing}, timeout=PATIENCE_S)
        await log.close()
    sealing.result()


def is_sealed(path: Path, seq: int) -> bool:
    """Whether the events up to there are in segments, and no longer in SQLite."""
    with closing(SqliteLogReader(path)) as reader:
        return reader.sealed_end().seq >= seq and oldest_seq(path) > seq


def oldest_seq(path: Path) -> int:
    with closing(connect_to_read(path)) as connection:
        (seq,) = connection.execute("SELECT min(seq) FROM commits").fetchone()
        return int(seq)


def test_old_commits_are_sealed_while_others_are_appended(tmp_path: Path) -> None:
    asyncio.run(write(tmp_path / "log.db"))
    said: list[str] = []
    asyncio.run(watched(tmp_path / "log.db", 3, 120, said))
    rows = all_rows(tmp_path / "log.db")
    assert said == []
    assert oldest_seq(tmp_path / "log.db") > 120
    assert [row[0] for row in rows] == list(range(1, rows[-1][0] + 1, 2))


def test_what_is_not_a_day_old_stays(tmp_path: Path) -> None:
    asyncio.run(write(tmp_path / "log.db"))
    asyncio.run(watched(tmp_path / "log.db", 1, 0, []))
    assert not sealed_folder(tmp_path / "log.db").exists()
    with closing(connect_to_read(tmp_path / "log.db")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_folder_that_cannot_be_written_is_a_warning_and_the_engine_goes_on(tmp_path: Path) -> None:
    asyncio.run(write(tmp_path / "log.db"))
    sealed_folder(tmp_path / "log.db").write_text("in the way")
    said: list[str] = []
    asyncio.run(watched(tmp_path / "log.db", 3, 120, said))
    assert [text.partition(":")[0] for text in said] == ["old events could not be sealed"]


def test_damage_that_is_found_while_sealing_ends_the_engine(tmp_path: Path) -> None:
    asyncio.run(write(tmp_path / "log.db"))
    tamper(tmp_path / "log.db", "UPDATE commits SET recorded_at_ms = recorded_at_ms + 1 WHERE seq = 5")
    with pytest.raises(LogDamaged, match="seq 5"):
        asyncio.run(watched(tmp_path / "log.db", 3, 120, []))
