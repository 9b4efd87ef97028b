"""Write a log as an engine leaves it after months: `python -m benchmarks.aged_log FILE EVENTS`.

Fifty simulated symbols, the built-in strategies and everything they decide, with what happens to a home server beside
it: restarts, lost connections with late candles, commands of the owner, and changed parameters. Every decision is the
engine's own, so that the log can be verified. Copies are left at smaller lengths, to show what grows.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from benchmarks.market import drawn_symbols, listed, minutes, runners, strategies
from papertape.engine.feeds.sim.script import START_MS
from papertape.engine.reducer.reducer import decide, is_new
from papertape.engine.reducer.state import new_state
from papertape.engine.runner_settings import configuration, runner_configurations
from papertape.engine.strategy_registry import code_digest
from papertape.events.chain import next_row, row_head
from papertape.events.codec import CODEC
from papertape.events.facts import (
    CandleClosed,
    ConfigurationReloaded,
    EngineStarted,
    EngineStopped,
    Event,
    FeedConnected,
    FeedLost,
    KillSwitchReset,
    KillSwitchTripped,
    RunnerPaused,
    RunnerResumed,
    Timing,
)
from papertape.events.head_file import HeadFile
from papertape.events.log import Entry, Head
from papertape.events.sqlite_file import INSERT
from papertape.events.sqlite_log import SqliteEventLog
from papertape.events.units import DAY_MS, MINUTE_MS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from papertape.events.facts import MarketFact

SYMBOLS: Final = 50
SEED: Final = 11
ROWS_PER_MINUTE: Final = 5
"""Candles of one minute arrive within a second and are committed in a few rows, as many as an fsync lets through."""
TRANSACTION_EVENTS: Final = 100_000
DAY_MINUTES: Final = DAY_MS // MINUTE_MS
OUTAGE_MINUTES: Final = 7
"""A lost connection every second day, whose candles arrive late; a restart every week; a new parameter every month."""


class AgedLog:
    """A log that grows minute by minute; `head` is its end."""

    def __init__(self, db: Path, symbols: int = SYMBOLS) -> None:
        """Begin a new log at `db`."""
        asyncio.run(_create(db))
        self.db, self.head = db, Head()
        self._symbols = tuple(drawn_symbols(symbols))
        self._state = new_state(strategies())
        self._random = random.Random(SEED)
        self._code = code_digest(strategies().values())
        self._minutes = enumerate(minutes(self._symbols))
        self._late: list[MarketFact] = []
        self._names = tuple(strategies())
        self._last_ms = START_MS

    def grow(self, events: int) -> None:
        """Grow the log to at least this many events."""
        with closing(sqlite3.connect(self.db, isolation_level=None)) as connection:
            while self.head.seq < events:
                connection.execute("BEGIN")
                until_seq = min(events, self.head.seq + TRANSACTION_EVENTS)
                while self.head.seq < until_seq:
                    for batch in self._minute():
                        self._append(connection, batch)
                connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        HeadFile(self.db, self.head).close()

    def copy(self, target: Path) -> None:
        """Copy the log as it is now to a new file."""
        with closing(sqlite3.connect(self.db)) as source, closing(sqlite3.connect(target)) as copied:
            source.backup(copied)
        HeadFile(target, self.head).close()

    def _append(self, connection: sqlite3.Connection, batch: Sequence[Event]) -> None:
        entries: list[Entry] = []
        for event in batch:
            if is_new(self._state, event):
                entries += decide(self._state, event, self.head.seq + len(entries) + 1)
        if entries:
            recorded_at_ms = self._last_ms + self._random.randrange(200, 1_800)
            row = next_row(self.head, entries, recorded_at_ms, CODEC)
            connection.execute(INSERT, row)
            self.head = row_head(row)

    def _minute(self) -> Iterator[Sequence[Event]]:
        """Yield the commits of the next minute."""
        number, facts = next(self._minutes)
        self._last_ms = START_MS + (number + 1) * MINUTE_MS
        if number == 0:
            yield [self._started(), *configuration(strategies(), listed(self._symbols), runners()), self._connected()]
        yield from self._operation(number)
        if self._is_out(number):
            self._late += facts
            return
        if self._late:
            yield [self._connected()]
            yield [_late(fact) for fact in self._late]
            self._late = []
        size = max(1, len(facts) // ROWS_PER_MINUTE)
        for first in range(0, len(facts), size):
            yield facts[first : first + size]

    def _operation(self, number: int) -> Iterator[Sequence[Event]]:
        """Yield what happens to the engine in a minute, besides the market."""
        day, minute = divmod(number, DAY_MINUTES)
        at_ms = self._last_ms
        if self._is_out(number) and not self._is_out(number - 1):
            yield [FeedLost(at_ms, "sim", "the connection was lost")]
        if minute == 600 and day % 7 == 3:
            yield [EngineStopped(at_ms, "SIGTERM")]
            yield [self._started(), self._connected()]
        name = self._names[day % len(self._names)]
        if minute == 700 and day % 5 == 1:
            yield [RunnerPaused(at_ms, name, "owner", "a look at the news")]
        if minute == 900 and day % 5 == 1:
            yield [RunnerResumed(at_ms, name, "owner", "nothing happened")]
        if minute == 800 and day % 10 == 5:
            trip_seq = self.head.seq + 1
            yield [KillSwitchTripped(at_ms, name, "manual", 0.0, 0.0, 0.0, 0.0, "owner", "too many losses")]
            yield [KillSwitchReset(at_ms, name, trip_seq, "owner", "looked at them")]
        if minute == 1_000 and day % 30 == 29:
            yield self._reconfigured(at_ms, day)

    def _reconfigured(self, at_ms: int, day: int) -> list[Event]:
        """Return a changed leverage of one strategy, as a reload records it."""
        name, leverage = self._names[day // 30 % len(self._names)], 2.0 + day // 30 % 3
        settings = runners()
        settings[name] = replace(settings[name], risk=replace(settings[name].risk, leverage=leverage))
        reloaded = ConfigurationReloaded(at_ms, "owner", "another risk", "", (f"{name}: leverage is {leverage:g}",))
        return [reloaded, *runner_configurations(strategies(), self._symbols, at_ms, {name: settings[name]})]

    def _started(self) -> EngineStarted:
        return EngineStarted(self._last_ms, "0.0.0", self._code, "")

    def _connected(self) -> FeedConnected:
        return FeedConnected(self._last_ms, "sim", self._last_ms, 1.0)

    @staticmethod
    def _is_out(number: int) -> bool:
        day, minute = divmod(number, DAY_MINUTES)
        return day % 2 == 1 and 400 <= minute < 400 + OUTAGE_MINUTES


def _late(fact: MarketFact) -> MarketFact:
    return replace(fact, timing=Timing.LATE) if isinstance(fact, CandleClosed) else fact


async def _create(db: Path) -> None:
    await (await SqliteEventLog.open(db, clock_ms=lambda: 0)).close()


def main() -> None:
    """Write the log, and copies at the lengths asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.aged_log", description=__doc__)
    parser.add_argument("db", type=Path, metavar="FILE", help="the new log")
    parser.add_argument("events", type=int, nargs="+", help="its lengths, ascending: a copy FILE-N stays at each")
    options = parser.parse_args()
    log, started_s = AgedLog(options.db), time.process_time()
    for number, events in enumerate(options.events, start=1):
        log.grow(events)
        if number < len(options.events):
            log.copy(options.db.with_name(f"{options.db.stem}-{events}{options.db.suffix}"))
        sys.stdout.write(f"{log.head.seq:,} events in {time.process_time() - started_s:,.0f} s of processor time\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
