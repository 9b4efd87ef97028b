"""Sections 3, 5 and 8 by hand: quantities of parts and adds, the trade that they make, and the checks of an add."""

from __future__ import annotations

import pytest

from papertape.engine.kernel.answers import Ladder, Rung
from papertape.engine.kernel.codes import TARGET_1
from papertape.engine.kernel.fills import part_to_close
from papertape.engine.kernel.state import Contract, Position

from .scene import Scene, cancellations
from .test_positions import ENTER, HALVES, LIMITS, QUIET, SIDES

# ---------------------------------------------------------------- quantities


def test_targets_grow_with_adds_and_shrink_with_reduces() -> None:
    """10 + 10 from the add; half at target 1 is 10; reduced by half to 5; the last rung takes all."""
    adds = {"adds": [{"kind": "limit", "price": 99.0}]}
    bars = [QUIET, (100.0, 100.0, 98.0, 100.0), (100.0, 102.1, 100.0, 102.0), QUIET, (100.0, 104.1, 100.0, 104.0)]
    fills = Scene(ENTER | HALVES | adds, bars, manages={3: {"reduce": 0.5}}).fills()
    assert [(f[1], f[2], f[4]) for f in fills] == [
        ("open", "market", 10.0),
        ("increase", "limit", 10.0),
        ("reduce", "target_1", 10.0),
        ("reduce", "reduced", 5.0),
        ("close", "target_2", 5.0),
    ]


def test_parts_are_fractions_of_what_the_ladder_had_left() -> None:
    """Parts .2 .3 .3 of 10: 2, then 8*.3/.8 = 3, then 5*.3/.5 = 3; 2 stay, for the ladder is not full."""
    enter = ENTER | {"targets": [(101.0, 0.2), (102.0, 0.3), (103.0, 0.3)]}
    outcome = Scene(enter, [QUIET, (100.0, 110.0, 100.0, 100.0)]).play()
    assert [f["quantity_base"] for f in outcome.log.fills] == pytest.approx([10.0, 2.0, 3.0, 3.0])
    assert outcome.holdings["X"].quantity == 2.0


def test_a_part_of_less_than_a_lot_is_cancelled_and_leaves_the_others_as_they_are() -> None:
    """0.004 in quarters: one lot each; a tenth of 0.009 is nothing and F stays 1, so .5 takes floor(.0045)."""
    enter = ENTER | {"quantity": 0.109, "targets": [(101.0, 0.001), (102.0, 0.5)]}
    outcome = Scene(enter, [QUIET, (100.0, 110.0, 100.0, 100.0)]).play()
    assert cancellations(outcome) == [(3, "target", 1, "below_minimum")]
    assert [(f["reason"], f["quantity_base"]) for f in outcome.log.fills[1:]] == [("target_2", 0.054)]


def test_behind_a_target_that_was_too_small_the_next_one_rests() -> None:
    enter = ENTER | {"targets": [(101.0, 0.00001), (104.0, 0.5)]}
    outcome = Scene(enter, [QUIET, (100.0, 101.1, 100.0, 100.0)]).play()
    assert cancellations(outcome) == [(3, "target", 1, "below_minimum")]
    assert [rung.price for rung in outcome.holdings["X"].rungs] == [104.0]


@SIDES
def test_a_rest_of_less_than_five_usdt_is_taken_too(side: int) -> None:
    """0.1 at 100 is 10 USDT; 0.06 at 101 would leave 4.04 USDT (0.04 at 99: 3.96)."""
    enter = ENTER | {"quantity": 0.1, "targets": [(101.0, 0.6), (102.0, 0.4)]}
    (trade,) = Scene(enter, [QUIET, (100.0, 101.1, 100.0, 100.0)]).play(side).log.trades
    assert (trade["reason"], trade["parts"], trade["max_quantity_base"]) == ("target_1", 1, 0.1)


def test_the_size_of_an_add_is_of_the_first_fill() -> None:
    """Half was taken at 102; the add of size 1.5 is 15 nonetheless."""
    enter = ENTER | {"targets": [(102.0, 0.5)], "adds": [{"kind": "limit", "price": 99.0, "size": 1.5}]}
    outcome = Scene(enter, [QUIET, (100.0, 102.1, 100.0, 100.0), (100.0, 100.0, 98.0, 100.0)]).play()
    holding = outcome.holdings["X"]
    assert (holding.quantity, holding.sizes, holding.largest) == (20.0, 2.5, 20.0)
    assert holding.average == pytest.approx((5 * 100.0 + 15 * 99.0) / 20.0)


def test_the_largest_quantity_is_that_of_any_time() -> None:
    """10, 20, 10 and 15."""
    adds = [{"kind": "limit", "price": 99.0}, {"kind": "limit", "price": 97.0, "size": 0.5}]
    bars = [QUIET, (100.0, 100.0, 98.5, 100.0), QUIET, (100.0, 100.0, 96.5, 100.0)]
    outcome = Scene(ENTER | {"adds": adds}, bars, manages={2: {"reduce": 0.5}}).play()
    assert (outcome.holdings["X"].quantity, outcome.holdings["X"].largest) == (15.0, 20.0)


def test_the_slippage_of_an_add_is_the_position_s() -> None:
    """100.1 in place of 100, and 101.2 in place of 101; half of both leaves with half of the position."""
    enter = ENTER | {"adds": [{"kind": "stop", "price": 101.0}]}
    scene = Scene(enter, [QUIET, (100.0, 101.0, 100.0, 100.0)], settings={"slippage_percent": 0.1})
    assert scene.play().holdings["X"].slippage == pytest.approx(9.99 * 0.1 + 9.99 * 0.2)
    scene.bars = [*scene.bars, QUIET]
    scene.manages = {2: {"reduce": 0.5}}
    outcome = scene.play()
    assert outcome.log.parts[0].slippage == pytest.approx(9.99 * 0.15 + 9.99 * 0.1)
    assert outcome.holdings["X"].slippage == pytest.approx(9.99 * 0.15)


def test_r1_grows_with_each_add() -> None:
    """The entry: 10*|100 - 95|, and 10*|99 - 95| of the add, without costs."""
    outcome = Scene(ENTER | LIMITS, [QUIET, (100.0, 100.0, 98.0, 100.0)]).play()
    assert outcome.holdings["X"].r1 == pytest.approx(50.0 + 40.0)


def test_r1_counts_what_the_fill_of_an_add_costs() -> None:
    """10*(5 + .0016*(100 + 95)) at a planned entry of 100.1; 10*(4 + .0002*99 + .0016*95) of a limit add at 99."""
    settings = {"maker_fee_percent": 0.02, "taker_fee_percent": 0.06, "slippage_percent": 0.1}
    outcome = Scene(ENTER | LIMITS, [QUIET, (100.0, 100.0, 98.5, 100.0)], settings=settings).play()
    entry = 5.1 + 0.0016 * (100.1 + 95.0)
    assert outcome.holdings["X"].r1 == pytest.approx(9.99 * entry + 9.99 * (4.0 + 0.0002 * 99.0 + 0.0016 * 95.0))


def test_a_reduce_of_less_than_a_lot_closes_nothing_even_of_the_smallest_position() -> None:
    """0.05 at 100 is worth 5 USDT, and 4.95 at the open of 99; half a lot is nothing all the same."""
    scene = Scene(ENTER | {"quantity": 0.05}, [QUIET, (99.0, 99.0, 99.0, 99.0)], manages={1: {"reduce": 0.01}})
    outcome = scene.play()
    assert cancellations(outcome) == [(2, "reduce", 0, "below_minimum")]
    assert outcome.holdings["X"].quantity == 0.05


def test_the_last_target_of_a_full_ladder_takes_the_lots_that_smaller_ones_left() -> None:
    """Two lots of 1: 0.3 of them is none, 0.7 would be one; the last target takes both."""
    position = Position(quantity_base=2.0, targets_left=1.0, targets=Ladder(2, 0, Rung(size=0.3), Rung(size=0.7)))
    assert part_to_close(TARGET_1, 0, 100.0, position, Contract()) == 0.0
    assert part_to_close(TARGET_1 + 1, 1, 100.0, position, Contract()) == 2.0
    position.targets.second.size = 0.6
    assert part_to_close(TARGET_1 + 1, 1, 100.0, position, Contract()) == 1.0


# ---------------------------------------------------------------- the trade


def test_a_trade_runs_from_flat_to_flat() -> None:
    """10 at 100, 10 at 99; 10 at 102, 10 at 95: gross = 10*(102 - 99.5) + 10*(95 - 99.5) = -20."""
    bars = [QUIET, (100.0, 100.0, 98.5, 100.0), (100.0, 102.1, 100.0, 100.0), (96.0, 96.0, 95.0, 95.0)]
    enter = ENTER | HALVES | {"adds": [{"kind": "limit", "price": 99.0}]}
    outcome = Scene(enter, bars, settings={"maker_fee_percent": 0.1, "taker_fee_percent": 0.2}).play()
    (trade,) = outcome.log.trades
    assert (trade["quantity_base"], trade["max_quantity_base"], trade["parts"]) == (20.0, 20.0, 2)
    assert (trade["entry_price_usdt"], trade["exit_price_usdt"]) == (99.5, 98.5)
    assert (trade["entry_time_ms"], trade["exit_time_ms"]) == (60_000, 5 * 60_000)
    assert trade["gross_usdt"] == pytest.approx(-20.0)
    fees = 1000.0 * 0.002 + 990.0 * 0.001 + 1020.0 * 0.001 + 950.0 * 0.002
    assert trade["fees_usdt"] == pytest.approx(fees)
    assert outcome.cash == pytest.approx(1_000_000.0 - 20.0 - fees)
    assert outcome.log.fills[1]["average_usdt"] == 99.5
    assert outcome.log.fills[3]["position_base"] == outcome.log.fills[3]["average_usdt"] == 0.0


def test_the_quantity_of_a_trade_is_on_the_lot() -> None:
    """0.1 and twice 0.1 are 0.3, which the sum of the numbers is not."""
    enter = ENTER | {"quantity": 0.1, "adds": [{"kind": "limit", "price": 99.0, "size": 2.0}]}
    bars = [QUIET, (100.0, 100.0, 98.5, 100.0), (94.0, 94.0, 94.0, 94.0)]
    (trade,) = Scene(enter, bars).play().log.trades
    assert (trade["quantity_base"], trade["max_quantity_base"]) == (0.3, 0.3)


def test_open_fees_and_funding_go_with_the_parts() -> None:
    """4 of 10 leave with 0.4 of the open fee and of the funding; the rest takes what is left."""
    enter = ENTER | {"targets": [(102.0, 0.4), (104.0, 0.6)]}
    bars = [QUIET, (100.0, 102.1, 100.0, 100.0), (100.0, 104.1, 100.0, 100.0)]
    scene = Scene(enter, bars, settings={"taker_fee_percent": 0.1}, funding=[(2, 0.001)])
    first, second = scene.play().log.parts
    assert (first.fees, first.funding) == pytest.approx((0.4, -0.4))
    assert (second.fees, second.funding) == pytest.approx((0.6, -0.6))
    assert (first.gross, second.gross) == pytest.approx((8.0, 24.0))


@pytest.mark.parametrize(("minute", "paid"), [(1, False), (2, True)])
def test_a_fill_inside_a_candle_pays_from_its_end_on(minute: int, paid: bool) -> None:
    """Filled inside the candle of minute 1: its time is its open, so it pays at minute 2 and not at minute 1."""
    enter = {"side": 1, "kind": "limit", "price": 99.0, "stop_price": 95.0, "quantity": 10.0}
    scene = Scene(enter, [(100.0, 100.0, 98.0, 100.0), QUIET, QUIET], funding=[(minute, 0.001)])
    assert bool(scene.play().log.funding_payments) is paid


def test_an_add_pays_with_the_whole() -> None:
    scene = Scene(ENTER | LIMITS, [QUIET, (100.0, 100.0, 98.0, 100.0), QUIET], funding=[(3, 0.001)])
    (payment,) = scene.play().log.funding_payments
    assert payment["amount"] == pytest.approx(-20 * 100.0 * 0.001)


# ---------------------------------------------------------------- checks of an add at its fill


def test_an_add_below_the_minimum_is_cancelled() -> None:
    enter = ENTER | {"quantity": 0.06, "adds": [{"kind": "limit", "price": 99.0, "size": 0.8}]}
    outcome = Scene(enter, [QUIET, (100.0, 100.0, 98.0, 100.0)]).play()
    assert cancellations(outcome) == [(3, "add", 1, "below_minimum")]


def test_an_add_beyond_the_margin_is_cancelled() -> None:
    """A first fill of 96 ties up 3,200 of 10,000 and 2,000 stay free; 144 at 99 tie up 4,752, at 110 5,280."""
    settings = {"capital_usdt": 10_000.0, "max_concurrent_positions": 1}
    for add, reason in (({"kind": "limit", "price": 99.0}, []), ({"kind": "stop", "price": 110.0}, ["margin"])):
        enter = ENTER | {"quantity": 100.0, "adds": [add | {"size": 1.5}]}
        bars = [QUIET, (100.0, 110.0, 98.0, 100.0)]
        outcome = Scene(enter, bars, settings=settings, units_max=2.5).play()
        assert outcome.log.fills[0]["quantity_base"] == 96.0
        assert [c["reason"] for c in outcome.log.cancellations] == reason


def test_an_add_whose_stop_is_beyond_liquidation_is_cancelled() -> None:
    """SL 82 is 18 below E = 100, liquidation 32.7; a stop add at 120 makes E' = 110, 28 above SL, liquidation 35.9."""
    enter = ENTER | {"stop_price": 82.0, "adds": [{"kind": "stop", "price": 120.0}]}
    outcome = Scene(enter, [QUIET, (100.0, 120.0, 100.0, 110.0)]).play()
    assert cancellations(outcome) == [(3, "add", 1, "stop_beyond_liquidation")]
    assert outcome.holdings["X"].sizes == 1.0


def test_an_add_under_a_stop_in_profit_needs_no_distance_to_liquidation() -> None:
    """SL stands at 149, 44 above E' = 104.6 and its liquidation price 35 below: the stop comes first."""
    change = {"stop_price": 149.0, "adds": [{"kind": "stop", "price": 151.0, "size": 0.1}]}
    rise = (150.0, 150.0, 150.0, 150.0)
    outcome = Scene(ENTER, [QUIET, rise, (150.0, 151.0, 150.0, 151.0)], manages={2: change}).play()
    assert cancellations(outcome) == []
    assert outcome.holdings["X"].quantity == 11.0


def test_adds_expire_from_the_close_that_placed_them() -> None:
    """Placed at minute 2 with n = 1: alive in the bar of minute 2, dead at minute 3."""
    enter = ENTER | {"adds": [{"kind": "limit", "price": 99.0, "expires": 1}]}
    dip = (100.0, 100.0, 98.0, 100.0)
    assert len(Scene(enter, [QUIET, dip]).fills()) == 2
    outcome = Scene(enter, [QUIET, QUIET, dip]).play()
    assert len(outcome.log.fills) == 1
    assert cancellations(outcome) == [(3, "add", 1, "expired")]


def test_a_hole_cancels_adds_and_leaves_stop_and_targets() -> None:
    bars = [QUIET, QUIET, (100.0, 102.1, 98.0, 100.0)]
    outcome = Scene(ENTER | HALVES | LIMITS, bars, missing=frozenset({2})).play()
    reasons = [c[1:] for c in cancellations(outcome)]
    assert reasons == [("add", 1, "next_candle_missing"), ("add", 2, "next_candle_missing")]
    assert [f["reason"] for f in outcome.log.fills] == ["market", "target_1"]


def test_a_trip_cancels_adds_at_once() -> None:
    settings = {"max_session_loss_percent": 0.001}
    outcome = Scene(ENTER | LIMITS, [QUIET, (98.9, 98.9, 98.5, 98.5)], settings=settings).play()
    assert cancellations(outcome) == [(3, "add", 2, "kill_switch")]
