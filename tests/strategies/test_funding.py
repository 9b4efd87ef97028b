"""Extreme funding: since when the rate has been extreme, and one entry for each settlement."""

from __future__ import annotations

import pytest

from papertape.engine.kernel.answers import Answer
from papertape.engine.kernel.state import Market, Series, SymbolState
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.strategies.funding import FUNDING_NORMAL, Parameters, Reading, State, enter, leave, on_funding
from papertape.events.facts import OrderPlaced, OrderRejected
from papertape.events.log import Recorded
from papertape.events.units import HOUR_MS, MINUTE_MS
from tests.build import candle, listed, settled, view_of
from tests.support import NO_LIMITS, configured_world, feed

NEGATIVE, POSITIVE, NORMAL = -0.0003, 0.0003, 0.0002


def settle(state: State, time_ms: int, rate: float) -> None:
    """A settlement, when its turn comes."""
    on_funding(view_of({"15m": Series()}, state, Market(rate=rate, rate_time_ms=time_ms)), Parameters())


@pytest.mark.parametrize(
    ("settlements", "side", "since_hours"),
    [
        ([(0, NEGATIVE)], 1, 0),
        ([(0, -0.00029999)], 0, None),
        ([(0, POSITIVE)], -1, 0),
        ([(0, 0.00029999)], 0, None),
        ([(0, NEGATIVE), (8, -0.001)], 1, 0),
        ([(0, NEGATIVE), (8, NORMAL)], 0, None),
        ([(0, NEGATIVE), (8, NORMAL), (16, NEGATIVE)], 1, 16),
        ([(0, NEGATIVE), (8, POSITIVE)], -1, 8),
        ([(0, NEGATIVE), (9, NEGATIVE)], 1, 9),
        ([(0, NEGATIVE), (1, NEGATIVE), (9, NEGATIVE)], 1, 0),
    ],
)
def test_since_when_the_rate_is_extreme(
    settlements: list[tuple[int, float]], side: int, since_hours: int | None
) -> None:
    state = State()
    for hours, rate in settlements:
        settle(state, hours * HOUR_MS, rate)
    assert state.side == side
    if since_hours is not None:
        assert state.since_ms == since_hours * HOUR_MS


def ask(minutes: float, rate: float = NEGATIVE, since: int = 0, placed: int = -1) -> tuple[int, Answer]:
    """The side entered some minutes after a settlement at 0."""
    state, decision = State(), Answer(reading=Reading())
    settle(state, 0, rate)
    state.since_ms = since
    market = Market(close_time_ms=int(minutes * MINUTE_MS), rate=rate, rate_time_ms=0)
    desk = SymbolState(entry_placed_ms=placed)
    return enter(view_of({"15m": Series()}, state, market, symbol=desk), Parameters(), decision), decision


@pytest.mark.parametrize(
    ("minutes", "rate", "side"),
    [
        (5, NEGATIVE, 1),
        (4.99, NEGATIVE, 0),
        (480, NEGATIVE, 1),
        (481, NEGATIVE, 0),
        (15, POSITIVE, -1),
        (15, NORMAL, 0),
    ],
)
def test_each_condition(minutes: float, rate: float, side: int) -> None:
    assert ask(minutes, rate)[0] == side


def test_an_order_since_the_last_settlement_forbids_another() -> None:
    assert ask(30, placed=15 * MINUTE_MS)[0] == 0
    assert ask(30, placed=-15 * MINUTE_MS)[0] == 1


@pytest.mark.parametrize(("rate", "score"), [(NEGATIVE, 1.0), (-0.0009, 1.0), (POSITIVE, 1.0)])
def test_the_score_is_never_above_one(rate: float, score: float) -> None:
    _, decision = ask(15, rate)
    assert decision.score == pytest.approx(score)
    assert decision.score <= 1.0


@pytest.mark.parametrize(
    ("rate", "minutes", "reason"),
    [
        (0.0001, 10, 0),
        (0.00009999, 10, FUNDING_NORMAL),
        (-0.0001, 10, 0),
        (-0.00009999, 10, FUNDING_NORMAL),
        (0.0, 480, FUNDING_NORMAL),
        (0.0, 481, 0),
    ],
)
def test_it_leaves_when_the_rate_is_normal_and_known(rate: float, minutes: int, reason: int) -> None:
    market, decision = Market(close_time_ms=minutes * MINUTE_MS, rate=rate, rate_time_ms=0), Answer(reading=Reading())
    assert leave(view_of({"15m": Series()}, State(), market), Parameters(), decision) == reason


def test_without_any_settlement_nothing_is_known() -> None:
    decision = Answer(reading=Reading())
    assert leave(view_of({"15m": Series()}, State()), Parameters(), decision) == 0


def entries(
    settlements: list[tuple[int, float]], hours: int, lot: tuple[int, int] = (1, 1_000)
) -> list[tuple[str, int]]:
    """What becomes of the signals of a quiet market: kind and minute. The target is reached at once."""
    world = configured_world([listed("X", lot=lot)], {"funding": RunnerSettings(risk=NO_LIMITS)})
    log: list[Recorded] = []
    facts = [candle(minute, (100.0, 101.0, 100.0, 100.0), "X") for minute in range(hours * 60)]
    rates = [settled(hour * HOUR_MS, rate, "X") for hour, rate in settlements]
    feed(world, log, sorted([*facts, *rates], key=lambda fact: fact.at_ms))
    start_ms = facts[0].open_time_ms
    placed = [item.event for item in log if isinstance(item.event, OrderPlaced | OrderRejected)]
    return [(type(event).__name__, (event.at_ms - start_ms) // MINUTE_MS) for event in placed]


def test_there_is_one_entry_for_each_settlement() -> None:
    """At 00:15 the first 15m close after the delay; at 08:15 the next one; none in between."""
    assert entries([(0, NEGATIVE), (8, NEGATIVE)], 9) == [("OrderPlaced", 15), ("OrderPlaced", 495)]


def test_a_settlement_at_the_close_is_not_yet_known_there() -> None:
    assert entries([(1, NEGATIVE)], 2) == [("OrderPlaced", 75)]


def test_a_refused_entry_is_no_order_and_is_tried_again() -> None:
    assert entries([(0, NEGATIVE)], 1, lot=(1_000, 1)) == [("OrderRejected", minute) for minute in (15, 30, 45, 60)]
