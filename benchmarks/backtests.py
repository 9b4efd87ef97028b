"""Backtests of one year of minutes: our compiled and CPython engines, vectorbt and backtesting.py."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.market import YEAR_DAYS, candles, feed, runners, strategies
from benchmarks.measure import (
    Bench,
    Result,
    Timings,
    alternate,
    best_ratio,
    million,
    milliseconds,
    one_core,
    ratio,
    times_as_fast,
)
from papertape.engine.reducer.reducer import decide
from papertape.engine.reducer.state import new_state
from papertape.engine.research.backtest import Backtest, backtest
from papertape.engine.research.compiled_kernel import CompiledEngine
from papertape.engine.research.guarded import run_tape
from papertape.engine.research.tape import tape_of
from papertape.engine.runner_settings import configuration
from papertape.events.facts import PositionClosed

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.engine.kernel.state import FactColumns

STRATEGY = "vwap_rsi"
QUICK_DAYS = 60
SAME_TAPE = (
    "The tape: 1m candles of one simulated symbol, in memory as columns, which is where each library begins. "
    "The time includes resampling, all indicators and the simulation. The kill switches are checked on every candle, "
    "with limits so wide that they never end a run."
)
OTHER_MACHINE = (
    "The ratio depends on the machine: machines of one kind gave 3.6x to 8.7x for the whole call and 4.5x to 11.3x "
    "for prepared rows, because vectorbt took 60 ms on one and 177 ms on another. Compare both sides' user "
    "time, system time and page faults on your own machine."
)
TARGET_VECTORBT, TARGET_BACKTESTING, TARGET_PLAIN = 5.0, 100.0, 1.0
AIM_CANDLES_PER_SECOND = 40e6


class ReadyTape:
    """A tape with prepared columns, as every run after the first in a sweep has them."""

    def __init__(self, bench: Bench) -> None:
        tape = tape_of(feed(days(bench)))
        self.contracts, self._columns = tape.contracts, tape.arrays()

    def arrays(self) -> FactColumns:
        """Return the columns."""
        return self._columns


def days(bench: Bench) -> int:
    """Return the length of the tape in days."""
    return bench.choose(QUICK_DAYS, YEAR_DAYS)


def count(bench: Bench) -> int:
    """Return the number of candles of the tape."""
    return days(bench) * 1_440


def run_backtest(bench: Bench, engine: str) -> Backtest:
    """Run the whole call: tables to rows, configuration, the run, decisions as events, equities, daily curve."""
    return backtest(feed(days(bench)), strategies(), runners(STRATEGY), engine)


def ready_run(bench: Bench) -> Callable[[], object]:
    """Return the compiled run alone on prepared rows, with decisions as events and equities."""
    tape = ReadyTape(bench)

    def run() -> object:
        world = new_state(strategies())
        for seq, event in enumerate(configuration(strategies(), tape.contracts, runners(STRATEGY)), 1):
            decide(world, event, seq)
        return run_tape(world, CompiledEngine(world, tape))  # type: ignore[arg-type]

    return run


def closed_trades(result: Backtest) -> int:
    """Return the number of closed trades."""
    return sum(isinstance(item.event, PositionClosed) for item in result.decided)


def speed(result: Result, bench: Bench, what: str, times: Timings, note: str) -> None:
    """Add a row: candles per second, median and best round, the best round's cost, and a note."""
    best = times.best
    user, system = times.cpu[best] - times.system[best], times.system[best]
    result.add(
        what,
        f"{million(count(bench) / times.median)} candles ({milliseconds(times.median)}); best round: "
        f"user {milliseconds(user)}, system {milliseconds(system)}, "
        f"{times.faults[best]:,} page faults; {note}",
    )


def against_vectorbt(bench: Bench) -> Result:
    """Measure the compiled engine against two formulations with vectorbt."""
    from benchmarks import rival_vectorbt as rival  # noqa: PLC0415 - slow to import

    result = Result("vectorbt", f"vwap_rsi over {count(bench):,} candles, compiled, one core, after the first pass")
    tape = rival.columns(candles(days(bench)))
    runs: dict[str, Callable[[], object]] = {
        "whole": lambda: run_backtest(bench, "compiled"),
        "ready": ready_run(bench),
        "signals": lambda: rival.by_signals(tape),
    }
    if not bench.quick:  # It takes half a minute to compile.
        runs["orders"] = lambda: rival.by_orders(tape)
    with one_core(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trades = f"{closed_trades(run_backtest(bench, 'compiled'))} trades"
        by_signals = f"{rival.trades(rival.by_signals(tape))} trades"
        by_orders = "" if bench.quick else f"{rival.trades(rival.by_orders(tape))} trades"
        alternate(runs, 1)
        times = alternate(runs, bench.choose(5, 15))
    speed(result, bench, "papertape, the whole call", times["whole"], trades)
    speed(result, bench, "papertape, on prepared rows (a sweep)", times["ready"], trades)
    speed(result, bench, "vectorbt, from_signals with a signal function", times["signals"], by_signals)
    if "orders" in times:
        speed(result, bench, "vectorbt, from_order_func", times["orders"], by_orders)
    _ratios(result, times, count(bench) / times["ready"].median)
    result.notes += [SAME_TAPE, rival.LEAVES_OUT, OTHER_MACHINE]
    return result


def _ratios(result: Result, times: dict[str, Timings], rate: float) -> None:
    """Compare best rounds; the target is against vectorbt's faster formulation, although it has fewer rules."""
    for ours_name, words in (("whole", "whole call"), ("ready", "prepared rows")):
        factor = best_ratio(times["signals"], times[ours_name])
        target = f"aim: {TARGET_VECTORBT:g}x"
        result.add(f"{words} against from_signals", times_as_fast(factor), target, factor >= TARGET_VECTORBT)
        if "orders" in times:
            result.add(f"{words} against from_order_func", times_as_fast(best_ratio(times["orders"], times[ours_name])))
    result.add("candles per second on prepared rows", million(rate), "aim: 40 M/s", rate >= AIM_CANDLES_PER_SECOND)


def against_backtesting(bench: Bench) -> Result:
    """Measure the compiled and the CPython engine against backtesting.py."""
    from benchmarks import rival_backtesting as rival  # noqa: PLC0415 - slow to import

    result = Result("backtesting", f"vwap_rsi over {count(bench):,} candles, compiled and in CPython, one core")
    with one_core(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared = rival.prepare(rival.frame(candles(days(bench))))
        trades = f"{closed_trades(run_backtest(bench, 'compiled'))} trades"
        theirs = f"{rival.trades(prepared.run())} trades"
        runs: dict[str, Callable[[], object]] = {
            "compiled": lambda: run_backtest(bench, "compiled"),
            "python": lambda: run_backtest(bench, "python"),
            "backtesting": prepared.run,
        }
        times = alternate(runs, bench.choose(2, 5))
    speed(result, bench, "papertape, compiled, the whole call", times["compiled"], trades)
    speed(result, bench, "papertape in CPython, the whole call", times["python"], trades)
    speed(result, bench, "backtesting.py", times["backtesting"], theirs)
    for name, target in (("compiled", TARGET_BACKTESTING), ("python", TARGET_PLAIN)):
        factor = ratio(times["backtesting"], times[name])
        result.add(f"{name} against backtesting.py", times_as_fast(factor), f">= {target:g}x", factor >= target)
    result.notes += [SAME_TAPE, rival.LEAVES_OUT]
    return result


def identical(bench: Bench) -> Result:
    """Check that both engines decide the same, to the last bit."""
    result = Result("identical", f"the two engines over {count(bench):,} candles, vwap_rsi")
    plain, fast = run_backtest(bench, "python"), run_backtest(bench, "compiled")
    decisions = plain.decided == fast.decided
    equities = all(
        np.array_equal(np.asarray(a).view(np.int64), np.asarray(b).view(np.int64))
        for a, b in zip(plain.equities, fast.equities, strict=True)
    )
    result.add("decisions equal", f"{len(fast.decided):,} of {len(plain.decided):,}", "all", decisions)
    result.add("equities equal to the bit", f"{fast.facts.total:,} values", "all", equities)
    result.add("equity curves equal", "drawdown, days", "all", plain.summaries == fast.summaries)
    assert decisions, "CPython and the compiled kernel decide differently"
    assert equities, "CPython and the compiled kernel compute different equities"
    return result
