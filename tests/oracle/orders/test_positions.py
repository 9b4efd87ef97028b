"""Section 5 by hand: a position carried into a candle, its parts, adds, reductions and averages."""

from __future__ import annotations

from typing import Any

import pytest

from papertape.events.facts import Closing, OrderPlaced, PositionIncreased, PositionReduced

from .scene import Bar, Fill, Scene, cancellations, mirrored_price

SIDES = pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
QUIET = (100.0, 100.0, 100.0, 100.0)
OPENED: Fill = (1, "open", "market", 0, 10.0, 100.0)
ENTER: dict[str, Any] = {"side": 1, "stop_price": 95.0, "quantity": 10.0}
HALVES = {"targets": [(102.0, 0.5), (104.0, 0.5)]}
LIMITS = {"adds": [{"kind": "limit", "price": 99.0}, {"kind": "limit", "price": 97.0}]}
STOPS = {"adds": [{"kind": "stop", "price": 101.0}, {"kind": "stop", "price": 103.0}]}


def carried(enter: dict[str, Any], bar: Bar, side: int = 1, **more: Any) -> list[Fill]:
    """The fills of bar 2, into which a position of 10 from 100 was carried through a quiet bar."""
    opened, *fills = Scene(ENTER | enter, [QUIET, bar], **more).fills(side)
    assert opened == OPENED
    return fills


# ---------------------------------------------------------------- stage 1: at the open

AT_OPEN: dict[str, tuple[dict[str, Any], Bar, list[Fill]]] = {
    "stop gapped over, at the open": (HALVES, (94.0, 105.0, 90.0, 100.0), [(2, "close", "stop", 0, 10.0, 94.0)]),
    "an open at SL is a gap": (HALVES, (95.0, 105.0, 90.0, 100.0), [(2, "close", "stop", 0, 10.0, 95.0)]),
    "targets gapped through at their price": (
        HALVES,
        (104.1, 105.0, 104.0, 104.0),
        [(2, "reduce", "target_1", 1, 5.0, 102.0), (2, "close", "target_2", 2, 5.0, 104.0)],
    ),
    "an open at TP is inside": (
        HALVES,
        (102.0, 102.1, 101.0, 102.0),
        [(3, "reduce", "target_1", 1, 5.0, 102.0)],
    ),
    "limit adds gapped through, nearest first, no improvement": (
        LIMITS,
        (96.9, 97.0, 96.0, 97.0),
        [(2, "increase", "limit", 1, 10.0, 99.0), (2, "increase", "limit", 2, 10.0, 97.0)],
    ),
    "stop adds gapped over, nearest first": (
        STOPS,
        (103.0, 103.0, 102.0, 103.0),
        [(2, "increase", "stop", 1, 10.0, 103.0), (2, "increase", "stop", 2, 10.0, 103.0)],
    ),
    "a target before an add at one open": (
        {"targets": [(101.0, 0.5)], **STOPS},
        (102.0, 102.0, 102.0, 102.0),
        [(2, "reduce", "target", 1, 5.0, 101.0), (2, "increase", "stop", 1, 10.0, 102.0)],
    ),
    "limit adds gapped through, then the stop inside": (
        LIMITS,
        (96.0, 97.0, 95.0, 97.0),
        [
            (2, "increase", "limit", 1, 10.0, 99.0),
            (2, "increase", "limit", 2, 10.0, 97.0),
            (3, "close", "stop", 0, 30.0, 95.0),
        ],
    ),
}


@SIDES
@pytest.mark.parametrize(("enter", "bar", "expected"), AT_OPEN.values(), ids=AT_OPEN)
def test_at_the_open(enter: dict[str, Any], bar: Bar, expected: list[Fill], side: int) -> None:
    assert carried(enter, bar, side) == expected


@SIDES
def test_the_whole_order_at_one_open(side: int) -> None:
    """Reduce, targets, market add, stop add: an open of 102 meets them all."""
    change = {
        "reduce": 0.5,
        "targets": [(101.0, 0.5), (101.5, 0.25)],
        "adds": [{"kind": "market"}, {"kind": "stop", "price": 101.2, "size": 0.5}],
    }
    assert carried({}, (102.0, 102.0, 102.0, 102.0), side, manages={1: change}) == [
        (2, "reduce", "reduced", 0, 5.0, 102.0),
        (2, "reduce", "target_1", 1, 2.5, 101.0),
        (2, "reduce", "target_2", 2, 1.25, 101.5),
        (2, "increase", "market", 1, 10.0, 102.0),
        (2, "increase", "stop", 2, 5.0, 102.0),
    ]


@SIDES
def test_one_candle_fills_all_that_may_rest(side: int) -> None:
    """A reduction, four targets, four adds and the stop: 10 - 5 - 4*1 + 10 + 3*5 = 26."""
    change = {
        "reduce": 0.5,
        "targets": [(101.0, 0.2), (101.2, 0.2), (101.4, 0.2), (101.6, 0.2)],
        "adds": [{"kind": "market"}, *({"kind": "stop", "price": p, "size": 0.5} for p in (101.0, 101.5, 102.0))],
    }
    fills = carried({}, (102.0, 102.0, 95.0, 96.0), side, manages={1: change})
    assert [(f[1], f[4]) for f in fills] == [
        ("reduce", 5.0),
        *[("reduce", 1.0)] * 4,
        ("increase", 10.0),
        *[("increase", 5.0)] * 3,
        ("close", 26.0),
    ]


@SIDES
def test_a_market_add_before_limit_adds_at_one_open(side: int) -> None:
    """Both are filled at the open of 98; the limit add at its own price."""
    change = {"adds": [{"kind": "market"}, {"kind": "limit", "price": 99.0}]}
    assert carried({}, (98.0, 98.0, 98.0, 98.0), side, manages={1: change}) == [
        (2, "increase", "market", 1, 10.0, 98.0),
        (2, "increase", "limit", 2, 10.0, 99.0),
    ]


@SIDES
def test_an_exit_goes_before_stop_and_reduce_but_after_liquidation(side: int) -> None:
    leaves = {1: "told"}
    assert carried(HALVES, (94.0, 94.0, 94.0, 94.0), side, leaves=leaves) == [(2, "close", "told", 0, 10.0, 94.0)]
    (gone,) = Scene(ENTER, [QUIET, (60.0, 60.0, 60.0, 60.0)], leaves=leaves).play(side).log.trades
    assert gone["reason"] == "liquidation"


# ---------------------------------------------------------------- stage 2: inside

INSIDE: dict[str, tuple[dict[str, Any], Bar, list[Fill], int]] = {
    "the stop alone": ({}, (100.0, 101.0, 95.0, 99.0), [(3, "close", "stop", 0, 10.0, 95.0)], 0),
    "stop and target": (HALVES, (100.0, 102.1, 95.0, 99.0), [(3, "close", "stop", 0, 10.0, 95.0)], 1),
    "stop and a touched target": (HALVES, (100.0, 102.0, 95.0, 99.0), [(3, "close", "stop", 0, 10.0, 95.0)], 0),
    "limit adds fill before the stop, nearest first": (
        LIMITS,
        (100.0, 101.0, 95.0, 99.0),
        [
            (3, "increase", "limit", 1, 10.0, 99.0),
            (3, "increase", "limit", 2, 10.0, 97.0),
            (3, "close", "stop", 0, 30.0, 95.0),
        ],
        0,
    ),
    "stop adds fill before the stop, and it is ambiguous": (
        STOPS,
        (100.0, 103.0, 95.0, 99.0),
        [
            (3, "increase", "stop", 1, 10.0, 101.0),
            (3, "increase", "stop", 2, 10.0, 103.0),
            (3, "close", "stop", 0, 30.0, 95.0),
        ],
        1,
    ),
    "stop adds before limit adds": (
        {"adds": [{"kind": "limit", "price": 99.0}, {"kind": "stop", "price": 101.0}]},
        (100.0, 103.0, 95.0, 99.0),
        [
            (3, "increase", "stop", 2, 10.0, 101.0),
            (3, "increase", "limit", 1, 10.0, 99.0),
            (3, "close", "stop", 0, 30.0, 95.0),
        ],
        1,
    ),
    "targets through, nearest first": (
        HALVES,
        (100.0, 104.1, 99.0, 101.0),
        [(3, "reduce", "target_1", 1, 5.0, 102.0), (3, "close", "target_2", 2, 5.0, 104.0)],
        0,
    ),
    "targets and stop adds in the order of their prices": (
        {**HALVES, "adds": [{"kind": "stop", "price": 101.0}, {"kind": "stop", "price": 103.0}]},
        (100.0, 103.5, 99.0, 101.0),
        [
            (3, "increase", "stop", 1, 10.0, 101.0),
            (3, "reduce", "target_1", 1, 10.0, 102.0),
            (3, "increase", "stop", 2, 10.0, 103.0),
        ],
        0,
    ),
    "the add first at equal prices": (
        {**HALVES, "adds": [{"kind": "stop", "price": 102.0}]},
        (100.0, 102.1, 99.0, 101.0),
        [(3, "increase", "stop", 1, 10.0, 102.0), (3, "reduce", "target_1", 1, 10.0, 102.0)],
        0,
    ),
    "limit adds after targets, and it is ambiguous": (
        {**HALVES, **LIMITS},
        (100.0, 102.1, 98.9, 101.0),
        [(3, "reduce", "target_1", 1, 5.0, 102.0), (3, "increase", "limit", 1, 10.0, 99.0)],
        1,
    ),
    "a touched limit add does not fill": (LIMITS, (100.0, 101.0, 99.0, 100.0), [], 0),
    "a full target ends it before the limit add": (
        {"targets": [(102.0, 1.0)], **LIMITS},
        (100.0, 102.1, 98.9, 101.0),
        [(3, "close", "target", 1, 10.0, 102.0)],
        1,
    ),
}


@SIDES
@pytest.mark.parametrize(("enter", "bar", "expected", "ambiguous"), INSIDE.values(), ids=INSIDE)
def test_inside(enter: dict[str, Any], bar: Bar, expected: list[Fill], ambiguous: int, side: int) -> None:
    assert carried(enter, bar, side) == expected
    end = (94.0, 94.0, 94.0, 94.0)
    (trade,) = Scene(ENTER | enter, [QUIET, bar, end]).play(side).log.trades
    assert trade["ambiguous"] == ambiguous


@SIDES
@pytest.mark.parametrize(
    "enter",
    [
        {"targets": [(102.0, 0.00001)], "adds": [{"kind": "limit", "price": 99.0}]},
        {"targets": [(102.0, 0.5)], "adds": [{"kind": "limit", "price": 99.0, "size": 0.001}]},
    ],
    ids=["a target of less than a lot", "an add of less than 5 USDT"],
)
def test_a_candle_stays_ambiguous_if_one_of_both_could_not_fill(enter: dict[str, Any], side: int) -> None:
    bars = [QUIET, (100.0, 102.1, 98.9, 101.0), (94.0, 94.0, 94.0, 94.0)]
    outcome = Scene(ENTER | enter, bars).play(side)
    assert [c[3] for c in cancellations(outcome)] == ["below_minimum"]
    assert [(trade["reason"], trade["ambiguous"]) for trade in outcome.log.trades] == [("stop", 1)]


@SIDES
def test_every_fill_inside_an_ambiguous_candle_says_so(side: int) -> None:
    """The target and the limit add; the stop after a stop add."""
    for enter, bar, flags in (
        (HALVES | LIMITS, (100.0, 102.1, 98.9, 101.0), [True, True]),
        (STOPS, (100.0, 101.0, 95.0, 99.0), [True, True]),
        (HALVES | LIMITS, (98.9, 102.1, 98.8, 101.0), [False, False]),
    ):
        events = Scene(ENTER | enter, [QUIET, bar]).decided(side)
        assert [e.ambiguous for e in events if isinstance(e, PositionReduced | PositionIncreased | Closing)] == flags


@SIDES
def test_a_limit_add_at_or_below_the_stop_never_fills(side: int) -> None:
    """The stop is tightened to 98, above the second add at 97."""
    fills = carried(LIMITS, (99.5, 100.0, 96.0, 97.0), side, manages={1: {"stop_price": 98.0}})
    assert fills == [(3, "increase", "limit", 1, 10.0, 99.0), (3, "close", "stop", 0, 20.0, 98.0)]


@SIDES
def test_adds_of_an_entry_do_not_fill_in_its_candle(side: int) -> None:
    scene = Scene(ENTER | LIMITS, [(100.0, 100.0, 98.0, 100.0), (100.0, 100.0, 98.9, 100.0)])
    assert scene.fills(side) == [OPENED, (3, "increase", "limit", 1, 10.0, 99.0)]


@SIDES
def test_what_the_orders_of_a_plan_say(side: int) -> None:
    """Units, expiry, and prices on the grid away from the market."""
    adds = [
        {"kind": "limit", "price": 99.05, "size": 1.5, "expires": 3},
        {"kind": "stop", "price": 100.95, "size": 0.5},
    ]
    events = Scene(ENTER | {"adds": adds}, [QUIET]).decided(side)
    entry, *orders = [event for event in events if isinstance(event, OrderPlaced)]
    assert (entry.rung, entry.units, entry.quantity_base, entry.expires_at_ms) == (0, 3.0, 10.0, 0)
    assert [(o.units, o.quantity_base, o.expires_at_ms, mirrored_price(o.price_usdt, side)) for o in orders] == [
        (1.5, 15.0, 5 * 60_000, 99.0),
        (0.5, 5.0, 0, 101.0),
    ]


def test_exit_reduce_and_adds_say_nothing_of_the_entry_s_plan() -> None:
    plan = {
        "kind": "limit",
        "price": 99.0,
        "expires": 2,
        "targets": [(102.0, 1.0)],
        "trailing": (0.5, 0.1, 0.2),
        "adds": [{"kind": "stop", "price": 101.0}],
    }
    scene = Scene(ENTER | plan, [(100.0, 100.0, 98.0, 100.0), QUIET, QUIET], manages={1: {"reduce": 0.25}})
    scene.leaves = {2: "told"}
    orders = [event for event in scene.decided() if isinstance(event, OrderPlaced)]
    assert [(o.action, o.price_usdt, o.units, o.quantity_base) for o in orders] == [
        ("entry", 99.0, 2.0, 10.0),
        ("add", 101.0, 1.0, 10.0),
        ("reduce", 0.0, 0.0, 2.5),
        ("exit", 0.0, 0.0, 7.5),
    ]
    for order in orders[1:]:
        assert (order.stop_price_usdt, order.trail_fraction, order.expires_at_ms, order.risk_usdt) == (0.0,) * 4
        assert (order.targets, order.adds) == ((), ())


@SIDES
def test_adds_are_not_placed_when_the_entry_candle_ends_the_position(side: int) -> None:
    outcome = Scene(ENTER | LIMITS, [(100.0, 100.0, 95.0, 100.0)]).play(side)
    assert [p["action"] for p in outcome.log.placements] == ["entry"]
    assert cancellations(outcome) == []


@SIDES
def test_a_position_that_ends_cancels_its_adds(side: int) -> None:
    outcome = Scene(ENTER | LIMITS, [QUIET, (100.0, 100.0, 98.5, 98.5), (94.0, 94.0, 94.0, 94.0)]).play(side)
    assert cancellations(outcome) == [(3, "add", 2, "position_closed")]


# ---------------------------------------------------------------- section 10: what the view offers


def test_the_age_counts_completions_after_the_first_fill() -> None:
    """At the open of bar 1: its close at minute 2 is the first. Inside bar 1, at minute 2: minute 3 is the first."""
    limit = {"side": 1, "kind": "limit", "price": 99.0, "stop_price": 95.0, "quantity": 10.0}
    for enter, bar, ages in ((ENTER, QUIET, [0, 1, 2]), (limit, (100.0, 100.0, 98.0, 100.0), [0, 0, 1])):
        assert [view["age_candles"] for view in Scene(enter, [bar, QUIET]).play().views] == ages


def test_the_age_counts_candles_of_the_strategy_s_own_timeframe() -> None:
    """Asked at minute 5 and filled at its open: the candles of minutes 10 and 15 count, of bars up to 16."""
    scene = Scene(ENTER, [QUIET] * 16, timeframe=5 * 60_000, signal=4)
    assert [view["age_candles"] for view in scene.play().views] == [0] * 9 + [1] * 5 + [2] * 3


def test_candles_since_an_exit_count_from_its_time() -> None:
    """Out at the open of bar 2 (minute 2), so its close counts; stopped inside it at minute 3, the next one does."""
    for bar, since in (((94.0, 94.0, 94.0, 94.0), [-1, -1, 1, 2]), ((100.0, 100.0, 95.0, 95.0), [-1, -1, 0, 1])):
        outcome = Scene(ENTER, [QUIET, bar, QUIET]).play()
        assert [view["candles_since_exit"] for view in outcome.views] == since
        assert outcome.views[-1]["last_exit_reason"] == "stop"


@SIDES
def test_the_result_in_r_has_parts_fees_and_what_is_open(side: int) -> None:
    """R1 = 50; half left at 102 for 10, the other half stands 1 above its entry: (10 + 5)/50, without costs."""
    outcome = Scene(ENTER | HALVES, [QUIET, (100.0, 102.1, 100.0, 101.0)]).play(side)
    assert outcome.views[-1]["result_r"] == pytest.approx(0.3)
    assert outcome.views[-1]["units"] == 1.0


def test_the_result_in_r_has_all_fees_and_funding() -> None:
    """R1 = 10*(5 + 0.001*(100 + 95)); 1 was paid to open, 1 of funding, half of either with the part that left."""
    settings, funding = {"taker_fee_percent": 0.1}, [(2, 0.001)]
    scene = Scene(ENTER | HALVES, [QUIET, (100.0, 102.1, 100.0, 101.0)], settings=settings, funding=funding)
    assert scene.play().views[-1]["result_r"] == pytest.approx((10.0 + 5.0 - 1.0 - 1.0) / 51.95)
