"""A strategy of the user's own: how long an edit takes to run, and how fast a year with every kind of order is."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from benchmarks.backtests import count, days
from benchmarks.market import NO_LIMITS, SYMBOL, candles, feed, write_csv
from benchmarks.measure import ROOT, Bench, Result, alternate, million, milliseconds
from benchmarks.processes import backtest_command, time_command
from papertape.engine.research.backtest import backtest
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.strategy_registry import load_strategies

if TYPE_CHECKING:
    from pathlib import Path

OWN = "dca"
COLD_S, WARM_S, RATE = 6.0, 1.0, 10e6
WARM_DAYS = 5
TRAIL = """
    answer.trailing_named = 1
    answer.trail_fraction = params.step_percent / 50.0
    answer.trail_after_fraction = params.step_percent / 200.0
"""


def own_folder(bench: Bench, edit: str = "") -> Path:
    """Return a folder with one strategy of the user's own, with a line added at its end."""
    folder = bench.folder / "mine"
    folder.mkdir(exist_ok=True)
    text = (ROOT / "examples" / "strategies" / f"{OWN}.py").read_text(encoding="utf-8")
    # The stop trails too, so that a year has ladders, reductions and moving stops at once.
    text = text.replace("    answer.target_fraction =", f"{TRAIL.strip(chr(10))}\n    answer.target_fraction =")
    (folder / f"{OWN}.py").write_text(f"{text}{edit}\n", encoding="utf-8")
    (bench.folder / "papertape.toml").write_text('[strategies]\nfolders = ["mine"]\n', encoding="utf-8")
    return folder


def editing(bench: Bench) -> Result:
    """Measure a run after an edit, the first run ever, and one without any compilation."""
    result = Result("editing", f"papertape backtest of a strategy of one's own, `{OWN}`, in processor time")
    path = bench.folder / f"sim_{SYMBOL}_short.csv.gz"
    write_csv(path, candles(WARM_DAYS))
    own_folder(bench)
    command = [*backtest_command(path)[:-1], OWN]
    cache = bench.folder / "cache"
    os.environ["NUMBA_CACHE_DIR"] = str(cache)
    try:
        first = time_command([*command, "--engine", "compiled"], bench.folder, 1)
        edited = []
        for number in range(bench.choose(1, 3)):
            own_folder(bench, f"# Edit {number}.")
            edited.append(time_command([*command, "--engine", "compiled"], bench.folder, 1).cpu[0])
        rounds = bench.choose(2, 5)
        warm = time_command([*command, "--engine", "compiled"], bench.folder, rounds)
        chosen = time_command(command, bench.folder, rounds)
    finally:
        del os.environ["NUMBA_CACHE_DIR"]
        shutil.rmtree(cache, ignore_errors=True)
    best, least = min(edited), min(chosen.cpu)
    result.add("after an edit of its file", milliseconds(best), f"< {COLD_S:g} s", best < COLD_S)
    result.add("the first run of a new version of papertape", milliseconds(first.cpu[0]))
    result.add(f"{WARM_DAYS * 1_440:,} candles, compiled before", milliseconds(min(warm.cpu)))
    result.add(f"{WARM_DAYS * 1_440:,} candles, --engine auto", milliseconds(least), f"< {WARM_S:g} s", least < WARM_S)
    return result


def ladders(bench: Bench) -> Result:
    """Measure a year of 1m candles with a ladder of adds, a moving target and a trailing stop."""
    result = Result("ladders", f"{OWN} with a trailing stop over {count(bench):,} candles, compiled, one core")
    strategies = load_strategies([own_folder(bench)])
    settings, market = {OWN: RunnerSettings(risk=NO_LIMITS)}, feed(days(bench))
    runs = {"compiled": lambda: backtest(market, strategies, settings, "compiled")}
    done = runs["compiled"]()
    kinds: dict[str, int] = {}
    for item in done.decided:
        name = type(item.event).__name__
        kinds[name] = kinds.get(name, 0) + 1
    best = min(alternate(runs, bench.choose(2, 9))["compiled"].cpu)
    rate = count(bench) / best
    result.add("the whole call, best round", f"{million(rate)} candles", f">= {million(RATE)}", rate >= RATE)
    shown = ", ".join(f"{number:,} {name}" for name, number in sorted(kinds.items()))
    result.notes.append(f"Decided: {shown}.")
    return result
