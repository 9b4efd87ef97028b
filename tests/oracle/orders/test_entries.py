"""Section 4 by hand: every row of the table, and what the entry's candle does to the new position."""

from __future__ import annotations

import pytest

from .scene import Fill, Scene, cancellations

LIMIT = {"side": 1, "kind": "limit", "price": 99.0, "stop_price": 97.0, "targets": [(101.0, 1.0)], "quantity": 10.0}
STOP = {"side": 1, "kind": "stop", "price": 101.0, "stop_price": 99.0, "targets": [(103.0, 1.0)], "quantity": 10.0}
MARKET = {"side": 1, "stop_price": 98.0, "targets": [(102.0, 1.0)], "quantity": 10.0}
FRACTIONS = {"side": 1, "stop_fraction": 0.02, "target_fractions": [(0.02, 1.0)], "quantity": 10.0}
OPEN_LIMIT = (2, "open", "limit", 0, 10.0, 99.0)
OPEN_STOP = (2, "open", "stop", 0, 10.0, 101.0)
SIDES = pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
Bar = tuple[float, float, float, float]

TABLE: dict[str, tuple[dict[str, object], Bar, list[Fill]]] = {
    "market: at the open": (MARKET, (100.0, 100.5, 99.5, 100.0), [(1, "open", "market", 0, 10.0, 100.0)]),
    "limit: gapped through by a tick, no improvement": (
        LIMIT,
        (98.9, 99.5, 98.0, 99.2),
        [(1, "open", "limit", 0, 10.0, 99.0)],
    ),
    "limit: an open at p is no gap": (LIMIT, (99.0, 99.5, 98.9, 99.2), [OPEN_LIMIT]),
    "limit: inside": (LIMIT, (100.0, 100.0, 98.9, 99.2), [OPEN_LIMIT]),
    "limit: a touch does not fill": (LIMIT, (100.0, 100.0, 99.0, 99.2), []),
    "stop: gapped over": (STOP, (101.5, 102.0, 101.0, 101.5), [(1, "open", "stop", 0, 10.0, 101.5)]),
    "stop: an open at p is a gap": (STOP, (101.0, 102.0, 100.5, 101.5), [(1, "open", "stop", 0, 10.0, 101.0)]),
    "stop: a touch fills inside": (STOP, (100.0, 101.0, 100.0, 100.5), [OPEN_STOP]),
    "stop: not reached": (STOP, (100.0, 100.9, 100.0, 100.5), []),
    "market, fractions: low <= SL": (
        FRACTIONS,
        (100.0, 100.5, 98.0, 99.0),
        [(1, "open", "market", 0, 10.0, 100.0), (2, "close", "stop", 0, 10.0, 98.0)],
    ),
    "market, fractions: target through": (
        FRACTIONS,
        (100.0, 102.1, 98.1, 99.0),
        [(1, "open", "market", 0, 10.0, 100.0), (2, "close", "target", 1, 10.0, 102.0)],
    ),
    "market, price: the gap went over the stop": (
        MARKET,
        (97.5, 100.5, 97.0, 99.0),
        [(1, "open", "market", 0, 10.0, 97.5), (1, "close", "stop", 0, 10.0, 97.5)],
    ),
    "limit gap: over entry and stop": (
        LIMIT,
        (96.5, 100.5, 96.0, 99.0),
        [(1, "open", "limit", 0, 10.0, 99.0), (1, "close", "stop", 0, 10.0, 96.5)],
    ),
    "limit gap: then step 6 with the high": (
        LIMIT,
        (98.0, 101.1, 97.5, 99.0),
        [(1, "open", "limit", 0, 10.0, 99.0), (2, "close", "target", 1, 10.0, 101.0)],
    ),
    "limit inside: the low came after": (
        LIMIT,
        (100.0, 100.0, 97.0, 99.0),
        [OPEN_LIMIT, (2, "close", "stop", 0, 10.0, 97.0)],
    ),
    "limit inside: the high may have come before": (LIMIT, (100.0, 102.0, 98.0, 101.0), [OPEN_LIMIT]),
    "limit inside: the close came after": (
        LIMIT,
        (100.0, 102.0, 98.0, 101.1),
        [OPEN_LIMIT, (2, "close", "target", 1, 10.0, 101.0)],
    ),
    "stop inside: the high came after": (
        STOP,
        (100.0, 103.1, 100.0, 101.0),
        [OPEN_STOP, (2, "close", "target", 1, 10.0, 103.0)],
    ),
    "stop inside: the low may have come after": (
        STOP,
        (100.0, 103.1, 99.0, 101.0),
        [OPEN_STOP, (2, "close", "stop", 0, 10.0, 99.0)],
    ),
    "stop inside: an open below the stop": (
        STOP,
        (98.5, 101.0, 98.5, 101.0),
        [OPEN_STOP, (2, "close", "stop", 0, 10.0, 99.0)],
    ),
}


@SIDES
@pytest.mark.parametrize(("enter", "bar", "expected"), TABLE.values(), ids=TABLE)
def test_the_table_of_fills(enter: dict[str, object], bar: Bar, expected: list[Fill], side: int) -> None:
    assert Scene(enter, [bar]).fills(side) == expected


@pytest.mark.parametrize(
    ("enter", "bar", "ambiguous"),
    [
        (FRACTIONS, (100.0, 102.1, 98.0, 99.0), 1),
        (FRACTIONS, (100.0, 102.0, 98.0, 99.0), 0),
        (LIMIT, (100.0, 105.0, 97.0, 99.0), 0),
        (STOP, (100.0, 101.0, 99.0, 100.0), 1),
        (STOP, (98.5, 101.0, 98.5, 101.0), 1),
        (MARKET, (97.5, 105.0, 97.0, 99.0), 0),
    ],
)
@SIDES
def test_which_stops_of_the_entry_candle_are_ambiguous(
    enter: dict[str, object], bar: Bar, ambiguous: int, side: int
) -> None:
    (trade,) = Scene(enter, [bar]).play(side).log.trades
    assert (trade["reason"], trade["ambiguous"]) == ("stop", ambiguous)


COSTS = {"maker_fee_percent": 0.02, "taker_fee_percent": 0.06, "slippage_percent": 0.1}


def test_slippage_and_fees_of_a_long() -> None:
    """A stop at 101 is bought at 101.101, rounded up to 101.2; its SL of 99 is sold at 98.901, rounded down."""
    scene = Scene(STOP | {"quantity": 10.02}, [(100.0, 101.0, 100.0, 100.5), (99.5, 99.5, 98.9, 99.0)], settings=COSTS)
    outcome = scene.play()
    assert [(f["price_usdt"], round(f["fee_usdt"], 9)) for f in outcome.log.fills] == [(101.2, 0.6072), (98.9, 0.5934)]
    (trade,) = outcome.log.trades
    assert trade["gross_usdt"] == pytest.approx(10 * (98.9 - 101.2))
    assert trade["slippage_usdt"] == pytest.approx(10 * 0.2 + 10 * 0.1)
    assert trade["net_usdt"] == pytest.approx(-23.0 - 0.6072 - 0.5934)
    assert outcome.cash == pytest.approx(1_000_000.0 + trade["net_usdt"])


def test_slippage_of_gaps() -> None:
    """A gap is slipped from the open: 101.5 becomes 101.6015, rounded up; a limit pays the maker fee only."""
    stop = Scene(STOP | {"targets": []}, [(101.5, 102.0, 101.0, 101.5)], settings=COSTS).play()
    assert stop.log.fills[0]["price_usdt"] == 101.7
    limit = Scene(LIMIT, [(98.9, 99.5, 98.0, 99.2)], settings=COSTS).play()
    assert limit.log.fills[0]["price_usdt"] == 99.0
    assert limit.log.fills[0]["fee_usdt"] == pytest.approx(990.0 * 0.0002)
    assert limit.holdings["X"].slippage == 0.0


def test_a_short_is_slipped_down() -> None:
    """A short's stop entry at 99 is sold at 98.901, rounded down; its SL of 101 is bought at 101.101, rounded up."""
    scene = Scene(STOP, [(100.0, 101.0, 100.0, 100.5), (99.5, 99.5, 98.9, 99.0)], settings=COSTS)
    assert [f["price_usdt"] for f in scene.play(-1).log.fills] == [98.9, 101.2]


@SIDES
def test_a_stop_fraction_within_the_slippage_is_no_gap(side: int) -> None:
    """E = 101, SL = 100.4 above the open of 100: hit inside, slipped to 99.3 (short: E = 99, SL = 99.5, 100.5)."""
    enter = {"side": 1, "stop_fraction": 0.005, "quantity": 10.0}
    fills = Scene(enter, [(100.0, 100.0, 99.8, 100.0)], settings={"slippage_percent": 1.0}).fills(side)
    assert [(f[0], f[1], f[5]) for f in fills] == [(1, "open", 101.0), (2, "close", 99.3 if side == 1 else 99.5)]


# ---------------------------------------------------------------- expiry and validity

QUIET = (100.0, 100.0, 100.0, 100.0)
DIP = (100.0, 100.0, 98.0, 99.5)


@SIDES
def test_an_entry_rests_one_candle_by_default(side: int) -> None:
    scene = Scene(LIMIT, [QUIET, DIP])
    assert scene.fills(side) == []
    assert cancellations(scene.play(side)) == [(2, "entry", 0, "expired")]


@SIDES
def test_an_entry_dies_after_the_fills_of_its_last_candle(side: int) -> None:
    scene = Scene(LIMIT | {"expires": 2}, [QUIET, DIP])
    assert scene.fills(side) == [(3, "open", "limit", 0, 10.0, 99.0)]
    late = Scene(LIMIT | {"expires": 2}, [QUIET, QUIET, DIP])
    assert cancellations(late.play(side)) == [(3, "entry", 0, "expired")]


def test_expiry_counts_the_timeframe_of_the_strategy() -> None:
    """A strategy of 5m asked at minute 5: n = 1 lives through the candle that closes at minute 10, and no longer."""
    for dip, filled in ((9, True), (10, False)):
        bars = [QUIET] * dip
        scene = Scene({}, [*bars[1:], DIP, QUIET], timeframe=5 * 60_000, signal=4)
        scene.enter = LIMIT
        assert (scene.fills() != []) is filled
        expired = [] if filled else [(10, "entry", 0, "expired")]
        assert cancellations(scene.play()) == expired


@SIDES
@pytest.mark.parametrize(
    ("late", "missing", "reason"),
    [({1}, set(), "late_candle"), (set(), {1}, "next_candle_missing"), ({2}, {1}, "next_candle_missing")],
)
def test_a_hole_and_a_late_candle_cancel_an_entry(late: set[int], missing: set[int], reason: str, side: int) -> None:
    scene = Scene(LIMIT | {"expires": 9}, [DIP, DIP], late=frozenset(late), missing=frozenset(missing))
    outcome = scene.play(side)
    assert outcome.log.fills == []
    assert [c[1:] for c in cancellations(outcome)] == [("entry", 0, reason)]


def test_levels_from_fractions_come_from_the_fill() -> None:
    """Planned at 100, filled at 101: SL is 101*0.98 = 98.98 floored, TP is 101*1.02 = 103.02 raised."""
    holding = Scene(FRACTIONS, [(101.0, 101.5, 100.5, 101.0)]).play().holdings["X"]
    assert (holding.stop, [rung.price for rung in holding.rungs]) == (98.9, [103.1])


def test_prices_are_put_on_the_grid_away_from_the_market() -> None:
    enter = LIMIT | {"price": 99.09, "stop_price": 97.09, "targets": [(101.01, 1.0)]}
    outcome = Scene(enter, [(100.0, 100.0, 98.0, 99.0)]).play()
    holding = outcome.holdings["X"]
    assert (holding.average, holding.stop, holding.rungs[0].price) == (99.0, 97.0, 101.1)
    short = Scene(enter, [(100.0, 100.0, 98.0, 99.0)]).play(-1).holdings["X"]
    assert (short.average, short.stop, short.rungs[0].price) == (101.0, 103.0, 98.9)


@SIDES
def test_a_stop_entry_is_put_on_the_grid_away_from_the_market(side: int) -> None:
    scene = Scene(STOP | {"price": 100.95}, [(100.0, 100.9, 100.0, 100.5), (100.9, 101.0, 100.9, 101.0)])
    assert scene.fills(side) == []
    scene.enter = STOP | {"price": 100.95, "expires": 2}
    assert [fill[5] for fill in scene.fills(side)] == [101.0]


def test_the_real_entry_is_held_against_the_liquidation_price() -> None:
    """E is planned at 101, SL at 82; a gap to 112 puts the entry too far from its stop for the liquidation price."""
    enter = {"side": 1, "kind": "stop", "price": 101.0, "stop_price": 82.0, "quantity": 10.0}
    outcome = Scene(enter, [(112.0, 113.0, 111.0, 112.0)]).play()
    assert cancellations(outcome) == [(1, "entry", 0, "stop_beyond_liquidation")]
    fine = Scene(enter, [(102.0, 103.0, 101.0, 102.0)]).play()
    assert cancellations(fine) == []


@pytest.mark.parametrize(("side", "bankruptcy"), [(1, 66.0), (-1, 101.0 + 101.0 / 3.0)])
def test_a_gap_over_limit_and_liquidation_price(side: int, bankruptcy: float) -> None:
    fills = Scene(LIMIT, [(60.0, 100.5, 59.0, 99.0)], settings={"taker_fee_percent": 0.06}).play(side).log.fills
    assert [(f["action"], f["reason"], f["time_ms"]) for f in fills] == [
        ("open", "limit", 60_000),
        ("close", "liquidation", 60_000),
    ]
    assert fills[1]["price_usdt"] == pytest.approx(bankruptcy)
    assert fills[1]["fee_usdt"] == 0.0


def test_the_margin_is_checked_at_the_fill() -> None:
    """The whole capital is planned at 101; at 150 it does not suffice."""
    enter = {"side": 1, "kind": "stop", "price": 101.0, "stop_price": 99.0, "size_usdt": 24_000.0}
    settings = {"capital_usdt": 10_000.0, "max_concurrent_positions": 1, "free_margin_percent": 0.0}
    outcome = Scene(enter, [(150.0, 150.0, 150.0, 150.0)], settings=settings, units_max=1.0).play()
    assert cancellations(outcome) == [(1, "entry", 0, "margin")]
