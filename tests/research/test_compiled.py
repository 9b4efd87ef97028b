"""One source, two speeds: what CPython decides, the compiled loop decides, to the last bit."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from msgspec.structs import replace

from papertape.engine.reducer.reducer import decide, is_decision
from papertape.engine.research.cpython_kernel import PlainEngine
from papertape.engine.research.guarded import run_tape
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.strategy_registry import load_strategies
from papertape.events.errors import ConfigError
from papertape.events.facts import GLOBAL_SCOPE, GapFound, KillSwitchTripped, RunnerConfigured
from tests.build import FIVE_MINUTES_MS
from tests.kernel.scripted.scripted import ODD, ODD_ENTRIES, ODD_EXITS
from tests.reducer.random_market import Recipe, market, recipes
from tests.reducer.runs import BUILT_IN, EAGER, eager
from tests.research.ways import assert_same_bits, compiled, encoded, in_python
from tests.support import NO_LIMITS, configured_world, examples, file_tape, needs_data, state_of

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.engine.kernel.risk_settings import RiskSettings
    from tests.reducer.random_market import RandomTape

CAREFUL = replace(NO_LIMITS, max_session_loss_percent=3.0, max_risk_per_trade_percent=10.0)
ONE_FOR_ALL = replace(NO_LIMITS, global_max_loss_percent=1.0, max_risk_per_trade_percent=50.0)
EVERYTHING = Recipe(
    seed=11, symbols=3, candles=520, timeframe_ms=FIVE_MINUTES_MS, holes=3, long_holes=0, late_share=0.02, warm_up=60
)


def everybody(tape: RandomTape, risk: RiskSettings) -> dict[str, RunnerSettings]:
    """All who can play on a tape; on minutes the built-in ones play beside the scripted one."""
    names = BUILT_IN if tape.contracts[0].timeframe_ms == FIVE_MINUTES_MS else ("scripted", *BUILT_IN)
    return eager(names, risk)


@pytest.mark.system
@examples(8)
@given(recipes(told_of=0.2))
def test_minutes_with_a_scripted_strategy_are_the_same(recipe: Recipe) -> None:
    tape = market(recipe)
    assert_same_bits(tape, eager(["scripted"], CAREFUL), at_least=1)


@pytest.mark.system
@pytest.mark.parametrize("seed", range(3))
def test_answers_that_make_no_sense_are_the_same(seed: int) -> None:
    """Every odd answer comes often, among ordinary ones, whatever stood in the row it is written to."""
    tape, random = market(Recipe(seed, symbols=2, candles=400, told_of=0.2)), Random(seed)
    for table in tape.candles:
        for number in range(len(table.volume)):
            if random.random() < 0.3:
                table.volume[number] = ODD + random.randrange(ODD_ENTRIES + ODD_EXITS)
    assert_same_bits(tape, eager(["scripted"], NO_LIMITS), at_least=60)
    found = b"".join(in_python(tape, eager(["scripted"], NO_LIMITS)).events())
    for reason in (b"not_a_number", b"stop_wrong_side", b"target_wrong_side", b"unnamed_exit"):
        assert reason in found, "the tape does not bring what it is for"


LOOSE = '''"""A strategy whose functions answer with floats and truth values, or end without an answer."""
from msgspec import Struct

NAME = "loose"
SERIES = ("1m",)
EXIT_REASONS = ("mine",)


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """One."""

    unused: float = 0.0


class Reading(Struct):
    """One number."""

    volume: float = 0.0


def enter(view, params, answer):
    """1 and a half side; in between there is no answer."""
    answer.stop_fraction = 0.01
    if view.candle.volume > 12.0:
        answer.target_fraction = 1
        return 1.0
    if view.candle.volume < 8.0:
        return -0.5


def leave(view, params, answer):
    """True is no reason."""
    if view.candle.volume < 6.0:
        return True
'''


def test_loose_answers_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loose.py").write_text(LOOSE, encoding="utf-8")
    with pytest.raises(ConfigError, match="enter: returns a float: return 1, -1 or 0"):
        load_strategies([tmp_path])


BARE = '''"""A strategy without parameters, without readings, and with a state that holds nothing."""
from msgspec import Struct

NAME = "bare"
SERIES = ("1m",)


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """None."""


class State(Struct):
    """None."""


class Reading(Struct):
    """None."""


def observe(view, params):
    """Nothing is kept."""


def enter(view, params, answer):
    """Always long."""
    answer.stop_fraction = 0.01
    answer.target_fraction = 0.01
    return 1
'''


@pytest.mark.system
def test_a_strategy_of_empty_structs_is_the_same(tmp_path: Path) -> None:
    from papertape.engine.research.compiled_kernel import CompiledEngine  # noqa: PLC0415 - belongs to an extra

    (tmp_path / "bare.py").write_text(BARE, encoding="utf-8")
    strategies, tape, found = load_strategies([tmp_path]), market(Recipe(6, candles=400, holes=1)), []
    for engine in (PlainEngine, CompiledEngine):
        world = configured_world(tape.contracts, {"bare": RunnerSettings(risk=NO_LIMITS)}, strategies)
        decided = [encoded(item.event) for item in run_tape(world, engine(world, tape)).decided]
        found.append((decided, state_of(world)))
    assert found[0] == found[1]
    assert b"PositionOpened" in b"".join(found[0][0])


@pytest.mark.system
@examples(6)
@given(recipes(FIVE_MINUTES_MS, candles=450))
def test_all_four_strategies_together_are_the_same(recipe: Recipe) -> None:
    tape = market(recipe)
    assert_same_bits(tape, everybody(tape, NO_LIMITS), at_least=1)


@pytest.mark.system
@pytest.mark.parametrize("long_holes", [0, 1])
@pytest.mark.parametrize("risk", [NO_LIMITS, CAREFUL, ONE_FOR_ALL], ids=["no limits", "sessions", "global"])
def test_a_market_with_everything_in_it_is_the_same(risk: RiskSettings, long_holes: int) -> None:
    tape = market(replace(EVERYTHING, long_holes=long_holes))
    assert_same_bits(tape, everybody(tape, risk), at_least=30)


@pytest.mark.system
@pytest.mark.parametrize("seed", range(4))
def test_a_global_trip_that_takes_a_stretch_back_is_the_same(seed: int) -> None:
    tape = market(Recipe(seed, symbols=3, candles=400, told_of=0.3, move_percent=1.0))
    settings = everybody(tape, ONE_FOR_ALL)
    assert_same_bits(tape, settings, at_least=20)
    trips = [item for item in in_python(tape, settings).events() if b"KillSwitchTripped" in item]
    assert len(trips) == 1
    assert GLOBAL_SCOPE.encode() in trips[0]


@pytest.mark.system
@pytest.mark.parametrize("risk", [NO_LIMITS, CAREFUL, ONE_FOR_ALL], ids=["no limits", "sessions", "global"])
@pytest.mark.parametrize("frame_ms", [60_000, FIVE_MINUTES_MS])
def test_a_tape_decides_what_the_live_engine_decides(risk: RiskSettings, frame_ms: int) -> None:
    """The loop over a tape and `decide`, fact by fact: the same decisions in the same order."""
    tape = market(replace(EVERYTHING, timeframe_ms=frame_ms, told_of=0.2, seed=12))
    settings = everybody(tape, risk)
    world, live = configured_world(tape.contracts, settings), []
    for seq, event in enumerate(tape.events(), start=1):
        live += [entry.event for entry in decide(world, event, seq) if is_decision(entry.event)]
    decided = [encoded(event) for event in live if not isinstance(event, GapFound)]
    assert compiled(tape, settings).events() == decided
    assert any(isinstance(event, KillSwitchTripped) for event in live) is (risk is not NO_LIMITS)


@pytest.mark.system
def test_a_strategy_may_be_restricted_to_some_symbols_and_have_others_parameters_there() -> None:
    tape = market(replace(EVERYTHING, seed=13))
    settings = eager(BUILT_IN)
    settings["momentum"] = RunnerSettings(
        EAGER["momentum"], {"BBB": {"breakout_lookback": 9}}, ("BBB", "CCC"), NO_LIMITS
    )
    assert_same_bits(tape, settings, at_least=30)


@pytest.mark.system
def test_a_run_can_be_repeated_on_the_same_tape() -> None:
    tape = market(EVERYTHING)
    settings = everybody(tape, CAREFUL)
    assert compiled(tape, settings) == compiled(tape, settings)


# ---------------------------------------------------------------- recorded markets

ETH_1M = "binance_ETHUSDT_1m_2025-05-04_2025-06-24.csv.gz"
BTC_1M = "binance_BTCUSDT_1m_2025-05-04_2025-06-24.csv.gz"
SOL_5M = "binance_SOLUSDT_5m_2024-12-31_2025-09-30.csv.gz"
ETH_5M = "binance_ETHUSDT_5m_2024-12-31_2025-09-30.csv.gz"
FUNDING = "binance_{}_funding_2024-12-31_2025-09-30.csv.gz"
FIRST_MINUTE_MS, FIRST_FIVE_MS, DAY_MS = 1_746_372_780_000, 1_735_603_200_000, 86_400_000
ALL_RUN = {name: RunnerSettings(risk=NO_LIMITS) for name in BUILT_IN}


@pytest.mark.system
@needs_data
def test_twelve_days_of_recorded_minutes_are_the_same() -> None:
    tape = file_tape([ETH_1M], [FUNDING.format("ETHUSDT")], end_ms=FIRST_MINUTE_MS + 12 * DAY_MS)
    assert_same_bits(tape, ALL_RUN, at_least=20)


@pytest.mark.system
@needs_data
def test_six_weeks_of_recorded_five_minutes_are_the_same() -> None:
    files = [SOL_5M, ETH_5M]
    rates = [FUNDING.format("SOLUSDT"), FUNDING.format("ETHUSDT")]
    tape = file_tape(files, rates, start_ms=FIRST_FIVE_MS + 5 * DAY_MS, end_ms=FIRST_FIVE_MS + 45 * DAY_MS)
    assert_same_bits(tape, ALL_RUN, at_least=100)


@pytest.mark.system
@needs_data
def test_recorded_open_interest_is_the_same() -> None:
    tape = file_tape(
        ["binance_BTCUSDT_5m_2024-09-13_2024-09-18.csv.gz"],
        open_interest=["binance_BTCUSDT_open_interest_5m_2024-09-13_2024-09-18.csv.gz"],
    )
    assert_same_bits(
        tape,
        {"liquidation": RunnerSettings({"oi_change_threshold": 0.5, "zone_buffer_percent": 1.5}, risk=NO_LIMITS)},
        3,
    )


@pytest.mark.slow
@needs_data
@pytest.mark.timeout(1_200)
def test_the_whole_recorded_minutes_are_the_same() -> None:
    assert_same_bits(file_tape([BTC_1M, ETH_1M], [FUNDING.format("BTCUSDT"), FUNDING.format("ETHUSDT")]), ALL_RUN, 100)


@pytest.mark.slow
@needs_data
@pytest.mark.timeout(1_200)
def test_the_whole_recorded_five_minutes_are_the_same() -> None:
    assert_same_bits(file_tape([SOL_5M, ETH_5M], [FUNDING.format("SOLUSDT"), FUNDING.format("ETHUSDT")]), ALL_RUN, 100)


def test_the_configuration_of_a_run_names_the_code_it_was_made_with() -> None:
    tape = market(EVERYTHING)
    world = configured_world(tape.contracts, everybody(tape, NO_LIMITS))
    digests = {runner.configured.code_digest for runner in world.runners}
    assert all(isinstance(runner.configured, RunnerConfigured) for runner in world.runners)
    assert len(digests) == len(BUILT_IN), "each strategy's own source is part of its digest"
