"""The worked examples of the paper model, sections 3 to 6, to eight digits."""

from __future__ import annotations

import pytest

from papertape.engine.kernel.margin import committed_margin, liquidation_price, pending_margin, profit, tier_of
from papertape.engine.kernel.risk_settings import RiskSettings, rules_of
from papertape.engine.kernel.state import Order, Position, SymbolState, Tier
from papertape.engine.reducer.state import tiers_of
from papertape.events.facts import FundingPaid, OrderPlaced, PositionClosed
from tests.build import listed
from tests.kernel.scenario import BUY, LEAVE, Scenario, only

TEN_X = rules_of(RiskSettings(leverage=10.0))
TWENTY_X = rules_of(RiskSettings(leverage=20.0))
FINE = listed("X", tick=(1, 1_000_000), lot=(1, 10_000))


def test_section_2_a_pending_entry_ties_up_margin_opening_fee_and_the_reserve_for_closing() -> None:
    pending = SymbolState(order=Order(action=1, side=1, quantity_base=0.05, planned_price_usdt=84_000.0))
    filled = SymbolState(position=Position(side=1, quantity_base=0.05, entry_price_usdt=84_000.0))
    assert pending_margin(0.05, 84_000.0, TEN_X.taker_fee, TEN_X) == pytest.approx(420.0 + 2.52 + 2.52, rel=1e-12)
    assert committed_margin(pending, TEN_X) == pytest.approx(425.04, rel=1e-12)
    assert committed_margin(filled, TEN_X) == pytest.approx(422.52, rel=1e-12)
    assert committed_margin(SymbolState(), TEN_X) == 0.0


@pytest.mark.parametrize(("slippage_percent", "percent"), [(0.02, 0.1601), (0.05, 0.2202)])
def test_section_3_market_in_and_out_breaks_even_at_the_given_move(slippage_percent: float, percent: float) -> None:
    scenario = Scenario([FINE], RiskSettings(slippage_percent=slippage_percent), stop_percent=2.0, target_percent=5.0)
    scenario.enter(at=1_000.0)
    cost = 0.0006 + slippage_percent / 100.0
    exact = (1.0 + cost) / (1.0 - cost) - 1.0
    scenario.candle(1_000.0, LEAVE)
    closed = only(scenario.candle(1_000.0 * (1.0 + exact)), PositionClosed)
    assert exact * 100.0 == pytest.approx(percent, abs=5e-5)
    assert closed.net_usdt == pytest.approx(0.0, abs=closed.quantity_base * 1e-2)


def test_section_4_a_funding_payment() -> None:
    scenario = Scenario([listed("X", lot=(1, 100))], RiskSettings(capital_usdt=5_300.0, slippage_percent=0.0))
    scenario.enter(at=84_018.7)
    assert scenario.desk().position.quantity_base == 0.05
    scenario.settle(2, 0.0001)
    paid = only(scenario.candle(84_018.7), FundingPaid)
    assert paid.amount_usdt == pytest.approx(-0.4200935, abs=1e-12)


def test_section_4_profit_of_both_sides() -> None:
    assert profit(1, 0.05, 84_000.0, 84_100.0) == 5.0
    assert profit(-1, 0.05, 84_000.0, 84_100.0) == -5.0


@pytest.mark.parametrize(("side", "price"), [(1, 3_780.0 / (0.05 * 0.9954)), (-1, 4_620.0 / (0.05 * 1.0046))])
def test_section_5_liquidation_prices_of_tier_1(side: int, price: float) -> None:
    """75949.367... and 91976.90623..."""
    got = liquidation_price(side, 0.05, 84_000.0, TEN_X, [Tier(0.0, 0.004, 0.0)], 1)
    assert got == pytest.approx(price, rel=1e-13)
    assert round(got, 5) in (75_949.36709, 91_976.90623)


def test_section_5_the_tier_follows_from_the_notional_at_the_liquidation_price() -> None:
    tiers = tiers_of(listed("X", tiers=((0.0, 0.004), (200_000.0, 0.005), (5_000_000.0, 0.01))))
    assert [tier.offset_usdt for tier in tiers] == pytest.approx([0.0, 200.0, 25_200.0], rel=1e-12)
    price = liquidation_price(1, 3.0, 110_000.0, TWENTY_X, tiers, 3)
    maintenance = 3.0 * price * (0.005 + 0.0006) - 200.0
    assert price == pytest.approx(105_021.453, abs=5e-4)
    assert 16_500.0 + profit(1, 3.0, 110_000.0, price) == pytest.approx(maintenance, rel=1e-12)
    assert maintenance == pytest.approx(1_564.360, abs=5e-4)


@pytest.mark.parametrize(
    ("start", "maintenance"), [(105_000.0, 0.02), (109_000.0, 0.01), (110_000.0, 0.01), (104_000.0, 0.02)]
)
def test_section_5_at_a_tier_boundary_the_price_holds_in_its_own_tier(start: float, maintenance: float) -> None:
    """A long of 110,000 falls into the lower tier on its way down when the boundary lies in between."""
    tiers = tiers_of(listed("X", tiers=((0.0, 0.01), (start, 0.02))))
    price = liquidation_price(1, 1.0, 110_000.0, TWENTY_X, tiers, 2)
    tier = 1 if price >= start else 0
    row = tiers[tier]
    assert row.maintenance_fraction == maintenance
    assert 5_500.0 + profit(1, 1.0, 110_000.0, price) == pytest.approx(
        price * (row.maintenance_fraction + 0.0006) - row.offset_usdt, abs=1e-6
    )


@pytest.mark.parametrize(("notional", "tier"), [(0.0, 0), (199_999.9, 0), (200_000.0, 1), (5e6, 2), (1e9, 2)])
def test_section_5_a_tier_begins_at_its_start(notional: float, tier: int) -> None:
    tiers = tiers_of(listed("X", tiers=((0.0, 0.004), (200_000.0, 0.005), (5_000_000.0, 0.01))))
    assert tier_of(notional, tiers, 3) == tier


def test_section_5_without_leverage_a_long_has_no_liquidation() -> None:
    assert liquidation_price(1, 1.0, 100.0, rules_of(RiskSettings(leverage=1.0)), [Tier()], 1) <= 0.0


def test_section_6_risk_decides_the_size() -> None:
    risk = RiskSettings(leverage=20.0, max_risk_per_trade_percent=1.0, slippage_percent=0.02)
    scenario = Scenario([listed("X", lot=(1, 10_000))], risk, stop_percent=70.0 / 84.0)
    order = only(scenario.candle(83_983.2, BUY), OrderPlaced)
    assert order.planned_price_usdt == 84_000.0
    assert order.quantity_base == 0.1199
    assert order.quantity_base * order.planned_price_usdt == pytest.approx(10_071.60, abs=1e-8)
    assert order.risk_usdt == pytest.approx(0.1199 * 833.84, abs=1e-8)


def test_section_6_with_the_defaults_the_slot_decides() -> None:
    scenario = Scenario([listed("X", lot=(1, 10_000))], stop_percent=0.3)
    order = only(scenario.candle(84_000.0, BUY), OrderPlaced)
    assert order.planned_price_usdt == 84_042.0
    assert order.quantity_base * order.planned_price_usdt == pytest.approx(8_000.0, abs=8.5)
