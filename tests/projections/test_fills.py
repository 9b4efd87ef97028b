"""Given the events of a position in parts, then its fills, their file, and the trade that they make."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

import pytest

from papertape.events.units import HOUR_MS
from papertape.projections.folds.fills import write_fills_csv
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.trades import Trades
from papertape.projections.host import fold
from tests.build import DAY_0_MS, candle, closed, closed_rest, configured, increased, opened, ordered, recorded, reduced

if TYPE_CHECKING:
    from papertape.events.facts import Event

GROWN = (2.0, 99.0)
PART = reduced(GROWN, 0.5, 103.0, paid=(0.08, 0.0, 0.06))
IN_PARTS: list[Event] = [
    configured(),
    candle(0, 100.0),
    ordered(),
    opened(kind="limit", targets=((103.0, 0.25), (105.0, 0.75))),
    increased((1.0, 100.0), 1.0, 98.0),
    PART,
]
END = closed_rest([PART], 2.0, (1.5, 99.0), 97.0, "trailing_stop", paid=(0.06, 0.0, 0.045))
HEADER = (
    "strategy,symbol,time_ms,action,reason,rung,side,quantity_base,price_usdt,fee_usdt,gross_usdt,position_base,"
    "average_usdt"
)


def folded(*events: Event) -> tuple[Portfolio, Trades]:
    portfolio = Portfolio()
    trades = Trades(portfolio.excursions)
    fold([portfolio, trades], recorded(events))
    return portfolio, trades


def test_the_file_of_fills_has_a_line_for_every_fill_in_the_order_of_filling() -> None:
    file = StringIO()
    write_fills_csv(file, folded(*IN_PARTS, END)[1].fills())
    start, end = f"momentum,BTCUSDT,{DAY_0_MS}", f"momentum,BTCUSDT,{DAY_0_MS + HOUR_MS}"
    assert file.getvalue().splitlines() == [
        HEADER,
        f"{start},open,limit,0,buy,1.0,100.0,0.06,0.0,1.0,100.0",
        f"{start},increase,limit,1,buy,1.0,98.0,0.02,0.0,2.0,99.0",
        f"{start},reduce,target_1,1,sell,0.5,103.0,0.02,2.0,1.5,99.0",
        f"{end},close,trailing_stop,0,sell,1.5,97.0,0.06,-3.0,0.0,0.0",
    ]


def test_a_short_position_is_sold_first_and_bought_back() -> None:
    _, trades = folded(configured(), candle(0, 100.0), opened(side="short"), closed(1.0, side="short"))
    assert [fill.side for fill in trades.fills()] == ["sell", "buy"]


def test_a_trade_from_flat_to_flat_is_one_line_with_its_parts_and_its_largest_size() -> None:
    (trade,) = folded(*IN_PARTS, END)[1].closed()
    assert (trade.quantity_base, trade.parts, trade.max_quantity_base) == (2.0, 2, 2.0)
    assert trade.exit_price_usdt == pytest.approx((0.5 * 103.0 + 1.5 * 97.0) / 2.0)
    assert trade.gross_usdt == pytest.approx(-1.0)
    assert trade.fees_usdt == pytest.approx(0.06 + 0.02 + 0.02 + 0.06)
    assert trade.risk_usdt == 3.5, "the entry's and the add's"
    assert [fill.seq for fill in trade.fills] == [4, 5, 6, 7]


def test_a_position_in_parts_shows_what_is_open_and_what_was_realised() -> None:
    (position,) = folded(*IN_PARTS)[0].positions()
    assert (position.quantity_base, position.entry_price_usdt, position.units) == (1.5, 99.0, 2.0)
    assert (position.parts, position.max_quantity_base) == (1, 2.0)
    assert position.realised_usdt == pytest.approx(PART.net_usdt)
    assert position.fees_usdt == pytest.approx(0.06)
    assert position.slippage_usdt == pytest.approx(0.045)
    assert [(one.rung, one.price_usdt, one.quantity_base) for one in position.targets] == [(2, 105.0, 1.5)]


def test_a_reduction_realises_its_part_in_the_cash() -> None:
    account = folded(*IN_PARTS)[0].account("momentum")
    assert account.cash_usdt == pytest.approx(10_000.0 - 0.06 - 0.02 + 2.0 - 0.02)
    assert account.slippage_usdt == pytest.approx(0.05 + 0.01)
    after = folded(*IN_PARTS, END)[0].account("momentum")
    assert after.cash_usdt == pytest.approx(10_000.0 + END.net_usdt)
    assert after.open_positions == 0


def test_the_fills_of_one_strategy_are_those_of_its_own_trades_and_positions() -> None:
    _, trades = folded(*IN_PARTS, configured("other"), opened("other"))
    assert {fill.strategy for fill in trades.fills("momentum")} == {"momentum"}
    assert len(trades.fills("other")) == 1
    assert trades.fills(symbol="ETHUSDT") == ()
