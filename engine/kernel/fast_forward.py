"""Quiet stretches: candles up to the next close of a timeframe, while an account is flat and has no order.

Most of a tape consists of them. Nothing can be decided before their last candle, so they are processed at once; the
market, the series and the symbol's state end up exactly as `observe` and `decide` leave them candle by candle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.codes import NO_ORDER
from papertape.engine.kernel.series import complete_candle

if TYPE_CHECKING:
    from papertape.engine.kernel.state import Account, Bars, Fact, FactColumns, Market, Series, SymbolState
    from papertape.engine.kernel.view import MarketData


def load_fact(fact: Fact, facts: FactColumns, f: int) -> None:
    """Copy the fact at index `f` into `fact`."""
    fact.kind = facts.kind[f]
    fact.symbol = facts.symbol[f]
    fact.timing = facts.timing[f]
    fact.open_time_ms = facts.open_time_ms[f]
    fact.time_ms = facts.time_ms[f]
    fact.open = facts.open[f]
    fact.high = facts.high[f]
    fact.low = facts.low[f]
    fact.close = facts.close[f]
    fact.volume = facts.volume[f]


def load_close(fact: Fact, market: Market, timing: int) -> None:
    """Copy what is read of a candle after `fast_forward` has taken it into market and series.

    Kind and symbol are those of the whole run. Open, high, low and volume stay those of an earlier fact: only orders
    and positions are matched with them.
    """
    fact.timing = timing
    fact.open_time_ms = market.open_time_ms
    fact.time_ms = market.close_time_ms
    fact.close = market.close


def fast_forward(facts: FactColumns, f: int, end: int, data: MarketData, desk: SymbolState, account: Account) -> int:
    """Move market and series over the quiet stretch that begins at `f`, in a run of candles that ends at `end`.

    Return the index of its last candle, on which the strategy may decide, or `f - 1` if no stretch begins at `f`.
    """
    last = _last_quiet(facts, f, end, data, desk, account)
    if last < f:
        return last
    market = data.market
    open_ms, close_ms, close = market.close_time_ms, facts.time_ms[last], facts.close[last]
    high, low, volume = facts.high[f], facts.low[f], facts.volume[f]
    if last > f:
        highs, lows, volumes = facts.high, facts.low, facts.volume
        for k in range(f + 1, last + 1):
            if highs[k] > high:
                high = highs[k]
            if lows[k] < low:
                low = lows[k]
            volume += volumes[k]
    if market.reset != 0:
        market.reset = 0
    market.open_time_ms = open_ms + (last - f) * market.base_ms
    market.close_time_ms = close_ms
    market.close = close
    for one in data.series:
        _extend(one.candle, one.bars, facts, f, last, open_ms, close_ms, high, low, close, volume)
    return last


def _last_quiet(facts: FactColumns, f: int, end: int, data: MarketData, desk: SymbolState, account: Account) -> int:
    """Return the index of the last candle of the stretch that begins at `f`, or `f - 1` if there is no stretch.

    The candles of a run are on the grid of their timeframe, so if as many arrived as fit, there is no hole.
    """
    if account.positions != 0 or desk.order.action != NO_ORDER:
        return f - 1
    market = data.market
    open_ms, base_ms = facts.open_time_ms[f], market.base_ms
    if open_ms != market.close_time_ms or market.booked != market.settled:
        return f - 1
    until_ms = account.day_end_ms
    for one in data.series:
        series = one.candle
        end_ms = series.end_ms
        if open_ms != series.next_ms or open_ms > end_ms:
            return f - 1  # It neither continues nor begins a candle of the series.
        if open_ms == end_ms:
            end_ms += series.timeframe_ms
        if end_ms < until_ms:
            until_ms = end_ms
    last: int = f + (until_ms - open_ms) // base_ms - 1
    if last >= end:
        last = end - 1
    if last < f or (last > f and facts.open_time_ms[last] - open_ms != (last - f) * base_ms):
        return f - 1
    return last


def _extend(
    series: Series,
    bars: Bars,
    facts: FactColumns,
    f: int,
    last: int,
    open_ms: int,
    close_ms: int,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> None:
    """Move a series over the stretch `f .. last`, whose end may complete one of its candles.

    Times, prices and volume are those of the stretch.
    """
    end_ms = series.end_ms
    if series.turbulent_at_open != series.turbulent:
        series.turbulent_at_open = series.turbulent
    if open_ms == end_ms:
        end_ms += series.timeframe_ms
        series.end_ms = end_ms
        series.missing = 0
        series.forming_open = facts.open[f]
        series.forming_high = high
        series.forming_low = low
    else:
        if last == f:
            volume += series.forming_volume
        else:  # Floats are added one by one, as candle by candle.
            volume, volumes = series.forming_volume, facts.volume
            for k in range(f, last + 1):
                volume += volumes[k]
        if high > series.forming_high:
            series.forming_high = high
        if low < series.forming_low:
            series.forming_low = low
    series.forming_volume = volume
    series.forming_close = close
    series.next_ms = close_ms
    if close_ms == end_ms and series.missing <= series.missing_max:
        series.completed = 1
        complete_candle(series, bars, close)
    else:
        series.completed = 0
