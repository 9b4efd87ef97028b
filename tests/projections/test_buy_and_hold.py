"""Buying and holding is the mean return of all watched symbols, without costs."""

from __future__ import annotations

import pytest

from papertape.events.facts import CandleClosed
from papertape.projections.folds.buy_and_hold import BuyAndHold
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.host import fold
from tests.build import candle, configured, listed, recorded


def held(*candles: CandleClosed) -> BuyAndHold:
    portfolio = Portfolio()
    found = BuyAndHold(portfolio)
    fold([portfolio], recorded([listed("BTCUSDT"), listed("ETHUSDT"), configured()]))
    for one in candles:
        portfolio.apply(recorded([one])[0])
        found.take_candle(one)
    return found


def test_nothing_is_bought_before_the_first_candle() -> None:
    assert held().points(1_000.0) == ()


def test_every_symbol_has_an_equal_part_of_the_capital() -> None:
    found = held(
        candle(0, 100.0, "BTCUSDT"),
        candle(60, 10.0, "ETHUSDT"),
        candle(120, 110.0, "BTCUSDT"),
        candle(121, 8.0, "ETHUSDT"),
    )
    assert found.symbols == {"BTCUSDT", "ETHUSDT"}
    assert found.points(1_000.0)[-1].equity_usdt == pytest.approx(500.0 * 1.1 + 500.0 * 0.8)


def test_a_symbol_that_comes_later_was_cash_before() -> None:
    early = held(candle(0, 100.0, "BTCUSDT"), candle(60, 120.0, "BTCUSDT"))
    assert early.points(1_000.0)[-1].equity_usdt == pytest.approx(1_200.0)
    late = held(
        candle(0, 100.0, "BTCUSDT"),
        candle(60, 120.0, "BTCUSDT"),
        candle(120, 5.0, "ETHUSDT"),
        candle(121, 120.0, "BTCUSDT"),
    )
    assert [point.equity_usdt for point in late.points(1_000.0)][1] == pytest.approx(1_100.0)
