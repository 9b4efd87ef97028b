"""Given positions and candles, then how far the positions moved for and against their owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.events.units import MINUTE_MS
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.trades import Trades
from tests.build import DAY_0_MS, candle, closed, configured, increased, opened, recorded, reduced

if TYPE_CHECKING:
    from papertape.events.facts import OrderKind, Side


def ranging(minute: int, low: float, high: float, symbol: str = "BTCUSDT") -> object:
    return replace(candle(minute, (low + high) / 2.0, symbol), low=low, high=high)


def folded(*events: object) -> tuple[Portfolio, Trades]:
    portfolio = Portfolio()
    trades = Trades(portfolio.excursions)
    for one in recorded(events):  # type: ignore[arg-type]
        portfolio.apply(one)
        trades.apply(one)
    return portfolio, trades


def test_an_open_positions_excursion_covers_its_candles() -> None:
    portfolio, _ = folded(configured(), ranging(0, 98.0, 103.0), opened(), ranging(1, 99.0, 104.5))
    position = portfolio.positions()[0]
    assert (position.best_usdt, position.worst_usdt) == (4.5, -2.0)


def test_a_short_positions_best_result_is_at_the_low() -> None:
    portfolio, _ = folded(configured(), ranging(0, 98.0, 103.0), opened(side="short"))
    position = portfolio.positions()[0]
    assert (position.best_usdt, position.worst_usdt) == (2.0, -3.0)


def test_only_the_exit_price_of_the_last_candle_counts() -> None:
    facts = configured(), ranging(0, 98.0, 103.0), opened(), ranging(1, 99.0, 101.0), ranging(2, 50.0, 200.0)
    _, trades = folded(*facts, closed(5.0))
    trade = trades.closed()[0]
    assert (trade.best_usdt, trade.worst_usdt) == (5.0, -2.0)


def test_a_position_that_ends_in_its_first_candle_has_only_its_result() -> None:
    _, trades = folded(configured(), ranging(0, 50.0, 200.0), opened(), closed(-1.0))
    assert (trades.closed()[0].best_usdt, trades.closed()[0].worst_usdt) == (0.0, -1.0)


def test_candles_of_other_symbols_and_before_the_entry_do_not_count() -> None:
    facts = configured(), ranging(0, 1.0, 900.0), ranging(1, 99.0, 101.0), opened(), ranging(2, 1.0, 900.0, "ETHUSDT")
    portfolio, _ = folded(*facts)
    assert portfolio.positions()[0].best_usdt == pytest.approx(1.0)
    assert portfolio.positions()[0].worst_usdt == pytest.approx(-1.0)


def test_without_the_excursion_fold_trades_have_no_excursion() -> None:
    trades = Trades()
    for one in recorded([configured(), candle(0, 100.0), opened(), closed(1.0)]):
        trades.apply(one)
    assert trades.closed()[0].best_usdt is None


def test_the_result_of_closed_parts_counts_and_the_average_moves_with_adds() -> None:
    grown = (2.0, 99.0)
    events = (
        configured(),
        ranging(0, 99.5, 100.5),
        opened(),
        ranging(1, 98.0, 100.0),
        increased((1.0, 100.0), 1.0, 98.0),
    )
    portfolio, _ = folded(*events, ranging(2, 97.0, 103.0))
    position = portfolio.positions()[0]
    assert (position.best_usdt, position.worst_usdt) == (8.0, -4.0)
    portfolio, _ = folded(*events, ranging(2, 99.0, 101.0), reduced(grown, 1.0, 101.0), ranging(3, 100.0, 104.0))
    assert portfolio.positions()[0].best_usdt == pytest.approx(2.0 + 5.0)


def test_of_a_candle_in_which_a_fill_changed_the_position_only_the_fill_and_the_close_count() -> None:
    add = increased((1.0, 100.0), 1.0, 98.0, at_ms=DAY_0_MS + 2 * MINUTE_MS)
    portfolio, _ = folded(configured(), ranging(0, 100.0, 100.0), opened(), ranging(1, 50.0, 150.0), add)
    position = portfolio.positions()[0]
    assert (position.best_usdt, position.worst_usdt) == (2.0, -2.0), "the fill at 98, then the close at 100"


@pytest.mark.parametrize(
    ("kind", "side", "price", "best", "worst"),
    [
        ("limit", "long", 100.0, 10.0, -10.0),
        ("stop", "long", 100.0, 30.0, 0.0),
        ("limit", "short", 120.0, 10.0, -10.0),
        ("stop", "short", 120.0, 30.0, 0.0),
    ],
)
def test_an_entry_inside_its_candle_was_reached_from_one_side(
    kind: OrderKind, side: Side, price: float, best: float, worst: float
) -> None:
    """A candle from 90 to 130 that closes at 110: of the side from which the price came, only the close counts."""
    inside = opened(kind=kind, side=side, price_usdt=price, at_ms=DAY_0_MS + MINUTE_MS, candle_open_ms=DAY_0_MS)
    position = folded(configured(), ranging(0, 90.0, 130.0), inside)[0].positions()[0]
    assert (position.best_usdt, position.worst_usdt) == (best, worst)


def test_after_a_fill_at_the_open_the_whole_candle_counts() -> None:
    at_open = opened(kind="limit", at_ms=DAY_0_MS)
    position = folded(configured(), ranging(0, 90.0, 130.0), at_open)[0].positions()[0]
    assert (position.best_usdt, position.worst_usdt) == (30.0, -10.0)
    add = increased((1.0, 100.0), 1.0, 98.0, at_ms=DAY_0_MS + MINUTE_MS)
    position = folded(configured(), ranging(0, 100.0, 100.0), opened(), ranging(1, 97.0, 103.0), add)[0].positions()[0]
    assert (position.best_usdt, position.worst_usdt) == (8.0, -4.0), "2 at an average of 99"
