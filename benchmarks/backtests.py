"""Backtests of one year of minutes: ours compiled and in CPython, vectorbt, backtesting.py; and ours against ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.market import YEAR_DAYS, candles, feed, runners, strategies
from benchmarks.measure import Bench, Result, Times, alternate, million, milliseconds, one_core, ratio, times_as_fast
from engine.core.machine import react
from engine.core.registry import code_digest
from engine.core.world import World, new_world
from engine.research.backtest import Backtest, backtest
from engine.research.compiled import CompiledEngine
from engine.research.guarded import run_tape
from engine.research.tape import tape_of
from engine.setup import configuration
from events.facts import PositionClosed

if TYPE_CHECKING:
    from collections.abc import Callable

STRATEGY = "vwap_rsi"
QUICK_DAYS = 90
SAME_TAPE = (
    "The tape: 1m candles of one simulated symbol, without a hole, in memory. All take columns in memory; every "
    "indicator, each resampling and the simulation are inside the time. Limits of the kill switches are wide open, so "
    "that all trade the whole year."
)


def days(bench: Bench) -> int:
    """The length of the tape."""
    return bench.choose(QUICK_DAYS, YEAR_DAYS)


def ours(bench: Bench, engine: str) -> Backtest:
    """The whole call: tables to rows, configuration, the run, decisions as events, equities, daily course."""
    return backtest(feed(days(bench)), strategies(), runners(STRATEGY), engine)


def closed(result: Backtest) -> int:
    """How many trades were closed."""
    return sum(isinstance(item.event, PositionClosed) for item in result.decided)


def loop_alone(bench: Bench) -> Callable[[], None]:
    """The compiled run alone, over rows that lie ready, as a sweep repeats it."""
    tape = tape_of(feed(days(bench)))
    digest = code_digest(strategies().values())
    tape.rows = _once(tape.rows()) if hasattr(tape, "__dict__") else tape.rows  # type: ignore[method-assign]

    def run() -> None:
        run_tape(*_fresh(tape, digest))

    return run


def _once(rows: Any) -> Any:
    """Rows that were made already."""
    return lambda: rows


def _fresh(tape: Any, digest: str) -> tuple[World, CompiledEngine]:
    """A world at its beginning, with the engine over the tape."""
    world = new_world(strategies())
    for seq, event in enumerate(configuration(strategies(), tape.contracts, runners(STRATEGY)), 1):
        react(world, event, seq)
    return world, CompiledEngine(world, tape, digest)
