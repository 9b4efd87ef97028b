"""A strategy's kill switch: when it trips, what it stops, what goes on, and who ends it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from papertape.engine.reducer.reducer import is_decision
from papertape.events.errors import CommandRefused
from papertape.events.facts import (
    FundingPaid,
    KillSwitchReset,
    KillSwitchTripped,
    OrderCancelled,
    OrderPlaced,
    PositionClosed,
    PositionOpened,
    RunnerConfigured,
)
from tests.build import DAY_0_MS, listed
from tests.kernel.scenario import BUY, LEAVE, Scenario, only
from tests.support import NO_COSTS, state_of

ALL_IN = replace(NO_COSTS, max_risk_per_trade_percent=100.0, global_max_loss_percent=100.0)
"""80 coins at 100, without costs: a fall of 6.25 is the session limit of 500, one of 12.5 the daily limit of 1,000."""
SESSION_ONLY = replace(ALL_IN, max_daily_loss_percent=100.0)
DAY_ONLY = replace(ALL_IN, max_session_loss_percent=100.0)
MINUTES_A_DAY = 1_440


def standing(risk: object = ALL_IN) -> Scenario:
    """80 coins long from 100, stop and target far away."""
    scenario = Scenario([listed("X", tick=(1, 100))], risk, stop_percent=20.0, target_percent=60.0)  # type: ignore[arg-type]
    scenario.enter()
    assert scenario.desk().position.quantity_base == 80.0
    return scenario


def reset(scenario: Scenario, scope: str = "scripted", trip_seq: int | None = None) -> KillSwitchReset:
    """A human ends the trip that stands, or the one that is named."""
    seq = scenario.world.runners[0].trip_seq if trip_seq is None else trip_seq
    return KillSwitchReset(DAY_0_MS, scope, seq, "anna", "looked at it")


def test_the_session_limit_trips_when_it_is_reached_exactly() -> None:
    scenario = standing()
    assert scenario.candle(93.76) == []
    trip = only(scenario.candle(93.75), KillSwitchTripped)
    assert (trip.scope, trip.reason, trip.threshold_percent) == ("scripted", "session_loss", 5.0)
    assert (trip.base_usdt, trip.peak_usdt, trip.equity_usdt) == (10_000.0, 10_000.0, 9_500.0)


def test_the_daily_limit_trips_when_it_is_reached_exactly() -> None:
    scenario = standing(DAY_ONLY)
    assert scenario.candle(87.51) == []
    trip = only(scenario.candle(87.5), KillSwitchTripped)
    assert (trip.reason, trip.base_usdt, trip.equity_usdt) == ("daily_loss", 10_000.0, 9_000.0)


def test_when_both_limits_are_reached_the_session_is_named_and_only_once() -> None:
    scenario = standing()
    assert only(scenario.candle(85.0), KillSwitchTripped).reason == "session_loss"
    assert scenario.candle(84.0) == []


def test_the_day_protects_what_was_gained_above_the_session() -> None:
    scenario = standing()
    scenario.candle(140.0)
    scenario.skip(MINUTES_A_DAY)
    scenario.candle(140.0)
    trip = only(scenario.candle(123.5), KillSwitchTripped)
    assert (trip.reason, trip.base_usdt, trip.equity_usdt) == ("daily_loss", 13_200.0, 11_880.0)


def test_the_day_begins_with_the_equity_before_its_first_candle() -> None:
    scenario = standing(DAY_ONLY)
    scenario.candle(95.0)
    scenario.skip(MINUTES_A_DAY - 4)
    scenario.candle(94.0)
    assert scenario.account.day_base_usdt == 10_000.0, "the last candle of the day"
    scenario.candle(94.0)
    assert scenario.account.day_base_usdt == 9_520.0


def test_a_trip_stops_entries_and_a_new_day_does_not_end_it() -> None:
    scenario = standing(SESSION_ONLY)
    scenario.candle(93.0, LEAVE)
    only(scenario.candle(93.0), PositionClosed)
    assert scenario.candle(93.0, BUY) == []
    scenario.skip(2 * MINUTES_A_DAY)
    assert scenario.candle(93.0, BUY) == []
    assert scenario.candle(93.0, BUY) == []


def test_after_a_trip_the_stop_goes_on() -> None:
    scenario = standing(SESSION_ONLY)
    scenario.candle(93.0)
    assert only(scenario.candle((93.0, 93.0, 79.0, 80.0)), PositionClosed).reason == "stop"


def test_after_a_trip_target_funding_and_the_strategys_own_exit_go_on() -> None:
    scenario = standing(SESSION_ONLY)
    scenario.candle(93.0)
    scenario.settle(3, 0.001)
    only(scenario.candle(93.0), FundingPaid)
    only(scenario.candle(93.0, LEAVE), OrderPlaced)
    assert only(scenario.candle(93.0), PositionClosed).reason == "told"
    through = standing(SESSION_ONLY)
    through.candle(93.0)
    assert only(through.candle((93.0, 161.0, 93.0, 160.0)), PositionClosed).reason == "target"


def test_a_reset_names_its_trip_and_starts_session_and_day_from_the_equity() -> None:
    scenario = standing()
    scenario.candle(90.0, LEAVE)
    scenario.tell(reset(scenario))
    account = scenario.account
    assert scenario.log[-1].cause == scenario.world.runners[0].trip_seq
    assert (account.tripped, account.session_base_usdt, account.day_base_usdt) == (0, 9_200.0, 9_200.0)
    only(scenario.candle(90.0, BUY)[1:], OrderPlaced)
    only(scenario.candle(90.0), PositionOpened)


@pytest.mark.parametrize("what", ["not tripped", "another trip", "twice", "an old one"])
def test_a_reset_that_does_not_fit_is_refused_and_changes_nothing(what: str) -> None:
    scenario = standing(SESSION_ONLY)
    command = reset(scenario, trip_seq=1)
    if what != "not tripped":
        scenario.candle(93.0)
        command = reset(scenario, trip_seq=99) if what == "another trip" else reset(scenario)
    if what in ("twice", "an old one"):
        scenario.tell(command)
    if what == "an old one":
        only(scenario.candle(80.1), KillSwitchTripped)
    before, length = state_of(scenario.world), len(scenario.log)
    with pytest.raises(CommandRefused, match="scripted: "):
        scenario.tell(command)
    assert (state_of(scenario.world), len(scenario.log)) == (before, length)


def test_a_restart_of_the_configuration_does_not_end_a_trip() -> None:
    scenario = standing(SESSION_ONLY)
    scenario.candle(93.0)
    scenario.tell(scenario.world.runners[0].configured)
    assert isinstance(scenario.log[-1].event, RunnerConfigured)
    assert scenario.account.tripped != 0
    assert scenario.account.session_base_usdt == 10_000.0


def by_hand(scenario: Scenario) -> KillSwitchTripped:
    """A human stops the strategy."""
    equity = scenario.account.equity_usdt
    return KillSwitchTripped(DAY_0_MS, "scripted", "manual", equity, equity, equity, 0.0)


def test_a_trip_by_hand_cancels_the_pending_entry_at_once() -> None:
    scenario = Scenario(risk=ALL_IN)
    scenario.candle(100.0, BUY)
    command = by_hand(scenario)
    assert not is_decision(command)
    assert only(scenario.tell(command), OrderCancelled).reason == "kill_switch"
    scenario.tell(reset(scenario))
    assert scenario.candle(100.0) == [], "a reset before the next candle does not bring it back"


def test_a_trip_by_hand_is_refused_while_one_stands() -> None:
    scenario = Scenario(risk=ALL_IN)
    scenario.tell(by_hand(scenario))
    before = state_of(scenario.world)
    with pytest.raises(CommandRefused, match="tripped already"):
        scenario.tell(by_hand(scenario))
    assert state_of(scenario.world) == before
