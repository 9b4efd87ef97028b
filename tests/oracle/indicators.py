"""Strategies.md section 3: whole-series functions, one value (or None = not ready) per row."""

from __future__ import annotations

Series = list[float | None]


def rsi(close: list[float]) -> Series:
    """ "RSI(14): change = close - previous close; gain = max(change, 0), loss = max(-change, 0). First averages at
    row 14: mean of the 14 changes (sum / 14.0). Then avg = (avg * 13.0 + x) / 14.0." """
    out: Series = []
    gain_sum = loss_sum = average_gain = average_loss = 0.0
    for n in range(len(close)):
        change = close[n] - close[n - 1] if n > 0 else 0.0
        gain, loss = max(change, 0.0), max(-change, 0.0)
        if n <= 14:
            gain_sum, loss_sum = gain_sum + gain, loss_sum + loss
            average_gain, average_loss = gain_sum / 14.0, loss_sum / 14.0
        else:
            average_gain = (average_gain * 13.0 + gain) / 14.0
            average_loss = (average_loss * 13.0 + loss) / 14.0
        out.append(rsi_value(average_gain, average_loss) if n >= 14 else None)
    return out


def rsi_value(average_gain: float, average_loss: float) -> float:
    """ "RSI = 100.0 * (avg_gain / (avg_gain + avg_loss)); 50 when both are 0" """
    if average_gain == 0.0 and average_loss == 0.0:
        return 50.0
    return 100.0 * (average_gain / (average_gain + average_loss))


def true_range(high: list[float], low: list[float], close: list[float], n: int) -> float:
    """ "TR = max(high - low, |high - previous close|, |low - previous close|), from row 1 on" """
    return max(high[n] - low[n], abs(high[n] - close[n - 1]), abs(low[n] - close[n - 1]))


def atr(high: list[float], low: list[float], close: list[float]) -> Series:
    """ "First ATR at row 14: sum of TR of rows 1..14 / 14.0. Then ATR = (ATR * 13.0 + TR) / 14.0." """
    out: Series = []
    total = value = 0.0
    for n in range(len(close)):
        if 1 <= n <= 14:
            total += true_range(high, low, close, n)
            value = total / 14.0
        elif n > 14:
            value = (value * 13.0 + true_range(high, low, close, n)) / 14.0
        out.append(value if n >= 14 else None)
    return out


def mean_of_last(values: Series, count: int) -> Series:
    """Mean of the last `count` values, this one included; not ready while one of them is not."""
    out: Series = []
    for n in range(len(values)):
        window = values[n + 1 - count : n + 1] if n + 1 >= count else []
        out.append(None if not window or None in window else sum(window) / float(count))  # type: ignore[arg-type]
    return out


def directional(high: list[float], low: list[float], close: list[float]) -> tuple[Series, Series, Series]:
    """ "Sums S of +DM, -DM, TR: over rows 1..13 plain addition; from row 14 on S = S - S / 14.0 + x. +DI = 100.0 *
    (S(+DM) / S(TR)), -DI likewise, from row 14." Gives +DI, -DI and DX (None where it divides by zero)."""
    plus_out: Series = []
    minus_out: Series = []
    dx_out: Series = []
    plus = minus = ranges = 0.0
    for n in range(len(close)):
        if n >= 1:
            plus_dm, minus_dm = movements(high[n] - high[n - 1], low[n - 1] - low[n])
            tr = true_range(high, low, close, n)
            if n <= 13:
                plus, minus, ranges = plus + plus_dm, minus + minus_dm, ranges + tr
            else:
                plus = plus - plus / 14.0 + plus_dm
                minus = minus - minus / 14.0 + minus_dm
                ranges = ranges - ranges / 14.0 + tr
        if n < 14:
            plus_di = minus_di = dx = None
        else:
            plus_di, minus_di, dx = directional_values(plus, minus, ranges)
        plus_out.append(plus_di)
        minus_out.append(minus_di)
        dx_out.append(dx)
    return plus_out, minus_out, dx_out


def movements(up: float, down: float) -> tuple[float, float]:
    """ "+DM = up if up > down and up > 0 else 0; -DM = down if down > up and down > 0 else 0" """
    return (up if up > down and up > 0 else 0.0), (down if down > up and down > 0 else 0.0)


def directional_values(plus: float, minus: float, ranges: float) -> tuple[float, float, float | None]:
    """ "DX = 100.0 * (|+DI - -DI| / (+DI + -DI))"; "DI is 0 when S(TR) = 0"; DX is None where it is undefined."""
    if ranges == 0.0:
        return 0.0, 0.0, None
    plus_di, minus_di = 100.0 * (plus / ranges), 100.0 * (minus / ranges)
    if plus_di + minus_di == 0.0:
        return plus_di, minus_di, None
    return plus_di, minus_di, 100.0 * (abs(plus_di - minus_di) / (plus_di + minus_di))


def adx(dx: Series) -> Series:
    """ "ADX at row 27 = sum of DX of rows 14..27 / 14.0, then (ADX * 13.0 + DX) / 14.0. If S(TR) = 0 or
    +DI + -DI = 0: at the start DX counts as 0, later ADX keeps its value" """
    out: Series = []
    total = value = 0.0
    for n, x in enumerate(dx):
        if 14 <= n <= 27:
            total += 0.0 if x is None else x
            value = total / 14.0
        elif n > 27 and x is not None:
            value = (value * 13.0 + x) / 14.0
        out.append(value if n >= 27 else None)
    return out


def vwap(high: list[float], low: list[float], close: list[float], volume: list[float], count: int = 288) -> Series:
    """ "sum of (high + low + close) / 3.0 * volume / sum of volume. Ready at row 287 if any volume > 0." """
    weighted = [(h + lo + c) / 3.0 * v for h, lo, c, v in zip(high, low, close, volume, strict=True)]
    out: Series = []
    for n in range(len(close)):
        total = sum(volume[n + 1 - count : n + 1]) if n + 1 >= count else 0.0
        out.append(sum(weighted[n + 1 - count : n + 1]) / total if total > 0.0 else None)
    return out


def regime(atr_now: float, atr_sma: float, adx_now: float, plus_di: float, minus_di: float) -> str:
    """ "Regime, first match: ..." """
    if is_high_volatility(atr_now, atr_sma):
        return "high_volatility"
    if atr_now < 0.5 * atr_sma:
        return "low_volatility"
    if adx_now > 25 and plus_di > minus_di:
        return "trending_up"
    if adx_now > 25 and minus_di > plus_di:
        return "trending_down"
    return "ranging"


def is_high_volatility(atr_now: float | None, atr_sma: float | None) -> bool:
    """ "The high-volatility test alone needs only ATR and ATR SMA; not ready = not high volatility." """
    return atr_now is not None and atr_sma is not None and atr_now > 2.0 * atr_sma
