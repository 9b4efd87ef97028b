"""Monte Carlo: the same trades in another order, the same days in other blocks, and other candles. Needs numpy.

Everything is drawn from a seed, so that the same inputs give the same results.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.engine.feeds.files.columns import CandleColumns

DRAWS = 2_000
BAND_TRADES = 500
BAND_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95)
CELLS_MAX = 2_000_000
"""Draws times trades that are computed together: bounds the memory."""


def shuffled_drawdowns(nets_usdt: Sequence[float], capital_usdt: float, draws: int = DRAWS, seed: int = 0) -> Any:
    """Return the greatest drawdown, as a fraction of the peak so far, of every shuffle of the trades.

    An account that loses everything has a drawdown of 1. Without trades or capital there are none.
    """
    if not nets_usdt or capital_usdt <= 0.0:
        return np.zeros(0)
    random, nets = np.random.default_rng(seed), np.asarray(nets_usdt, float)
    step = max(1, CELLS_MAX // len(nets))
    parts = []
    for first in range(0, draws, step):
        order = np.tile(nets, (min(step, draws - first), 1))
        parts.append(_drawdowns(capital_usdt + random.permuted(order, axis=1).cumsum(axis=1), capital_usdt))
    return np.concatenate(parts)


def _drawdowns(equities: Any, start: float) -> Any:
    """Return the greatest drawdown of every row, 1 at most."""
    peaks = np.maximum(np.maximum.accumulate(equities, axis=1), start)
    return np.minimum(((peaks - equities) / peaks).max(axis=1), 1.0)


def quantile(values: Any, at: float) -> float | None:
    """Return a quantile; None without values."""
    return float(np.quantile(values, at)) if len(values) else None


def cumulative_bands(
    r_multiples: Sequence[float], trades: int = BAND_TRADES, draws: int = DRAWS, seed: int = 0
) -> tuple[tuple[float, float, float, float, float, float], ...]:
    """Return the 1, 5, 25, 50, 75 and 95 % quantiles of the cumulative result in R by trade 1, 2, ... `trades`.

    Every path draws from the trades with replacement: a shuffle would end in the same sum on every path. Empty without
    trades.
    """
    if not r_multiples:
        return ()
    drawn = np.random.default_rng(seed).choice(np.asarray(r_multiples, float), (draws, trades))
    quantiles = np.quantile(drawn.cumsum(axis=1), BAND_QUANTILES, axis=0)
    return tuple((float(a), float(b), float(c), float(d), float(e), float(f)) for a, b, c, d, e, f in quantiles.T)


def block_paths(returns: Sequence[float], block_days: float, draws: int = DRAWS, seed: int = 0) -> Any:
    """Return paths of equity, 1 at the start, of days drawn by the stationary bootstrap; one row a path.

    The blocks have a mean length of `block_days`, and the end is followed by the beginning.
    """
    random, days = np.random.default_rng(seed), np.asarray(returns, float)
    count = len(days)
    if not count:
        return np.ones((draws, 0))
    begins = random.random((draws, count)) < 1.0 / max(1.0, block_days)
    begins[:, 0] = True
    starts = random.integers(0, count, (draws, count))
    places = np.arange(count)
    begun = np.maximum.accumulate(np.where(begins, places, 0), axis=1)
    rows = (np.take_along_axis(starts, begun, axis=1) + places - begun) % count
    return np.maximum(1.0 + days[rows], 0.0).cumprod(axis=1)


def path_drawdowns(paths: Any) -> Any:
    """Return the greatest drawdown of every path that starts at 1, a fraction of its peak so far."""
    return _drawdowns(paths, 1.0) if paths.size else np.zeros(0)


def with_redrawn_candles(
    table: CandleColumns, block_candles: int, run_candles: int = 12, seed: int = 0
) -> CandleColumns:
    """Return the table with the candles of every block drawn anew, in runs, from those of the same block.

    A candle keeps its shape: its gap from the close before it, its high, low and close against its open, and its
    volume; prices are chained from the first open, times stay. So a block has the moves of its own time in another
    order, and what reaches from one run to the next is lost.
    """
    count = len(table.open_time_ms)
    if not count:
        return table
    opens, highs, lows, closes, volumes = (np.array(column) for column in table.values())
    gaps = np.ones(count)
    gaps[1:] = opens[1:] / closes[:-1]
    rows = _drawn_rows(count, block_candles, run_candles, np.random.default_rng(seed))
    gap, body = gaps[rows], (closes / opens)[rows]
    gap[0] = 1.0
    close = opens[0] * (gap * body).cumprod()
    open_ = close / body
    high = np.maximum(open_ * (highs / opens)[rows], np.maximum(open_, close))
    low = np.minimum(open_ * (lows / opens)[rows], np.minimum(open_, close))
    drawn = (array("d", column.tobytes()) for column in (open_, high, low, close, volumes[rows]))
    return replace(table, **dict(zip(("open", "high", "low", "close", "volume"), drawn, strict=True)))


def _drawn_rows(count: int, block: int, run: int, random: np.random.Generator) -> Any:
    """Return the row that stands at every place after the draw, out of the same block."""
    rows = np.empty(count, int)
    for first in range(0, count, block):
        end = min(first + block, count)
        length = min(run, end - first)
        runs = -(-(end - first) // length)
        starts = random.integers(first, end - length + 1, runs)
        rows[first:end] = (starts[:, None] + np.arange(length)).ravel()[: end - first]
    return rows
