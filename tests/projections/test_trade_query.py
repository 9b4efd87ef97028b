"""Closed trades, filtered, sorted and in pages."""

from __future__ import annotations

import pytest

from papertape.events.errors import UsageError
from papertape.projections.folds.trades import Trades
from papertape.projections.host import fold
from papertape.projections.site.trade_query import NEWEST, TradeFilter, TradesPage, trades_page
from tests.build import closed, recorded


def page_of(choice: TradeFilter, page: int = 1, size: int = 2, order: str = NEWEST) -> TradesPage:
    trades = Trades()
    events = [closed(5.0, "a"), closed(-3.0, "a"), closed(2.0, "b", "ETHUSDT"), closed(-1.0, "b"), closed(4.0, "a")]
    fold([trades], recorded(events))
    return trades_page(trades, choice, page, size, order)


def gross(page: TradesPage) -> list[float]:
    return [trade.gross_usdt for trade in page.trades]


def test_pages_begin_with_the_newest_trade() -> None:
    assert [gross(page_of(TradeFilter(), page)) for page in (1, 2, 3)] == [[4.0, -1.0], [2.0, -3.0], [5.0]]
    assert page_of(TradeFilter()).pages == 3


def test_a_page_beyond_the_end_is_the_last_one() -> None:
    assert (page_of(TradeFilter(), 9).page, gross(page_of(TradeFilter(), 9))) == (3, [5.0])
    assert page_of(TradeFilter(), 0).page == 1


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        (TradeFilter(strategy="b"), [-1.0, 2.0]),
        (TradeFilter(symbol="ETHUSDT"), [2.0]),
        (TradeFilter(result="won", strategy="a"), [4.0, 5.0]),
        (TradeFilter(result="lost"), [-1.0, -3.0]),
        (TradeFilter(side="nowhere"), []),
        (TradeFilter(reason="nothing"), []),
        (TradeFilter(first_seq=2, last_seq=3), [2.0, -3.0]),
        (TradeFilter(last_seq=0), []),
        (TradeFilter(until_ms=0), []),
    ],
)
def test_the_filter_selects_trades(choice: TradeFilter, found: list[float]) -> None:
    assert gross(page_of(choice, size=9)) == found


@pytest.mark.parametrize(
    ("order", "found"),
    [
        (NEWEST, [4.0, -1.0, 2.0, -3.0, 5.0]),
        ("seq", [5.0, -3.0, 2.0, -1.0, 4.0]),
        ("-net", [5.0, 4.0, 2.0, -1.0, -3.0]),
        ("net", [-3.0, -1.0, 2.0, 4.0, 5.0]),
        ("-symbol", [2.0, 4.0, -1.0, -3.0, 5.0]),
    ],
)
def test_trades_are_sorted_by_the_requested_order(order: str, found: list[float]) -> None:
    assert gross(page_of(TradeFilter(), size=9, order=order)) == found
    assert gross(page_of(TradeFilter(), page=2, size=2, order=order)) == found[2:4]


def test_an_unknown_order_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="unknown order 'luckiest'; known orders: symbol, closed, "):
        page_of(TradeFilter(), order="luckiest")


def test_rates_and_means_cover_all_matching_trades() -> None:
    page = page_of(TradeFilter(strategy="a"), size=1)
    assert page.win_rate_percent == pytest.approx(200.0 / 3.0)
    every = page_of(TradeFilter(strategy="a"), size=9)
    assert page.mean_r == pytest.approx(sum(trade.r_multiple for trade in every.trades) / 3.0)
    nothing = page_of(TradeFilter(symbol="XRPUSDT"))
    assert (nothing.win_rate_percent, nothing.mean_r) == (None, None)


def test_sums_and_counts_cover_all_matching_trades_not_the_page() -> None:
    page = page_of(TradeFilter(strategy="a"), size=1)
    assert (page.chosen, page.wins, page.gross_usdt) == (3, 2, 6.0)
    assert page.net_usdt == pytest.approx(page.gross_usdt - page.fees_usdt + page.funding_usdt)


def test_no_match_gives_one_empty_page() -> None:
    page = page_of(TradeFilter(symbol="XRPUSDT"))
    assert (page.trades, page.page, page.pages, page.net_usdt) == ((), 1, 1, 0.0)
    assert page.reasons
