"""Section 6 by hand: what `manage` changes, what it leaves alone, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from .scene import Bar, Scene, cancellations, mirrored_price, reasons
from .simulate import Outcome

SIDES = pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
QUIET = (100.0, 100.0, 100.0, 100.0)
ENTER: dict[str, Any] = {
    "side": 1,
    "stop_price": 95.0,
    "quantity": 10.0,
    "targets": [(102.0, 0.5), (104.0, 0.5)],
    "adds": [{"kind": "limit", "price": 99.0}, {"kind": "stop", "price": 103.0, "expires": 5}],
}


def managed(answer: dict[str, Any], bars: list[Bar] | None = None, side: int = 1, **more: Any) -> Outcome:
    """The run in which the change is answered on bar 1, the entry's own."""
    enter = ENTER | more.pop("enter", {})
    return Scene(enter, bars or [QUIET], manages={1: answer}, **more).play(side)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "not a number": ({"stop_price": float("nan")}, "not_a_number"),
    "an infinite target": ({"targets": [(float("inf"), 1.0)]}, "not_a_number"),
    "a negative reduce": ({"reduce": -0.5}, "not_a_number"),
    "a reduce of more than all": ({"reduce": 1.1}, "not_a_number"),
    "trailing by everything": ({"trailing": (1.0,)}, "not_a_number"),
    "trailing after a loss": ({"trailing": (0.1, -0.1)}, "not_a_number"),
    "an add of no size": ({"adds": [{"kind": "limit", "price": 99.0, "size": 0.0}]}, "not_a_number"),
    "an add of five": ({"adds": [{"kind": "limit", "price": 99.0, "size": 5.0}]}, "not_a_number"),
    "an expiry of 289": ({"adds": [{"kind": "limit", "price": 99.0, "expires": 289}]}, "not_a_number"),
    "a stop at the close": ({"stop_price": 100.0}, "stop_through_market"),
    "a stop beyond the close before a bad target": (
        {"stop_price": 101.0, "targets": [(99.0, 1.0)]},
        "stop_through_market",
    ),
    "a target at the close": ({"targets": [(100.0, 1.0)]}, "target_through_market"),
    "a target behind the close before a bad ladder": (
        {"targets": [(103.0, 1.0), (99.0, 1.0)]},
        "target_through_market",
    ),
    "five targets": ({"targets": [(101.0 + n, 0.1) for n in range(5)]}, "ladder"),
    "targets that come back": ({"targets": [(103.0, 0.5), (102.0, 0.5)]}, "ladder"),
    "equal targets": ({"targets": [(103.0, 0.5), (103.0, 0.5)]}, "ladder"),
    "more than the whole": ({"targets": [(102.0, 0.5), (103.0, 0.6)]}, "ladder"),
    "a part of nothing": ({"targets": [(102.0, 0.0)]}, "ladder"),
    "a limit add at the close": ({"adds": [{"kind": "limit", "price": 100.0}]}, "ladder"),
    "a limit add at the stop": ({"adds": [{"kind": "limit", "price": 95.0}]}, "ladder"),
    "a limit add below the new stop": ({"stop_price": 97.0, "adds": [{"kind": "limit", "price": 96.0}]}, "ladder"),
    "limit adds that come back": (
        {"adds": [{"kind": "limit", "price": 98.0}, {"kind": "limit", "price": 98.5}]},
        "ladder",
    ),
    "a stop add at the close": ({"adds": [{"kind": "stop", "price": 100.0}]}, "ladder"),
    "a stop add at the last target that stands": ({"adds": [{"kind": "stop", "price": 104.0}]}, "ladder"),
    "a full ladder below the stop add that stands": ({"targets": [(102.0, 1.0)]}, "ladder"),
    "a full ladder that ends at the stop add that stands": ({"targets": [(103.0, 1.0)]}, "ladder"),
    "a market add behind another": (
        {"adds": [{"kind": "limit", "price": 99.0}, {"kind": "market"}]},
        "ladder",
    ),
    "two market adds": ({"adds": [{"kind": "market"}, {"kind": "market"}]}, "ladder"),
    "a bad ladder before too many units": ({"adds": [{"kind": "limit", "price": 100.0, "size": 3.0}]}, "ladder"),
    "too many units": ({"adds": [{"kind": "limit", "price": 98.0, "size": 2.1}]}, "units"),
}


@SIDES
@pytest.mark.parametrize(("answer", "reason"), REFUSED.values(), ids=REFUSED)
def test_an_answer_is_refused_whole(answer: dict[str, Any], reason: str, side: int) -> None:
    outcome = managed(answer | {"trailing": (0.5,)} if "trailing" not in answer else answer, side=side, units_max=3.0)
    assert [(r["action"], r["reason"]) for r in outcome.log.refusals] == [("change", reason)]
    holding = outcome.holdings["X"]
    assert holding.stop_reason == "stop"
    assert holding.trailing.fraction == 0.0
    assert [rests.add.kind for rests in holding.adds] == ["limit", "stop"]
    assert (outcome.log.moves, holding.reduce) == ([], None)


@pytest.mark.parametrize("answer", [{"stop_price": -1.0}, {"targets": [(0.0, 1.0)]}])
def test_a_price_of_nothing_is_no_number(answer: dict[str, Any]) -> None:
    assert reasons(managed(answer)) == ["not_a_number"]


@SIDES
def test_what_is_taken(side: int) -> None:
    adds = [{"kind": "market"}, {"kind": "limit", "price": 98.5}]
    outcome = managed(
        {"stop_price": 97.0, "targets": [(105.0, 1.0)], "adds": adds, "trailing": (0.0, 0.0, 0.2), "reduce": 0.5},
        [QUIET, QUIET],
        side,
        units_max=3.0,
    )
    assert reasons(outcome) == []
    assert [move["what"] for move in outcome.log.moves] == ["stop", "targets"]
    assert cancellations(outcome) == [(2, "add", 1, "replaced"), (2, "add", 2, "replaced")]
    assert [(f["action"], f["reason"], f["quantity_base"]) for f in outcome.log.fills[1:]] == [
        ("reduce", "reduced", 5.0),
        ("increase", "market", 10.0),
    ]
    holding = outcome.holdings["X"]
    assert holding.trailing.breakeven == 0.2
    assert [rests.number for rests in holding.adds] == [2]


def test_a_looser_stop_changes_nothing_and_is_no_refusal() -> None:
    outcome = managed({"stop_price": 94.0, "reduce": 0.5})
    assert (outcome.holdings["X"].stop, outcome.log.moves, reasons(outcome)) == (95.0, [], [])
    assert outcome.holdings["X"].reduce == 0.5, "the rest of the answer holds"


@SIDES
def test_equal_adds_and_targets_change_nothing(side: int) -> None:
    """The second add would have expired with bar 6; answered anew it does, for nothing was placed."""
    same = {"targets": ENTER["targets"], "adds": ENTER["adds"]}
    scene = Scene(ENTER, [QUIET] * 6, manages=dict.fromkeys(range(1, 6), same))
    outcome = scene.play(side)
    assert outcome.log.moves == []
    assert cancellations(outcome) == [(7, "add", 2, "expired")]


LIMIT_99, STOP_103 = {"kind": "limit", "price": 99.0}, {"kind": "stop", "price": 103.0, "expires": 5}
ALMOST_EQUAL: dict[str, list[dict[str, Any]]] = {
    "another price": [LIMIT_99, STOP_103 | {"price": 103.1}],
    "another size": [LIMIT_99, STOP_103 | {"size": 0.5}],
    "another expiry": [LIMIT_99, STOP_103 | {"expires": 6}],
    "no expiry": [LIMIT_99, {"kind": "stop", "price": 103.0}],
    "another order": [STOP_103, LIMIT_99],
    "fewer": [LIMIT_99],
    "more": [LIMIT_99, STOP_103, {"kind": "limit", "price": 98.0}],
}


@SIDES
@pytest.mark.parametrize("adds", ALMOST_EQUAL.values(), ids=ALMOST_EQUAL)
def test_adds_that_differ_replace_those_that_rest(adds: list[dict[str, Any]], side: int) -> None:
    outcome = managed({"adds": adds}, side=side)
    assert cancellations(outcome) == [(2, "add", 1, "replaced"), (2, "add", 2, "replaced")]
    assert [rests.number for rests in outcome.holdings["X"].adds] == [n + 1 for n in range(len(adds))]


@SIDES
def test_targets_with_other_parts_are_a_new_ladder(side: int) -> None:
    outcome = managed({"targets": [(102.0, 0.4), (104.0, 0.6)]}, side=side)
    assert [move["what"] for move in outcome.log.moves] == ["targets"]


@SIDES
def test_a_stop_is_put_on_the_grid_away_from_the_market(side: int) -> None:
    outcome = managed({"stop_price": 97.05}, side=side)
    assert mirrored_price(outcome.holdings["X"].stop, side) == 97.0


def test_a_full_ladder_may_end_below_a_stop_add_that_has_filled() -> None:
    bars = [QUIET, (100.0, 103.0, 100.0, 100.0)]
    outcome = Scene(ENTER | {"targets": []}, bars, manages={2: {"targets": [(102.0, 1.0)]}}).play()
    assert reasons(outcome) == []
    assert [rung.price for rung in outcome.holdings["X"].rungs] == [102.0]


def test_adds_that_rest_are_compared_without_those_that_filled() -> None:
    """The first add filled; naming the second alone is naming what rests."""
    fill = (100.0, 100.0, 98.0, 100.0)
    outcome = Scene(ENTER, [QUIET, fill], manages={2: {"adds": ENTER["adds"][1:]}}).play()
    assert cancellations(outcome) == []
    other = Scene(ENTER, [QUIET, fill], manages={2: {"adds": ENTER["adds"]}}).play()
    assert cancellations(other) == [(3, "add", 2, "replaced")]


def test_a_ladder_with_a_filled_rung_is_set_anew() -> None:
    """Half was taken at 102; the same ladder again takes half of what is open now."""
    fill = (100.0, 102.1, 100.0, 100.0)
    enter = {"adds": ()}
    outcome = Scene(ENTER | enter, [QUIET, fill, fill], manages={2: {"targets": ENTER["targets"]}}).play()
    assert [f["quantity_base"] for f in outcome.log.fills] == [10.0, 5.0, 2.5]
    assert [move["what"] for move in outcome.log.moves] == ["targets"]


def test_empty_targets_and_adds_end_them() -> None:
    outcome = managed({"targets": [], "adds": []}, [QUIET, (100.0, 110.0, 96.0, 100.0)])
    assert len(outcome.log.fills) == 1
    assert [c[3] for c in cancellations(outcome)] == ["replaced", "replaced"]


def test_without_a_full_ladder_stop_adds_may_lie_anywhere_above() -> None:
    outcome = managed({"targets": [(102.0, 0.5)], "adds": [{"kind": "stop", "price": 110.0}]})
    assert reasons(outcome) == []


def test_a_moved_stop_ends_the_reason_of_trailing() -> None:
    """Trailing put it at 98; moved to 99 it is a stop, and trailing from 102 makes it 99.9."""
    enter = ENTER | {"trailing": (0.02,)}
    outcome = Scene(enter, [QUIET, QUIET], manages={1: {"stop_price": 99.0}}).play()
    assert (outcome.holdings["X"].stop, outcome.holdings["X"].stop_reason) == (99.0, "stop")
    further = Scene(enter, [QUIET, (100.0, 102.0, 100.0, 101.0)], manages={1: {"stop_price": 99.0}}).play()
    assert (further.holdings["X"].stop, further.holdings["X"].stop_reason) == (99.9, "trailing_stop")


@pytest.mark.parametrize("numbers", [(0.4, 0.1, 0.2), (0.5, 0.0, 0.2), (0.5, 0.1, 0.3), (0.5, 0.1, 0.0)])
def test_each_number_of_the_trailing_is_a_change(numbers: tuple[float, float, float]) -> None:
    for told, moves in ((numbers, ["stop"]), ((0.5, 0.1, 0.2), [])):
        outcome = managed({"trailing": told}, enter={"trailing": (0.5, 0.1, 0.2)})
        assert [move["what"] for move in outcome.log.moves] == moves
        trailing = outcome.holdings["X"].trailing
        assert (trailing.fraction, trailing.after, trailing.breakeven) == told


def test_trailing_that_is_turned_off_leaves_the_stop() -> None:
    enter = ENTER | {"trailing": (0.02,)}
    bars = [QUIET, (100.0, 101.9, 100.0, 101.0)]
    outcome = Scene(enter, bars, manages={1: {"trailing": (0.0,)}}).play()
    assert (outcome.holdings["X"].stop, outcome.holdings["X"].stop_reason) == (98.0, "trailing_stop")


def test_manage_is_not_asked_where_leave_said_go() -> None:
    outcome = Scene(ENTER, [QUIET], leaves={1: "told"}, manages={1: {"stop_price": 99.0}}).play()
    assert outcome.holdings["X"].stop == 95.0


def test_manage_is_not_asked_on_a_late_candle() -> None:
    outcome = Scene(ENTER, [QUIET, QUIET], manages={2: {"stop_price": 99.0}}, late=frozenset({2})).play()
    assert outcome.holdings["X"].stop == 95.0


def test_a_change_holds_from_the_next_candle() -> None:
    """The stop moved to 99 on a candle whose low was 98 is not hit by it."""
    fills = Scene(ENTER, [(100.0, 100.0, 98.0, 100.0), QUIET], manages={1: {"stop_price": 99.0}}).fills()
    assert len(fills) == 1


def test_a_reduce_of_all_ends_the_position_and_cancels_the_adds() -> None:
    outcome = managed({"reduce": 1.0}, [QUIET, (99.0, 99.0, 99.0, 99.0)])
    (trade,) = outcome.log.trades
    assert (trade["reason"], trade["exit_price_usdt"]) == ("reduced", 99.0)
    assert [c[3] for c in cancellations(outcome)] == ["position_closed", "position_closed"]


def test_a_reduce_of_less_than_a_lot_is_cancelled() -> None:
    outcome = managed({"reduce": 0.0001}, [QUIET, QUIET], enter={"quantity": 9.999})
    assert cancellations(outcome) == [(2, "reduce", 0, "below_minimum")]


@SIDES
@pytest.mark.parametrize("what", [{"late": frozenset({2})}, {"missing": frozenset({2})}], ids=["late", "missing"])
def test_a_reduce_outlives_what_cancels_the_adds(what: dict[str, Any], side: int) -> None:
    outcome = managed({"reduce": 0.5}, [QUIET] * 3, side, **what)
    assert [c[1] for c in cancellations(outcome)] == ["add", "add"]
    assert [(f["reason"], f["quantity_base"]) for f in outcome.log.fills[1:]] == [("reduced", 5.0)]


def test_a_stopped_position_cancels_its_reduce() -> None:
    outcome = managed({"reduce": 0.5}, [QUIET, (94.0, 94.0, 94.0, 94.0)], enter={"adds": ()})
    assert cancellations(outcome) == [(2, "reduce", 0, "position_closed")]


def test_units_count_what_filled_in_the_life_of_the_position() -> None:
    """1 + 1 filled + 1 named is 3; 1.1 named is too much."""
    fill = (100.0, 100.0, 98.0, 100.0)
    for size, expected in ((1.0, []), (1.1, ["units"])):
        change = {"adds": [{"kind": "limit", "price": 97.0, "size": size}]}
        assert reasons(Scene(ENTER, [QUIET, fill], manages={2: change}, units_max=3.0).play()) == expected


def test_a_tripped_switch_drops_the_adds_and_takes_the_rest() -> None:
    change = {"stop_price": 96.0, "adds": [{"kind": "limit", "price": 97.0}]}
    settings = {"max_session_loss_percent": 0.0001}
    outcome = Scene(
        ENTER, [(100.0, 100.0, 98.0, 98.5), (98.5, 98.5, 98.5, 98.5)], manages={2: change}, settings=settings
    )
    run = outcome.play()
    assert reasons(run) == ["kill_switch"]
    assert (run.holdings["X"].stop, run.holdings["X"].adds) == (96.0, [])
    outcome.manages = {2: {"adds": []}}
    assert reasons(outcome.play()) == [], "to name none is no answer that a switch forbids"
