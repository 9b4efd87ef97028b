"""The paper exchange inside one candle: what ends a position, at which price and when."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from papertape.events.facts import Liquidated, OrderPlaced, PositionClosed, PositionOpened
from papertape.events.units import MINUTE_MS
from tests.build import DAY_0_MS
from tests.kernel.scenario import BUY, LEAVE, SELL, Scenario, only
from tests.support import NO_LIMITS

SMOOTH = replace(NO_LIMITS, slippage_percent=0.0)
"""Entry at 100 with stop 99 and target 102; liquidation at 67.4. Short mirrored about 100."""
AT_OPEN, AT_CLOSE = DAY_0_MS + 2 * MINUTE_MS, DAY_0_MS + 3 * MINUTE_MS

ENDS = {
    "opens on the stop": ((99.0, 103.0, 97.0, 98.0), "stop", 99.0, AT_OPEN, False),
    "gaps over the stop": ((98.0, 98.0, 97.0, 98.0), "stop", 98.0, AT_OPEN, False),
    "gaps through the target": ((105.0, 106.0, 97.0, 98.0), "target", 102.0, AT_OPEN, False),
    "gaps through the target by a tick": ((102.1, 102.1, 102.1, 102.1), "target", 102.0, AT_OPEN, False),
    "touches the stop": ((100.0, 100.0, 99.0, 100.0), "stop", 99.0, AT_CLOSE, False),
    "falls far through the stop": ((100.0, 100.0, 50.0, 60.0), "stop", 99.0, AT_CLOSE, False),
    "goes through the target by a tick": ((100.0, 102.1, 99.1, 100.0), "target", 102.0, AT_CLOSE, False),
    "goes through both": ((100.0, 102.1, 99.0, 100.0), "stop", 99.0, AT_CLOSE, True),
    "stop, and the target only touched": ((100.0, 102.0, 99.0, 100.0), "stop", 99.0, AT_CLOSE, False),
}
STAYS = {
    "touches the target": (100.0, 102.0, 99.1, 101.0),
    "opens on the target": (102.0, 102.0, 99.1, 100.0),
    "stays a tick above the stop": (99.1, 100.0, 99.1, 100.0),
}


def mirrored(prices: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """The same candle upside down about 100."""
    o, h, low, c = (round(200.0 - price, 1) for price in prices)
    return o, low, h, c


@pytest.mark.parametrize(("prices", "reason", "price", "at_ms", "ambiguous"), ENDS.values(), ids=ENDS)
def test_a_long_that_ends(
    prices: tuple[float, float, float, float], reason: str, price: float, at_ms: int, ambiguous: bool
) -> None:
    scenario = Scenario(risk=SMOOTH)
    scenario.enter(BUY)
    closed = only(scenario.candle(prices), PositionClosed)
    assert (closed.reason, closed.price_usdt, closed.at_ms, closed.ambiguous) == (reason, price, at_ms, ambiguous)


@pytest.mark.parametrize(("prices", "reason", "price", "at_ms", "ambiguous"), ENDS.values(), ids=ENDS)
def test_a_short_that_ends_is_the_mirror(
    prices: tuple[float, float, float, float], reason: str, price: float, at_ms: int, ambiguous: bool
) -> None:
    scenario = Scenario(risk=SMOOTH)
    scenario.enter(SELL)
    closed = only(scenario.candle(mirrored(prices)), PositionClosed)
    assert (closed.reason, closed.price_usdt, closed.at_ms, closed.ambiguous) == (
        reason,
        200.0 - price,
        at_ms,
        ambiguous,
    )


@pytest.mark.parametrize("prices", STAYS.values(), ids=STAYS)
@pytest.mark.parametrize("told", [BUY, SELL])
def test_a_position_that_stays(prices: tuple[float, float, float, float], told: float) -> None:
    scenario = Scenario(risk=SMOOTH)
    scenario.enter(told)
    assert scenario.candle(prices if told == BUY else mirrored(prices)) == []


@pytest.mark.parametrize(("told", "opening"), [(BUY, 67.3), (SELL, 132.0), (BUY, 10.0)])
def test_a_gap_over_the_liquidation_price_takes_the_whole_margin_and_no_fee(told: float, opening: float) -> None:
    scenario = Scenario(risk=SMOOTH)
    scenario.enter(told)
    margin, opening_fee = scenario.desk().position.margin_usdt, scenario.desk().position.fee_usdt
    taken = only(scenario.candle(opening), Liquidated)
    assert taken.price_usdt == pytest.approx(100.0 - 100.0 / 3.0 if told == BUY else 100.0 + 100.0 / 3.0, rel=1e-12)
    assert (taken.reason, taken.fee_usdt, taken.at_ms) == ("liquidation", 0.0, AT_OPEN)
    assert taken.gross_usdt == pytest.approx(-margin, rel=1e-12)
    assert scenario.account.cash_usdt == pytest.approx(10_000.0 - margin - opening_fee, abs=1e-9)


def test_a_gap_just_short_of_the_liquidation_price_is_a_stop() -> None:
    scenario = Scenario(risk=SMOOTH)
    scenario.enter(BUY)
    assert only(scenario.candle(67.5), PositionClosed).reason == "stop"


def test_liquidation_comes_before_a_pending_exit() -> None:
    scenario = Scenario(risk=SMOOTH)
    scenario.enter(BUY)
    only(scenario.candle(100.0, LEAVE), OrderPlaced)
    assert only(scenario.candle(60.0), Liquidated).reason == "liquidation"
    assert scenario.candle(60.0) == [], "the exit order went with the position"


@pytest.mark.parametrize("opening", [98.0, 100.0, 105.0])
def test_a_pending_exit_comes_before_stop_and_target(opening: float) -> None:
    scenario = Scenario(risk=SMOOTH)
    scenario.enter(BUY)
    order = only(scenario.candle(100.0, LEAVE), OrderPlaced)
    closed = only(scenario.candle(opening), PositionClosed)
    assert (order.action, order.reason) == ("exit", "told")
    assert (closed.reason, closed.price_usdt, closed.fee_usdt) == (
        "told",
        opening,
        closed.quantity_base * opening * 0.0006,
    )


def test_a_position_can_be_stopped_on_the_candle_it_was_opened_on() -> None:
    scenario = Scenario(risk=SMOOTH)
    scenario.candle(100.0, BUY)
    opened, closed = scenario.candle((100.0, 100.0, 98.0, 98.5))
    assert isinstance(opened, PositionOpened)
    assert isinstance(closed, PositionClosed)
    assert (opened.at_ms, closed.at_ms, closed.reason) == (DAY_0_MS + MINUTE_MS, DAY_0_MS + 2 * MINUTE_MS, "stop")


def test_a_position_can_reach_its_target_on_the_candle_it_was_opened_on() -> None:
    scenario = Scenario(risk=SMOOTH)
    scenario.candle(100.0, BUY)
    _, closed = scenario.candle((100.0, 102.1, 100.0, 102.0))
    assert isinstance(closed, PositionClosed)
    assert closed.reason == "target"


def test_the_target_pays_the_maker_fee_and_everything_else_the_taker_fee() -> None:
    for prices, rate in (((100.0, 103.0, 100.0, 103.0), 0.0002), ((100.0, 100.0, 98.0, 98.0), 0.0006)):
        scenario = Scenario(risk=SMOOTH)
        scenario.enter(BUY)
        closed = only(scenario.candle(prices), PositionClosed)
        assert closed.fee_usdt == closed.quantity_base * closed.price_usdt * rate
        assert closed.fees_usdt == closed.quantity_base * 100.0 * 0.0006 + closed.fee_usdt


def test_stop_and_target_come_from_the_fill_not_from_the_signal() -> None:
    scenario = Scenario()
    scenario.candle(100.0, BUY)
    opened = only(scenario.candle(200.0), PositionOpened)
    assert (opened.price_usdt, opened.stop_price_usdt, opened.target_price_usdt) == (200.1, 198.0, 204.2)
    assert opened.slippage_usdt == pytest.approx(opened.quantity_base * 0.1)


def test_a_stop_is_slipped_and_rounded_against_the_trader() -> None:
    scenario = Scenario()
    scenario.enter(BUY)
    closed = only(scenario.candle((100.0, 100.0, 99.0, 99.0)), PositionClosed)
    assert (closed.entry_price_usdt, closed.reference_price_usdt, closed.price_usdt) == (100.1, 99.0, 98.9)
    assert closed.slippage_usdt == pytest.approx(closed.quantity_base * 0.2)


def test_the_net_result_is_gross_less_fees_plus_funding_and_measured_in_r() -> None:
    scenario = Scenario()
    scenario.enter(BUY)
    risk_usdt = scenario.desk().position.risk_usdt
    scenario.settle(2, 0.001)
    scenario.candle(100.0, LEAVE)
    closed = only(scenario.candle(101.0), PositionClosed)
    assert closed.funding_usdt == -closed.quantity_base * 100.0 * 0.001
    assert closed.net_usdt == closed.gross_usdt - closed.fees_usdt + closed.funding_usdt
    assert closed.r_multiple == closed.net_usdt / risk_usdt


def test_nothing_fills_inside_a_hole_and_the_first_candle_after_it_is_an_opening_gap() -> None:
    scenario = Scenario(risk=SMOOTH)
    scenario.enter(BUY)
    scenario.skip(60)
    closed = only(scenario.candle((90.0, 103.0, 90.0, 103.0)), PositionClosed)
    assert (closed.reason, closed.price_usdt, closed.at_ms) == ("stop", 90.0, AT_OPEN + 60 * MINUTE_MS)


def test_an_entry_may_follow_an_exit_on_the_close_of_the_same_candle() -> None:
    scenario = Scenario(risk=SMOOTH)
    scenario.enter(BUY)
    closed, placed = scenario.candle((100.0, 100.0, 98.0, 98.0), SELL)
    assert isinstance(closed, PositionClosed)
    assert isinstance(placed, OrderPlaced)
    assert (placed.action, placed.side) == ("entry", "short")
