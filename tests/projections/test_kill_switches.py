"""Given trips and resets, then who may open positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.events.facts import GLOBAL_SCOPE, RunnerPaused
from papertape.events.units import HOUR_MS
from papertape.projections.folds.kill_switches import PAST_TRIPS_MAX, KillSwitches
from papertape.projections.host import fold
from tests.build import DAY_0_MS, configured, recorded, reset, tripped

if TYPE_CHECKING:
    from papertape.events.facts import Event

TWO = (configured("a"), configured("b"))


def switches(*events: Event) -> KillSwitches:
    view = KillSwitches()
    fold([view], recorded(events))
    return view


def states(*events: Event) -> list[str]:
    view = switches(*events)
    return [view.standing("a").state, view.standing("b").state]


def test_a_trip_stops_its_strategy_alone_and_says_why() -> None:
    assert states(*TWO, tripped("a")) == ["stopped", "active"]
    standing = switches(*TWO, tripped("a")).standing("a")
    assert standing.why == "kill switch: session loss 5.02 % of 10,000.00 reached the limit of 5 %"
    assert standing.trip is not None
    assert (standing.trip.trip_seq, standing.trip.equity_usdt) == (3, 9_498.0)


def test_a_reset_that_names_the_trip_releases_the_strategy_and_is_recorded() -> None:
    view = switches(*TWO, tripped("a"), reset("a", 3))
    assert view.standing("a").state == "active"
    assert view.active_trips() == ()
    past = view.past_trips()[0]
    assert (past.trip_seq, past.reset_at_ms, past.reset_who, past.reset_why) == (
        3,
        DAY_0_MS + HOUR_MS,
        "anna",
        "looked at it",
    )


def test_a_reset_that_names_another_trip_changes_nothing() -> None:
    assert states(*TWO, tripped("a"), reset("a", 2)) == ["stopped", "active"]
    assert states(*TWO, tripped(GLOBAL_SCOPE), reset(GLOBAL_SCOPE, 2)) == ["stopped", "stopped"]


def test_a_global_trip_stops_every_strategy() -> None:
    assert states(*TWO, tripped(GLOBAL_SCOPE, "global_loss")) == ["stopped", "stopped"]
    standing = switches(*TWO, tripped(GLOBAL_SCOPE, "global_loss")).standing("b")
    assert standing.why.startswith("global kill switch: global loss")


def test_a_global_reset_releases_only_strategies_without_their_own_trip() -> None:
    events = (*TWO, tripped("a"), tripped(GLOBAL_SCOPE, "global_loss"), reset(GLOBAL_SCOPE, 4))
    assert states(*events) == ["stopped", "active"]
    assert [trip.scope for trip in switches(*events).active_trips()] == ["a"]


def test_after_its_own_reset_a_strategy_is_still_stopped_by_the_global_trip() -> None:
    events = (*TWO, tripped("a"), tripped(GLOBAL_SCOPE, "global_loss"), reset("a", 3))
    assert states(*events) == ["stopped", "stopped"]
    assert states(*events, reset(GLOBAL_SCOPE, 4)) == ["active", "active"]


def test_a_strategy_stopped_only_globally_has_no_own_trip_to_reset() -> None:
    assert states(*TWO, tripped(GLOBAL_SCOPE, "global_loss"), reset("a", 3)) == ["stopped", "stopped"]


def test_a_global_trip_stops_a_strategy_configured_later() -> None:
    assert states(configured("a"), tripped(GLOBAL_SCOPE, "global_loss"), configured("b")) == ["stopped", "stopped"]


def test_active_trips_list_the_global_one_once_and_first() -> None:
    view = switches(*TWO, tripped("b"), tripped(GLOBAL_SCOPE, "global_loss"))
    assert [trip.scope for trip in view.active_trips()] == [GLOBAL_SCOPE, "b"]


def test_a_strategy_with_its_own_trip_names_that_trip() -> None:
    trip = switches(*TWO, tripped("b"), tripped(GLOBAL_SCOPE, "global_loss")).standing("b").trip
    assert trip is not None
    assert trip.scope == "b"


def test_a_trip_survives_a_restart_of_the_runner() -> None:
    assert states(*TWO, tripped("a"), *TWO) == ["stopped", "active"]


def test_a_trip_takes_precedence_over_a_pause() -> None:
    view = switches(*TWO, RunnerPaused(DAY_0_MS, "a", "anna", "holiday"), tripped("a"))
    assert view.standing("a").state == "stopped"


def test_past_trips_are_bounded() -> None:
    rounds = [e for i in range(PAST_TRIPS_MAX + 5) for e in (tripped("a"), reset("a", 3 + 2 * i))]
    assert len(switches(*TWO, *rounds).past_trips()) == PAST_TRIPS_MAX
