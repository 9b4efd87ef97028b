"""Sets of parameters over a prepared market bring what each brings when it is run fact by fact, to the bit."""

from __future__ import annotations

import os
import subprocess
import sys
from array import array
from importlib.util import find_spec
from random import Random
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import fields, replace

from papertape.engine.feeds.files.columns import SeriesColumns
from papertape.engine.feeds.files.signals_csv import SignalSeries
from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.research.backtest import backtest_tape
from papertape.engine.research.long_way import run_long_way
from papertape.engine.research.set_result import SetResult, TradedSpan
from papertape.engine.research.set_runs import SetRunner
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.strategy_registry import load_strategies
from papertape.events.errors import ConfigError
from papertape.events.units import MINUTE_MS
from tests.build import FIVE_MINUTES_MS
from tests.reducer.random_market import Recipe, market
from tests.reducer.runs import EAGER
from tests.support import NO_LIMITS, PROVING, REPOSITORY, configured_world

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.research.tape import Tape

pytestmark = pytest.mark.system

STRATEGIES = load_strategies([REPOSITORY / "examples" / "strategies", REPOSITORY / "tests" / "research" / "strategies"])
NAMES = tuple(STRATEGIES)
RISKS = (
    NO_LIMITS,
    RiskSettings(),
    RiskSettings(leverage=20.0, max_session_loss_percent=100.0, max_daily_loss_percent=1.0),
    replace(NO_LIMITS, leverage=100.0, liquidation_distance_min=1.0, max_risk_per_trade_percent=100.0),
)
PARTS = 31 if PROVING else 1
SETS = 12
"""Sets drawn for one market; two markets make a part. More than 300 sets are compared by CPython's passes, and more
than 10,000 by `make prove`, by the compiled passes too. Each part is a test of its own: a test has a time
limit."""
ENGINES = ("compiled", "python") if PROVING and find_spec("numba") else ("python",)
"""The first also runs the sets fact by fact, so where it is the compiled one, CPython's passes are compared with it."""


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


def drawn_tape(random: Random, strategy: Strategy, symbols: int = 1) -> Tape:
    """A market with holes, funding, open interest and signals, in the finest candles of a strategy or finer ones."""
    finest_ms = min(strategy.series_ms)
    frame_ms = random.choice([finest_ms, finest_ms, finest_ms // 5 if finest_ms == FIVE_MINUTES_MS else finest_ms // 3])
    recipe = Recipe(
        random.randrange(2**32),
        symbols=symbols,
        candles=(400 if frame_ms == finest_ms and strategy.series[-1] != "1h" else 900) * 3 // (symbols + 2),
        timeframe_ms=frame_ms,
        move_percent=random.choice([0.3, 1.0]),
        holes=random.choice([0, 4]),
        long_holes=random.choice([0, 1]),
        late_share=0.03 if strategy.references else 0.0,
        funding_minutes=random.choice([30, 60, 480]) if finest_ms == FIVE_MINUTES_MS else 480,
    )
    tape, every = market(recipe), max(1, frame_ms // FIVE_MINUTES_MS)
    tape.open_interest = [
        one and SeriesColumns("random", one.time_ms[::every], one.value[::every]) for one in tape.open_interest
    ]
    times_ms = array("q", tape.candles[0].open_time_ms[::7])
    values = array("d", [random.choice([-1.0, -0.4, 0.4, 1.0]) for _ in times_ms])
    tape.signals = [SignalSeries("AAA", "trend", "signals.csv", SeriesColumns("random", times_ms, values))]
    if strategy.references:
        begin_late(random, tape)
    return tape


def begin_late(random: Random, tape: Tape) -> None:
    """Let the candles of some symbols begin or end at another time than those of the first one."""
    for table in tape.candles[1:]:
        first, last = random.choice([(0, 0), (random.randrange(150), 0), (0, 1 + random.randrange(99))])
        for column in (table.open_time_ms, *table.values()):
            del column[:first], column[len(column) - last :]


def with_references(random: Random, strategy: Strategy, names: Sequence[str]) -> Strategy:
    """A strategy that looks at drawn symbols, also the same one twice, or its own."""
    return replace(strategy, references=tuple((name, random.choice(names)) for name in strategy.reference_names))


def assert_equal(
    tape: Tape,
    name: str,
    settings: RunnerSettings,
    sets: list[dict[str, int | float]],
    span: TradedSpan,
    engines: Sequence[str] = ("python",),
    strategies: Mapping[str, Strategy] = STRATEGIES,
) -> list[SetResult]:
    """Every figure of every set is that of its own run, which the first engine makes; the results."""
    own = [run_long_way(tape, strategies, name, settings, values, span, engines[0]) for values in sets]
    for engine in engines:
        found = SetRunner(tape, strategies, name, settings, engine).run(sets, span)
        for values, one, expected in zip(sets, found, own, strict=True):
            assert one._replace(long_way=1) == expected, (engine, name, values, span)
    return found


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", NAMES)
def test_a_set_brings_what_its_own_run_brings(name: str, part: int) -> None:
    random, strategy, found = Random(name if part == 0 else f"{name} {part}"), STRATEGIES[name], []
    for symbols in (1, random.randint(2, 5)):
        tape = drawn_tape(random, strategy, symbols)
        names = [contract.symbol for contract in tape.contracts]
        if strategy.references:
            strategy = with_references(random, strategy, names)
        chosen = tuple(names[: random.randint(1, 5)])
        sets = [drawn_set(random, strategy) for _ in range(SETS)]
        settings = RunnerSettings(risk=RISKS[(2 * part + (symbols > 1)) % len(RISKS)], symbols=chosen)
        span = drawn_span(random, tape) if part > 0 or symbols > 1 else TradedSpan()
        found += assert_equal(tape, name, settings, sets, span, ENGINES, {name: strategy})
    if part > 0:
        return
    assert sum(one.trades for one in found) > 0, "markets in which nothing is traded would prove nothing"
    assert not all(one.long_way for one in found), "the long way would be compared with itself"


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
    tape.candles[1] = market(Recipe(4, candles=400)).candles[0]
    runner = SetRunner(tape, STRATEGIES, "momentum", RunnerSettings(), "python")
    assert [one.long_way for one in runner.run([{}, {"sl_percent": 0.4}], TradedSpan())] == [1, 1]
    assert runner.long_way == {"candles of several lengths": 2}


def test_a_span_that_ends_inside_a_candle_does_not_know_what_came_later_in_it() -> None:
    """Funding settles in the middle of the candles, so each of these ends needs a market of its own."""
    tape = market(Recipe(7, symbols=2, candles=300, timeframe_ms=FIVE_MINUTES_MS, funding_minutes=5))
    for series in filter(None, tape.funding):
        series.time_ms = array("q", [time_ms + 2 * MINUTE_MS for time_ms in series.time_ms])
    trades = 0
    for last in range(40, 300, 20):
        span = TradedSpan(None, tape.candles[0].open_time_ms[last] + MINUTE_MS)
        found = assert_equal(tape, "funding", RunnerSettings(risk=NO_LIMITS), [EAGER["funding"], {}], span)
        assert not any(one.long_way for one in found)
        trades += found[0].trades
    assert trades > 0


def test_several_symbols_share_one_account_on_the_fast_way() -> None:
    """One slot for three symbols that would all trade: who comes first keeps the others out."""
    tape = market(Recipe(11, symbols=3, candles=400, timeframe_ms=FIVE_MINUTES_MS, move_percent=1.0))
    sets = [{**EAGER["momentum"], "sl_percent": percent} for percent in (0.4, 0.8, 1.6)]
    trades = []
    for slots in (1, 3):
        settings = RunnerSettings(risk=replace(NO_LIMITS, max_concurrent_positions=slots, max_same_direction=3))
        found = assert_equal(tape, "momentum", settings, sets, TradedSpan())
        assert not any(one.long_way for one in found)
        trades.append(sum(one.trades for one in found))
    assert 0 < trades[0] < trades[1]


def test_the_longest_holding_may_be_one_left_open_in_a_later_symbol() -> None:
    """With stops and targets that far away, positions are held to the end."""
    values = {**EAGER["momentum"], "sl_percent": 20.0, "tp_percent": 40.0}
    settings = RunnerSettings(values, risk=NO_LIMITS)
    seen = 0
    for seed in range(8):
        tape = market(Recipe(seed, symbols=2, candles=200, timeframe_ms=FIVE_MINUTES_MS, move_percent=1.0))
        [runner] = backtest_tape(tape, STRATEGIES, {"momentum": settings}, "python").world.runners
        first, second = (desk.position for desk in runner.desks)
        [found] = assert_equal(tape, "momentum", settings, [{}], TradedSpan())
        open_ms = tape.candles[1].open_time_ms[-1] + FIVE_MINUTES_MS - second.entry_time_ms
        is_longest = second.side != 0 and found.longest_holding_ms == open_ms
        seen += is_longest and (first.side == 0 or second.entry_time_ms < first.entry_time_ms)
    assert seen > 0


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
    tape = drawn_tape(random, strategy, {"momentum": 1, "funding": 3}[name])
    sets = [drawn_set(random, strategy) for _ in range(12)]
    found = assert_equal(tape, name, RunnerSettings(), sets, drawn_span(random, tape), ["python", "compiled"])
    assert not any(one.long_way for one in found)
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*.nbi")), "the loops were not stored"
