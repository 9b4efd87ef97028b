"""Logs to decide again on: two strategies of the owner's, a busy market, and everything that is an input."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

from msgspec.structs import replace

from papertape.engine.command_queue import command_events
from papertape.engine.reducer.reducer import groups, is_decision
from papertape.engine.reducer.state import new_state
from papertape.engine.runner_settings import configuration
from papertape.engine.strategy_registry import load_all_strategies
from papertape.events.commands import Kill, Pause, Reset, Resume
from papertape.events.facts import (
    ConfigurationReloaded,
    Event,
    GapFound,
    KillSwitchTripped,
    SignalReceived,
)
from papertape.events.log import Entry, Recorded
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader
from papertape.projections.folds.decisions import strip_readings
from tests.engine.parts import BUSY
from tests.reducer.random_market import market
from tests.reducer.runs import eager
from tests.support import SCRIPTED_FOLDER, feed, take

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from papertape.engine.reducer.state import EngineState
    from papertape.events.commands import StateCommand

CONFIG = '[strategies]\nfolders = ["own"]\nenabled = ["scripted", "second"]\n'
STOP = "answer.stop_fraction = params.stop_percent / 100.0"
WHO = ("anna", "a test")


def own_folder(folder: Path) -> Path:
    """Write the owner's configuration and two strategies that differ in their names only."""
    own = folder / "own"
    own.mkdir(exist_ok=True)
    text = (SCRIPTED_FOLDER / "scripted.py").read_text()
    for name in ("scripted", "second"):
        (own / f"{name}.py").write_text(text.replace('NAME = "scripted"', f'NAME = "{name}"'))
    (folder / "papertape.toml").write_text(CONFIG)
    return own


def edit(own: Path, name: str, before: str, after: str) -> None:
    """Change the file of a strategy."""
    path = own / f"{name}.py"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


class History:
    """A world and its log, which grows by facts, commands and configurations."""

    def __init__(self, own: Path, candles: int = 240) -> None:
        self.tape = market(replace(BUSY, candles=candles, late_share=0.03))
        self.events = self.tape.events()
        self.strategies = load_all_strategies([own])
        self.world: EngineState = new_state(self.strategies)
        self.log: list[Recorded] = []
        settings = eager(["scripted", "second"])
        for event in configuration(self.strategies, self.tape.contracts, settings):
            take(self.world, self.log, event)

    def feed(self, first: float, last: float) -> None:
        """Take a share of the market."""
        count = len(self.events)
        feed(self.world, self.log, self.events[int(first * count) : int(last * count)])

    def command(self, command: StateCommand) -> list[Event]:
        """Execute a human's command; return its events."""
        events = command_events(self.world, command)
        for event in events:
            take(self.world, self.log, event)
        return events

    def reload(self, **risk: float) -> None:
        """Take a changed configuration, as a reload does."""
        take(self.world, self.log, ConfigurationReloaded(self.now_ms, *WHO, "digest", ("risk",)))
        for runner in list(self.world.runners):
            changed = replace(runner.configured, at_ms=self.now_ms, risk={**runner.configured.risk, **risk})
            take(self.world, self.log, changed)

    def signal(self) -> None:
        """Take a signal."""
        take(
            self.world, self.log, SignalReceived(self.now_ms, next(iter(self.world.symbols)), "trend", 1.0, "api", "1")
        )

    @property
    def now_ms(self) -> int:
        return max(market.close_time_ms for market in self.world.markets)

    def write(self, db: Path, groups_a_row: int = 3) -> Path:
        """Write the log, whole groups a row, each row a second after the one before."""
        asyncio.run(_write(db, [list(group) for group in groups(self.log)], groups_a_row))
        return db


async def _write(db: Path, parts: Sequence[Sequence[Recorded]], a_row: int) -> None:
    now_ms = 0
    log = await SqliteEventLog.open(db, clock_ms=lambda: now_ms)
    for first in range(0, len(parts), a_row):
        now_ms += 1_000
        entries = [Entry(one.event, one.cause) for part in parts[first : first + a_row] for one in part]
        await log.append(log.head.seq, entries)
    await log.close()


def plain_history(own: Path, candles: int = 240) -> History:
    """Return a history of market facts alone."""
    history = History(own, candles)
    history.feed(0.0, 1.0)
    return history


def eventful_history(own: Path) -> History:
    """Return a history with commands, a trip and its reset, a signal and a reload between its facts."""
    history = History(own)
    history.feed(0.0, 0.2)
    history.command(Pause(*WHO, "second"))
    history.feed(0.2, 0.3)
    history.command(Resume(*WHO, "second"))
    history.signal()
    history.feed(0.3, 0.5)
    history.command(Kill(*WHO, "scripted"))
    history.feed(0.5, 0.6)
    trip = next(one for one in reversed(history.log) if isinstance(one.event, KillSwitchTripped))
    history.command(Reset(*WHO, "scripted", trip.seq))
    history.reload(leverage=2.0)
    history.feed(0.6, 1.0)
    return history


def rows(db: Path) -> list[tuple[int, int, int, bytes, bytes]]:
    """Return the rows of a log as they are stored."""
    with closing(SqliteLogReader(db)) as reader:
        return list(reader.rows_after(0))


def decisions(events: Sequence[Event]) -> list[Event]:
    """Return the decisions among events, without readings."""
    return [strip_readings(one) for one in events if is_decision(one) and not isinstance(one, GapFound)]


def inputs(events: Sequence[Event]) -> list[Event]:
    """Return the inputs among events."""
    return [one for one in events if not is_decision(one)]
