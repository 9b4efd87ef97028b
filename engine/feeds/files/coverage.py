"""Check whether settlements or readings of open interest cover their candles."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median_low
from typing import Final

from papertape.engine.feeds.files.columns import CandleColumns, SeriesColumns
from papertape.events.units import HOUR_MS

INTERVAL_MS_MIN: Final = 8 * HOUR_MS
"""The span that may be missing at each end: settlements are up to eight hours apart."""


def coverage_warnings(
    name: str, series: SeriesColumns, candles: CandleColumns, start_ms: int | None, end_ms: int | None
) -> list[str]:
    """Return a warning with both ranges if a series covers none or only part of the candles from start to end."""
    times = candles.open_time_ms
    first = bisect_left(times, 0 if start_ms is None else start_ms)
    last = len(times) if end_ms is None else bisect_left(times, end_ms)
    if first >= last:
        return []
    from_ms, until_ms = times[first], times[last - 1] + candles.timeframe_ms
    inside = bisect_right(series.time_ms, until_ms) - bisect_left(series.time_ms, from_ms)
    ranges = f"{_span(series.time_ms[0], series.time_ms[-1])}, the candles cover {_span(from_ms, until_ms)}"
    if inside == 0:
        return [f"{name}: none of the {len(series.time_ms):,} lies within the candles: they cover {ranges}"]
    slack_ms = max(INTERVAL_MS_MIN, median_low([b - a for a, b in pairwise(series.time_ms)] or [0]))
    if series.time_ms[0] - from_ms > slack_ms or until_ms - series.time_ms[-1] > slack_ms:
        return [f"{name} cover only part of the candles: they cover {ranges}"]
    return []


def _span(from_ms: int, until_ms: int) -> str:
    return f"{_words(from_ms)} to {_words(until_ms)} UTC"


def _words(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1_000, UTC):%Y-%m-%d %H:%M}"
