"""What the exchange publishes about its market: bars of every length, the forming bar, settlements, 24-hour figures.

It is a function of time and the truth: no fault of a frame reaches it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from papertape.engine.feeds.candle_row import CandleRow
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS
from papertape.sandbox.bitget.market import TwinContract, TwinMarket, draw, forming_candle

GRANULARITIES: Final[dict[str, tuple[int, int]]] = {
    "1m": (MINUTE_MS, 0),
    "3m": (3 * MINUTE_MS, 0),
    "5m": (5 * MINUTE_MS, 0),
    "15m": (15 * MINUTE_MS, 0),
    "30m": (30 * MINUTE_MS, 0),
    "1H": (HOUR_MS, 0),
    "2H": (2 * HOUR_MS, 0),
    "4H": (4 * HOUR_MS, 0),
    "6H": (6 * HOUR_MS, 4 * HOUR_MS),
    "12H": (12 * HOUR_MS, 4 * HOUR_MS),
    "1D": (DAY_MS, 16 * HOUR_MS),
    "6Hutc": (6 * HOUR_MS, 0),
    "12Hutc": (12 * HOUR_MS, 0),
    "1Dutc": (DAY_MS, 0),
}
"""The length, and how long after 00:00 UTC the grid begins: without `utc`, long bars open on the grid of UTC+8."""
STREAMED: Final = frozenset(GRANULARITIES) - {"3m", "2H"}
"""The granularities that have a channel."""
CHANGES_MAX: Final = 1_000
HOURS_KEPT_MAX: Final = 26
"""For each symbol: a day, and the hour that has just begun."""
NOISE_RATE_MAX: Final = 0.00002

Candle = Callable[[str, int], CandleRow | None]


class Ticker24h(Struct, frozen=True):
    """A ticker's figures of the last 24 hours, as of a whole hour, in USDT and coins."""

    open: float
    high: float
    low: float
    volume: float
    turnover: float
    open_utc: float


class HourFigures(Struct, frozen=True):
    """The contribution of one hour to the 24-hour figures."""

    open: float
    high: float
    low: float
    volume: float
    turnover: float


def hour_figures(rows: list[CandleRow]) -> HourFigures:
    """Return the figures of candles in time order."""
    return HourFigures(
        rows[0].open,
        max(row.high for row in rows),
        min(row.low for row in rows),
        sum(row.volume for row in rows),
        sum(row.volume * row.close for row in rows),
    )


class MarketHistory:
    """The published side of a market."""

    def __init__(self, market: TwinMarket, estimate_noise: float = 0.0) -> None:
        assert 0.0 <= estimate_noise <= 1.0, estimate_noise
        self.market = market
        self._estimate_noise = estimate_noise
        self._changes: dict[str, list[tuple[int, int]]] = {}
        self._figures: dict[str, tuple[int, Ticker24h]] = {}
        self._hours: OrderedDict[tuple[str, int], HourFigures | None] = OrderedDict()
        self._whole: dict[str, CandleRow | None] = {}
        self._latest: dict[str, tuple[int, CandleRow | None]] = {}

    # ------------------------------------------------------------ candles

    def bar(self, symbol: str, granularity: str, open_ms: int, candle: Candle | None = None) -> CandleRow | None:
        """Return a complete bar, joined from the market's candles."""
        one, (length_ms, _) = candle or self.market.candle, GRANULARITIES[granularity]
        if length_ms <= self.market.step_ms:
            return one(symbol, open_ms)
        times = range(open_ms, open_ms + length_ms, self.market.step_ms)
        return join_rows(open_ms, [row for at_ms in times if (row := one(symbol, at_ms)) is not None])

    def bars(
        self, symbol: str, granularity: str, until_ms: int, count: int, from_ms: int = 0, candle: Candle | None = None
    ) -> list[CandleRow]:
        """Return the newest `count` bars that end by `until_ms` and open from `from_ms` on, oldest first."""
        length_ms, begin_ms = GRANULARITIES[granularity]
        newest_ms = (until_ms - begin_ms) // length_ms * length_ms + begin_ms - length_ms
        first_ms = max(newest_ms - (count - 1) * length_ms, from_ms, self.market.listing(symbol).listed_ms)
        first_ms += (begin_ms - first_ms) % length_ms
        times = range(first_ms, newest_ms + 1, length_ms)
        return [row for at_ms in times if (row := self.bar(symbol, granularity, at_ms, candle)) is not None]

    def forming(self, symbol: str, granularity: str, now_ms: int) -> CandleRow | None:
        """Return the forming bar as it stands."""
        length_ms, begin_ms = GRANULARITIES[granularity]
        open_ms, step_ms = (now_ms - begin_ms) // length_ms * length_ms + begin_ms, self.market.step_ms
        latest = self._forming_candle(symbol, now_ms)
        if length_ms <= step_ms or latest is None:
            return latest
        times = range(open_ms, latest.open_time_ms, step_ms)
        whole = [row for at_ms in times if (row := self.market.candle(symbol, at_ms)) is not None]
        return join_rows(open_ms, [*whole, latest])

    def last(self, symbol: str, now_ms: int) -> CandleRow | None:
        """Return the newest candle as it stands; its close is the last price. None before the listing."""
        return self._forming_candle(symbol, now_ms)

    def mark_price(self, symbol: str, now_ms: int) -> float:
        """Return the mark price, as far from the last price as this minute's mark candle is from its trade candle."""
        row = self._forming_candle(symbol, now_ms)
        if row is None:
            return 0.0
        whole, mark = self._whole[symbol], self.market.mark_candle(symbol, row.open_time_ms)
        if whole is None or mark is None or whole.close == mark.close:
            return row.close
        numerator, denominator = self.market.listing(symbol).tick
        ticks = round((mark.close - whole.close) * denominator / numerator)
        return max(1, round(row.close * denominator / numerator) + ticks) * numerator / denominator

    def _forming_candle(self, symbol: str, now_ms: int) -> CandleRow | None:
        latest = self._latest.get(symbol)
        if latest is None or latest[0] != now_ms:
            latest = self._latest[symbol] = (now_ms, self._formed(symbol, now_ms))
        return latest[1]

    def _formed(self, symbol: str, now_ms: int) -> CandleRow | None:
        step_ms = self.market.step_ms
        open_ms = now_ms // step_ms * step_ms
        whole = self._whole.get(symbol)
        if whole is None or whole.open_time_ms != open_ms:
            whole = self._whole[symbol] = self.market.candle(symbol, open_ms)
        if whole is None:
            return None
        return forming_candle(whole, self.market.listing(symbol).tick, now_ms - open_ms, step_ms)

    # ------------------------------------------------------------ funding

    def change_interval(self, symbol: str, from_ms: int, interval_ms: int) -> None:
        """Change the funding interval from a time on; changes must come in time order."""
        changes = self._changes.setdefault(symbol, [])
        assert len(changes) < CHANGES_MAX, "too many changes of the interval"
        assert not changes or changes[-1][0] <= from_ms, "changes come in time order"
        changes.append((from_ms, interval_ms))

    def interval_ms(self, symbol: str, at_ms: int) -> int:
        """Return the funding interval at a time."""
        interval_ms = self.market.listing(symbol).funding_ms
        for from_ms, changed_ms in self._changes.get(symbol, ()):
            if from_ms <= at_ms:
                interval_ms = changed_ms
        return interval_ms

    def next_settlement_ms(self, symbol: str, after_ms: int) -> int:
        """Return the first settlement after a time."""
        interval_ms = self.interval_ms(symbol, after_ms)
        next_ms = (after_ms // interval_ms + 1) * interval_ms
        for from_ms, changed_ms in self._changes.get(symbol, ()):
            if after_ms < from_ms <= next_ms:
                next_ms = -(-from_ms // changed_ms) * changed_ms
        return next_ms

    def settlements(self, symbol: str, from_ms: int, until_ms: int) -> list[tuple[int, float]]:
        """Return times and rates of settlements with from <= time < until, oldest first."""
        settlements, at_ms = (
            [],
            self.next_settlement_ms(symbol, max(from_ms, self.market.listing(symbol).listed_ms) - 1),
        )
        while at_ms < until_ms:
            settlements.append((at_ms, self.market.settled_rate(symbol, at_ms)))
            at_ms = self.next_settlement_ms(symbol, at_ms)
        return settlements

    def estimated_rate(self, symbol: str, now_ms: int) -> float:
        """Return the rate of the next settlement, with optional noise that fades until the last minute."""
        next_ms = self.next_settlement_ms(symbol, now_ms)
        rate = self.market.settled_rate(symbol, next_ms)
        minutes_left = (next_ms - now_ms) // MINUTE_MS
        if self._estimate_noise <= 0.0 or minutes_left == 0:
            return rate
        noise = (draw("estimate", symbol, now_ms // MINUTE_MS) - 0.5) * 2.0 * NOISE_RATE_MAX * self._estimate_noise
        return round(rate + noise * min(1.0, minutes_left / 60.0), 6)

    # ------------------------------------------------------------ figures

    def day_figures(self, symbol: str, now_ms: int) -> Ticker24h:
        """Return the figures of the last 24 hours, updated each hour."""
        hour = now_ms // HOUR_MS
        cached = self._figures.get(symbol)
        if cached is None or cached[0] != hour:
            cached = self._figures[symbol] = (hour, self._day_figures(symbol, hour * HOUR_MS))
        return cached[1]

    def _day_figures(self, symbol: str, until_ms: int) -> Ticker24h:
        hours = [self._hour_figures(symbol, until_ms - back * HOUR_MS) for back in range(DAY_MS // HOUR_MS, 0, -1)]
        known = [hour for hour in hours if hour is not None]
        today = self.market.candle(symbol, until_ms // DAY_MS * DAY_MS)
        if not known:
            return Ticker24h(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        return Ticker24h(
            known[0].open,
            max(hour.high for hour in known),
            min(hour.low for hour in known),
            round(sum(hour.volume for hour in known), 4),
            round(sum(hour.turnover for hour in known), 5),
            known[0].open if today is None else today.open,
        )

    def _hour_figures(self, symbol: str, from_ms: int) -> HourFigures | None:
        """Return the figures of one hour; the newest hours are cached because a day is computed each hour."""
        key = (symbol, from_ms)
        if key not in self._hours:
            times = range(from_ms, from_ms + HOUR_MS, self.market.step_ms)
            rows = [row for at_ms in times if (row := self.market.candle(symbol, at_ms)) is not None]
            self._hours[key] = hour_figures(rows) if rows else None
            if len(self._hours) > HOURS_KEPT_MAX * len(self.market.symbols):
                self._hours.popitem(last=False)
        return self._hours[key]

    def listing(self, symbol: str) -> TwinContract:
        """Return the contract."""
        return self.market.listing(symbol)


def join_rows(open_ms: int, rows: list[CandleRow]) -> CandleRow | None:
    """Join candles in time order into one."""
    if not rows:
        return None
    return CandleRow(
        open_ms,
        rows[0].open,
        max(row.high for row in rows),
        min(row.low for row in rows),
        rows[-1].close,
        round(sum(row.volume for row in rows), 8),
    )
