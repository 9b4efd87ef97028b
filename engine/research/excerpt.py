"""An excerpt of a backtest: all its decisions, and the few facts that determine its final state and its periods.

Folding every candle of a long tape would take longer than running the strategies over it. Folding the excerpt yields
the same positions, marks, excursions, trips and periods as folding the whole run.
"""

from __future__ import annotations

from bisect import bisect_left
from heapq import merge
from typing import TYPE_CHECKING

from papertape.engine.kernel.codes import STOP
from papertape.engine.research.tape import fact_event
from papertape.events.facts import KillSwitchReset, KillSwitchTripped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papertape.engine.kernel.state import Position
    from papertape.engine.reducer.state import EngineState
    from papertape.engine.research.backtest import Backtest
    from papertape.engine.research.tape import Tape
    from papertape.events.facts import Event


def excerpt(run: Backtest) -> Iterator[Event]:
    """Yield the configuration, then facts and decisions in log order."""
    yield from run.configuration
    facts = ((index, 0, fact_event(run.tape, run.facts.at(index))) for index in sorted(_indices(run)))
    decided = ((item.fact, 1, item.event) for item in run.decided)
    for _, _, event in merge(facts, decided, key=lambda item: item[:2]):
        yield event


def _indices(run: Backtest) -> set[int]:
    """Return the indices of facts at which a kill switch tripped or was reset, and of the candles from `_rows`.

    The facts that change a contract or its status belong to the excerpt, too.
    """
    switched = (item.fact for item in run.decided if isinstance(item.event, KillSwitchTripped | KillSwitchReset))
    candles = (
        run.tape.places(run.facts, symbol, _rows(run.tape, run.world, symbol))
        for symbol in range(len(run.tape.contracts))
    )
    return {*switched, *run.tape.changes(run.facts)}.union(*candles)


def _rows(tape: Tape, world: EngineState, symbol: int) -> set[int]:
    """Return the rows of a symbol's first, first traded and last candle, and of those that its open positions need."""
    table = tape.candles[symbol]
    count, warm_up = tape.count_candles(symbol)
    if count == 0:
        return set()
    rows = {0, min(warm_up, count - 1), count - 1}
    for runner in world.runners:
        position = runner.desks[symbol].position
        if position.side != 0:
            held = range(bisect_left(table.open_time_ms, position.candle_open_ms), count)
            if _follows_every_candle(position):
                rows |= set(held)
            else:
                rows |= {held[0], max(held, key=table.high.__getitem__), min(held, key=table.low.__getitem__)}
    return rows


def _follows_every_candle(position: Position) -> bool:
    """Return whether a position's stop or extremes depend on the order of its candles, not on their extremes alone."""
    return (
        position.trail_fraction > 0.0
        or position.breakeven_after_fraction > 0.0
        or position.stop_reason != STOP
        or position.units != 1.0
        or position.closed.parts > 0
        or position.entry_time_ms != position.candle_open_ms
    )
