"""The market behind the stand-in: every number is a pure function of symbol and time.

A market gives complete candles; how a candle forms within its minute is derived here and ends exactly on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Final, Protocol
from zlib import crc32

from msgspec import Struct

from papertape.engine.feeds.candle_row import CandleRow
from papertape.engine.feeds.sim.episodes import FUNDING_MS
from papertape.engine.feeds.sim.market import Block, SimMarket
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS

READING_MS: Final = 5 * MINUTE_MS
BLOCKS_KEPT_MAX: Final = 256
RATES_KEPT_MAX: Final = 16_384
QUIET_RUN_MAX: Final = 30
"""The most minutes in a row without a trade."""
BASIS_TICKS_MAX: Final = 3
"""The largest distance of the mark price from the last price."""
PATH_SHARE: Final = 0.995
"""The fraction of a candle's time after which its last trade has happened."""

Tier = tuple[float, float, int, float]
"""A range of position values in USDT, its maximum leverage and its maintenance margin rate."""
LARGE_TIERS: Final[tuple[Tier, ...]] = (
    (0.0, 200_000.0, 150, 0.004),
    (200_000.0, 1_000_000.0, 100, 0.005),
    (1_000_000.0, 5_000_000.0, 75, 0.007),
    (5_000_000.0, 15_000_000.0, 50, 0.01),
    (15_000_000.0, 50_000_000.0, 25, 0.02),
    (50_000_000.0, 100_000_000.0, 20, 0.03),
)
SMALL_TIERS: Final[tuple[Tier, ...]] = (
    (0.0, 5_000.0, 75, 0.0065),
    (5_000.0, 50_000.0, 50, 0.01),
    (50_000.0, 250_000.0, 20, 0.02),
    (250_000.0, 1_000_000.0, 10, 0.05),
    (1_000_000.0, 5_000_000.0, 2, 0.25),
)


class TwinContract(Struct, frozen=True):
    """A contract: its grids as ratios of integers, its tiers, its funding interval and its listing time."""

    symbol: str
    tick: tuple[int, int]
    lot: tuple[int, int]
    tiers: tuple[Tier, ...]
    funding_ms: int = FUNDING_MS
    minimum_notional_usdt: float = 5.0
    listed_ms: int = 0


class TwinMarket(Protocol):
    """A market. `step_ms` is the length of its candles; a candle before the listing is None."""

    symbols: tuple[str, ...]
    step_ms: int

    def listing(self, symbol: str) -> TwinContract:
        """Return the contract."""
        ...

    def candle(self, symbol: str, open_ms: int) -> CandleRow | None:
        """Return the complete candle. One without trades is flat at the last price with volume 0."""
        ...

    def mark_candle(self, symbol: str, open_ms: int) -> CandleRow | None:
        """Return the candle of the mark price; its volume is 0."""
        ...

    def index_price(self, symbol: str, last_usdt: float, at_ms: int) -> float:
        """Return the index price beside a last price."""
        ...

    def settled_rate(self, symbol: str, at_ms: int) -> float:
        """Return the funding rate that is settled at this time."""
        ...

    def open_interest(self, symbol: str, at_ms: int) -> float:
        """Return the open interest at this time, in coins."""
        ...


def draw(*names: object) -> float:
    """Return a number from 0 to 1 that depends on the names only."""
    return crc32("|".join(map(str, names)).encode()) / 0x1_0000_0000


def basis_ticks(symbol: str, open_ms: int) -> int:
    """Return how many ticks the mark price lies above the last price in this minute; often 0."""
    return max(-BASIS_TICKS_MAX, min(BASIS_TICKS_MAX, int((draw("basis", symbol, open_ms) - 0.5) * 11.0)))


def move_price(price_usdt: float, tick: tuple[int, int], ticks: int) -> float:
    """Return a price some ticks away, on the grid and above zero; with 0 ticks the same number."""
    if ticks == 0:
        return price_usdt
    return max(1, round(price_usdt * tick[1] / tick[0]) + ticks) * tick[0] / tick[1]


def shift_to_mark(row: CandleRow | None, listing: TwinContract) -> CandleRow | None:
    """Return the mark price candle beside a trade candle."""
    if row is None:
        return None
    ticks = basis_ticks(listing.symbol, row.open_time_ms)
    open_, high, low, close = (
        move_price(price, listing.tick, ticks) for price in (row.open, row.high, row.low, row.close)
    )
    return CandleRow(row.open_time_ms, open_, high, low, close, 0.0)


def forming_candle(row: CandleRow, tick: tuple[int, int], elapsed_ms: int, step_ms: int) -> CandleRow:
    """Return the candle some time after its open, on its way over both extremes to its close.

    High and low only widen and the volume only grows. After `PATH_SHARE` of its time the candle is complete.
    """
    share = elapsed_ms / (step_ms * PATH_SHARE)
    if share >= 1.0 or row.volume == 0.0:
        return row
    first, second = (row.low, row.high) if row.close >= row.open else (row.high, row.low)
    left = share * (abs(first - row.open) + abs(second - first) + abs(row.close - second))
    at, high, low = row.open, row.open, row.open
    for goal in (first, second, row.close):
        leg = abs(goal - at)
        if left < leg:
            at = _towards(at, goal, left, tick)
            return _partial_row(row, max(high, at), min(low, at), at, share)
        at, left, high, low = goal, left - leg, max(high, goal), min(low, goal)
    return _partial_row(row, high, low, at, share)


def _towards(at: float, goal: float, way: float, tick: tuple[int, int]) -> float:
    target = at + way if goal > at else at - way
    on_grid = round(target * tick[1] / tick[0]) * tick[0] / tick[1]
    return max(min(at, goal), min(max(at, goal), on_grid))


def _partial_row(row: CandleRow, high: float, low: float, close: float, share: float) -> CandleRow:
    volume = min(row.volume, int(row.volume * share * 1_000.0) / 1_000.0) or min(row.volume, 0.001)
    return CandleRow(row.open_time_ms, row.open, high, low, close, volume)


@cache
def sim_of(seed: int) -> SimMarket:
    """Return the simulation of a seed: a pure function of time, so all markets of a process share its cache."""
    return SimMarket(seed)


@lru_cache(BLOCKS_KEPT_MAX)
def block_of(seed: int, symbol: str, day: int) -> Block:
    """Return a day of a symbol."""
    return sim_of(seed).block(symbol, day)


@lru_cache(RATES_KEPT_MAX)
def rate_of(seed: int, name: str, number: int) -> float:
    """Return the rate of a settlement."""
    return sim_of(seed).funding_rate(name, number)


class SimTwinMarket:
    """The simulated market. `quiet` is the fraction of minutes without a trade, by symbol."""

    step_ms = MINUTE_MS

    def __init__(
        self,
        symbols: Sequence[str],
        seed: int = 7,
        quiet: Mapping[str, float] | None = None,
        funding_hours: Mapping[str, int] | None = None,
        listed_ms: Mapping[str, int] | None = None,
    ) -> None:
        self.symbols = tuple(symbols)
        self.seed = seed
        self.sim = sim_of(seed)
        self._quiet = dict(quiet or {})
        self._listings = {
            symbol: self._listing(symbol, (funding_hours or {}).get(symbol, 8), (listed_ms or {}).get(symbol, 0))
            for symbol in symbols
        }

    def listing(self, symbol: str) -> TwinContract:
        """Return the contract."""
        return self._listings[symbol]

    def candle(self, symbol: str, open_ms: int) -> CandleRow | None:
        """Return the simulated candle, or a flat one at the last price in a minute without trades."""
        if open_ms < self._listings[symbol].listed_ms:
            return None
        if symbol not in self._quiet or not self.is_quiet(symbol, open_ms):
            return self._traded(symbol, open_ms)
        before_ms = open_ms - MINUTE_MS
        while self.is_quiet(symbol, before_ms):
            before_ms -= MINUTE_MS
        last_usdt = self._traded(symbol, before_ms).close
        return CandleRow(open_ms, last_usdt, last_usdt, last_usdt, last_usdt, 0.0)

    def is_quiet(self, symbol: str, open_ms: int) -> bool:
        """Return whether this minute has no trades."""
        minute = open_ms // MINUTE_MS
        if minute % QUIET_RUN_MAX == 0:
            return False
        return draw("quiet", self.seed, symbol, minute) < self._quiet.get(symbol, 0.0)

    def mark_candle(self, symbol: str, open_ms: int) -> CandleRow | None:
        """Return the mark price candle."""
        return shift_to_mark(self.candle(symbol, open_ms), self._listings[symbol])

    def index_price(self, symbol: str, last_usdt: float, at_ms: int) -> float:
        """Return a price up to 0.05 % from the last price, changing each minute."""
        return round(last_usdt * (1.0 + (draw("index", symbol, at_ms // MINUTE_MS) - 0.5) / 1_000.0), 8)

    def settled_rate(self, symbol: str, at_ms: int) -> float:
        """Return the simulated rate; times between those of 8-hour settlements have rates of their own."""
        settlement, rest = divmod(at_ms, FUNDING_MS)
        if rest == 0:
            return rate_of(self.seed, symbol, settlement)
        return rate_of(self.seed, f"{symbol}/1h", at_ms // HOUR_MS)

    def open_interest(self, symbol: str, at_ms: int) -> float:
        """Return the reading of the last full five minutes."""
        return block_of(self.seed, symbol, at_ms // DAY_MS).open_interest[at_ms % DAY_MS // READING_MS]

    def _listing(self, symbol: str, funding_hours: int, listed_ms: int) -> TwinContract:
        known = self.sim.listing(symbol)
        tiers = LARGE_TIERS if symbol in ("BTCUSDT", "ETHUSDT") else SMALL_TIERS
        return TwinContract(symbol, known.tick, known.lot, tiers, funding_hours * HOUR_MS, 5.0, listed_ms)

    def _traded(self, symbol: str, open_ms: int) -> CandleRow:
        block, minute = block_of(self.seed, symbol, open_ms // DAY_MS), open_ms % DAY_MS // MINUTE_MS
        return CandleRow(
            open_ms,
            block.open[minute],
            block.high[minute],
            block.low[minute],
            block.close[minute],
            block.volume[minute],
        )
