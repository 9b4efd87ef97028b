"""Read a log file in this process: its events, story, digest and trades; and damage it."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from papertape.engine.recovery import RecoveredState, recover
from papertape.engine.reducer.snapshot_codec import state_digest
from papertape.engine.startup import snapshot_store
from papertape.engine.strategy_registry import load_strategies
from papertape.events.facts import (
    ContractListed,
    DataRefused,
    EngineStarted,
    EngineStopped,
    Event,
    FeedConnected,
    FeedLost,
    GapFilled,
    RunnerConfigured,
)
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader
from papertape.projections.folds.trades import Trades, write_trades_csv
from papertape.projections.host import fold

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from papertape.engine.kernel.strategy import Strategy
    from papertape.events.log import Entry, Recorded

LIFE = (EngineStarted, EngineStopped, FeedConnected, FeedLost, GapFilled, DataRefused)
STRATEGIES: dict[str, Strategy] = load_strategies()


def recorded(db: Path) -> list[Recorded]:
    """Every event of the log, its chain checked."""
    with closing(SqliteLogReader(db)) as reader:
        reader.verify_tail()
        return [item for commit in reader.commits() for item in commit.recorded()]


def of_type(db: Path, *kinds: type[Event]) -> list[Event]:
    """The events of these types, in order."""
    return [item.event for item in recorded(db) if isinstance(item.event, kinds)]


def story(db: Path) -> list[tuple[int, Event]]:
    """Every event with its cause, numbered as if starts and connections had never been in the log."""
    place: dict[int, int] = {0: 0}
    found: list[tuple[int, Event]] = []
    for item in recorded(db):
        if not isinstance(item.event, (*LIFE, ContractListed, RunnerConfigured)):
            place[item.seq] = len(place)
            found.append((place[item.cause], item.event))
    return found


def recovered(db: Path, until_seq: int | None = None, *, snapshots: bool = True) -> RecoveredState:
    """The world of a log, the way an engine comes to it."""
    with closing(SqliteLogReader(db)) as reader:
        store = snapshot_store(db, lambda _: None) if snapshots else None
        return recover(reader, store, STRATEGIES, until_seq)


def digest(db: Path, *, snapshots: bool = True) -> str:
    """The digest of the state at the end of a log."""
    return state_digest(recovered(db, snapshots=snapshots).state)


def trades_csv(db: Path) -> str:
    """The closed trades as the file that `papertape trades --csv` writes."""
    trades, file = Trades(), io.StringIO()
    fold([trades], recorded(db))
    write_trades_csv(file, trades.closed())
    return file.getvalue()


async def write(db: Path, entries: Sequence[Entry], a_row: int = 500) -> None:
    """A log with exactly these entries, whatever they say."""
    log = await SqliteEventLog.open(db, clock_ms=lambda: 1)
    try:
        for first in range(0, len(entries), a_row):
            await log.append(log.head.seq, entries[first : first + a_row])
    finally:
        await log.close()


def damage(db: Path, statement: str, *values: object) -> None:
    """Change the file behind the back of papertape: its guards are away meanwhile."""
    with closing(sqlite3.connect(db, isolation_level=None)) as connection:
        guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(statement, values)
        for _, guard in guards:
            connection.execute(guard)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
