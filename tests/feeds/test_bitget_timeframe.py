"""A base timeframe other than a minute: the same feed, the same engine, fewer and longer candles."""

from __future__ import annotations

from typing import Final

import pytest

from papertape.engine.runner_settings import split_by_timeframe
from papertape.engine.verify import verify
from papertape.events.facts import FundingRateSettled, OpenInterestObserved, PositionClosed, PositionOpened, Timing
from papertape.events.units import HOUR_MS, MINUTE_MS
from papertape.sandbox.bitget.script import FaultScript
from tests.feeds.bitget_runs import (
    SPARSE,
    START_MS,
    THREE,
    Plan,
    assert_readings_are_true,
    assert_settlements_are_the_truth,
    assert_within_limits,
    order_of,
    values,
)
from tests.feeds.test_bitget_engine import Traded, traded
from tests.reducer.runs import BUILT_IN, eager
from tests.support import STRATEGIES

pytestmark = pytest.mark.system

HOURS: Final = 5
UNTIL_MS: Final = START_MS + HOURS * HOUR_MS
NAMES: Final = {5: "5m", 15: "15m", 60: "1H"}


def plan_of(minutes: int, script: FaultScript | None = None) -> Plan:
    return Plan(
        minutes=HOURS * 60.0,
        warm_up_minutes=4_800,
        behaviour=SPARSE,
        script=script,
        more={"timeframe_ms": minutes * MINUTE_MS},
    )


def assert_bars_are_the_history(made: Traded, minutes: int) -> None:
    """Every bar once, in order, equal to the exchange's, from the warm-up to the newest one that has closed."""
    length_ms, history = minutes * MINUTE_MS, made.twin._venue.history
    for symbol in THREE:
        found = [values(candle) for candle in made.watching().candles(symbol)]
        assert found[-1][0] >= UNTIL_MS - 2 * length_ms
        opens = range(int(found[0][0]), int(found[-1][0]) + length_ms, length_ms)
        bars = [history.bar(symbol, NAMES[minutes], open_ms) for open_ms in opens]
        assert found == [
            (bar.open_time_ms, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars if bar is not None
        ]


@pytest.mark.parametrize("minutes", [5, 15, 60])
def test_longer_candles_are_the_history_on_time_and_traded_on(minutes: int) -> None:
    names, _ = split_by_timeframe({name: STRATEGIES[name] for name in BUILT_IN}, None, minutes * MINUTE_MS)
    made = traded(plan_of(minutes), eager(tuple(names)))
    facts = made.watching()
    assert_bars_are_the_history(made, minutes)
    first_ms = facts.candles(THREE[0])[0].open_time_ms
    assert_settlements_are_the_truth(facts, THREE, first_ms, UNTIL_MS - HOUR_MS)
    assert_readings_are_true(facts)
    assert facts.of(FundingRateSettled) and facts.of(OpenInterestObserved)
    assert order_of(facts).misplaced == 0
    assert {candle.timing for candle in facts.candles()} == {Timing.WARM_UP, Timing.ON_TIME}
    assert verify(made.log.reader(), None, STRATEGIES).difference is None
    if minutes == 5:
        kinds = {type(event) for event in made.decisions}
        assert {PositionOpened, PositionClosed} <= kinds


def test_longer_candles_under_mixed_faults_are_the_history() -> None:
    script = FaultScript(4, THREE, START_MS + 10 * MINUTE_MS, UNTIL_MS - 40 * MINUTE_MS, an_hour=15.0)
    made = traded(plan_of(5, script), eager(BUILT_IN))
    facts = made.watching()
    assert_bars_are_the_history(made, 5)
    assert_settlements_are_the_truth(facts, THREE, facts.candles(THREE[0])[0].open_time_ms, UNTIL_MS - HOUR_MS)
    assert_readings_are_true(facts)
    assert order_of(facts).wrong == []
    assert_within_limits(made.twin)
    assert sum(made.twin.faults.counts.values()) > 20
