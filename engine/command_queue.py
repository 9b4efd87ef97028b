"""Commands of humans on their way into the log: each becomes the events that fit the state as it is then.

They come from a terminal, a chat or a web page at any time; one task, which the engine owns, hands them to the loop, so
that whoever asked may go away in the middle.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from papertape.engine.reducer.delisting import is_delisted
from papertape.engine.reducer.inputs import active_trip_seq
from papertape.engine.reducer.reducer import total_equity
from papertape.events.commands import ALL, TEXT_CHARS_MAX, Accepted, Close, Command, Kill, Pause, Reset, Resume
from papertape.events.errors import CommandRefused, PapertapeError
from papertape.events.facts import (
    GLOBAL_SCOPE,
    CloseRequested,
    Event,
    KillSwitchReset,
    KillSwitchTripped,
    RunnerPaused,
    RunnerResumed,
)
from papertape.events.names import unknown_name_text
from papertape.events.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.engine.loop import Loop
    from papertape.engine.reducer.state import EngineState, Runner

WAITING_MAX: Final = 64


def command_events(world: EngineState, command: Command) -> list[Event]:
    """The inputs a command means now. Raises CommandRefused where it means nothing."""
    who, why = _require_text(command.who, "who"), _require_text(command.why, "why")
    at_ms = market_ms(world)
    _check_names(world, command)
    match command:
        case Pause(strategy=strategy):
            chosen = [one for one in _select_runners(world, strategy) if one.account.paused == 0]
            return _some([RunnerPaused(at_ms, one.strategy.name, who, why) for one in chosen], "is paused already")
        case Resume(strategy=strategy):
            chosen = [one for one in _select_runners(world, strategy) if one.account.paused != 0]
            return _some([RunnerResumed(at_ms, one.strategy.name, who, why) for one in chosen], "is not paused")
        case Close(strategy=strategy, symbol=symbol):
            return _closes(world, strategy, symbol, at_ms, who, why)
        case Kill(scope=scope):
            return [_trip(world, scope, at_ms, who, why)]
        case Reset(scope=scope, trip_seq=trip_seq):
            return [KillSwitchReset(at_ms, scope, trip_seq, who, why)]


def _check_names(world: EngineState, command: Command) -> None:
    """Raise CommandRefused for an unknown strategy or symbol, with the nearest names."""
    strategies = [runner.strategy.name for runner in world.runners]
    match command:
        case Pause(strategy=strategy) | Resume(strategy=strategy):
            _check("strategy", strategy, (*strategies, ALL))
        case Close(strategy=strategy, symbol=symbol):
            _check("strategy", strategy, (*strategies, ALL))
            _check("symbol", symbol, (*world.symbols, ALL))
        case Kill(scope=scope) | Reset(scope=scope):
            _check("strategy", scope, (*strategies, GLOBAL_SCOPE))


def _check(what: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise CommandRefused(unknown_name_text(what, name, names))


def market_ms(world: EngineState) -> int:
    """Market time: the close of the newest candle."""
    return max((market.close_time_ms for market in world.markets), default=0)


def _require_text(text: str, what: str) -> str:
    kept = one_line(text, TEXT_CHARS_MAX)
    if not kept:
        raise CommandRefused(f"a command says {what}: it is kept in the log")
    return kept


def _select_runners(world: EngineState, strategy: str) -> list[Runner]:
    return list(world.runners) if strategy == ALL else [world.runner(strategy)]


def _some(events: list[Event], otherwise: str) -> list[Event]:
    if not events:
        raise CommandRefused(f"nothing to do: every strategy that is meant {otherwise}")
    return events


def _closes(world: EngineState, strategy: str, symbol: str, at_ms: int, who: str, why: str) -> list[Event]:
    """One request a position. One position that is named must be there; of all, those that are not closing yet."""
    names = list(world.symbols)
    if ALL not in (strategy, symbol):
        return [CloseRequested(at_ms, strategy, symbol, who, why)]
    found: list[Event] = []
    for runner in _select_runners(world, strategy):
        for name, desk in zip(names, runner.desks, strict=True):
            waits = desk.order.action != 0 and not is_delisted(world, world.symbols[name])
            if desk.position.side != 0 and not waits and symbol in (ALL, name):
                found.append(CloseRequested(at_ms, runner.strategy.name, name, who, why))
    if not found:
        raise CommandRefused("there is no open position to close")
    return found


def _trip(world: EngineState, scope: str, at_ms: int, who: str, why: str) -> KillSwitchTripped:
    """A trip by hand, with the numbers of the moment."""
    if active_trip_seq(world, scope) != 0:
        raise CommandRefused(f"{scope}: its kill switch is tripped already")
    if scope == GLOBAL_SCOPE:
        peak = world.guard.peak_usdt
        return KillSwitchTripped(at_ms, scope, "manual", peak, peak, total_equity(world), 0.0, who, why)
    account = world.runner(scope).account
    return KillSwitchTripped(
        at_ms, scope, "manual", account.session_base_usdt, account.peak_usdt, account.equity_usdt, 0.0, who, why
    )


class CommandQueue:
    """Where commands are handed in while an engine runs (`events.commands.Commands`)."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._waiting: asyncio.Queue[tuple[Command, asyncio.Future[Accepted]] | None] = asyncio.Queue(WAITING_MAX + 1)
        self._closed = False

    async def submit(self, command: Command) -> Accepted:
        """Take a command; returns when it is committed. Cancelling the wait does not take it back.

        Raises CommandRefused where it does not fit the state, too many wait, or the engine is ending.
        """
        if self._closed:
            raise CommandRefused("the engine is ending")
        if self._waiting.qsize() >= WAITING_MAX:
            raise CommandRefused(f"{WAITING_MAX} commands are waiting already")
        done: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((command, done))
        return await asyncio.shield(done)

    async def serve(self) -> None:
        """Hand commands to the loop, one after the other, until the desk is closed."""
        while (waiting := await self._waiting.get()) is not None:
            command, done = waiting
            try:
                accepted = await self._loop.order(lambda world, asked=command: command_events(world, asked))  # type: ignore[misc]
            except CommandRefused as refused:
                _settle(done, refused)
            except PapertapeError as error:
                _settle(done, error)
                raise
            else:
                if not done.done():
                    done.set_result(accepted)

    def close(self) -> None:
        """Take nothing more. What waits is refused. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        while not self._waiting.empty():
            waiting = self._waiting.get_nowait()
            if waiting is not None:
                _settle(waiting[1], CommandRefused("the engine is ending"))
        self._waiting.put_nowait(None)


def _settle(done: asyncio.Future[Accepted], error: PapertapeError) -> None:
    if not done.done():
        done.set_exception(error)
        done.exception()  # Whoever asked may be gone: an error nobody fetches is no bug here.
