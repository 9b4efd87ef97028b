"""Open a log and start an engine where the last one stopped; stop it and close the log.

The configuration is compared with the log: only differences become events.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from papertape.engine.command_queue import CommandQueue, command_events
from papertape.engine.integrity import Integrity
from papertape.engine.loop import SNAPSHOT_EVERY_EVENTS, Loop
from papertape.engine.recovery import RecoveredState, recover
from papertape.engine.redecision import BRANCH_FEED
from papertape.engine.reducer.parking import PAUSED_BY_CONFIGURATION, PAUSED_TO_WARM_UP
from papertape.engine.reducer.reducer import is_new
from papertape.engine.reducer.snapshot_codec import state_digest
from papertape.engine.runner_settings import RunnerSettings, late_reference_warnings, runner_configurations
from papertape.engine.startup_failures import refuse_unusable, strategy_failures
from papertape.engine.startup_progress import clear_progress, write_progress
from papertape.engine.strategy_registry import code_digest
from papertape.events import durable
from papertape.events.beside import sibling_path
from papertape.events.bus import Bus
from papertape.events.errors import CommandRefused, ConfigError, LogDamaged, LogError
from papertape.events.facts import (
    CONFIGURATION,
    ContractListed,
    EngineStarted,
    EngineStopped,
    Event,
    RunnerConfigured,
    RunnerPaused,
    RunnerResumed,
    StudyPromoted,
)
from papertape.events.proof import record_damage
from papertape.events.snapshots import SnapshotStore
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.ports.clock import Clock
    from papertape.engine.reducer.state import EngineState
    from papertape.events.commands import Accepted, StateCommand

NOT_ENABLED = "the configuration does not name this strategy"


class EngineSettings(Struct, frozen=True):
    """The settings of an engine, apart from its feed."""

    db: Path
    version: str
    strategies: Mapping[str, Strategy]
    runners: Mapping[str, RunnerSettings]
    config_digest: str = ""
    snapshot_every_events: int = SNAPSHOT_EVERY_EVENTS
    unusable: Mapping[str, str] = {}
    """Configured strategies that cannot run, each with the reason: they are parked if the log knows them."""
    load: Callable[[str], Strategy | None] | None = None
    """Loads a strategy again from its file, and returns None if there is no such file; without it nothing is loaded."""


class Engine(Struct):
    """A running engine: its log, its loop, and how its state was recovered.

    `digest_at_start` is the digest of the recovered state, before the first new event at `started_at_ms`.
    """

    log: SqliteEventLog
    loop: Loop
    bus: Bus
    recovered: RecoveredState
    clock: Clock
    commands: CommandQueue
    integrity: Integrity
    ending: bool = False
    market_ended: bool = False
    """Whether a recorded or limited market was played to its end."""
    started_at_ms: int = 0
    digest_at_start: str = ""

    async def finish(self, why: str = "asked to stop") -> None:
        """Record the stop, save a snapshot, and close the bus. Finishing twice is harmless."""
        if self.bus.closed:
            return
        self.ending = True
        self.commands.close()
        await self.loop.take([EngineStopped(self.clock.now_ms(), why)])
        await self.loop.snapshot()
        self.log.sync_head()
        self.bus.close()


def snapshot_store(db: Path, warn: Callable[[str], None]) -> SnapshotStore:
    """Return the snapshots of the log at `db`: a folder beside it."""
    return SnapshotStore(sibling_path(db, ".snapshots"), warn)


def make_folder(db: Path) -> None:
    """Create the folder of a log. Raise LogError if that fails."""
    try:
        durable.make_folder(db.parent)
    except OSError as error:
        raise LogError(f"no log can be created at {db}: {error.strerror}") from error


@asynccontextmanager
async def open_engine(
    settings: EngineSettings,
    contracts: Sequence[ContractListed],
    clock: Clock,
    warn: Callable[[str], None],
    symbols: Sequence[str] = (),
    refuse: Callable[[EngineState], None] = lambda _: None,
) -> AsyncIterator[Engine]:
    """Open the log, recover and configure the engine; at the end record the stop, save a snapshot and close the log.

    `symbols` are those whose contracts the feed lists later, with its facts; by default they are those of `contracts`.
    `refuse` raises for a recovered state with which this engine must not continue, before anything is written.
    Raise LogHeld, LogDamaged or ConfigError. If the block ends with an error, nothing more is written: the log is the
    truth, and the next start continues from there.
    """
    make_folder(settings.db)
    log = await SqliteEventLog.open(settings.db, clock_ms=clock.now_ms)
    try:
        for warning in log.warnings:
            warn(warning)
        engine = _recover_engine(settings, log, clock, warn)
        state = engine.loop.state
        refuse(state)
        refuse_unusable(state, settings.unusable, warn)
        engine.started_at_ms, engine.digest_at_start = clock.now_ms(), state_digest(state)
        started = EngineStarted(
            engine.started_at_ms, settings.version, code_digest(settings.strategies.values()), settings.config_digest
        )
        watched = tuple(symbols) or tuple(contract.symbol for contract in contracts)
        for symbol, names in unconfigured_positions(state, watched).items():
            warn(_unconfigured_text(symbol, names, live=bool(symbols)))
        for line in late_reference_warnings(settings.strategies, settings.runners, watched):
            warn(line)
        at_ms = min((contract.at_ms for contract in contracts), default=started.at_ms)
        await engine.loop.take([started, *configuration_changes(state, settings, contracts, watched, at_ms)])
        yield engine
        await engine.finish()
    except LogDamaged as damage:
        with suppress(LogError, OSError), closing(log.reader()) as reader:
            record_damage(log.path, reader, damage)
        raise
    finally:
        await asyncio.shield(log.close())


def _recover_engine(settings: EngineSettings, log: SqliteEventLog, clock: Clock, warn: Callable[[str], None]) -> Engine:
    """Return the engine at the head of its log, before it takes anything new."""
    snapshots = snapshot_store(settings.db, warn)
    reader = log.reader()
    head_seq = log.head.seq
    try:
        recovered = recover(
            reader, snapshots, settings.strategies, on_progress=lambda seq: write_progress(settings.db, seq, head_seq)
        )
    finally:
        clear_progress(settings.db)
        reader.close()
    assert recovered.seq == head_seq == log.head.seq, f"recovery ended at seq {recovered.seq}, the log at {head_seq}"
    bus = Bus(head_seq)
    version = code_digest(settings.strategies.values())
    every, newest_seq = settings.snapshot_every_events, recovered.snapshot_seq
    loop = Loop(recovered.state, log, bus, snapshots, version, warn, every, newest_seq)
    integrity = Integrity(log, bus, warn, f"{os.getpid()} {clock.now_ms()}")
    return Engine(log, loop, bus, recovered, clock, CommandQueue(loop, clock, settings.load), integrity)


async def submit_offline(
    settings: EngineSettings, command: StateCommand, clock: Clock, warn: Callable[[str], None]
) -> Accepted:
    """Execute one human's command on a log that no engine holds.

    Raise LogHeld, LogMissing, LogDamaged, or CommandRefused for a command that does not fit the state.
    """
    SqliteLogReader(settings.db).close()  # Raises LogMissing: a command never creates a log.
    log = await SqliteEventLog.open(settings.db, clock_ms=clock.now_ms)
    try:
        loop = _recover_engine(settings, log, clock, warn).loop
        if loop.state.anchor is not None and loop.state.anchor.feed == BRANCH_FEED:
            raise CommandRefused(f"{settings.db} is a what-if branch, which takes no commands")
        accepted = await loop.order(partial(command_events, command=command, load=settings.load))
        loop.adopt_code()
        await loop.snapshot()
        log.sync_head()
        return accepted
    finally:
        await asyncio.shield(log.close())


def configuration_changes(
    state: EngineState,
    settings: EngineSettings,
    contracts: Sequence[ContractListed],
    symbols: tuple[str, ...],
    at_ms: int,
) -> list[Event]:
    """Return the events by which the configuration differs from the log.

    Raise ConfigError for a change that the log cannot adopt, such as another capital.
    """
    events: list[Event] = [event for event in contracts if is_new(state, event)]
    unconfigured = unconfigured_positions(state, symbols)
    for configured in runner_configurations(settings.strategies, symbols, at_ms, settings.runners):
        own = tuple(symbol for symbol, names in unconfigured.items() if configured.strategy in names)
        events += _new_promise(state, settings.runners[configured.strategy].promise, at_ms)
        events += _runner_changes(state, replace(configured, symbols=(*configured.symbols, *own)))
    for runner in state.runners:
        name = runner.strategy.name
        strategy = settings.strategies.get(name)
        is_usable = strategy is not None and not strategy.fault and name not in settings.unusable
        if name not in settings.runners and is_usable and runner.account.paused in (0, PAUSED_TO_WARM_UP):
            events.append(RunnerPaused(at_ms, name, CONFIGURATION, NOT_ENABLED))
    return [*events, *strategy_failures(state, settings.strategies, settings.unusable, settings.runners)]


def _new_promise(state: EngineState, promise: StudyPromoted | None, at_ms: int) -> list[Event]:
    """Return the promise of a runner's study, unless the log holds it already."""
    if promise is None:
        return []
    known = state.promises.get(promise.strategy)
    promoted = replace(promise, at_ms=at_ms if known is None else known.at_ms)
    return [] if promoted == known else [replace(promise, at_ms=at_ms)]


def unconfigured_positions(state: EngineState, watched: Sequence[str]) -> dict[str, list[str]]:
    """Return the symbols with open positions that are no longer configured, and the strategies that hold them.

    Those strategies keep the symbol until the position is closed, so its stop and target stay in force.
    """
    holders = {symbol: _holders(state, index) for symbol, index in state.symbols.items() if symbol not in watched}
    return {symbol: names for symbol, names in holders.items() if names}


def _holders(state: EngineState, symbol: int) -> list[str]:
    return [runner.strategy.name for runner in state.runners if runner.desks[symbol].position.side != 0]


def _unconfigured_text(symbol: str, names: Sequence[str], *, live: bool) -> str:
    effect = (
        "it is watched until the position is closed, and no new one is opened" if live else "no candles arrive for it"
    )
    return f"{symbol} is no longer configured, but {', '.join(names)} holds a position in it: {effect}"


def _runner_changes(state: EngineState, event: RunnerConfigured) -> list[Event]:
    """Return the runner's configuration if it is new or differs, and the end of a pause by the configuration."""
    known = next((runner for runner in state.runners if runner.strategy.name == event.strategy), None)
    if known is None:
        return [event]
    capital = known.configured.risk["capital_usdt"]
    if capital != event.risk["capital_usdt"]:
        raise ConfigError(
            f"strategies.{event.strategy}: the log began with {capital:,.2f} USDT; "
            f"capital_usdt = {event.risk['capital_usdt']:,.2f} needs a new log"
        )
    for symbol, index in state.symbols.items():
        if symbol not in event.symbols and known.desks[index].position.side != 0:
            raise ConfigError(
                f"{event.strategy}.only_symbols: {event.strategy} holds a position in {symbol}; "
                "start with that symbol, close the position, then remove it"
            )
    events: list[Event] = []
    if replace(known.configured, at_ms=0) != replace(event, at_ms=0):
        events.append(event)
    if known.account.paused == PAUSED_BY_CONFIGURATION:
        events.append(RunnerResumed(event.at_ms, event.strategy, CONFIGURATION, "the configuration names it again"))
    return events
