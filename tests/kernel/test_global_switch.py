"""The global kill switch: the highest total of the last 25 hours, all strategies at once, and what a reset may end."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from papertape.engine.kernel.codes import GLOBAL_LOSS
from papertape.engine.kernel.kill_switch import update_total
from papertape.engine.kernel.state import GlobalKillSwitch
from papertape.engine.reducer.reducer import decide
from papertape.engine.reducer.state import EngineState
from papertape.engine.runner_settings import RunnerSettings, configuration
from papertape.events.errors import CommandRefused
from papertape.events.facts import GLOBAL_SCOPE, Event, KillSwitchReset, KillSwitchTripped, OrderCancelled, OrderPlaced
from papertape.events.log import Recorded
from papertape.events.units import HOUR_MS
from tests.build import DAY_0_MS, candle, listed
from tests.kernel.scenario import BUY, NOTHING, Prices
from tests.support import NO_COSTS, STRATEGIES, configured_world, state_of, take

ALL_IN = replace(
    NO_COSTS, max_risk_per_trade_percent=100.0, max_session_loss_percent=100.0, max_daily_loss_percent=100.0
)
CAREFUL = replace(ALL_IN, global_max_loss_percent=5.0)
TWO = {"scripted": STRATEGIES["scripted"], "second": replace(STRATEGIES["scripted"], name="second")}
FAR = {"stop_percent": 20.0, "target_percent": 60.0}


class Pair:
    """Two strategies that hear the same orders, 10,000 USDT each; together 160 coins at 100."""

    def __init__(self, first: object = CAREFUL, second: object = CAREFUL) -> None:
        settings = {
            "scripted": RunnerSettings(FAR, risk=first),  # type: ignore[arg-type]
            "second": RunnerSettings(FAR, risk=second),  # type: ignore[arg-type]
        }
        self.contracts = [listed("X", tick=(1, 100)), listed("Y", tick=(1, 100))]
        self.world: EngineState = configured_world(self.contracts, settings, TWO)
        self.log: list[Recorded] = []

    def candle(self, minute: int, prices: Prices, told: float = NOTHING, symbol: str = "X") -> list[Event]:
        """The candle of a minute."""
        return take(self.world, self.log, candle(minute, prices, symbol, volume=told))

    def enter(self) -> None:
        """Both long from 100."""
        self.candle(0, 100.0, BUY)
        self.candle(1, 100.0)
        assert [runner.desks[0].position.quantity_base for runner in self.world.runners] == [80.0, 80.0]

    def reset(self, scope: str, trip_seq: int) -> None:
        """A human ends a trip."""
        take(self.world, self.log, KillSwitchReset(DAY_0_MS, scope, trip_seq, "anna", "looked at it"))

    def tripped(self) -> list[bool]:
        """Which strategies are stopped."""
        return [runner.account.tripped != 0 for runner in self.world.runners]

    def trips(self) -> list[tuple[int, str]]:
        """Every trip of the log: seq and scope."""
        return [(item.seq, item.event.scope) for item in self.log if isinstance(item.event, KillSwitchTripped)]


def test_a_fall_of_the_total_by_the_limit_stops_all_strategies_with_one_trip() -> None:
    pair = Pair()
    pair.enter()
    assert pair.candle(2, 93.76) == []
    (trip,) = pair.candle(3, 93.75)
    assert isinstance(trip, KillSwitchTripped)
    assert (trip.scope, trip.reason, trip.threshold_percent) == (GLOBAL_SCOPE, "global_loss", 5.0)
    assert (trip.base_usdt, trip.peak_usdt, trip.equity_usdt) == (20_000.0, 20_000.0, 19_000.0)
    assert pair.tripped() == [True, True]
    assert pair.candle(4, 90.0) == [], "one trip is recorded"


def test_pending_entries_of_every_strategy_are_cancelled_with_the_trip_as_their_cause() -> None:
    pair = Pair()
    pair.enter()
    pair.candle(1, 100.0, BUY, "Y")
    decided = pair.candle(2, 93.0)
    cancelled = [event for event in decided if isinstance(event, OrderCancelled)]
    assert [(event.strategy, event.symbol, event.reason) for event in cancelled] == [
        ("scripted", "Y", "kill_switch"),
        ("second", "Y", "kill_switch"),
    ]
    (trip_seq, _) = pair.trips()[0]
    assert [item.cause for item in pair.log if isinstance(item.event, OrderCancelled)] == [trip_seq, trip_seq]
    assert pair.candle(2, 100.0, BUY, "Y") == []


@pytest.mark.parametrize(("last_minute", "trips"), [(25 * 60 - 2, True), (25 * 60 - 1, False)])
def test_the_window_is_this_hour_and_the_24_before(last_minute: int, trips: bool) -> None:
    """The highest total stands in hour 0; a candle that closes at 24:59 still sees it, one at 25:00 does not."""
    pair = Pair()
    pair.enter()
    assert pair.candle(2, 94.0) == []
    decided = pair.candle(last_minute, 93.75)
    assert any(isinstance(event, KillSwitchTripped) for event in decided) is trips


def test_the_total_at_the_start_counts_in_the_first_hour() -> None:
    guard, maxima = GlobalKillSwitch(max_loss=0.45, hours=25, total_usdt=100.0), [0.0] * 25
    assert not update_total(guard, maxima, 90.0, 5 * HOUR_MS)
    assert guard.peak_usdt == 100.0
    assert update_total(guard, maxima, 55.0, 29 * HOUR_MS)


def test_an_hour_that_left_the_window_is_forgotten() -> None:
    guard, maxima = GlobalKillSwitch(max_loss=0.45, hours=25, total_usdt=100.0), [0.0] * 25
    update_total(guard, maxima, 90.0, 5 * HOUR_MS)
    assert not update_total(guard, maxima, 50.0, 30 * HOUR_MS)
    assert guard.peak_usdt == 50.0


def test_a_reset_of_the_global_switch_starts_its_window_and_every_stopped_account_again() -> None:
    pair = Pair()
    pair.enter()
    pair.candle(2, 93.0)
    pair.reset(GLOBAL_SCOPE, pair.trips()[0][0])
    assert pair.tripped() == [False, False]
    assert pair.world.guard.peak_usdt == pair.world.guard.total_usdt == 18_880.0
    assert [runner.account.session_base_usdt for runner in pair.world.runners] == [9_440.0, 9_440.0]
    assert pair.candle(3, 93.0) == []
    assert [event.strategy for event in pair.candle(4, 93.0, BUY, "Y") if isinstance(event, OrderPlaced)] == [
        "scripted",
        "second",
    ]


@pytest.mark.parametrize("trip_seq", [0, 1, 99])
def test_a_reset_of_another_trip_is_refused_and_changes_nothing(trip_seq: int) -> None:
    pair = Pair()
    pair.enter()
    pair.candle(2, 93.0)
    before = state_of(pair.world)
    with pytest.raises(CommandRefused, match="global"):
        pair.reset(GLOBAL_SCOPE, trip_seq)
    assert state_of(pair.world) == before


def test_a_strategy_stopped_by_the_global_switch_cannot_be_reset_alone() -> None:
    pair = Pair()
    pair.enter()
    pair.candle(2, 93.0)
    with pytest.raises(CommandRefused, match="scripted"):
        pair.reset("scripted", pair.trips()[0][0])


def test_a_strategy_stopped_before_keeps_its_own_trip_through_a_global_reset() -> None:
    pair = Pair(replace(CAREFUL, max_session_loss_percent=3.0))
    pair.enter()
    pair.candle(2, 96.0)
    pair.candle(3, 93.0)
    (own_seq, own), (global_seq, scope) = pair.trips()
    assert (own, scope) == ("scripted", GLOBAL_SCOPE)
    pair.reset(GLOBAL_SCOPE, global_seq)
    assert pair.tripped() == [True, False]
    pair.reset("scripted", own_seq)
    assert pair.tripped() == [False, False]


def test_the_reset_of_its_own_trip_frees_no_strategy_while_the_global_switch_stands() -> None:
    pair = Pair(replace(CAREFUL, max_session_loss_percent=3.0))
    pair.enter()
    pair.candle(2, 96.0)
    pair.candle(3, 93.0)
    (own_seq, _), (global_seq, _) = pair.trips()
    pair.reset("scripted", own_seq)
    assert pair.tripped() == [True, True], "the global switch goes on to hold it"
    assert pair.candle(4, 93.0, BUY, "Y") == []
    pair.reset(GLOBAL_SCOPE, global_seq)
    assert pair.tripped() == [False, False]


def test_a_strategy_configured_while_the_global_switch_stands_is_held_by_it() -> None:
    pair = Pair()
    third = {**TWO, "third": replace(STRATEGIES["scripted"], name="third")}
    pair.world.strategies = third
    pair.enter()
    pair.candle(2, 93.0)
    added = configuration(third, pair.contracts, {"third": RunnerSettings(FAR, risk=CAREFUL)})[-1]
    take(pair.world, pair.log, added)
    assert pair.tripped() == [True, True, True]
    assert pair.candle(3, 93.0, BUY, "Y") == []
    pair.reset(GLOBAL_SCOPE, pair.trips()[0][0])
    assert pair.tripped() == [False, False, False]


def test_a_trip_by_hand_stops_everything() -> None:
    pair = Pair()
    by_hand = KillSwitchTripped(DAY_0_MS, GLOBAL_SCOPE, "manual", 20_000.0, 20_000.0, 20_000.0, 0.0)
    decide(pair.world, by_hand, 7)
    assert pair.tripped() == [True, True]
    assert pair.world.guard.tripped != GLOBAL_LOSS
    assert pair.candle(0, 100.0, BUY) == []


def test_a_trip_by_hand_on_top_of_the_global_one_outlives_its_reset() -> None:
    pair = Pair()
    pair.enter()
    pair.candle(2, 93.0)
    by_hand = KillSwitchTripped(DAY_0_MS, "second", "manual", 10_000.0, 10_000.0, 9_440.0, 0.0)
    take(pair.world, pair.log, by_hand)
    pair.reset(GLOBAL_SCOPE, pair.trips()[0][0])
    assert pair.tripped() == [False, True]
    pair.reset("second", pair.trips()[1][0])
    assert pair.tripped() == [False, False]
