"""Section 7 by hand: the best price, the trailing stop and break-even."""

from __future__ import annotations

from typing import Any

import pytest

from .scene import Bar, Scene, mirrored_price

SIDES = pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
QUIET = (100.0, 100.0, 100.0, 100.0)
ENTER: dict[str, Any] = {"side": 1, "stop_price": 95.0, "quantity": 10.0}
LIMIT: dict[str, Any] = {"side": 1, "kind": "limit", "price": 99.0, "stop_price": 95.0, "quantity": 10.0}
STOP: dict[str, Any] = {"side": 1, "kind": "stop", "price": 101.0, "stop_price": 95.0, "quantity": 10.0}


def stop_after(enter: dict[str, Any], bars: list[Bar], side: int = 1, **more: Any) -> tuple[float, str]:
    """The stop (a short's mirrored back) and the reason that it would give, after the bars."""
    holding = Scene(enter, bars, **more).play(side).holdings["X"]
    return mirrored_price(holding.stop, side), holding.stop_reason


@SIDES
def test_best_and_worst_of_the_entry_candle(side: int) -> None:
    """At the open and for a stop the high counts; a limit inside has only max(E, close) behind it."""
    for enter, bar, best, worst in (
        (ENTER, (100.0, 103.0, 98.0, 101.0), 103.0, 98.0),
        (LIMIT, (100.0, 103.0, 98.0, 98.5), 99.0, 98.0),
        (LIMIT, (100.0, 103.0, 98.0, 101.5), 101.5, 98.0),
        (LIMIT, (98.0, 103.0, 97.0, 98.5), 103.0, 97.0),
        (STOP, (100.0, 103.0, 98.0, 102.0), 103.0, 101.0),
        (STOP, (100.0, 103.0, 98.0, 99.0), 103.0, 99.0),
        (STOP, (101.5, 103.0, 98.0, 102.0), 103.0, 98.0),
    ):
        holding = Scene(enter, [bar]).play(side).holdings["X"]
        assert (mirrored_price(holding.best, side), mirrored_price(holding.worst, side)) == (best, worst)


@SIDES
def test_the_best_of_the_entry_s_candle_may_lie_behind_the_slipped_entry(side: int) -> None:
    """E = 100.1, and the whole candle stands at 100."""
    holding = Scene(ENTER, [QUIET], settings={"slippage_percent": 0.05}).play(side).holdings["X"]
    assert mirrored_price(holding.average, side) == 100.1
    assert (holding.best, holding.worst) == (100.0, 100.0)


def test_the_stop_follows_the_best_price() -> None:
    """1 % below 102 is 100.98, floored; it never goes back; the high of the entry's candle counts."""
    enter = ENTER | {"trailing": (0.01,)}
    assert stop_after(enter, [(100.0, 102.0, 100.0, 101.5)]) == (100.9, "trailing_stop")
    assert stop_after(enter, [(100.0, 102.0, 100.0, 101.5), (101.5, 101.6, 101.0, 101.0)]) == (100.9, "trailing_stop")
    assert stop_after(enter, [(100.0, 100.0, 99.5, 99.5)]) == (99.0, "trailing_stop")
    assert stop_after(ENTER | {"trailing": (0.06,)}, [QUIET]) == (95.0, "stop"), "94 is not tighter"


def test_a_short_follows_its_low() -> None:
    """1 % above 98 is 98.98, raised."""
    enter = ENTER | {"trailing": (0.01,)}
    assert stop_after(enter, [(100.0, 102.0, 100.0, 101.5)], -1) == (101.0, "trailing_stop")


@SIDES
def test_trailing_begins_where_it_is_told_to(side: int) -> None:
    """After 2 %: a best of 101.9 leaves the stop, 102 moves it."""
    enter = ENTER | {"trailing": (0.005, 0.02)}
    assert stop_after(enter, [(100.0, 101.9, 100.0, 101.5)], side) == (95.0, "stop")
    assert stop_after(enter, [(100.0, 102.0, 100.0, 102.0)], side)[1] == "trailing_stop"


@SIDES
def test_without_a_beginning_it_trails_from_the_first_candle_on(side: int) -> None:
    """E = 100.1, and the best price of 100 lies behind it."""
    stop = stop_after(ENTER | {"trailing": (0.01,)}, [QUIET], side, settings={"slippage_percent": 0.05})
    assert stop == (99.0, "trailing_stop")


def test_trailing_comes_before_break_even_at_the_same_price() -> None:
    """102*(1 - 0.0196) = 100.0008, floored to the entry price itself."""
    enter = ENTER | {"trailing": (0.0196, 0.0, 0.01)}
    assert stop_after(enter, [(100.0, 102.0, 100.0, 101.0)]) == (100.0, "trailing_stop")


@SIDES
def test_the_new_stop_holds_from_the_next_candle(side: int) -> None:
    """The low of 100 is below 100.9, and is not asked."""
    enter = ENTER | {"trailing": (0.01,)}
    scene = Scene(enter, [(100.0, 102.0, 100.0, 101.5), (101.5, 101.5, 99.0, 100.0)])
    assert [(f[0], f[2]) for f in scene.fills(side)] == [(1, "market"), (3, "trailing_stop")]


def test_a_stop_above_the_close_is_a_gap_at_the_next_open() -> None:
    """102*0.99 = 100.9 stands above the close of 100.5: the next open at 100.5 is the fill, at the open's time."""
    enter = ENTER | {"trailing": (0.01,)}
    scene = Scene(enter, [(100.0, 102.0, 100.0, 100.5), (100.5, 103.0, 100.5, 103.0)])
    assert scene.fills()[1:] == [(2, "close", "trailing_stop", 0, 10.0, 100.5)]


COSTS = {"taker_fee_percent": 0.06, "slippage_percent": 0.05, "high_volatility_multiplier": 2.0}


def test_break_even_covers_the_costs() -> None:
    """E = 100.1; 100.1*(1 + 2*0.0011) = 100.32022, raised to 100.4. Reached from 101.101 on."""
    enter = ENTER | {"trailing": (0.0, 0.0, 0.01)}
    assert stop_after(enter, [(100.0, 101.1, 100.0, 101.0)], settings=COSTS) == (95.0, "stop")
    assert stop_after(enter, [(100.0, 101.2, 100.0, 101.0)], settings=COSTS) == (100.4, "breakeven_stop")


def test_break_even_waits_for_a_close_above_it() -> None:
    enter = ENTER | {"trailing": (0.0, 0.0, 0.01)}
    high = (100.0, 101.2, 100.0, 100.4)
    assert stop_after(enter, [high], settings=COSTS) == (95.0, "stop")
    assert stop_after(enter, [high, (100.4, 100.5, 100.0, 100.5)], settings=COSTS) == (100.4, "breakeven_stop")


def test_break_even_of_a_short() -> None:
    """E = 99.9 (99.95 rounded down); 99.9*(1 - 0.0022) = 99.68022, floored to 99.6."""
    enter = {"side": -1, "stop_price": 95.0, "quantity": 10.0, "trailing": (0.0, 0.0, 0.01)}
    holding = Scene(enter, [(100.0, 101.2, 100.0, 101.0)], settings=COSTS).play(-1).holdings["X"]
    assert (holding.stop, holding.stop_reason) == (99.6, "breakeven_stop")


@SIDES
def test_the_last_tightening_names_the_end(side: int) -> None:
    """Trailing gives 99, break-even 100; from 103 on trailing is tighter again."""
    enter = ENTER | {"trailing": (0.02, 0.0, 0.01)}
    first = (100.0, 101.0, 100.0, 101.0)
    assert stop_after(enter, [first], side) == (100.0, "breakeven_stop")
    assert stop_after(enter, [first, (101.0, 103.0, 101.0, 103.0)], side)[1] == "trailing_stop"


def test_break_even_uses_the_average_after_the_fills_of_the_candle() -> None:
    """10 at 100 and 10 at 104 make 102: 1 % of it needs 103.02, which the high of 104 passed."""
    enter = ENTER | {"adds": [{"kind": "stop", "price": 104.0}], "trailing": (0.0, 0.0, 0.01)}
    bars = [QUIET, (100.0, 104.0, 100.0, 103.0)]
    assert stop_after(enter, bars) == (102.0, "breakeven_stop")
    assert stop_after(ENTER | {"trailing": (0.0, 0.0, 0.03)}, bars) == (100.0, "breakeven_stop")
    assert stop_after(enter | {"trailing": (0.0, 0.0, 0.03)}, bars) == (95.0, "stop")


@SIDES
def test_late_candles_trail_too(side: int) -> None:
    enter = ENTER | {"trailing": (0.01,)}
    bars = [QUIET, (100.0, 104.0, 100.0, 104.0)]
    assert stop_after(enter, bars, side, late=frozenset({2}))[0] > 102.0
