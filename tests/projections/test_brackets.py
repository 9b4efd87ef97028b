"""Given a position, candles and changes, then its stop, its targets, and the prices at which they rested."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.events.facts import Timing
from papertape.events.units import MINUTE_MS
from papertape.projections.folds.portfolio import Portfolio, PositionView
from papertape.projections.folds.resting_prices import RestingPrices
from tests.build import (
    BTC,
    DAY_0_MS,
    cancelled,
    candle,
    closed,
    configured,
    increased,
    listed,
    opened,
    ordered,
    recorded,
    reduced,
    stop_moved,
    targets_moved,
)

if TYPE_CHECKING:
    from papertape.events.facts import Event

BEFORE = (configured(), listed(BTC, (1, 10), (1, 1_000)), candle(0, 100.0))
TWO_TARGETS = ((102.0, 0.5), (104.0, 0.5))


def portfolio_of(*events: Event) -> tuple[Portfolio, RestingPrices]:
    portfolio = Portfolio()
    resting = RestingPrices(portfolio)
    for one in recorded([*BEFORE, *events]):
        portfolio.apply(one)
        resting.apply(one)
    return portfolio, resting


def position_of(*events: Event) -> PositionView:
    (position,) = portfolio_of(*events)[0].positions()
    return position


def trailing(fraction: float = 0.01, after: float = 0.0, breakeven_after: float = 0.0) -> Event:
    return ordered(trail_fraction=fraction, trail_after_fraction=after, breakeven_after_fraction=breakeven_after)


def wide(minute: int, low: float, high: float, close: float = 100.0) -> Event:
    return replace(candle(minute, close), low=low, high=high)


def test_a_stop_trails_the_best_price_since_the_entry_and_never_loosens() -> None:
    position = position_of(trailing(), opened(), wide(1, 100.0, 103.0), wide(2, 100.0, 101.0))
    assert (position.stop_price_usdt, position.stop_kind) == (101.9, "trailing_stop")


def test_a_stop_trails_only_once_it_is_far_enough_ahead() -> None:
    plan = trailing(0.01, after=0.05)
    assert position_of(plan, opened(), wide(1, 100.0, 104.0)).stop_price_usdt == 99.0
    assert position_of(plan, opened(), wide(1, 100.0, 105.0)).stop_price_usdt == 103.9


def test_a_stop_at_break_even_waits_for_a_close_beyond_it() -> None:
    plan = trailing(0.0, breakeven_after=0.02)
    assert position_of(plan, opened(), wide(1, 100.0, 102.0, close=100.1)).stop_price_usdt == 99.0
    moved = position_of(plan, opened(), wide(1, 100.0, 102.0, close=101.0))
    assert (moved.stop_price_usdt, moved.stop_kind) == (100.3, "breakeven_stop")


def test_break_even_covers_the_costs_of_the_account() -> None:
    dear = replace(configured(), risk={"taker_fee_percent": 0.1, "slippage_percent": 0.1})
    plan = trailing(0.0, breakeven_after=0.02)
    assert position_of(dear, plan, opened(), wide(1, 100.0, 102.0, close=101.0)).stop_price_usdt == 100.4


def test_new_trailing_numbers_leave_the_stop_where_and_since_when_it_was() -> None:
    later = replace(stop_moved(99.0, 99.0, (0.05, 0.0, 0.0)), at_ms=DAY_0_MS + 3 * MINUTE_MS)
    bracket = portfolio_of(opened(), later)[0].brackets.of("momentum", BTC)
    assert bracket is not None
    assert (bracket.stop_price_usdt, bracket.stop_since_ms, bracket.trail_fraction) == (99.0, DAY_0_MS, 0.05)


def test_the_high_before_a_limit_entry_inside_its_candle_does_not_count() -> None:
    inside = opened(kind="limit", at_ms=DAY_0_MS + 2 * MINUTE_MS, candle_open_ms=DAY_0_MS + MINUTE_MS)
    assert position_of(trailing(), wide(1, 99.5, 110.0, close=100.5), inside).stop_price_usdt == 99.4
    at_open = opened(kind="limit", at_ms=DAY_0_MS + MINUTE_MS)
    assert position_of(trailing(), wide(1, 99.5, 110.0, close=100.5), at_open).stop_price_usdt == 108.9


def test_a_late_candle_moves_a_stop_and_a_warm_up_candle_does_not() -> None:
    late, warm = (replace(wide(1, 100.0, 103.0), timing=timing) for timing in (Timing.LATE, Timing.WARM_UP))
    assert position_of(trailing(), opened(), late).stop_price_usdt == 101.9
    assert position_of(trailing(), opened(), warm).stop_price_usdt == 99.0


def test_a_strategy_moves_the_stop_after_the_candle_has() -> None:
    events = (trailing(), opened(), wide(1, 100.0, 103.0), stop_moved(101.9, 102.0))
    position = position_of(*events, wide(2, 100.0, 110.0))
    assert (position.stop_price_usdt, position.stop_kind) == (102.0, "stop"), "it no longer trails"


def test_a_fill_of_a_target_leaves_the_others_with_their_share_of_the_rest() -> None:
    before = position_of(opened(targets=((102.0, 0.25), (104.0, 0.25))))
    assert [one.quantity_base for one in before.targets] == [0.25, 0.25]
    rest = position_of(opened(targets=((102.0, 0.25), (104.0, 0.25))), reduced((1.0, 100.0), 0.25, 102.0))
    assert [(one.rung, one.quantity_base) for one in rest.targets] == [(2, 0.25)]
    assert rest.target_price_usdt == 104.0


def test_a_target_takes_whole_lots() -> None:
    position = position_of(opened(targets=((102.0, 0.3333), (104.0, 0.3333))))
    assert [one.quantity_base for one in position.targets] == [0.333, 0.333]


def test_the_last_target_of_a_full_ladder_takes_everything() -> None:
    position = position_of(opened(targets=TWO_TARGETS), reduced((1.0, 100.0), 0.499, 102.0))
    assert [one.quantity_base for one in position.targets] == [pytest.approx(0.501)]


def test_targets_grow_with_adds_and_are_replaced_or_dropped() -> None:
    grown = position_of(opened(targets=TWO_TARGETS), increased((1.0, 100.0), 1.0, 98.0))
    assert [one.quantity_base for one in grown.targets] == [1.0, 1.0]
    dropped = position_of(opened(targets=TWO_TARGETS), cancelled(action="target", rung=1, reason="below_minimum"))
    assert [(one.rung, one.quantity_base) for one in dropped.targets] == [(2, 1.0)], "the last one takes all"
    quarters = opened(targets=((102.0, 0.25), (104.0, 0.25)))
    dropped = position_of(quarters, cancelled(action="target", rung=1, reason="below_minimum"))
    assert [one.quantity_base for one in dropped.targets] == [0.25], "what was not filled stays with the position"
    replaced = position_of(opened(targets=TWO_TARGETS), targets_moved((105.0, 1.0)))
    assert [(one.rung, one.price_usdt) for one in replaced.targets] == [(1, 105.0)]
    assert position_of(opened(targets=TWO_TARGETS), targets_moved()).target_price_usdt == 0.0


def test_a_new_ladder_shares_what_is_open_now() -> None:
    half = (opened(targets=TWO_TARGETS), reduced((1.0, 100.0), 0.5, 102.0))
    for parts, quantities in (((0.5,), [0.25]), ((0.5, 0.5), [0.25, 0.25]), ((1.0,), [0.5])):
        ladder = [(105.0 + place, part) for place, part in enumerate(parts)]
        assert [one.quantity_base for one in position_of(*half, targets_moved(*ladder)).targets] == quantities


# ---------------------------------------------------------------- resting prices


def lines(*events: Event) -> list[tuple[str, int, float, int, int]]:
    """Role, rung and price of every line, and the minutes from and until which it rested; -1 if it still does."""
    _, resting = portfolio_of(*events)
    found = resting.of(BTC, 0, DAY_0_MS + 60 * MINUTE_MS)
    return [(one.role, one.rung, one.price_usdt, minute_of(one.from_ms), minute_of(one.until_ms)) for one in found]


def minute_of(at_ms: int) -> int:
    return (at_ms - DAY_0_MS) // MINUTE_MS if at_ms else -1


def at(minute: int) -> int:
    return DAY_0_MS + minute * MINUTE_MS


def test_an_entry_rests_until_it_is_filled_or_cancelled() -> None:
    order = ordered(kind="limit", price_usdt=99.5, at_ms=at(1))
    assert lines(order) == [("entry", 0, 99.5, 1, -1)]
    assert lines(order, cancelled(reason="expired", at_ms=at(3))) == [("entry", 0, 99.5, 1, 3)]
    assert ("entry", 0, 99.5, 1, 4) in lines(order, opened(at_ms=at(4), kind="limit"))


def test_stop_targets_and_adds_rest_as_long_as_the_position() -> None:
    add = ordered("add", kind="limit", price_usdt=98.0, rung=1, at_ms=at(1))
    open_ = (opened(at_ms=at(1), targets=((102.0, 1.0),)), add)
    assert sorted(lines(*open_)) == [("add", 1, 98.0, 1, -1), ("stop", 0, 99.0, 1, -1), ("target", 1, 102.0, 1, -1)]
    ended = lines(*open_, closed(1.0, at_ms=at(9)))
    gone = lines(*open_, cancelled(action="add", rung=1, reason="replaced", at_ms=at(5)))
    assert gone[0] == ("add", 1, 98.0, 1, 5)
    assert sorted(ended) == [("add", 1, 98.0, 1, 9), ("stop", 0, 99.0, 1, 9), ("target", 1, 102.0, 1, 9)]


def test_a_trailing_stop_is_a_staircase() -> None:
    events = (trailing(), opened(targets=()), wide(1, 100.0, 103.0), wide(2, 100.0, 104.0), wide(3, 103.0, 103.5))
    assert lines(*events) == [
        ("stop", 0, 99.0, 0, 2),
        ("trailing_stop", 0, 101.9, 2, 3),
        ("trailing_stop", 0, 102.9, 3, -1),
    ]


def test_the_stop_of_the_entry_is_the_first_step_although_its_own_candle_moved_it() -> None:
    events = (trailing(), wide(1, 100.0, 103.0), opened(targets=(), at_ms=at(1)), wide(2, 102.0, 102.5))
    assert lines(*events) == [("stop", 0, 99.0, 1, 2), ("trailing_stop", 0, 101.9, 2, -1)]


def test_a_stop_that_the_entry_s_own_candle_has_moved_rests_at_its_new_price() -> None:
    entered = (trailing(), wide(1, 100.0, 103.0), opened(targets=(), at_ms=at(1)))
    assert lines(*entered)[-1] == ("trailing_stop", 0, 101.9, 2, -1)


def test_targets_end_when_they_are_filled_or_replaced() -> None:
    open_ = opened(at_ms=at(1), targets=TWO_TARGETS)
    part = reduced((1.0, 100.0), 0.5, 102.0, at_ms=at(4))
    assert sorted(lines(open_, part))[1:] == [("target", 1, 102.0, 1, 4), ("target", 2, 104.0, 1, -1)]
    moved = replace(targets_moved((103.0, 0.5), (104.0, 0.5)), at_ms=at(4))
    assert sorted(lines(open_, moved))[1:] == [
        ("target", 1, 102.0, 1, 4),
        ("target", 1, 103.0, 4, -1),
        ("target", 2, 104.0, 1, -1),
    ]


def test_what_rested_for_no_time_leaves_no_line() -> None:
    assert lines(opened(at_ms=at(1)), closed(1.0, at_ms=at(1))) == []


def test_a_market_order_rests_nowhere() -> None:
    assert lines(ordered()) == []


def test_a_line_outside_the_span_is_left_out() -> None:
    _, resting = portfolio_of(ordered(kind="limit", price_usdt=99.5, at_ms=at(1)), cancelled(at_ms=at(3)))
    assert resting.of(BTC, at(4), at(9)) == ()
    assert len(resting.of(BTC, at(2), at(9))) == 1
    assert resting.of("ETHUSDT", 0, at(9)) == ()
    _, resting = portfolio_of(ordered(kind="limit", price_usdt=99.5, at_ms=at(3)))
    assert resting.of(BTC, 0, at(2)) == ()
    assert len(resting.of(BTC, 0, at(3))) == 1
