"""A strategy of the user's own: how long an edit takes to run, and how fast a year with every kind of order is."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.backtests import count, days
from benchmarks.market import NO_LIMITS, SYMBOL, candles, feed, write_csv
from benchmarks.measure import ROOT, Bench, Result, alternate, million, milliseconds
from benchmarks.processes import backtest_command, time_command
from papertape.engine.research.backtest import backtest
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.strategy_registry import load_strategies

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OWN = "dca"
COLD_S, WARM_S, RATE = 6.0, 1.0, 10e6
WARM_DAYS = 1
WARM_CANDLES = WARM_DAYS * 1_440
TRAIL = """
    answer.trailing_named = 1
    answer.trail_fraction = params.step_percent / 50.0
    answer.trail_after_fraction = params.step_percent / 200.0
"""


def own_folder(bench: Bench, edit: str = "") -> Path:
    """Return a folder with a configuration and a strategy of the user's own, with a line added at its end."""
    home = bench.folder / "own"
    (home / "mine").mkdir(parents=True, exist_ok=True)
    text = (ROOT / "examples" / "strategies" / f"{OWN}.py").read_text(encoding="utf-8")
    # The stop trails too, so that a year has ladders, moved targets and moving stops at once.
    text = text.replace("    answer.target_fraction =", f"{TRAIL.strip(chr(10))}\n    answer.target_fraction =")
    assert TRAIL.strip("\n") in text, "the example sets its target otherwise now"
    (home / "mine" / f"{OWN}.py").write_text(f"{text}{edit}\n", encoding="utf-8")
    (home / "papertape.toml").write_text('[strategies]\nfolders = ["mine"]\n', encoding="utf-8")
    return home


@contextmanager
def compiled_into(cache: Path) -> Iterator[None]:
    """Let the processes that the block starts keep compiled code in an empty folder of their own."""
    before = os.environ.get("NUMBA_CACHE_DIR")
    os.environ["NUMBA_CACHE_DIR"] = str(cache)
    try:
        yield
    finally:
        del os.environ["NUMBA_CACHE_DIR"]
        if before is not None:
            os.environ["NUMBA_CACHE_DIR"] = before


def editing(bench: Bench) -> Result:
    """Measure a run after an edit, the first run ever, and one without any compilation."""
    result = Result("editing", f"papertape backtest of a strategy of one's own, `{OWN}`, in processor time")
    home, edited = own_folder(bench), []
    path = home / f"sim_{SYMBOL}_short.csv.gz"
    write_csv(path, candles(WARM_DAYS))
    command = [*backtest_command(path)[:-1], OWN]
    rounds = bench.choose(2, 5)
    with compiled_into(home / "cache"):
        first = time_command([*command, "--engine", "compiled"], home, 1)
        for number in range(bench.choose(1, 3)):
            own_folder(bench, f"# Edit {number}.")
            edited += time_command([*command, "--engine", "compiled"], home, 1).cpu
        warm = time_command([*command, "--engine", "compiled"], home, rounds)
        chosen = time_command(command, home, rounds)
    best, least = min(edited), min(chosen.cpu)
    result.add("after an edit of its file", milliseconds(best), f"< {COLD_S:g} s", best < COLD_S)
    result.add("the first run of a new version of papertape", milliseconds(first.cpu[0]))
    result.add(f"{WARM_CANDLES:,} candles, compiled before", milliseconds(min(warm.cpu)))
    result.add(f"{WARM_CANDLES:,} candles, --engine auto", milliseconds(least), f"< {WARM_S:g} s", least < WARM_S)
    return result


def ladders(bench: Bench) -> Result:
    """Measure a year of 1m candles with a ladder of adds, a moving target and a trailing stop."""
    result = Result("ladders", f"{OWN} with a trailing stop over {count(bench):,} candles, compiled, one core")
    strategies = load_strategies([own_folder(bench) / "mine"])
    settings, market = {OWN: RunnerSettings(risk=NO_LIMITS)}, feed(days(bench))
    runs = {"compiled": lambda: backtest(market, strategies, settings, "compiled")}
    done = runs["compiled"]()
    kinds = Counter(type(item.event).__name__ for item in done.decided)
    best = min(alternate(runs, bench.choose(2, 9))["compiled"].cpu)
    rate = count(bench) / best
    result.add("the whole call, best round", f"{million(rate)} candles", f">= {million(RATE)}", rate >= RATE)
    shown = ", ".join(f"{number:,} {name}" for name, number in sorted(kinds.items()))
    result.notes.append(f"Decided: {shown}.")
    return result
