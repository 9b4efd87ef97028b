"""Two logs compared: what counts as a difference, which one comes first, and how it is described."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.events.facts import (
    EngineStarted,
    EngineStopped,
    FeedConnected,
    FeedLost,
    FundingRateSettled,
    KillSwitchReset,
    KillSwitchTripped,
    OrderPlaced,
    Timing,
)
from papertape.events.units import HOUR_MS, MINUTE_MS
from papertape.projections.folds.decisions import market_of
from papertape.projections.folds.log_diff import ComparedLog, Comparison, compare_sides, market_difference
from papertape.projections.host import fold
from tests.build import DAY_0_MS, candle, closed, configured, opened, ordered, recorded

if TYPE_CHECKING:
    from papertape.events.facts import Event

RUNNER = configured()
STORY: list[Event] = [RUNNER, candle(0, 100.0), ordered(), opened(), closed(5.0), candle(90, 105.0)]


def compare(a: list[Event], b: list[Event], b_first_seq: int = 1) -> Comparison:
    one, other = ComparedLog("a.db"), ComparedLog("b.db")
    fold([one], recorded(a))
    fold([other], recorded(b, b_first_seq))
    return compare_sides(one, other)


def changed(number: int, **fields: object) -> list[Event]:
    """Return the story with one event changed."""
    return [replace(event, **fields) if at == number else event for at, event in enumerate(STORY)]


def test_seqs_starts_and_feed_outages_are_no_difference() -> None:
    life: list[Event] = [
        EngineStarted(1, "0.2", "code", "config"),
        FeedConnected(DAY_0_MS, "sim", 99, 60.0),
        FeedLost(DAY_0_MS, "sim", "simulated outage"),
        EngineStopped(7, "asked to stop"),
    ]
    found = compare(STORY, [*life, *STORY, *life], b_first_seq=500)
    assert (found.equal, found.difference) == (True, None)
    (pair,) = found.pairs
    assert (pair.strategy, pair.same_decisions, pair.differs_at_ms) == ("momentum", 3, 0)
    assert (found.a.head_seq, found.b.head_seq, found.b.decisions) == (6, 513, 3)


def test_the_readings_of_a_decision_are_no_difference() -> None:
    assert compare(STORY, changed(2, readings={"adx_15m": 99.0}, score=0.1)).equal


def test_the_trip_seq_of_a_reset_is_no_difference() -> None:
    trip = KillSwitchTripped(DAY_0_MS, "momentum", "manual", 1.0, 1.0, 1.0, 0.0, "anna", "news")
    one, other = (KillSwitchReset(DAY_0_MS, "momentum", seq, "anna", "over") for seq in (2, 77))
    assert compare([RUNNER, trip, one], [RUNNER, trip, other]).equal
    assert not compare([RUNNER, trip, one], [RUNNER, trip, replace(other, who="bob")]).equal


def test_a_different_decision_is_reported_with_every_different_field() -> None:
    found = compare(STORY, changed(3, quantity_base=2.0))
    assert not found.equal
    difference = found.difference
    assert difference is not None
    assert (difference.scope, difference.number, difference.kind) == ("momentum", 2, "other")
    assert [(one.name, one.a, one.b) for one in difference.fields] == [("quantity_base", 1.0, 2.0)]
    assert difference.a is not None
    assert difference.a.text.startswith("LONG BTCUSDT: momentum opened 1")
    assert (difference.a.seq, difference.a.type) == (4, "PositionOpened")


def test_an_earlier_decision_belongs_to_one_log_only() -> None:
    late = [RUNNER, candle(0, 100.0), replace(ordered(), at_ms=DAY_0_MS + HOUR_MS), candle(90, 105.0)]
    difference = compare(STORY, late).difference
    assert difference is not None
    assert (difference.kind, difference.number, difference.at_ms, difference.ended) == ("only_a", 1, DAY_0_MS, "")
    assert difference.b is not None
    assert difference.b.at_ms == DAY_0_MS + HOUR_MS
    assert difference.fields == ()
    mirrored = compare(late, STORY).difference
    assert mirrored is not None
    assert mirrored.kind == "only_b"


def test_a_log_that_ended_earlier_is_named() -> None:
    order = replace(ordered(), at_ms=DAY_0_MS + HOUR_MS)
    longer: list[Event] = [RUNNER, candle(0, 100.0), candle(59, 100.0), order]
    found = compare(longer, [RUNNER, candle(0, 100.0)])
    assert found.difference is not None
    assert (found.difference.kind, found.difference.ended, found.difference.b) == ("only_a", "b", None)
    silent = compare(longer, [RUNNER, candle(0, 100.0), candle(59, 100.0)])
    assert silent.difference is not None
    assert (silent.difference.kind, silent.difference.ended) == ("only_a", "")


def test_candles_without_a_decision_are_no_difference() -> None:
    assert compare(STORY, [*STORY, candle(91, 1.0), candle(92, 2.0)]).equal


def test_strategies_are_compared_separately_and_the_earliest_difference_comes_first() -> None:
    other = configured("funding")
    momentum_late = replace(ordered(), at_ms=DAY_0_MS + HOUR_MS)
    funding_early = ordered(strategy="funding")
    a: list[Event] = [RUNNER, other, funding_early, momentum_late]
    b: list[Event] = [
        RUNNER,
        other,
        replace(funding_early, quantity_base=9.0),
        replace(momentum_late, quantity_base=9.0),
    ]
    found = compare(a, b)
    assert found.difference is not None
    assert found.difference.scope == "funding"
    assert [(one.strategy, one.differs_at_ms) for one in found.pairs] == [
        ("momentum", DAY_0_MS + HOUR_MS),
        ("funding", DAY_0_MS),
    ]


def test_a_strategy_in_only_one_log_is_a_difference_even_without_decisions() -> None:
    found = compare([RUNNER], [RUNNER, configured("funding")])
    assert (found.equal, found.difference) == (False, None)
    assert [(one.strategy, one.a is None, one.b is None) for one in found.pairs] == [
        ("momentum", False, False),
        ("funding", True, False),
    ]


def test_the_settings_are_those_at_the_decision() -> None:
    before = replace(RUNNER, parameters={"breakout_lookback": 20})
    after = replace(RUNNER, parameters={"breakout_lookback": 30})
    first, second = ordered(), replace(ordered(), quantity_base=9.0)
    found = compare([before, first, second, after], [before, first, after, first])
    assert found.difference is not None
    assert [(one.name, one.a, one.b) for one in found.difference.settings] == [("parameters.breakout_lookback", 20, 30)]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ([candle(0, 1.0), candle(1, 2.0)], None),
        ([candle(0, 1.0), candle(1, 3.0)], (candle(1, 2.0), candle(1, 3.0))),
        ([candle(0, 1.0), candle(1, 2.0, timing=Timing.LATE)], (candle(1, 2.0), candle(1, 2.0, timing=Timing.LATE))),
        ([candle(1, 2.0)], (candle(0, 1.0), None)),
        ([candle(0, 1.0)], (candle(1, 2.0), None)),
    ],
)
def test_the_first_different_market_fact_is_found(
    other: list[Event], expected: tuple[Event | None, Event | None] | None
) -> None:
    market: list[Event] = [candle(0, 1.0), candle(1, 2.0)]
    assert market_difference(market, other) == expected
    assert market_difference(other, market) == (None if expected is None else (expected[1], expected[0]))


def test_the_market_of_a_decision_is_its_symbols_earlier_facts_without_warm_up() -> None:
    events: list[Event] = [
        candle(0, 1.0, timing=Timing.WARM_UP),
        candle(1, 1.0, "ETHUSDT"),
        candle(1, 1.0),
        FundingRateSettled(DAY_0_MS + 2 * MINUTE_MS, "BTCUSDT", 0.0001),
        ordered(),
        candle(2, 1.0),
    ]
    assert list(market_of(recorded(events), "BTCUSDT", DAY_0_MS + 2 * MINUTE_MS)) == [events[2], events[3]]
    assert isinstance(events[4], OrderPlaced)
