"""Runs of the kernel over random markets in which one strategy trades in parts, with the log that they leave."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.engine.reducer.state import EngineState, new_state
from papertape.engine.runner_settings import RunnerSettings, configuration
from papertape.engine.strategy_registry import load_strategies
from papertape.events.facts import CandleClosed, Timing
from papertape.events.log import Recorded
from tests.build import BTC, candle, listed, settled
from tests.support import NO_LIMITS, take

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from papertape.engine.kernel.strategy import Strategy

FOLDER = Path(__file__).parent / "laddered"
NAME = "laddered"


@cache
def laddered() -> Mapping[str, Strategy]:
    """The built-in strategies and the one that trades in parts."""
    return load_strategies([FOLDER])


class PartRun(Struct):
    """A run: the world, its log, and how far the log had come after every input."""

    world: EngineState
    log: list[Recorded]


def random_candles(seed: int, count: int) -> Iterator[CandleClosed]:
    """Yield a market that moves about half a percent a candle, with gaps, and orders in its volumes."""
    chance, price, minute = Random(seed), 100.0, 0
    for _ in range(count):
        minute += 2 if chance.random() < 0.01 else 1
        first = price * (1.0 + chance.gauss(0.0, 0.003) * (chance.random() < 0.2))
        price = first * (1.0 + chance.gauss(0.0, 0.003))
        high = max(first, price) * (1.0 + abs(chance.gauss(0.0, 0.002)))
        low = min(first, price) * (1.0 - abs(chance.gauss(0.0, 0.002)))
        four = tuple(round(one, 2) for one in (first, high, low, price))
        timing = Timing.LATE if chance.random() < 0.02 else Timing.ON_TIME
        assert len(four) == 4
        yield candle(minute, four, BTC, timing, volume=float(chance.randrange(1, 10**6)))


def steps(seed: int, count: int = 250) -> Iterator[PartRun]:
    """Yield the run after every input."""
    contracts = [listed(BTC, (1, 100), (1, 1_000))]
    run = PartRun(new_state(laddered()), [])
    for event in configuration(laddered(), contracts, {NAME: RunnerSettings(risk=NO_LIMITS)}):
        take(run.world, run.log, event)
    for number, fact in enumerate(random_candles(seed, count)):
        take(run.world, run.log, fact)
        if number % 40 == 7:
            take(run.world, run.log, settled((number + 2) * 60_000, 0.0004))
        yield run


def played(seed: int, count: int = 250) -> PartRun:
    """Return a whole run."""
    *_, run = steps(seed, count)
    return run
