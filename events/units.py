"""Units of time in milliseconds, and the timeframes of candles."""

from __future__ import annotations

from typing import Final

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000

TIMEFRAMES_MS: Final = {"1m": MINUTE_MS, "5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS, "1h": HOUR_MS}
"""The base timeframes, by name."""
TIMEFRAME_NAMES: Final = {timeframe_ms: name for name, timeframe_ms in TIMEFRAMES_MS.items()}
SERIES_MS: Final = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": DAY_MS,
}
"""The timeframes of the series that a strategy may ask for, by name."""
SERIES_NAMES: Final = {timeframe_ms: name for name, timeframe_ms in SERIES_MS.items()}
CHART_TIMEFRAMES_MS: Final = {**TIMEFRAMES_MS, "4h": 4 * HOUR_MS, "1d": DAY_MS}
"""The timeframes that a chart can show."""
