"""Turn the commands of humans into events: each becomes the events that fit the state at that moment.

Commands, and signals likewise, arrive from a terminal, a chat or a web page at any time. One task, owned by the engine,
passes them to the loop, so a sender may disconnect before the command is done.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, assert_never

from papertape.engine.reducer.delisting import is_delisted
from papertape.engine.reducer.inputs import active_trip_seq
from papertape.engine.reducer.parking import PAUSED_TO_WARM_UP
from papertape.engine.reducer.reducer import total_equity
from papertape.engine.signal_intake import PreparedSignals
from papertape.engine.strategy_resume import resume_events
from papertape.events.commands import (
    ALL,
    TEXT_CHARS_MAX,
    Accepted,
    Close,
    Command,
    Kill,
    Pause,
    Reload,
    Reset,
    Resume,
    StateCommand,
)
from papertape.events.errors import CommandRefused, PapertapeError
from papertape.events.facts import (
    GLOBAL_SCOPE,
    CloseRequested,
    Event,
    KillSwitchReset,
    KillSwitchTripped,
    RunnerPaused,
)
from papertape.events.names import unknown_name_text
from papertape.events.text import one_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.loop import Loop
    from papertape.engine.ports.clock import Clock
    from papertape.engine.reducer.state import EngineState, Runner
    from papertape.events.signals import SignalBatch, SignalsRecorded

    MakeEvents = Callable[[EngineState], Sequence[Event]]

WAITING_MAX: Final = 64
STOPPING: Final = "the engine is stopping"
NO_RELOAD: Final = "this engine does not read its configuration again; restart it"


def command_events(
    state: EngineState, command: StateCommand, load: Callable[[str], Strategy | None] | None = None
) -> list[Event]:
    """Return the inputs that a command means now. Raise CommandRefused if it does not fit the state.

    A resume of a parked strategy loads its file again by `load`.
    """
    who, why = require_text(command.who, "who"), require_text(command.why, "why")
    at_ms = market_ms(state)
    _check_names(state, command)
    match command:
        case Pause(strategy=strategy):
            running = [one for one in _select_runners(state, strategy) if one.account.paused in (0, PAUSED_TO_WARM_UP)]
            return _require_events([RunnerPaused(at_ms, one.strategy.name, who, why) for one in running], "paused")
        case Resume():
            return _require_events(resume_events(state, command, at_ms, who, why, load), "running")
        case Close(strategy=strategy, symbol=symbol):
            return _close_requests(state, strategy, symbol, at_ms, who, why)
        case Kill(scope=scope):
            return [manual_trip(state, scope, at_ms, who, why)]
        case Reset(scope=scope, trip_seq=trip_seq):
            return [KillSwitchReset(at_ms, scope, trip_seq, who, why)]
        case _:
            assert_never(command)


def _check_names(state: EngineState, command: StateCommand) -> None:
    """Raise CommandRefused for an unknown strategy or symbol, with the closest matches."""
    strategies = [runner.strategy.name for runner in state.runners]
    match command:
        case Pause(strategy=strategy) | Resume(strategy=strategy):
            _check("strategy", strategy, (*strategies, ALL))
        case Close(strategy=strategy, symbol=symbol):
            _check("strategy", strategy, (*strategies, ALL))
            _check("symbol", symbol, (*state.symbols, ALL))
        case Kill(scope=scope) | Reset(scope=scope):
            _check("strategy", scope, (*strategies, GLOBAL_SCOPE))
        case _:
            assert_never(command)


def _check(what: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise CommandRefused(unknown_name_text(what, name, names))


def market_ms(state: EngineState) -> int:
    """Return the market time: the close of the newest candle."""
    return max((market.close_time_ms for market in state.markets), default=0)


def require_text(text: str, field: str) -> str:
    """Return a text as one line for the log. Raise CommandRefused if it is empty."""
    line = one_line(text, TEXT_CHARS_MAX)
    if not line:
        raise CommandRefused(f"a command needs {field}: it is recorded in the log")
    return line


def _select_runners(state: EngineState, strategy: str) -> list[Runner]:
    return list(state.runners) if strategy == ALL else [state.runner(strategy)]


def _require_events(events: list[Event], condition: str) -> list[Event]:
    if not events:
        raise CommandRefused(f"nothing to do: every selected strategy is already {condition}")
    return events


def _close_requests(state: EngineState, strategy: str, symbol: str, at_ms: int, who: str, why: str) -> list[Event]:
    """Return one request per position: the named one, or all selected positions that are not closing yet."""
    if ALL not in (strategy, symbol):
        return [CloseRequested(at_ms, strategy, symbol, who, why)]
    requests: list[Event] = []
    for runner in _select_runners(state, strategy):
        for (name, index), symbol_state in zip(state.symbols.items(), runner.desks, strict=True):
            is_closing = symbol_state.order.action != 0 and not is_delisted(state, index)
            if symbol_state.position.side != 0 and not is_closing and symbol in (ALL, name):
                requests.append(CloseRequested(at_ms, runner.strategy.name, name, who, why))
    if not requests:
        raise CommandRefused("there is no open position to close")
    return requests


def manual_trip(state: EngineState, scope: str, at_ms: int, who: str, why: str) -> KillSwitchTripped:
    """Return a trip by hand, with the current numbers."""
    if active_trip_seq(state, scope) != 0:
        raise CommandRefused(f"{scope}: its kill switch is tripped already")
    if scope == GLOBAL_SCOPE:
        peak = state.guard.peak_usdt
        return KillSwitchTripped(at_ms, scope, "manual", peak, peak, total_equity(state), 0.0, who, why)
    account = state.runner(scope).account
    return KillSwitchTripped(
        at_ms, scope, "manual", account.session_base_usdt, account.peak_usdt, account.equity_usdt, 0.0, who, why
    )


class CommandQueue:
    """Accepts commands and signals while an engine runs (`events.commands.Commands`, `events.signals.SignalIntake`).

    `reload` applies the configuration again; without it every reload is refused. `load` loads the file of a strategy
    that is resumed.
    """

    def __init__(self, loop: Loop, clock: Clock, load: Callable[[str], Strategy | None] | None = None) -> None:
        self._loop, self._clock, self._load = loop, clock, load
        self._waiting: asyncio.Queue[tuple[MakeEvents, asyncio.Future[Accepted]] | None] = asyncio.Queue(
            WAITING_MAX + 1
        )
        self._closed = False
        self.reload: Callable[[Reload], Awaitable[Accepted]] | None = None

    async def submit(self, command: Command) -> Accepted:
        """Queue a command and wait until it is committed. Cancelling the wait does not withdraw it.

        Raise CommandRefused if it does not fit the state, too many commands wait, or the engine is stopping.
        """
        if not isinstance(command, Reload):
            return await self.enqueue(partial(command_events, command=command, load=self._load))
        if self.reload is None:
            raise CommandRefused(NO_RELOAD)
        return await self.reload(command)

    async def receive(self, batch: SignalBatch) -> SignalsRecorded:
        """Queue signals and wait until they are committed, like `submit`."""
        prepared = PreparedSignals(batch, self._clock.now_ms())
        accepted = await self.enqueue(prepared.inputs)
        return prepared.answer(accepted)

    async def enqueue(self, make: MakeEvents) -> Accepted:
        """Queue inputs that `make` derives from the state of their turn; wait and raise as `submit` does."""
        if self._closed:
            raise CommandRefused(STOPPING)
        if self._waiting.qsize() >= WAITING_MAX:
            raise CommandRefused(f"{WAITING_MAX} commands are already waiting")
        done: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((make, done))
        return await asyncio.shield(done)

    async def serve(self) -> None:
        """Pass commands to the loop, one after the other, until the queue is closed."""
        while (waiting := await self._waiting.get()) is not None:
            make, done = waiting
            try:
                accepted = await self._loop.order(make)
            except CommandRefused as refused:
                _settle(done, refused)
            except PapertapeError as error:
                _settle(done, error)
                raise
            else:
                self._loop.adopt_code()
                if not done.done():
                    done.set_result(accepted)

    def close(self) -> None:
        """Accept no more commands, and refuse those that wait. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        while not self._waiting.empty():
            waiting = self._waiting.get_nowait()
            if waiting is not None:
                _settle(waiting[1], CommandRefused(STOPPING))
        self._waiting.put_nowait(None)


def _settle(done: asyncio.Future[Accepted], error: PapertapeError) -> None:
    if not done.done():
        done.set_exception(error)
        done.exception()  # Whoever asked may be gone: an error nobody fetches is no bug here.
