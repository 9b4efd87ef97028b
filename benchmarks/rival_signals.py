"""vwap_rsi's indicators and entry conditions as arrays, for libraries that take signals; compiled by numba.

This is how their users write them: every indicator is one fast pass over whole columns. It supports only gapless
tapes that begin on a quarter of an hour.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

UNKNOWN, RANGING, HIGH, LOW, UP, DOWN = -1, 0, 1, 2, 3, 4
Array = Any


@njit(cache=True)
def resample(o: Array, h: Array, low: Array, c: Array, v: Array, k: int) -> tuple[Array, Array, Array, Array, Array]:
    """Return candles of k rows each."""
    n = len(c) // k
    ro, rh, rl, rc, rv = np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for j in range(n):
        i = j * k
        top, bottom, volume = h[i], low[i], v[i]
        for m in range(i + 1, i + k):
            top = max(top, h[m])
            bottom = min(bottom, low[m])
            volume += v[m]
        ro[j], rh[j], rl[j], rc[j], rv[j] = o[i], top, bottom, c[i + k - 1], volume
    return ro, rh, rl, rc, rv


@njit(cache=True)
def rsi(c: Array) -> Array:
    """Return Wilder's RSI(14)."""
    out = np.full(len(c), np.nan)
    gain, loss = 0.0, 0.0
    for j in range(1, len(c)):
        change = c[j] - c[j - 1]
        up, down = max(change, 0.0), max(-change, 0.0)
        if j > 14:
            gain, loss = (gain * 13.0 + up) / 14.0, (loss * 13.0 + down) / 14.0
        else:
            gain += up
            loss += down
            if j == 14:
                gain, loss = gain / 14.0, loss / 14.0
        if j >= 14:
            out[j] = 100.0 * (gain / (gain + loss)) if gain + loss > 0.0 else 50.0
    return out


@njit(cache=True)
def atr_and_mean(h: Array, low: Array, c: Array) -> tuple[Array, Array]:
    """Return Wilder's ATR(14) and its mean of 20."""
    atr, mean = np.full(len(c), np.nan), np.full(len(c), np.nan)
    value, total = 0.0, 0.0
    for j in range(1, len(c)):
        span = max(h[j] - low[j], abs(h[j] - c[j - 1]), abs(low[j] - c[j - 1]))
        if j < 14:
            value += span
            continue
        value = (value + span) / 14.0 if j == 14 else (value * 13.0 + span) / 14.0
        atr[j] = value
        total += value
        if j > 33:
            total -= atr[j - 20]
        if j >= 33:
            mean[j] = total / 20.0
    return atr, mean


@njit(cache=True)
def adx(h: Array, low: Array, c: Array) -> tuple[Array, Array, Array]:
    """Return Wilder's ADX(14) with both directional indicators."""
    value, plus_di, minus_di = np.full(len(c), np.nan), np.full(len(c), np.nan), np.full(len(c), np.nan)
    plus, minus, spans, index, seed = 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(1, len(c)):
        up, down = h[j] - h[j - 1], low[j - 1] - low[j]
        span = max(h[j] - low[j], abs(h[j] - c[j - 1]), abs(low[j] - c[j - 1]))
        p, m = (up if up > down and up > 0.0 else 0.0), (down if down > up and down > 0.0 else 0.0)
        if j < 14:
            plus, minus, spans = plus + p, minus + m, spans + span
            continue
        plus, minus, spans = plus - plus / 14.0 + p, minus - minus / 14.0 + m, spans - spans / 14.0 + span
        a, b = (100.0 * (plus / spans), 100.0 * (minus / spans)) if spans > 0.0 else (0.0, 0.0)
        plus_di[j], minus_di[j] = a, b
        dx = 100.0 * (abs(a - b) / (a + b)) if a + b > 0.0 else 0.0
        if j <= 27:
            seed += dx
            index = seed / 14.0
        elif a + b > 0.0:
            index = (index * 13.0 + dx) / 14.0
        if j >= 27:
            value[j] = index
    return value, plus_di, minus_di


@njit(cache=True)
def rolling_mean(values: Array, n: int) -> Array:
    """Return the mean of the last n values."""
    out, total = np.full(len(values), np.nan), 0.0
    for j in range(len(values)):
        total += values[j]
        if j >= n:
            total -= values[j - n]
        if j >= n - 1:
            out[j] = total / n
    return out


@njit(cache=True)
def vwap(h: Array, low: Array, c: Array, v: Array, n: int) -> Array:
    """Return the volume-weighted mean price of the last n candles."""
    out, turnover, volume = np.full(len(c), np.nan), 0.0, 0.0
    for j in range(len(c)):
        turnover += (h[j] + low[j] + c[j]) / 3.0 * v[j]
        volume += v[j]
        if j >= n:
            turnover -= (h[j - n] + low[j - n] + c[j - n]) / 3.0 * v[j - n]
            volume -= v[j - n]
        if j >= n - 1 and volume > 0.0:
            out[j] = turnover / volume
    return out


@njit(cache=True)
def regimes(atr: Array, mean: Array, index: Array, plus: Array, minus: Array) -> Array:
    """Return the regime after every candle."""
    out = np.full(len(atr), UNKNOWN)
    for j in range(33, len(atr)):
        if atr[j] > 2.0 * mean[j]:
            out[j] = HIGH
        elif atr[j] < 0.5 * mean[j]:
            out[j] = LOW
        elif index[j] > 25.0 and plus[j] != minus[j]:
            out[j] = UP if plus[j] > minus[j] else DOWN
        else:
            out[j] = RANGING
    return out


@njit(cache=True)
def signals(o: Array, h: Array, low: Array, c: Array, v: Array) -> tuple[Array, Array, Array]:
    """Return the entry side, RSI and regime after every 5m candle, from 1m columns."""
    o5, h5, l5, c5, v5 = resample(o, h, low, c, v, 5)
    _, h15, l15, c15, _ = resample(o5, h5, l5, c5, v5, 3)
    strength, mean_price, mean_volume = rsi(c5), vwap(h5, l5, c5, v5, 288), rolling_mean(v5, 20)
    atr, atr_mean = atr_and_mean(h5, l5, c5)
    index, plus, minus = adx(h5, l5, c5)
    regime = regimes(atr, atr_mean, index, plus, minus)
    index, plus, minus = adx(h15, l15, c15)
    side = np.zeros(len(c5), np.int64)
    for j in range(287, len(c5)):
        q = (j + 1) // 3 - 1
        if not (index[q] <= 25.0) or (regime[j] != RANGING and regime[j] != LOW) or not v5[j] > 2.0 * mean_volume[j]:
            continue
        against_long, against_short = index[q] > 20.0 and minus[q] > plus[q], index[q] > 20.0 and plus[q] > minus[q]
        if strength[j] < 30.0 and c5[j] < mean_price[j] * (1.0 - 0.003) and not against_long:
            side[j] = 1
        elif strength[j] > 70.0 and c5[j] > mean_price[j] * (1.0 + 0.003) and not against_short:
            side[j] = -1
    return side, strength, regime
