"""What separates a strategy from an entry now: unmet conditions, missing candles, and other blockers.

It decides nothing and changes nothing: a strategy explains its conditions from the current state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from papertape.engine.kernel.codes import CORRELATION, LONG, MAX_POSITIONS, NO_ORDER, REASON_NAMES, SHORT
from papertape.engine.kernel.series import known_candles
from papertape.engine.kernel.sizing import exposure_refusal
from papertape.engine.kernel.strategy import Condition
from papertape.engine.kernel.view import bind_hook, signal_part
from papertape.engine.reducer.decision_events import ACTION_NAMES, SIDE_NAMES
from papertape.engine.reducer.hook_guard import HookGuard
from papertape.engine.reducer.parking import PAUSED_TO_WARM_UP
from papertape.engine.reducer.state import market_data
from papertape.events.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.engine.kernel.state import Market, Series
    from papertape.engine.reducer.hook_guard import HookFailure
    from papertape.engine.reducer.state import EngineState, Runner


class Readiness(Struct, frozen=True):
    """Complete candles of a timeframe: how many there are, how many are needed, and when the last missing one closes.

    `ready_at_ms` is market time if no hole comes in between; 0 if nothing is missing. `symbol` is the reference whose
    candles they are, empty for the strategy's own symbol.
    """

    timeframe_ms: int
    candles: int
    needed: int
    ready_at_ms: int
    symbol: str = ""


class EntryBlocker(Struct, frozen=True):
    """What else prevents an entry. `detail` adds what the name does not say.

    `inactive`, `kill_switch` (detail: the limit), `parked` (detail: the error), `paused`, `warming_up`, `not_tradable`,
    `no_signal` (the names that have not arrived), `position` (its side), `order` (what it does), `max_positions`,
    `correlation`, and `own`: the strategy's own words.
    """

    reason: str
    detail: str = ""


class EntryConditions(Struct, frozen=True):
    """One side's conditions, which are empty for a strategy that does not explain itself.

    Their numbers mean little before every timeframe is ready. `at_ms` is the symbol's last close in market time, 0
    before the first.
    """

    side: str
    at_ms: int
    explained: bool
    conditions: tuple[Condition, ...]
    readiness: tuple[Readiness, ...]
    holds: tuple[EntryBlocker, ...]


def entry_conditions(state: EngineState, strategy: str, symbol: str) -> tuple[EntryConditions, EntryConditions]:
    """Return the conditions of a long and of a short entry. Raise UsageError for an unknown strategy or symbol."""
    runner, index = _runner(state, strategy), state.symbols.get(symbol)
    if index is None:
        raise UsageError(f"there is no symbol {symbol!r}; there are: {', '.join(state.symbols) or 'none yet'}")
    ready = readiness(state, runner, index)
    return _side(state, runner, index, LONG, ready), _side(state, runner, index, SHORT, ready)


def _runner(state: EngineState, name: str) -> Runner:
    for runner in state.runners:
        if runner.strategy.name == name:
            return runner
    there = ", ".join(runner.strategy.name for runner in state.runners)
    raise UsageError(f"no strategy {name!r} runs; there are: {there or 'none yet'}")


def _side(state: EngineState, runner: Runner, index: int, side: int, ready: tuple[Readiness, ...]) -> EntryConditions:
    reading = reading_of(state, runner, index)
    conditions = None if reading is None else conditions_of(runner, index, side, reading)
    at_ms, blockers = max(0, state.markets[index].close_time_ms), tuple(_blockers(state, runner, index, side))
    return EntryConditions(SIDE_NAMES[side], at_ms, conditions is not None, conditions or (), ready, blockers)


def conditions_of(runner: Runner, index: int, side: int, reading: Any) -> tuple[Condition, ...] | None:
    """Return a strategy's conditions of an entry on one side, None if it does not explain itself."""
    explain = runner.strategy.explain
    if explain is None:
        return None
    guard = HookGuard(runner.strategy)
    conditions = guard.guarded_hook("explain", explain)(reading, runner.params[index], side)
    return None if guard.failure is not None else tuple(conditions)


def reading_of(state: EngineState, runner: Runner, index: int) -> Any:
    """Return the strategy's numbers of this moment, None if it has no `read` or does not explain itself."""
    if runner.strategy.read is None or runner.strategy.explain is None:
        return None
    reading, failure = read_now(state, runner, index, runner.strategy.read)
    return reading if failure is None else None


def read_now(
    state: EngineState, runner: Runner, index: int, read: Callable[..., None]
) -> tuple[Any, HookFailure | None]:
    """Return the numbers that a strategy's `read` fills in now, and its error; then the numbers mean nothing."""
    reading, guard = runner.strategy.reading(), HookGuard(runner.strategy)
    ask_now(state, runner, index, guard.guarded_hook("read", read), reading)
    return reading, guard.failure


def ask_now(state: EngineState, runner: Runner, index: int, hook: Callable[..., Any], filled: Any) -> Any:
    """Call a deciding hook of a runner's strategy as the kernel would call it now on a symbol; return its answer."""
    data, desk = market_data(state, runner, index), runner.desks[index]
    strategy, params = runner.strategy, runner.params[index]
    names, signals = strategy.reference_names, strategy.signals
    ask = bind_hook(strategy.series, names, signals, signal_part(signals), hook)
    return ask(data.market.close_time_ms, data, runner.states[index], runner.account, desk, params, filled)


# ---------------------------------------------------------------- readiness


def readiness(state: EngineState, runner: Runner, index: int) -> tuple[Readiness, ...]:
    """Return the readiness of each of the strategy's series, its own and then those of its references."""
    needs, names = runner.needs[index], list(state.symbols)
    needed = (needs.candles, *(needs.filter_candles for _ in runner.series[1:]))
    return tuple(
        _ready(state, one, series.views[one].candle, candles, "" if one == index else names[one])
        for one in dict.fromkeys((index, *runner.references))
        for series, candles in zip(runner.series, needed, strict=True)
    )


def has_completed(runner: Runner, index: int) -> bool:
    """Return whether the last candle completed one of the series that the strategy is asked on."""
    return runner.series[0].views[index].candle.completed == 1


def is_ready(state: EngineState, runner: Runner, index: int) -> bool:
    """Return whether the strategy has all complete candles that an entry needs."""
    return all(frame.candles >= frame.needed for frame in readiness(state, runner, index))


def missing_signals(runner: Runner, index: int) -> list[str]:
    """Return the names of the strategy's signals that have not arrived on a symbol yet."""
    names = runner.strategy.signals
    return [name for name, last in zip(names, runner.signals[index], strict=False) if last.time_ms < 0]


def _ready(state: EngineState, index: int, series: Series, needed: int, symbol: str) -> Readiness:
    candles = known_candles(series)
    missing, ready_at_ms = max(0, needed - candles), 0
    if missing:
        ready_at_ms = _next_close_ms(state, state.markets[index], series) + (missing - 1) * series.timeframe_ms
    return Readiness(series.timeframe_ms, candles, needed, ready_at_ms, symbol)


def _next_close_ms(state: EngineState, market: Market, series: Series) -> int:
    """Return the close of the next candle of a series that can be complete."""
    frame_ms = series.timeframe_ms
    if series.end_ms >= 0:
        forming = series.missing <= series.missing_max and series.next_ms < series.end_ms
        return series.end_ms if forming else series.end_ms + frame_ms
    # Before the first candle: the first whole one begins at the next boundary of the latest known time.
    known_ms = max(market.close_time_ms, state.listed[0].at_ms, *(one.close_time_ms for one in state.markets))
    return -(-known_ms // frame_ms) * frame_ms + frame_ms


# ---------------------------------------------------------------- blockers


def _blockers(state: EngineState, runner: Runner, index: int, side: int) -> list[EntryBlocker]:
    """Return what else prevents an entry, in the order in which the kernel checks."""
    account, desk, market = runner.account, runner.desks[index], state.markets[index]
    blockers: list[EntryBlocker] = []
    if not runner.active[index]:
        blockers.append(EntryBlocker("inactive"))
    if account.tripped:
        blockers.append(EntryBlocker("kill_switch", REASON_NAMES[account.tripped]))
    if runner.failure is not None:
        failure = runner.failure
        blockers.append(EntryBlocker("parked", f"{failure.place}: {failure.error}" if failure.place else failure.error))
    if account.paused:
        blockers.append(EntryBlocker("warming_up" if account.paused == PAUSED_TO_WARM_UP else "paused"))
    if market.suspended:
        blockers.append(EntryBlocker("not_tradable"))
    if missing := missing_signals(runner, index):
        blockers.append(EntryBlocker("no_signal", ", ".join(missing)))
    if desk.position.side != 0:
        blockers.append(EntryBlocker("position", SIDE_NAMES[desk.position.side]))
    if desk.order.action != NO_ORDER:
        blockers.append(EntryBlocker("order", ACTION_NAMES[desk.order.action]))
    if desk.position.side == 0 and desk.order.action == NO_ORDER:
        blockers += _crowded(state, runner, index, side)
    return blockers + [EntryBlocker("own", text) for text in _own_words(state, runner, index)]


def _own_words(state: EngineState, runner: Runner, index: int) -> list[str]:
    """Return what the strategy itself says, or in one line that its `holds` failed."""
    own = runner.strategy.holds
    if own is None:
        return []
    guard = HookGuard(runner.strategy)
    holds = guard.guarded_hook("holds", own)
    words = ask_now(state, runner, index, lambda view, params, _: holds(view, params), None)
    failure = guard.failure
    return words if failure is None else [f"{failure.hook} failed at {failure.place}: {failure.error}"]


def _crowded(state: EngineState, runner: Runner, index: int, side: int) -> list[EntryBlocker]:
    """Return the limit on positions that would refuse an entry on this side."""
    reason = exposure_refusal(side, index, runner.desks, state.contracts, runner.rules)
    return [EntryBlocker(REASON_NAMES[reason])] if reason in (MAX_POSITIONS, CORRELATION) else []
