"""Sets of parameters over a prepared market bring what each brings when it is run fact by fact, to the bit."""

from __future__ import annotations

import os
import subprocess
import sys
from array import array
from random import Random
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import fields, replace

from papertape.engine.feeds.files.columns import SeriesColumns
from papertape.engine.feeds.files.signals_csv import SignalSeries
from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.research.long_way import run_long_way
from papertape.engine.research.set_result import SetResult, TradedSpan
from papertape.engine.research.set_runs import SetRunner
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.strategy_registry import load_strategies
from papertape.events.errors import ConfigError
from tests.build import FIVE_MINUTES_MS
from tests.reducer.random_market import Recipe, market
from tests.reducer.runs import EAGER
from tests.support import NO_LIMITS, PROVING, REPOSITORY, configured_world

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.research.tape import Tape

pytestmark = pytest.mark.system

STRATEGIES = load_strategies([REPOSITORY / "examples" / "strategies"])
STRATEGIES["follow_leader"] = replace(STRATEGIES["follow_leader"], references=(("leader", "AAA"),))
NAMES = tuple(STRATEGIES)
RISKS = (
    NO_LIMITS,
    RiskSettings(),
    RiskSettings(leverage=20.0, max_session_loss_percent=100.0, max_daily_loss_percent=1.0),
    replace(NO_LIMITS, leverage=100.0, liquidation_distance_min=1.0, max_risk_per_trade_percent=100.0),
)
MARKETS = 65 if PROVING else 1
SETS = 12
"""Sets drawn for one market. More than 150 are compared, and more than 10,000 by `make prove`."""


def drawn_set(random: Random, strategy: Strategy) -> dict[str, int | float]:
    """Some parameters of a strategy, near its defaults or what makes it trade often."""
    values = dict(EAGER.get(strategy.name, {}))
    for field in fields(strategy.parameters):
        if random.random() < 0.5:
            value = field.default * random.choice([0.2, 0.5, 0.8, 1.2, 2.0])
            drawn = {field.name: int(value) if isinstance(field.default, int) else value}
            try:
                msgspec.convert(drawn, strategy.parameters)
            except msgspec.ValidationError:
                continue
            values |= drawn
    return values


def drawn_span(random: Random, tape: Tape) -> TradedSpan:
    """The whole tape, or a part of it that begins or ends anywhere."""
    opens_ms = tape.candles[0].open_time_ms
    first, last = sorted(random.sample(range(len(opens_ms)), 2))
    shift_ms = random.choice([0, 0, 1, 30_000])
    return random.choice(
        [TradedSpan(), TradedSpan(opens_ms[first] + shift_ms, opens_ms[last] + shift_ms), TradedSpan(opens_ms[first])]
    )


def drawn_tape(random: Random, strategy: Strategy) -> Tape:
    """A market with holes, funding, open interest and signals, in the finest candles of a strategy or finer ones."""
    finest_ms = min(strategy.series_ms)
    frame_ms = random.choice([finest_ms, finest_ms, finest_ms // 5 if finest_ms == FIVE_MINUTES_MS else finest_ms // 3])
    recipe = Recipe(
        random.randrange(2**32),
        candles=400 if frame_ms == finest_ms and strategy.series[-1] != "1h" else 900,
        timeframe_ms=frame_ms,
        move_percent=random.choice([0.3, 1.0]),
        holes=random.choice([0, 4]),
        long_holes=random.choice([0, 1]),
        funding_minutes=random.choice([30, 60, 480]) if finest_ms == FIVE_MINUTES_MS else 480,
    )
    tape, every = market(recipe), max(1, frame_ms // FIVE_MINUTES_MS)
    readings = tape.open_interest[0]
    assert readings is not None
    tape.open_interest = [SeriesColumns("random", readings.time_ms[::every], readings.value[::every])]
    times_ms = array("q", tape.candles[0].open_time_ms[::7])
    values = array("d", [random.choice([-1.0, -0.4, 0.4, 1.0]) for _ in times_ms])
    tape.signals = [SignalSeries("AAA", "trend", "signals.csv", SeriesColumns("random", times_ms, values))]
    return tape


def assert_equal(
    tape: Tape,
    name: str,
    settings: RunnerSettings,
    sets: list[dict[str, int | float]],
    span: TradedSpan,
    engine: str = "python",
) -> list[SetResult]:
    """Every figure of every set is that of its own run; the results."""
    runner = SetRunner(tape, STRATEGIES, name, settings, engine)
    found = runner.run(sets, span)
    for values, one in zip(sets, found, strict=True):
        own = run_long_way(tape, STRATEGIES, name, settings, values, span, "python")
        assert one._replace(long_way=1) == own, (name, values, span)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_set_brings_what_its_own_run_brings(name: str) -> None:
    random, strategy, trades = Random(name), STRATEGIES[name], 0
    for number in range(MARKETS):
        tape = drawn_tape(random, strategy)
        sets = [drawn_set(random, strategy) for _ in range(SETS)]
        settings = RunnerSettings(risk=RISKS[number % len(RISKS)])
        trades += sum(one.trades for one in assert_equal(tape, name, settings, sets, drawn_span(random, tape)))
    assert trades > 0, "markets in which nothing is traded would prove nothing"


def test_a_parameter_that_the_strategy_refuses_is_refused() -> None:
    runner = SetRunner(
        drawn_tape(Random(1), STRATEGIES["momentum"]), STRATEGIES, "momentum", RunnerSettings(), "python"
    )
    with pytest.raises(ConfigError, match="momentum"):
        runner.run([{"sl_percent": -1.0}], TradedSpan())


def test_a_span_without_a_candle_leaves_the_capital_as_it_was() -> None:
    tape = drawn_tape(Random(1), STRATEGIES["momentum"])
    [found] = assert_equal(tape, "momentum", RunnerSettings(), [{}], TradedSpan(None, 0))
    assert (found.end_equity_usdt, found.day_equities) == (10_000.0, b"")


def test_what_cannot_be_prepared_takes_the_long_way_and_is_counted() -> None:
    tape = market(Recipe(3, symbols=2, candles=400, timeframe_ms=FIVE_MINUTES_MS))
    runner = SetRunner(tape, STRATEGIES, "momentum", RunnerSettings(), "python")
    assert [one.long_way for one in runner.run([{}, {"sl_percent": 0.4}], TradedSpan())] == [1, 1]
    assert runner.long_way == {"several symbols": 2}


def test_all_histories_of_a_run_are_of_one_length() -> None:
    """One that a strategy needs long lengthens the others: the compiled loop has them in one array."""
    contracts = market(Recipe(3, candles=20, timeframe_ms=FIVE_MINUTES_MS)).contracts
    world = configured_world(contracts, {"vwap_rsi": RunnerSettings({"vwap_period": 2_000})})
    assert [len(one.bars[0]) for one in world.runners[0].series] == [2_048, 2_048]


@pytest.mark.slow
def test_the_loops_over_sets_compile_and_run_in_a_new_process_without_a_cache(tmp_path: Path) -> None:
    """With numba's loop vectorizer, code as large as this called an address that is 0, and the process ended."""
    program = """
from random import Random
from papertape.engine.runner_settings import RunnerSettings
from tests.research.test_set_runs import STRATEGIES, assert_equal, drawn_set, drawn_span, drawn_tape
for name in ("momentum", "funding"):
    random, strategy = Random(name), STRATEGIES[name]
    tape = drawn_tape(random, strategy)
    sets = [drawn_set(random, strategy) for _ in range(12)]
    found = assert_equal(tape, name, RunnerSettings(), sets, drawn_span(random, tape), "compiled")
    assert not any(one.long_way for one in found)
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*.nbi")), "the loops were not stored"
