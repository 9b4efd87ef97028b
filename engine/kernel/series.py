"""From base candles to markets and series: aggregation, holes, and what is known at which moment.

A higher candle exists only if every base candle of its interval arrived, and completes with the last of
them. A hole longer than the gap reset takes everything built from candles or open interest back to not ready.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.codes import CANDLE, FUNDING, HIGH_VOLATILITY
from papertape.engine.kernel.indicators import (
    classify_regime,
    true_range,
    update_adx,
    update_atr,
    update_rsi,
    update_volume_average,
    update_vwap,
)
from papertape.engine.kernel.state import HISTORY_MASK, READINGS_MASK, SETTLEMENTS_MASK, SETTLEMENTS_MAX

if TYPE_CHECKING:
    from papertape.engine.kernel.state import Adx, Atr, Bars, Fact, Market, Readings, Rsi, Series, Settlements


def observe(
    fact: Fact,
    market: Market,
    main: Series,
    bars: Bars,
    filtered: Series,
    filter_bars: Bars,
    two_series: bool,
    settlements: Settlements,
    readings: Readings,
) -> None:
    """What one runner's market and series take of a fact."""
    if fact.kind == CANDLE:
        observe_candle(market, fact, settlements)
        observe_series(main, bars, fact, market.reset)
        if two_series:
            observe_series(filtered, filter_bars, fact, market.reset)
    elif fact.kind == FUNDING:
        observe_settlement(market, fact, settlements)
    else:
        observe_open_interest(market, fact, readings)


def observe_candle(market: Market, fact: Fact, settlements: Settlements) -> None:
    """The market takes a candle: was there a hole, and which settlements are due at its open."""
    open_ms, known_until_ms = fact.open_time_ms, market.close_time_ms
    market.reset = 0
    if open_ms - known_until_ms > market.gap_reset_ms and known_until_ms >= 0:
        market.reset = 1
        market.readings = 0
    market.open_time_ms = open_ms
    market.close_time_ms = fact.time_ms
    market.close = fact.close
    if market.booked != market.settled:
        _settle(market, open_ms, settlements)


def _settle(market: Market, open_ms: int, settlements: Settlements) -> None:
    """What was due before counts as booked; what is settled by this open is due."""
    due = market.due
    market.booked = due
    while due < market.settled and settlements[due & SETTLEMENTS_MASK].time_ms <= open_ms:
        due += 1
    market.due = due


def observe_settlement(market: Market, fact: Fact, settlements: Settlements) -> None:
    """The market takes a funding settlement: it is the known rate from now on, and waits to be booked.

    More than `SETTLEMENTS_MAX` unbooked ones (ten days of hourly funding without a candle) push out the oldest.
    """
    row = settlements[market.settled & SETTLEMENTS_MASK]
    row.time_ms = fact.time_ms
    row.rate = fact.close
    market.settled += 1
    if market.settled - market.due > SETTLEMENTS_MAX:
        market.due += 1
    market.rate = fact.close
    market.rate_time_ms = fact.time_ms


def observe_open_interest(market: Market, fact: Fact, readings: Readings) -> None:
    """The market takes a reading of open interest."""
    row = readings[market.readings & READINGS_MASK]
    row.time_ms = fact.time_ms
    row.value = fact.close
    market.readings += 1
    market.reading_time_ms = fact.time_ms


def observe_series(series: Series, bars: Bars, fact: Fact, reset: int) -> None:
    """A series takes a base candle; `completed` tells whether that completed one of its own."""
    if reset == 1:
        reset_series(series)
    # Most candles change neither, and in CPython looking costs half of writing.
    if series.turbulent_at_open != series.turbulent:
        series.turbulent_at_open = series.turbulent
    if series.completed == 1:
        series.completed = 0
    open_ms, close_ms, high, low = fact.open_time_ms, fact.time_ms, fact.high, fact.low
    if open_ms == series.next_ms and open_ms < series.end_ms:
        if high > series.forming_high:
            series.forming_high = high
        if low < series.forming_low:
            series.forming_low = low
        series.forming_volume += fact.volume
    else:
        _begin_candle(series, fact)
    series.next_ms = close_ms
    if close_ms == series.end_ms and series.whole == 1:
        series.completed = 1
        complete_candle(series, bars, fact.close)


def _begin_candle(series: Series, fact: Fact) -> None:
    """Start forming; a candle that does not begin at its interval's start, or goes on after a hole, never counts."""
    if fact.open_time_ms != series.end_ms:
        series.end_ms = fact.open_time_ms - fact.open_time_ms % series.timeframe_ms
    series.whole = 1 if fact.open_time_ms == series.end_ms else 0
    series.end_ms += series.timeframe_ms
    series.forming_open = fact.open
    series.forming_high = fact.high
    series.forming_low = fact.low
    series.forming_volume = fact.volume


def complete_candle(series: Series, bars: Bars, close: float) -> None:
    """The forming candle is whole: it becomes the last one, and every indicator takes it."""
    row = series.row + 1
    high, low = series.forming_high, series.forming_low
    bar = bars[row & HISTORY_MASK]
    bar.high = high
    bar.low = low
    bar.close = close
    bar.volume = series.forming_volume
    if row > 0:
        span = true_range(high, low, series.close)
        update_rsi(series.rsi, row, close - series.close)
        update_atr(series.atr, row, span, bars)
        update_adx(series.adx, row, high - series.high, series.low - low, span)
    bar.atr = series.atr.value
    series.row = row
    series.open = series.forming_open
    series.high = high
    series.low = low
    series.close = close
    series.volume = series.forming_volume
    update_vwap(series.vwap, row, bars)
    update_volume_average(series.volume_average, row, bars)
    series.regime = classify_regime(series)
    series.turbulent = 1 if series.regime == HIGH_VOLATILITY else 0


def reset_series(series: Series) -> None:
    """Back to not ready: nothing built from candles before a long hole is used after it."""
    series.row = -1
    series.turbulent = 0
    series.regime = 0
    series.whole = 0
    series.end_ms = -1
    series.next_ms = -1
    series.vwap.turnover_sum = 0.0
    series.vwap.volume_sum = 0.0
    series.vwap.traded = 0
    series.vwap.value = 0.0
    series.volume_average.volume_sum = 0.0
    series.volume_average.traded = 0
    series.volume_average.value = 0.0
    _reset_wilder(series.rsi, series.atr, series.adx)


def _reset_wilder(rsi: Rsi, atr: Atr, adx: Adx) -> None:
    """Start Wilder's recursions again."""
    rsi.average_gain = 0.0
    rsi.average_loss = 0.0
    rsi.value = 0.0
    atr.value = 0.0
    atr.sum_20 = 0.0
    atr.sma = 0.0
    adx.plus_sum = 0.0
    adx.minus_sum = 0.0
    adx.range_sum = 0.0
    adx.plus_di = 0.0
    adx.minus_di = 0.0
    adx.dx_sum = 0.0
    adx.value = 0.0
