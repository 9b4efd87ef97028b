"""What stands between a strategy and an entry now: conditions, candles that are missing, and what holds it back.

Nothing is decided and nothing changes here: a strategy says its conditions from the state as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from papertape.engine.kernel.codes import CORRELATION, ENTRY, LONG, MAX_POSITIONS, NO_ORDER, REASON_NAMES, SHORT
from papertape.engine.kernel.sizing import exposure_refusal
from papertape.engine.kernel.strategy import Condition
from papertape.events.errors import UsageError

if TYPE_CHECKING:
    from papertape.engine.kernel.state import Market, Series
    from papertape.engine.reducer.state import EngineState, Runner

SIDE_NAMES = {LONG: "long", SHORT: "short"}


class Readiness(Struct, frozen=True):
    """Complete candles of a timeframe: those there are, those needed, and when the last missing one closes.

    `ready_at_ms` is market time, as far as no hole comes in between; 0 where nothing is missing.
    """

    timeframe_ms: int
    candles: int
    needed: int
    ready_at_ms: int


class EntryBlocker(Struct, frozen=True):
    """What else keeps a strategy from an entry. `detail` is the part of it that a name does not say.

    `inactive`, `kill_switch` (detail: the limit), `paused`, `not_tradable`, `position` (its side), `order` (what it
    does), `max_positions`, `correlation`, and `own`: the strategy's own words.
    """

    reason: str
    detail: str = ""


class EntryConditions(Struct, frozen=True):
    """One side: conditions are empty for a strategy that does not explain itself.

    Their numbers mean little before every timeframe is ready. `at_ms` is the symbol's last close in market time, 0
    before the first.
    """

    side: str
    at_ms: int
    explained: bool
    conditions: tuple[Condition, ...]
    readiness: tuple[Readiness, ...]
    holds: tuple[EntryBlocker, ...]


def entry_conditions(world: EngineState, strategy: str, symbol: str) -> tuple[EntryConditions, EntryConditions]:
    """An entry long and one short, as they stand. Raises UsageError for a strategy or a symbol that there is not."""
    runner, index = _runner(world, strategy), world.symbols.get(symbol)
    if index is None:
        raise UsageError(f"there is no symbol {symbol!r}; there are: {', '.join(world.symbols) or 'none yet'}")
    ready = readiness(world, runner, index)
    return _side(world, runner, index, LONG, ready), _side(world, runner, index, SHORT, ready)


def _runner(world: EngineState, name: str) -> Runner:
    for runner in world.runners:
        if runner.strategy.name == name:
            return runner
    there = ", ".join(runner.strategy.name for runner in world.runners)
    raise UsageError(f"no strategy {name!r} runs; there are: {there or 'none yet'}")


def _side(world: EngineState, runner: Runner, index: int, side: int, ready: tuple[Readiness, ...]) -> EntryConditions:
    explain, reading = runner.strategy.explain, _reading(world, runner, index)
    explained = explain is not None and reading is not None
    found = tuple(explain(reading, runner.params[index], side)) if explain is not None and explained else ()
    at_ms = max(0, world.markets[index].close_time_ms)
    return EntryConditions(SIDE_NAMES[side], at_ms, explained, found, ready, tuple(_holds(world, runner, index, side)))


def _reading(world: EngineState, runner: Runner, index: int) -> Any:
    """The strategy's numbers of this moment; None where it does not say them."""
    if runner.strategy.read is None:
        return None
    reading = runner.strategy.reading()
    runner.strategy.read(
        runner.states[index],
        world.markets[index],
        runner.main.series[index],
        runner.filtered.series[index],
        runner.desks[index],
        runner.params[index],
        reading,
    )
    return reading


# ---------------------------------------------------------------- readiness


def readiness(world: EngineState, runner: Runner, index: int) -> tuple[Readiness, ...]:
    """The strategy's timeframe, and that of its filter where it has another one."""
    main, filtered = runner.main, runner.filtered
    needed, filter_needed = runner.strategy.candles_needed(runner.params[index])
    if filtered.timeframe_ms == main.timeframe_ms:
        return (_ready(world, index, main.series[index], max(needed, filter_needed)),)
    return (
        _ready(world, index, main.series[index], needed),
        _ready(world, index, filtered.series[index], filter_needed),
    )


def _ready(world: EngineState, index: int, series: Series, needed: int) -> Readiness:
    candles = series.row + 1
    missing, ready_at_ms = max(0, needed - candles), 0
    if missing:
        ready_at_ms = _next_close_ms(world, world.markets[index], series) + (missing - 1) * series.timeframe_ms
    return Readiness(series.timeframe_ms, candles, needed, ready_at_ms)


def _next_close_ms(world: EngineState, market: Market, series: Series) -> int:
    """When the next candle of a series closes that can be complete."""
    frame_ms = series.timeframe_ms
    if series.end_ms >= 0:
        forming = series.whole == 1 and series.next_ms < series.end_ms
        return series.end_ms if forming else series.end_ms + frame_ms
    # No candle came yet: the first whole one begins at the next boundary of what is known of the time.
    known_ms = max(market.close_time_ms, world.listed[0].at_ms, *(one.close_time_ms for one in world.markets))
    return -(-known_ms // frame_ms) * frame_ms + frame_ms


# ---------------------------------------------------------------- what holds it back


def _holds(world: EngineState, runner: Runner, index: int, side: int) -> list[EntryBlocker]:
    """In the order in which the kernel asks."""
    account, desk, market = runner.account, runner.desks[index], world.markets[index]
    found: list[EntryBlocker] = []
    if not runner.active[index]:
        found.append(EntryBlocker("inactive"))
    if account.tripped:
        found.append(EntryBlocker("kill_switch", REASON_NAMES[account.tripped]))
    if account.paused:
        found.append(EntryBlocker("paused"))
    if market.suspended:
        found.append(EntryBlocker("not_tradable"))
    if desk.position.side != 0:
        found.append(EntryBlocker("position", SIDE_NAMES[desk.position.side]))
    if desk.order.action != NO_ORDER:
        found.append(EntryBlocker("order", "entry" if desk.order.action == ENTRY else "exit"))
    if desk.position.side == 0 and desk.order.action == NO_ORDER:
        found += _crowded(world, runner, index, side)
    own = runner.strategy.holds
    words = [] if own is None else own(runner.states[index], market, desk, runner.params[index])
    return found + [EntryBlocker("own", text) for text in words]


def _crowded(world: EngineState, runner: Runner, index: int, side: int) -> list[EntryBlocker]:
    """The limit on positions that would refuse an entry on this side."""
    reason = exposure_refusal(side, index, runner.desks, world.contracts, runner.rules)
    return [EntryBlocker(REASON_NAMES[reason])] if reason in (MAX_POSITIONS, CORRELATION) else []
