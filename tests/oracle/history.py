"""Higher candles with their indicators, computed in advance, and what is known of one symbol at a moment."""

from __future__ import annotations

from . import indicators
from .files import Candle
from .settings import MINUTE

TIMEFRAMES = (5 * MINUTE, 15 * MINUTE)


class Segment:
    """All complete candles of one timeframe between two hole resets, and their indicators row by row.
    "Rows count from 0 at the first candle of the timeframe (after a reset again from 0)." """

    def __init__(self, candles: list[Candle]) -> None:
        self.high = [c.high for c in candles]
        self.low = [c.low for c in candles]
        self.close = [c.close for c in candles]
        self.volume = [c.volume for c in candles]
        self.rsi = indicators.rsi(self.close)
        self.atr = indicators.atr(self.high, self.low, self.close)
        self.atr_sma = indicators.mean_of_last(self.atr, 20)
        self.plus_di, self.minus_di, dx = indicators.directional(self.high, self.low, self.close)
        self.adx = indicators.adx(dx)
        self.vwap = indicators.vwap(self.high, self.low, self.close, self.volume)
        self.volume_sma = indicators.mean_of_last(list(self.volume), 20)


class Snapshot:
    """One completed higher candle and the values of its row."""

    def __init__(self, segment: Segment, row: int) -> None:
        self.segment = segment
        self.row = row
        self.close = segment.close[row]
        self.volume = segment.volume[row]
        self.rsi = segment.rsi[row]
        self.atr = segment.atr[row]
        self.atr_sma = segment.atr_sma[row]
        self.adx = segment.adx[row]
        self.plus_di = segment.plus_di[row]
        self.minus_di = segment.minus_di[row]
        self.vwap = segment.vwap[row]
        self.volume_sma = segment.volume_sma[row]

    @property
    def regime(self) -> str | None:
        """ "Ready when ATR SMA and ADX are (row 33)." """
        if self.atr is None or self.atr_sma is None or self.adx is None:
            return None
        if self.plus_di is None or self.minus_di is None:
            return None
        return indicators.regime(self.atr, self.atr_sma, self.adx, self.plus_di, self.minus_di)

    @property
    def high_volatility(self) -> bool:
        """The first test of the regime alone."""
        return indicators.is_high_volatility(self.atr, self.atr_sma)

    def rolling(self, count: int) -> tuple[float, float] | None:
        """ "highest high / lowest low of the N candles *before* this one. Ready at row N." """
        if self.row < count:
            return None
        high = self.segment.high[self.row - count : self.row]
        low = self.segment.low[self.row - count : self.row]
        return max(high), min(low)

    def spike(self, multiplier: float) -> bool:
        """ "Spike: volume > multiplier * SMA and volume > 0." """
        return self.volume_sma is not None and self.volume > multiplier * self.volume_sma and self.volume > 0


def is_hole(previous: Candle | None, candle: Candle, base: int, gap_ms: int) -> bool:
    """ "A hole of more than `gap_reset_minutes` (240; t_o - previous t_c) resets everything" """
    return previous is not None and candle.open_time - (previous.open_time + base) > gap_ms


def split_at_holes(candles: list[Candle], base: int, gap_ms: int) -> list[list[Candle]]:
    """Pieces of the base candles without a reset inside."""
    pieces: list[list[Candle]] = []
    previous: Candle | None = None
    for candle in candles:
        if previous is None or is_hole(previous, candle, base, gap_ms):
            pieces.append([])
        pieces[-1].append(candle)
        previous = candle
    return pieces


def aggregate(candles: list[Candle], base: int, timeframe: int) -> list[Candle]:
    """ "A higher candle exists only if every base candle of its interval arrived [...] open/close of first/last, max
    high, min low, volumes added in time order. An interval with a missing base candle gives none." """
    intervals: dict[int, list[Candle]] = {}
    for candle in candles:
        intervals.setdefault(candle.open_time - candle.open_time % timeframe, []).append(candle)
    complete = [(start, parts) for start, parts in intervals.items() if len(parts) == timeframe // base]
    return [merge(start, parts) for start, parts in complete]


def merge(start: int, parts: list[Candle]) -> Candle:
    """One higher candle of all its base candles."""
    volume = parts[0].volume
    for part in parts[1:]:
        volume = volume + part.volume
    high, low = max(p.high for p in parts), min(p.low for p in parts)
    return Candle(start, parts[0].open, high, low, parts[-1].close, volume)


def completions(candles: list[Candle], base: int, timeframe: int, gap_ms: int) -> dict[int, Snapshot]:
    """Every higher candle by its close time t_c."""
    found: dict[int, Snapshot] = {}
    for piece in split_at_holes(candles, base, gap_ms):
        higher = aggregate(piece, base, timeframe)
        segment = Segment(higher)
        for row, candle in enumerate(higher):
            found[candle.open_time + timeframe] = Snapshot(segment, row)
    return found


class View:
    """What is known of one symbol at a moment: the last complete candle per timeframe, the last close, the settlements
    and the open-interest readings whose turn has come."""

    def __init__(
        self, symbol: str, candles: list[Candle], base: int, gap_ms: int, timeframes: tuple[int, ...] = TIMEFRAMES
    ) -> None:
        self.symbol, self.base, self.gap_ms = symbol, base, gap_ms
        self.timeframes = [timeframe for timeframe in timeframes if timeframe >= base]
        self.by_close = {tf: completions(candles, base, tf, gap_ms) for tf in self.timeframes}
        self.latest: dict[int, Snapshot | None] = dict.fromkeys(self.timeframes)
        self.previous: Candle | None = None
        self.last_close: float | None = None
        self.readings: list[tuple[int, float]] = []
        self.settlements: list[tuple[int, float]] = []

    def reset_if_hole(self, candle: Candle) -> bool:
        """Stage 0: "resets everything that was built from candles or open interest for that symbol, in all timeframes,
        to not ready; [...] so readings inside the hole are lost too. The funding rate survives." """
        hole = is_hole(self.previous, candle, self.base, self.gap_ms)
        if hole:
            self.latest = dict.fromkeys(self.timeframes)
            self.readings = []
        return hole

    def take(self, candle: Candle) -> set[int]:
        """Stage 3. Gives the timeframes that this candle completed."""
        self.previous = candle
        self.last_close = candle.close
        close_time = candle.open_time + self.base
        completed = set()
        for timeframe in self.timeframes:
            snapshot = self.by_close[timeframe].get(close_time)
            if snapshot is not None:
                self.latest[timeframe] = snapshot
                completed.add(timeframe)
        return completed

    def high_volatility(self, timeframe: int) -> bool:
        """Whether the last complete candle of that timeframe was in high volatility; not ready = no."""
        snapshot = self.latest[timeframe]
        return snapshot is not None and snapshot.high_volatility
