"""Orders wait for the next open: what fills them, what lets them expire, and what slippage they meet."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.reducer.reducer import is_new
from papertape.events.errors import CommandRefused
from papertape.events.facts import (
    CloseRequested,
    Event,
    OrderCancelled,
    OrderPlaced,
    PositionClosed,
    PositionOpened,
    RunnerPaused,
    RunnerResumed,
    SymbolResumed,
    SymbolSuspended,
    Timing,
)
from papertape.events.units import MINUTE_MS
from tests.build import DAY_0_MS, listed
from tests.kernel.scenario import BUY, LEAVE, SELL, Scenario, only
from tests.support import NO_LIMITS


def test_a_signal_on_a_close_is_filled_at_the_next_open() -> None:
    scenario = Scenario()
    placed = only(scenario.candle((90.0, 100.0, 90.0, 100.0), BUY), OrderPlaced)
    opened = only(scenario.candle((101.0, 101.0, 100.5, 101.0)), PositionOpened)
    assert placed.at_ms == opened.at_ms == DAY_0_MS + MINUTE_MS
    assert (opened.reference_price_usdt, opened.price_usdt) == (101.0, 101.1)
    assert opened.quantity_base == placed.quantity_base, "the size does not change until the fill"
    assert opened.fee_usdt == opened.quantity_base * 101.1 * 0.0006
    assert scenario.account.cash_usdt == 10_000.0 - opened.fee_usdt


def test_a_short_is_sold_below_the_open() -> None:
    scenario = Scenario()
    scenario.candle(100.0, SELL)
    assert only(scenario.candle(101.0), PositionOpened).price_usdt == 100.9


def cancelled(scenario: Scenario, decided: list[Event]) -> OrderCancelled:
    """The cancellation, after which nothing is left of the entry."""
    assert scenario.desk().order.action == 0
    assert scenario.desk().position.side == 0
    return only(decided, OrderCancelled)


def test_an_entry_whose_next_candle_is_missing_expires() -> None:
    scenario = Scenario()
    scenario.candle(100.0, BUY)
    scenario.skip(1)
    assert cancelled(scenario, scenario.candle(100.0)).reason == "next_candle_missing"


def test_an_entry_that_meets_a_late_candle_expires() -> None:
    scenario = Scenario()
    scenario.candle(100.0, BUY)
    assert cancelled(scenario, scenario.candle(100.0, timing=Timing.LATE)).reason == "late_candle"


def test_an_entry_whose_margin_no_longer_suffices_expires() -> None:
    scenario = Scenario(
        risk=RiskSettings(free_margin_percent=0.0, max_concurrent_positions=1, max_risk_per_trade_percent=100.0)
    )
    scenario.candle(100.0, BUY)
    assert cancelled(scenario, scenario.candle(100.5)).reason == "margin"


def test_an_entry_whose_margin_just_suffices_is_filled() -> None:
    scenario = Scenario(
        risk=RiskSettings(free_margin_percent=0.0, max_concurrent_positions=1, max_risk_per_trade_percent=100.0)
    )
    scenario.candle(100.0, BUY)
    only(scenario.candle(100.0), PositionOpened)


def test_a_trip_cancels_the_pending_entries_of_all_symbols_at_once() -> None:
    scenario = Scenario([listed("A"), listed("B")], RiskSettings(max_session_loss_percent=0.5))
    scenario.enter(symbol="A")
    scenario.candle(100.0, BUY, "B")
    *_, cancellation = scenario.candle(98.0, symbol="A")
    assert isinstance(cancellation, OrderCancelled)
    assert (cancellation.symbol, cancellation.reason) == ("B", "kill_switch")
    assert scenario.candle(100.0, symbol="B") == []


def test_a_pending_exit_is_never_dropped() -> None:
    scenario = Scenario()
    scenario.enter()
    scenario.candle(100.0, LEAVE)
    scenario.skip(30)
    closed = only(scenario.candle(100.0, timing=Timing.LATE), PositionClosed)
    assert (closed.reason, closed.price_usdt, closed.at_ms) == ("told", 99.9, DAY_0_MS + 33 * MINUTE_MS)


def test_an_exit_says_nothing_of_the_entry_s_plan() -> None:
    scenario = Scenario()
    scenario.enter()
    placed = only(scenario.candle(100.0, LEAVE), OrderPlaced)
    plan = (placed.stop_fraction, placed.target_fraction, placed.risk_usdt, placed.planned_price_usdt, placed.units)
    assert (placed.action, plan, placed.score) == ("exit", (0.0,) * 5, 0.0)


def test_a_late_candle_asks_for_no_entry_and_no_exit() -> None:
    scenario = Scenario()
    assert scenario.candle(100.0, BUY, timing=Timing.LATE) == []
    scenario.enter()
    assert scenario.candle(100.0, LEAVE, timing=Timing.LATE) == []


def test_a_late_candle_resolves_the_stop() -> None:
    scenario = Scenario()
    scenario.enter()
    assert only(scenario.candle((100.0, 100.0, 90.0, 95.0), timing=Timing.LATE), PositionClosed).reason == "stop"


def test_history_before_the_start_decides_nothing() -> None:
    scenario = Scenario()
    assert scenario.candle(100.0, BUY, timing=Timing.WARM_UP) == []
    assert scenario.desk().order.action == 0


def test_a_paused_strategy_opens_nothing_until_it_is_resumed() -> None:
    scenario = Scenario()
    scenario.tell(RunnerPaused(DAY_0_MS, "scripted", "anna", "holiday"))
    assert scenario.candle(100.0, BUY) == []
    scenario.tell(RunnerResumed(DAY_0_MS, "scripted", "anna", "back"))
    only(scenario.candle(100.0, BUY), OrderPlaced)


# ---------------------------------------------------------------- high volatility


def quiet(risk: RiskSettings = RiskSettings(slippage_percent=0.1)) -> Scenario:  # noqa: B008 - frozen
    """Fifty candles of a narrow range: the ATR and its mean are ready."""
    scenario = Scenario(risk=risk, stop_percent=5.0, target_percent=20.0)
    for _ in range(50):
        scenario.candle((1_000.0, 1_000.5, 999.5, 1_000.0))
    return scenario


WILD = (1_000.0, 1_020.0, 990.0, 1_000.0)


def test_slippage_doubles_when_volatility_was_high_at_the_open() -> None:
    scenario = quiet()
    placed = only(scenario.candle(WILD, BUY), OrderPlaced)
    opened = only(scenario.candle(1_000.0), PositionOpened)
    assert (placed.planned_price_usdt, opened.price_usdt) == (1_002.0, 1_002.0)


def test_the_filling_candle_itself_does_not_touch_its_slippage() -> None:
    scenario = quiet()
    placed = only(scenario.candle(1_000.0, BUY), OrderPlaced)
    opened = only(scenario.candle(WILD), PositionOpened)
    assert (placed.planned_price_usdt, opened.price_usdt) == (1_001.0, 1_001.0)


def test_a_stop_inside_the_wild_candle_is_slipped_as_its_open_knew() -> None:
    scenario = quiet()
    scenario.enter(at=1_000.0)
    stop = scenario.desk().position.stop_price_usdt
    closed = only(scenario.candle((1_000.0, 1_000.0, 900.0, 900.0)), PositionClosed)
    assert closed.price_usdt == pytest.approx(stop * 0.999, abs=0.1)


def test_the_profit_a_strategy_is_told_knows_the_slippage_of_the_next_open() -> None:
    scenario = quiet()
    scenario.enter(at=1_000.0)
    position = scenario.desk().position
    told = only(scenario.candle(WILD, LEAVE), OrderPlaced).readings["profit_usdt"]
    left_at = 1_000.0 * (1.0 - 2.0 * 0.001)
    costs = position.fee_usdt + position.quantity_base * left_at * 0.0006
    assert told == pytest.approx(position.quantity_base * (left_at - position.entry_price_usdt) - costs, abs=1e-9)


@pytest.mark.parametrize("hole_minutes", [240, 241])
def test_after_a_hole_reset_volatility_is_not_known_and_not_doubled(hole_minutes: int) -> None:
    scenario = quiet(replace(NO_LIMITS, slippage_percent=0.1))
    scenario.enter(at=1_000.0)
    scenario.candle(WILD)
    scenario.candle(1_000.0, LEAVE)
    scenario.skip(hole_minutes)
    closed = only(scenario.candle(1_000.0), PositionClosed)
    assert closed.price_usdt == (998.0 if hole_minutes == 240 else 999.0)


def test_a_suspended_symbol_opens_nothing_until_it_is_resumed() -> None:
    scenario = Scenario([listed("A"), listed("B")])
    scenario.tell(SymbolSuspended(DAY_0_MS, "A", "a hole"))
    assert scenario.candle(100.0, BUY, "A") == []
    only(scenario.candle(100.0, BUY, "B"), OrderPlaced)
    scenario.tell(SymbolResumed(DAY_0_MS, "A", "healed"))
    only(scenario.candle(100.0, BUY, "A"), OrderPlaced)


def test_a_suspension_cancels_the_pending_entry_at_once_and_names_itself_as_the_cause() -> None:
    scenario = Scenario([listed("A"), listed("B")])
    scenario.candle(100.0, BUY, "A")
    scenario.candle(100.0, BUY, "B")
    decided = scenario.tell(SymbolSuspended(DAY_0_MS + MINUTE_MS, "A", "a hole"))
    cancellation = only(decided, OrderCancelled)
    assert cancellation == OrderCancelled(DAY_0_MS + MINUTE_MS, "scripted", "A", "long", "not_tradable")
    assert scenario.desk("A").order.action == 0
    assert scenario.log[-1].cause == scenario.log[-1].seq - 1
    only(scenario.candle(100.0, symbol="B"), PositionOpened)


def test_a_position_on_a_suspended_symbol_still_meets_its_stop_and_its_exit() -> None:
    for how in (LEAVE, None):
        scenario = Scenario()
        scenario.enter()
        scenario.tell(SymbolSuspended(DAY_0_MS + 2 * MINUTE_MS, "X", "a hole"))
        if how is None:
            assert only(scenario.candle((100.0, 100.0, 90.0, 95.0)), PositionClosed).reason == "stop"
        else:
            assert only(scenario.candle(100.0, how), OrderPlaced).action == "exit"
            assert only(scenario.candle(100.0), PositionClosed).reason == "told"


def test_what_is_known_of_a_symbol_is_no_news() -> None:
    scenario = Scenario([listed("A")])
    suspended, resumed = SymbolSuspended(DAY_0_MS, "A", "a hole"), SymbolResumed(DAY_0_MS, "A", "healed")
    assert is_new(scenario.world, suspended) and not is_new(scenario.world, resumed)
    scenario.tell(suspended)
    assert is_new(scenario.world, resumed) and not is_new(scenario.world, suspended)
    assert not is_new(scenario.world, replace(listed("A"), at_ms=DAY_0_MS + 1))
    assert is_new(scenario.world, replace(listed("A"), minimum_notional_usdt=7.0))
    assert is_new(scenario.world, SymbolSuspended(DAY_0_MS, "Z", "its contract cannot be read"))


def test_a_human_s_close_becomes_an_exit_order_that_is_filled_at_the_next_open() -> None:
    scenario = Scenario()
    scenario.enter()
    placed = only(scenario.tell(CloseRequested(DAY_0_MS + 2 * MINUTE_MS, "scripted", "X", "anna", "news")), OrderPlaced)
    assert (placed.action, placed.side, placed.reason) == ("exit", "long", "manual")
    assert set(placed.readings.values()) <= {0.0}, "nothing is left of an earlier decision"
    closed = only(scenario.candle(101.0, timing=Timing.LATE), PositionClosed)
    assert (closed.reason, closed.reference_price_usdt) == ("manual", 101.0)


def test_a_close_without_a_position_or_asked_for_twice_is_refused() -> None:
    scenario = Scenario()
    asked = CloseRequested(DAY_0_MS, "scripted", "X", "anna", "news")
    with pytest.raises(CommandRefused, match="scripted holds no position in X"):
        scenario.tell(asked)
    scenario.enter()
    with pytest.raises(CommandRefused, match="holds no position in NOPE"):
        scenario.tell(replace(asked, symbol="NOPE"))
    scenario.tell(asked)
    with pytest.raises(CommandRefused, match="closes X at the next open already"):
        scenario.tell(asked)
