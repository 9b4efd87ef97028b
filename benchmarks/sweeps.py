"""A sweep of 1,000 sets of parameters over 100,000 minutes, and vectorbt's broadcast on the same grid."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import TYPE_CHECKING

from benchmarks.market import NO_LIMITS, YEAR_DAYS, feed, runners, strategies
from benchmarks.measure import (
    ROOT,
    Bench,
    Result,
    Timings,
    alternate,
    best_ratio,
    million,
    milliseconds,
    one_core,
    times_as_fast,
)
from papertape.engine.feeds.sim.script import START_MS
from papertape.engine.reducer.reducer import decide
from papertape.engine.reducer.state import new_state
from papertape.engine.research.compiled_kernel import CompiledEngine
from papertape.engine.research.set_result import TradedSpan
from papertape.engine.research.set_runs import FEW_SETS, SetRunner
from papertape.engine.research.tape import tape_of
from papertape.engine.runner_settings import RunnerSettings, configuration
from papertape.events.units import MINUTE_MS

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.engine.research.set_result import SetResult
    from papertape.engine.research.tape import Tape

CANDLES = 100_000
RIVAL_SETS = 40
MINUTES_OF_A_DAY = 1_440
AIMS = {"vwap_rsi": 2_000e6, "momentum": 500e6}
AIM_MB, AIM_RIVAL, AIM_COLD, AIM_PREPARED = 200, 100.0, 5.0, 15.0
VECTORBT_BEST_S = 0.057
"""vectorbt's best round of a year by signals that was ever measured; see benchmarks/RESULTS.md."""
GRID = (
    "The grid: 10 by 10 levels of the entry, and 10 pairs of stop and target. The whole call means: check the "
    "parameters, prepare the market, follow, find and trade, with all figures and the equity of every day. "
    "Candle-sets are candles times sets."
)


def grid(name: str) -> list[dict[str, int | float]]:
    """Return the 1,000 sets of a strategy."""
    places = [(a, b, c) for a in range(10) for b in range(10) for c in range(10)]
    if name == "vwap_rsi":
        return [
            {
                "rsi_long_threshold": 20.0 + 2 * a,
                "rsi_short_threshold": 80.0 - 2 * a,
                "vwap_deviation_entry": 0.05 + 0.1 * b,
                "volume_spike_multiplier": 1.5,
                "sl_percent": 0.2 + 0.1 * c,
                "tp_percent": 0.4 + 0.2 * c,
            }
            for a, b, c in places
        ]
    return [
        {
            "breakout_lookback": 5 + 10 * a,
            "volume_confirmation_multiplier": 1.0 + 0.25 * b,
            "sl_percent": 0.2 + 0.1 * c,
            "tp_percent": 0.4 + 0.2 * c,
            "atr_multiplier_sl": 1.0 + 0.25 * c,
            "atr_multiplier_tp": 2.0 + 0.5 * c,
        }
        for a, b, c in places
    ]


def span(count: int) -> TradedSpan:
    """Return the span of the first candles of the market."""
    return TradedSpan(None, START_MS + count * MINUTE_MS)


def sweeps(bench: Bench) -> Result:
    """Measure sweeps of both strategies, one set over a year, and vectorbt's broadcast."""
    count = bench.choose(20_000, CANDLES)
    result = Result("sweeps", f"1,000 sets over {count:,} candles, compiled, one core, after the first pass")
    tape = tape_of(feed(-(-count // MINUTES_OF_A_DAY)))
    with one_core():
        for name in AIMS:
            _sweep(result, bench, tape, name, count)
        _memory(result, count)
        _against_vectorbt(result, bench, tape, count)
        _one_set(result, bench)
    result.notes.append(GRID)
    return result


def _memory(result: Result, count: int) -> None:
    """Add the memory of a process that only sweeps."""
    command = [sys.executable, "-m", "benchmarks.programs.sweep_memory", str(count)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    loaded_mb, memory_mb = map(int, answer.split())
    words = f"{memory_mb:,} MB, {loaded_mb:,} MB of it before the first sweep: imports, machine code, market"
    result.add("memory at most, of a process that only sweeps", words, f"aim: {AIM_MB} MB", memory_mb < AIM_MB)


def _sweep(result: Result, bench: Bench, tape: Tape, name: str, count: int) -> None:
    """Add the sweep of one strategy, and the loop over facts beside it."""
    sets = grid(name)
    runs: dict[str, Callable[[], object]] = {
        "sweep": lambda: run_sets(tape, name, sets, count),
        "loop": loop_run(tape, name),
    }
    trades = sum(one.trades for one in run_sets(tape, name, sets, count))
    alternate(runs, 1)
    times = alternate(runs, bench.choose(2, 5))
    rate, loop_rate = count * len(sets) / min(times["sweep"].cpu), tape.total() / min(times["loop"].cpu)
    aim, words = AIMS[name], f"{name}, the whole call"
    cost = f"{million(rate)} candle-sets ({_cost(times['sweep'])}); {trades:,} trades"
    result.add(words, cost, f"aim: {million(aim)}", rate >= aim)
    result.add(f"{name}, the loop over facts of one set", f"{million(loop_rate)} candles ({_cost(times['loop'])})")
    result.add(f"{name}, sweep against the loop", times_as_fast(rate / loop_rate))


def _against_vectorbt(result: Result, bench: Bench, tape: Tape, count: int) -> None:
    """Add the ratio of both rates, and whether both close the same trades."""
    from benchmarks import rival_vectorbt, rival_vectorbt_sweep  # noqa: PLC0415 - slow to import

    every = 1_000 // RIVAL_SETS
    sets, columns = grid("vwap_rsi"), rival_vectorbt.columns(tape.candles[0])
    columns = {name: values[:count] for name, values in columns.items()}
    few = sets[::every]
    runs: dict[str, Callable[[], object]] = {
        "ours": lambda: run_sets(tape, "vwap_rsi", sets, count),
        "vectorbt": lambda: rival_vectorbt_sweep.run_sets(columns, few),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sum(rival_vectorbt_sweep.run_sets(columns, few))
        ours = sum(one.trades for one in run_sets(tape, "vwap_rsi", few, count))
        times = alternate(runs, bench.choose(2, 5))
    rate = count * len(few) / min(times["vectorbt"].cpu)
    cost = f"{million(rate)} candle-sets ({_cost(times['vectorbt'])}); {theirs:,} trades, papertape {ours:,}"
    result.add(f"vectorbt, from_signals, {len(few)} sets in columns", cost, "equal trades", ours == theirs)
    factor = best_ratio(times["vectorbt"], times["ours"]) * len(sets) / len(few)
    result.add("sweep against vectorbt", times_as_fast(factor), f"aim: {AIM_RIVAL:g}x", factor >= AIM_RIVAL)


def _one_set(result: Result, bench: Bench) -> None:
    """Add one set over a year, on a tape that was not prepared and on one that was, against vectorbt's best round."""
    days = bench.choose(60, YEAR_DAYS)
    tape, best_s = tape_of(feed(days)), VECTORBT_BEST_S * days / YEAR_DAYS
    ready = SetRunner(tape, strategies(), "vwap_rsi", RunnerSettings(risk=NO_LIMITS), "compiled")
    ready.run([{}] * (FEW_SETS + 1), TradedSpan())
    runs: dict[str, Callable[[], object]] = {
        "cold": lambda: run_sets(tape, "vwap_rsi", [{}], days * MINUTES_OF_A_DAY),
        "prepared": lambda: ready.run([{}], TradedSpan()),
    }
    times = alternate(runs, bench.choose(2, 5))
    for name, aim in (("cold", AIM_COLD), ("prepared", AIM_PREPARED)):
        factor = best_s / min(times[name].cpu)
        words = f"one set, {days} days, {name}: against vectorbt's best {milliseconds(best_s)}"
        result.add(words, f"{times_as_fast(factor)} ({_cost(times[name])})", f"aim: {aim:g}x", factor >= aim)


def run_sets(tape: Tape, name: str, sets: list[dict[str, int | float]], count: int) -> list[SetResult]:
    """Run the whole call."""
    return SetRunner(tape, strategies(), name, RunnerSettings(risk=NO_LIMITS), "compiled").run(sets, span(count))


def loop_run(tape: Tape, name: str) -> Callable[[], object]:
    """Return the run of one set by the loop over facts, with its decisions as events."""
    world = new_state(strategies())
    for seq, event in enumerate(configuration(strategies(), tape.contracts, runners(name)), 1):
        decide(world, event, seq)
    engine = CompiledEngine(world, tape)
    [runner], equities, facts = engine.runners, engine.equities(), engine.facts
    start = runner.checkpoint()

    def run() -> None:
        runner.roll_back(start)
        runner.advance(facts, 0, facts.total, equities)

    return run


def _cost(times: Timings) -> str:
    """Return what the best round cost."""
    best = times.best
    user, system = times.cpu[best] - times.system[best], times.system[best]
    return f"user {milliseconds(user)}, system {milliseconds(system)}, {times.faults[best]:,} page faults"
