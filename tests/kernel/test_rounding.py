"""Prices on the tick, quantities on the lot: with integers, and never off by one."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.engine.kernel.rounding import (
    ceil_steps,
    floor_steps,
    market_price,
    price_down,
    price_up,
    quantity_down,
    stop_price,
    target_price,
    traded_through,
)
from papertape.engine.kernel.state import Contract
from tests.support import examples

TENTH = Contract(tick_numerator=1, tick_denominator=10, lot_numerator=1, lot_denominator=10_000)
HALF = Contract(tick_numerator=1, tick_denominator=2)
TEN = Contract(tick_numerator=10, tick_denominator=1)


@examples(500)
@given(st.integers(1, 10**9), st.integers(0, 6))
def test_a_price_written_with_the_ticks_decimals_stands_on_its_own_tick(ticks: int, decimals: int) -> None:
    written = float(Decimal(ticks).scaleb(-decimals))
    assert floor_steps(written, 1, 10**decimals) == ceil_steps(written, 1, 10**decimals) == ticks


@examples(500)
@given(st.integers(1, 10**7), st.integers(0, 5), st.integers(1, 999))
def test_a_price_between_two_ticks_goes_down_to_one_and_up_to_the_other(
    ticks: int, decimals: int, between: int
) -> None:
    written = float(Decimal(ticks * 1_000 + between).scaleb(-decimals - 3))
    assert floor_steps(written, 1, 10**decimals) == ticks
    assert ceil_steps(written, 1, 10**decimals) == ticks + 1


@pytest.mark.parametrize(
    ("price", "contract", "down", "up"),
    [
        (100.19, TENTH, 100.1, 100.2),
        (0.3, TENTH, 0.3, 0.3),
        (123.4, HALF, 123.0, 123.5),
        (121.0, TEN, 120.0, 130.0),
        (0.01, TENTH, 0.1, 0.1),
    ],
)
def test_prices_on_their_grid(price: float, contract: Contract, down: float, up: float) -> None:
    assert (price_down(price, contract), price_up(price, contract)) == (down, up)


@pytest.mark.parametrize(("quantity", "floored"), [(0.11993, 0.1199), (0.1199, 0.1199), (0.00009, 0.0), (-1.0, 0.0)])
def test_a_quantity_is_floored_to_the_lot_down_to_nothing(quantity: float, floored: float) -> None:
    assert quantity_down(quantity, TENTH) == floored


def test_a_market_order_is_slipped_and_then_rounded_against_the_trader() -> None:
    assert market_price(100.0, 1, 0.0005, TENTH) == 100.1
    assert market_price(100.0, -1, 0.0005, TENTH) == 99.9
    assert market_price(84_000.0, 1, 0.0005, TENTH) == 84_042.0


def test_stop_and_target_are_rounded_away_from_the_entry() -> None:
    assert (stop_price(100.0, 1, 0.0101, TENTH), target_price(100.0, 1, 0.0101, TENTH)) == (98.9, 101.1)
    assert (stop_price(100.0, -1, 0.0101, TENTH), target_price(100.0, -1, 0.0101, TENTH)) == (101.1, 98.9)


@pytest.mark.parametrize(
    ("price", "target", "side", "through"),
    [
        (102.0, 102.0, 1, False),
        (102.1, 102.0, 1, True),
        (102.09, 102.0, 1, False),
        (98.0, 98.0, -1, False),
        (97.9, 98.0, -1, True),
        (97.91, 98.0, -1, False),
        (0.3, 0.2, 1, True),
        (0.2, 0.3, -1, True),
    ],
)
def test_a_target_is_traded_through_by_a_whole_tick_or_not_at_all(
    price: float, target: float, side: int, through: bool
) -> None:
    assert traded_through(price, target, side, TENTH) is through


@examples(500)
@given(st.integers(2, 10**8), st.integers(0, 6), st.sampled_from([1, -1]))
def test_one_tick_beyond_a_target_is_through_for_every_price(ticks: int, decimals: int, side: int) -> None:
    contract = Contract(tick_numerator=1, tick_denominator=10**decimals)
    target, beyond = (float(Decimal(n).scaleb(-decimals)) for n in (ticks, ticks + side))
    assert traded_through(beyond, target, side, contract)
    assert not traded_through(target, target, side, contract)
