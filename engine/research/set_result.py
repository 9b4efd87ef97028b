"""What one set of parameters did over one span of a tape."""

from __future__ import annotations

from typing import NamedTuple


class TradedSpan(NamedTuple):
    """The part of a tape that is traded: candles that open from `start_ms` on and before `end_ms`.

    Earlier candles warm up the indicators. None means from the first candle, or up to the last one.
    """

    start_ms: int | None = None
    end_ms: int | None = None


class SetResult(NamedTuple):
    """The figures of one set over one span, and its equity at the end of every calendar day (float64, little endian).

    `gross_usdt` to `slippage_usdt` are sums over the closed trades; fees and slippage are costs, and `funding_usdt` is
    negative where the account paid. Drawdown is a fraction of the peak so far. `holding_ms` is the time in closed
    trades, `longest_holding_ms` that of the longest trade, an open one included. `tripped` is the reason of the kill
    switch, 0 if it did not trip. `long_way` is 1 if the set had to be run fact by fact.
    """

    end_equity_usdt: float
    cash_usdt: float
    peak_usdt: float
    max_drawdown_fraction: float
    longest_drawdown_ms: int
    gross_usdt: float
    fees_usdt: float
    funding_usdt: float
    slippage_usdt: float
    trades: int
    wins: int
    tripped: int
    longest_holding_ms: int
    holding_ms: int
    decisions: int
    long_way: int
    day_equities: bytes
