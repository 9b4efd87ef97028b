"""Units of time in milliseconds, and the timeframes of candles."""

from __future__ import annotations

from typing import Final

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000

TIMEFRAMES_MS: Final = {"1m": MINUTE_MS, "5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS, "1h": HOUR_MS}
"""The timeframes that a strategy may ask for, by name."""
TIMEFRAME_NAMES: Final = {timeframe_ms: name for name, timeframe_ms in TIMEFRAMES_MS.items()}
CHART_TIMEFRAMES_MS: Final = {**TIMEFRAMES_MS, "4h": 4 * HOUR_MS, "1d": DAY_MS}
"""The timeframes that a chart can show."""
