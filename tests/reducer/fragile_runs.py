"""Runs of a strategy that fails as a candle tells it to, beside one that does not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.strategy import strategy_from
from papertape.engine.reducer.reducer import fold
from papertape.engine.reducer.state import new_state
from papertape.engine.runner_settings import RunnerSettings
from papertape.events.facts import (
    StrategyFailed,
)
from tests.build import BTC, GALA, candle, listed
from tests.kernel.fragile import fragile
from tests.reducer.runs import Run, begin
from tests.support import NO_LIMITS, STRATEGIES, state_of, take

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.engine.kernel.strategy import Strategy
    from papertape.events.facts import Event

FILE = Path(str(fragile.__file__))
FRAGILE = strategy_from(fragile)
BOTH: dict[str, Strategy] = {"fragile": FRAGILE, "scripted": STRATEGIES["scripted"]}
ABSENT: dict[str, Strategy] = {"scripted": STRATEGIES["scripted"]}
CALM = 5.0


def running(strategies: Mapping[str, Strategy] = BOTH, symbols: tuple[str, ...] = (BTC, GALA)) -> Run:
    """Both strategies on two symbols, three candles in, so that both may enter."""
    runners = {name: RunnerSettings(risk=NO_LIMITS) for name in BOTH}
    run = begin([listed(symbol) for symbol in symbols], runners, strategies)
    for number in range(3):
        for symbol in symbols:
            told(run, number, CALM, symbol)
    return run


def told(run: Run, number: int, volume: float, symbol: str = BTC, price: float = 100.0) -> list[Any]:
    """Deliver the candle of a minute whose volume tells the strategies what to do; return what followed."""
    return take(run.world, run.log, candle(number, price, symbol, volume=volume))


def failed(events: list[Event]) -> StrategyFailed:
    """Return the failure among events."""
    (one,) = [event for event in events if isinstance(event, StrategyFailed)]
    return one


def refolded(run: Run, strategies: Mapping[str, Strategy] = BOTH) -> bytes:
    """Fold the run's log from its beginning; return the state."""
    world = new_state(strategies)
    fold(world, run.log)
    return state_of(world)
