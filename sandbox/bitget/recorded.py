"""A market of recorded files behind the stand-in; its days can be shifted so that they happen now."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from papertape.engine.feeds.candle_row import CandleRow
from papertape.engine.feeds.files.columns import CandleColumns, SeriesColumns, row_at
from papertape.engine.feeds.files.feed import FileFeed
from papertape.events.units import DAY_MS, MINUTE_MS
from papertape.sandbox.bitget.market import LARGE_TIERS, TwinContract, draw, shift_to_mark

UNKNOWN_INTEREST_BASE: Final = 1_000.0
"""The open interest of a symbol without recorded readings."""


def shift_to(feed: FileFeed, begin_ms: int) -> int:
    """Return the shift (whole days, in ms) that puts the first recorded candle at `begin_ms` or just before."""
    first_ms = min(columns.open_time_ms[0] for columns in feed.candles.values())
    return (begin_ms - first_ms) // DAY_MS * DAY_MS


class FileTwinMarket:
    """The market of a file feed. A hole is flat and without trades, as the exchange shows it."""

    def __init__(self, feed: FileFeed, shift_ms: int = 0) -> None:
        self.symbols = tuple(feed.candles)
        self.step_ms = next(iter(feed.candles.values())).timeframe_ms
        assert shift_ms % DAY_MS == 0, f"{shift_ms} ms: whole days keep the grid of funding"
        self._shift_ms = shift_ms
        self._candles: dict[str, CandleColumns] = feed.candles
        self._interest: dict[str, SeriesColumns] = feed.open_interest
        self._rates = {
            symbol: {
                at_ms // MINUTE_MS * MINUTE_MS: rate for at_ms, rate in zip(series.time_ms, series.value, strict=True)
            }
            for symbol, series in feed.funding.items()
        }
        self._listings = {
            contract.symbol: TwinContract(
                contract.symbol,
                (contract.tick_numerator, contract.tick_denominator),
                (contract.lot_numerator, contract.lot_denominator),
                LARGE_TIERS,
                listed_ms=self._candles[contract.symbol].open_time_ms[0] + shift_ms,
            )
            for contract in feed.contracts()
        }

    def listing(self, symbol: str) -> TwinContract:
        """Return the contract that the file suggests."""
        return self._listings[symbol]

    def candle(self, symbol: str, open_ms: int) -> CandleRow | None:
        """Return the recorded candle; None before the record. Holes and the time after the end are flat."""
        columns, recorded_ms = self._candles[symbol], open_ms - self._shift_ms
        times = columns.open_time_ms
        if recorded_ms < times[0]:
            return None
        row = row_at(recorded_ms, times)
        if row < 0:
            close = columns.close[bisect_right(times, recorded_ms) - 1]
            return CandleRow(open_ms, close, close, close, close, 0.0)
        open_, high, low, close, volume = (column[row] for column in columns.values())
        return CandleRow(open_ms, open_, high, low, close, volume)

    def mark_candle(self, symbol: str, open_ms: int) -> CandleRow | None:
        """Return the mark price candle, derived from the trade candle."""
        return shift_to_mark(self.candle(symbol, open_ms), self._listings[symbol])

    def index_price(self, symbol: str, last_usdt: float, at_ms: int) -> float:
        """Return a price up to 0.05 % from the last price."""
        return round(last_usdt * (1.0 + (draw("index", symbol, at_ms // MINUTE_MS) - 0.5) / 1_000.0), 8)

    def settled_rate(self, symbol: str, at_ms: int) -> float:
        """Return the recorded rate; 0 if none was recorded."""
        return self._rates.get(symbol, {}).get(at_ms - self._shift_ms, 0.0)

    def open_interest(self, symbol: str, at_ms: int) -> float:
        """Return the last reading before this time."""
        readings = self._interest.get(symbol)
        if readings is None:
            return UNKNOWN_INTEREST_BASE
        row = bisect_right(readings.time_ms, at_ms - self._shift_ms) - 1
        return readings.value[max(0, row)]
