"""Every limit that refuses a signal, and the order in which they are asked."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.events.facts import OrderPlaced, OrderRejected
from tests.build import listed
from tests.kernel.scenario import BUY, SELL, Scenario, only
from tests.support import NO_COSTS

COINS = [listed("A"), listed("B"), listed("C"), listed("D")]


@pytest.mark.parametrize(
    ("reason", "risk", "stop_percent", "lot"),
    [
        ("stop_too_close", RiskSettings(), 0.0, (1, 1_000)),
        ("stop_too_close", NO_COSTS, 0.0, (1, 1_000)),
        ("stop_beyond_liquidation", RiskSettings(), 25.0, (1, 1_000)),
        ("stop_beyond_liquidation", RiskSettings(leverage=100.0), 0.3, (1, 1_000)),
        ("cost_to_stop", RiskSettings(max_cost_to_stop=0.25), 0.3, (1, 1_000)),
        ("below_minimum", RiskSettings(capital_usdt=5.0), 1.0, (1, 1_000)),
        ("below_minimum", RiskSettings(capital_usdt=100.0), 1.0, (10, 1)),
    ],
)
def test_a_signal_is_refused_with_its_reason(
    reason: str, risk: RiskSettings, stop_percent: float, lot: tuple[int, int]
) -> None:
    scenario = Scenario([listed("X", lot=lot)], risk, stop_percent)
    assert only(scenario.candle(100.0, BUY), OrderRejected).reason == reason
    assert scenario.candle(100.0) == [], "a refused signal leaves nothing behind"


def test_a_position_or_pending_entry_takes_one_of_the_places() -> None:
    scenario = Scenario(COINS, RiskSettings(max_concurrent_positions=2))
    scenario.enter(symbol="A")
    scenario.candle(100.0, SELL, "B")
    assert only(scenario.candle(100.0, SELL, "C"), OrderRejected).reason == "max_positions"


def test_the_same_direction_in_one_group_is_bounded() -> None:
    scenario = Scenario([*COINS[:3], listed("D", group="metals")], RiskSettings(max_concurrent_positions=4))
    scenario.enter(BUY, symbol="A")
    scenario.candle(100.0, BUY, "B")
    assert only(scenario.candle(100.0, BUY, "C"), OrderRejected).reason == "correlation"
    assert only(scenario.candle(100.0, BUY, "D"), OrderPlaced).side == "long"
    assert only(scenario.candle(100.0, SELL, "C"), OrderPlaced).side == "short"


def test_the_reasons_are_asked_in_their_order() -> None:
    """A signal against which everything speaks names the first; each limit taken away uncovers the next."""
    everything = RiskSettings(
        max_concurrent_positions=1, max_same_direction=1, max_cost_to_stop=0.001, capital_usdt=14.0
    )
    steps = [
        ("max_positions", everything, 30.0),
        ("correlation", replace(everything, max_concurrent_positions=2), 30.0),
        ("stop_beyond_liquidation", replace(everything, max_concurrent_positions=2, max_same_direction=2), 30.0),
        ("cost_to_stop", replace(everything, max_concurrent_positions=2, max_same_direction=2), 10.0),
        (
            "below_minimum",
            replace(everything, max_concurrent_positions=2, max_same_direction=2, max_cost_to_stop=0.0, leverage=1.2),
            10.0,
        ),
    ]
    for reason, risk, stop_percent in steps:
        scenario = Scenario([listed("A"), listed("B", lot=(1, 1))], risk, stop_percent=1.0)
        scenario.world.runners[0].params[1] = replace(scenario.world.runners[0].params[1], stop_percent=stop_percent)
        scenario.world.runners[0].desks[0].order.action = 1
        scenario.world.runners[0].desks[0].order.side = 1
        assert only(scenario.candle(100.0, BUY, "B"), OrderRejected).reason == reason


def test_the_last_place_gets_what_margin_is_left() -> None:
    scenario = Scenario(COINS, RiskSettings(max_same_direction=4))
    sizes = [only(scenario.candle(100.0, BUY, symbol), OrderPlaced).quantity_base for symbol in "ABC"]
    assert sizes[0] == sizes[1] == 79.92
    assert sizes[2] < sizes[0], "the fees of the first two come out of the third"


def test_a_size_is_floored_never_rounded() -> None:
    scenario = Scenario([listed("X", lot=(10, 1))])
    assert only(scenario.candle(100.0, BUY), OrderPlaced).quantity_base == 70.0


def test_open_profit_adds_no_margin() -> None:
    scenario = Scenario(COINS, RiskSettings(max_concurrent_positions=1, free_margin_percent=0.0), target_percent=60.0)
    scenario.enter(symbol="A")
    before = scenario.account.cash_usdt
    scenario.candle(150.0, symbol="A")
    assert scenario.account.equity_usdt > 11_000.0
    assert scenario.account.cash_usdt == before


def test_liquidation_exactly_at_the_required_distance_is_accepted() -> None:
    """E = 100 and SL = 80: at a ratio of 1.5 the liquidation price must be 70, and a leverage of 3 puts it there."""
    maintenance = 1.0 - (2.0 / 3.0) / 0.70
    contract = listed("X", tiers=((0.0, maintenance),))
    accepted = Scenario([contract], replace(NO_COSTS, liquidation_distance_min=1.4999999), stop_percent=20.0)
    refused = Scenario([contract], replace(NO_COSTS, liquidation_distance_min=1.5000001), stop_percent=20.0)
    assert only(accepted.candle(100.0, BUY), OrderPlaced)
    assert only(refused.candle(100.0, BUY), OrderRejected).reason == "stop_beyond_liquidation"
