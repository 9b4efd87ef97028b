"""Invalid answers of a strategy: each is refused with a reason and never becomes an order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.reducer.reducer import decide
from papertape.engine.reducer.snapshot_codec import decode, encode
from papertape.engine.strategy_registry import load_strategies
from papertape.events.errors import ConfigError
from papertape.events.facts import OrderPlaced, OrderRejected, PositionClosed, PositionOpened
from tests.build import candle, listed
from tests.kernel.scenario import BUY, SELL, Scenario, only
from tests.kernel.scripted.scripted import ODD, ODD_ENTRIES
from tests.support import SCRIPTED_FOLDER, STRATEGIES

if TYPE_CHECKING:
    from pathlib import Path

FAULTS = {
    "a stop that is NaN": (0, "long", "not_a_number"),
    "a target that is NaN": (1, "long", "not_a_number"),
    "a score that is NaN": (2, "long", "not_a_number"),
    "an infinite stop": (3, "long", "not_a_number"),
    "an infinite target": (4, "long", "not_a_number"),
    "an infinite score": (5, "long", "not_a_number"),
    "a target beyond every price": (6, "long", "not_a_number"),
    "a stop beyond every price": (7, "long", "not_a_number"),
    "a side of 2": (8, "long", "not_a_number"),
    "a side of -7": (9, "short", "not_a_number"),
    "a long's stop above the entry": (10, "long", "stop_wrong_side"),
    "a short's stop below the entry": (11, "short", "stop_wrong_side"),
    "a long's target below the entry": (12, "long", "target_wrong_side"),
    "a short's target above the entry": (13, "short", "target_wrong_side"),
    "a stop on the wrong side and a target that is NaN": (14, "long", "not_a_number"),
    "no stop and no target at all": (15, "long", "stop_too_close"),
}


@pytest.mark.parametrize(("number", "side", "reason"), FAULTS.values(), ids=FAULTS)
def test_an_answer_that_makes_no_sense_is_refused_by_name(number: int, side: str, reason: str) -> None:
    scenario = Scenario()
    _signal_and_forget(scenario)
    refused = only(scenario.candle(100.0, ODD + number), OrderRejected)
    assert (refused.strategy, refused.side, refused.reason) == ("scripted", side, reason)
    assert refused.score - refused.score == 0.0, "what is not a number does not get into the log"
    assert scenario.candle(100.0) == [], "nothing rests"


def test_the_refusals_of_an_answer_come_before_those_of_the_account() -> None:
    contracts, risk = [listed("A"), listed("B")], RiskSettings(max_concurrent_positions=1)
    scenario = Scenario(contracts, risk)
    scenario.enter(symbol="A")
    reasons = [only(scenario.candle(100.0, ODD + n, "B"), OrderRejected).reason for n in (14, 10, 12)]
    assert reasons == ["not_a_number", "stop_wrong_side", "target_wrong_side"]
    assert only(scenario.candle(100.0, BUY, "B"), OrderRejected).reason == "max_positions"


def test_a_reading_that_is_not_a_number_is_left_out_of_the_event() -> None:
    placed = only(Scenario().candle(100.0, ODD + 16), OrderPlaced)
    assert placed.readings == {"profit_usdt": 0.0}


def test_a_far_target_is_a_target() -> None:
    scenario = Scenario()
    scenario.candle(100.0, ODD + 17)
    assert only(scenario.candle(100.0), PositionOpened).target_price_usdt > 1e10


@pytest.mark.parametrize("number", range(4))
def test_leaving_for_an_unknown_reason_leaves_for_one_without_a_name(number: int) -> None:
    scenario = Scenario()
    scenario.enter()
    assert only(scenario.candle(100.0, ODD + ODD_ENTRIES + number), OrderPlaced).reason == "unnamed_exit"
    assert only(scenario.candle(100.0), PositionClosed).reason == "unnamed_exit"


def test_an_answer_says_the_same_after_a_start_as_without_one() -> None:
    """What an earlier answer left in a row is in no snapshot: it must not count."""
    scenario = Scenario()
    _signal_and_forget(scenario)
    restarted = decode(encode(scenario.world), STRATEGIES)
    fact = candle(scenario.minute["X"], 100.0, "X", volume=ODD + 17)
    going_on, anew = (decide(world, fact, 10)[1].event for world in (scenario.world, restarted))
    assert isinstance(going_on, OrderPlaced)
    assert going_on == anew


@pytest.mark.parametrize("names", ['("stop",)', '("mine", "margin")', '("mine", "mine")'])
def test_a_strategy_may_not_name_its_exits_as_the_engine_does(names: str, tmp_path: Path) -> None:
    text = (SCRIPTED_FOLDER / "scripted.py").read_text(encoding="utf-8")
    (tmp_path / "mine.py").write_text(text.replace('("told",)', names), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"EXIT_REASONS: '(stop|margin|mine)' is"):
        load_strategies([tmp_path])


def _signal_and_forget(scenario: Scenario) -> None:
    """A signal whose order is cancelled: the row that held it is written to again."""
    scenario.candle(100.0, SELL)
    scenario.skip(1)
    scenario.candle(100.0)
