"""The simulated market: every candle, settlement, reading and outage as a function of seed, symbol and time.

Nothing is folded from a beginning: a day's level is a fading sum over the plans of the days before it, so any minute
of any year costs the same, and a restarted engine meets the same market. Prices stay within a factor of about two of
the listed price. The market computes and caches one day of one symbol at a time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from random import Random
from typing import Final, TypeVar

from msgspec import Struct

from papertape.engine.feeds.files.derived_contract import lot_ratio
from papertape.engine.feeds.sim.episodes import (
    DAY_MINUTES,
    DayPlan,
    Move,
    day_plan,
    funding_rate,
    stream,
    total_move,
    uniform,
)
from papertape.events.units import MINUTE_MS

K = TypeVar("K")
V = TypeVar("V")
READING_MINUTES: Final = 5
BLOCKS_KEPT_MAX: Final = 64
PLANS_KEPT_MAX: Final = 8_192
OUTAGE_EVERY_HOURS: Final = 72
OUTAGE_MARGIN_MINUTES: Final = 60.0
"""No outage begins closer to the borders of its span."""

PRICE_MEMORY: Final = (0.97, 120)
INTEREST_MEMORY: Final = (0.75, 24)
"""The fraction of a level that is left after a day, and the days after which the rest is forgotten."""
NOISE_PULL: Final = 1.0 / 120.0
"""The fraction of its distance by which the noise returns in a minute."""
NOISE_MINUTE: Final = 0.00032
SWING_MAX: Final = 1.2


class SimSymbol(Struct, frozen=True):
    """A symbol of the simulated market: its price level, grid, volatility and size."""

    symbol: str
    price_usdt: float
    tick: tuple[int, int]
    lot: tuple[int, int]
    volatility: float
    open_interest_base: float
    minute_volume_base: float


class Block(Struct, frozen=True):
    """One day of one symbol: 1,440 candles on the tick grid and 288 readings of open interest."""

    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]
    open_interest: list[float]


class Outage(Struct, frozen=True):
    """The feed is lost after the facts of `lost_ms` and returns with those of `back_ms`."""

    lost_ms: int
    back_ms: int


KNOWN: Final = {
    known.symbol: known
    for known in (
        SimSymbol("BTCUSDT", 94_000.0, (1, 10), (1, 10_000), 0.75, 82_000.0, 55.0),
        SimSymbol("ETHUSDT", 3_350.0, (1, 100), (1, 1_000), 0.95, 1_900_000.0, 1_600.0),
        SimSymbol("SOLUSDT", 190.0, (1, 1_000), (1, 100), 1.1, 8_500_000.0, 11_000.0),
        SimSymbol("DOGEUSDT", 0.32, (1, 100_000), (10, 1), 1.2, 2_100_000_000.0, 2_400_000.0),
        SimSymbol("GALAUSDT", 0.036, (1, 1_000_000), (100, 1), 1.3, 2_600_000_000.0, 3_000_000.0),
    )
}


def sim_symbol(seed: int, symbol: str) -> SimSymbol:
    """Return a known symbol, or one whose price, grid and volatility are drawn from its name."""
    if symbol in KNOWN:
        return KNOWN[symbol]
    rng = stream(seed, symbol, "listing")
    magnitude = int(uniform(rng, 0.0, 5.0))
    price_usdt = uniform(rng, 0.1, 1.0) * (0.1, 1.0, 10.0, 100.0, 1_000.0)[magnitude]
    decimals = (6, 5, 4, 3, 2)[magnitude]
    worth_usdt = uniform(rng, 2e7, 2e8)
    return SimSymbol(
        symbol=symbol,
        price_usdt=price_usdt,
        tick=(1, 10**decimals),
        lot=lot_ratio(price_usdt),
        volatility=uniform(rng, 0.9, 1.4),
        open_interest_base=worth_usdt / price_usdt,
        minute_volume_base=worth_usdt / 1_000.0 / price_usdt,
    )


class SimMarket:
    """The market of one seed. Caches do not change what it shows."""

    def __init__(self, seed: int, outage_every_hours: int = OUTAGE_EVERY_HOURS) -> None:
        """Put an outage into four of five spans of `outage_every_hours` (2 or more); 0 means no outages."""
        self._seed = seed
        self._outage_span_minutes = outage_every_hours * 60
        self._symbols: dict[str, SimSymbol] = {}
        self._plans: OrderedDict[tuple[str, int], DayPlan] = OrderedDict()
        self._blocks: OrderedDict[tuple[str, int], Block] = OrderedDict()
        self._shared_noise: OrderedDict[int, list[float]] = OrderedDict()
        self._outages: dict[int, Outage | None] = {}

    def listing(self, symbol: str) -> SimSymbol:
        """Return the price level, grid and volatility of a symbol."""
        if symbol not in self._symbols:
            self._symbols[symbol] = sim_symbol(self._seed, symbol)
        return self._symbols[symbol]

    def block(self, symbol: str, day: int) -> Block:
        """Return one day of a symbol; `day` counts from 1970."""
        return _cached(self._blocks, (symbol, day), BLOCKS_KEPT_MAX, lambda: self._compute_block(symbol, day))

    def funding_rate(self, symbol: str, settlement: int) -> float:
        """Return the rate settled at `settlement` times 8 hours since 1970, as a fraction."""
        return funding_rate(self._seed, symbol, settlement)

    def outage(self, at_ms: int) -> Outage | None:
        """Return the outage with lost < `at_ms` <= back, or None."""
        if not self._outage_span_minutes:
            return None
        block_ms = self._outage_span_minutes * MINUTE_MS
        block = at_ms // block_ms
        if block not in self._outages:
            self._outages.clear()
            self._outages[block] = self._draw_outage(block, block * block_ms)
        outage = self._outages[block]
        return outage if outage is not None and outage.lost_ms < at_ms <= outage.back_ms else None

    def _draw_outage(self, block: int, from_ms: int) -> Outage | None:
        rng = stream(self._seed, "outage", block)
        if rng.random() < 0.2:
            return None
        latest = self._outage_span_minutes - OUTAGE_MARGIN_MINUTES
        lost_ms = from_ms + int(uniform(rng, OUTAGE_MARGIN_MINUTES, latest)) * MINUTE_MS
        return Outage(lost_ms, lost_ms + int(uniform(rng, 5.0, 41.0)) * MINUTE_MS)

    def _plan(self, symbol: str, day: int) -> DayPlan:
        return _cached(
            self._plans,
            (symbol, day),
            PLANS_KEPT_MAX,
            lambda: day_plan(self._seed, symbol, day, self.listing(symbol).volatility),
        )

    def _price_level(self, symbol: str, day: int) -> float:
        keep, days = PRICE_MEMORY
        level = 0.0
        for before in range(day - days, day):
            level = level * keep + total_move(self._plan(symbol, before).price)
        return level

    def _interest_level(self, symbol: str, day: int) -> float:
        keep, days = INTEREST_MEMORY
        level = 0.0
        for before in range(day - days, day):
            level = level * keep + total_move(self._plan(symbol, before).interest)
        return level

    def _compute_block(self, symbol: str, day: int) -> Block:
        listing, plan = self.listing(symbol), self._plan(symbol, day)
        rng = stream(self._seed, symbol, "minutes", day)
        first, last = self._price_level(symbol, day), self._price_level(symbol, day + 1)
        activity = _activity(plan.price)
        noise = [
            0.6 * market + 0.8 * own
            for market, own in zip(self._market_noise(day), _noise(self._seed, symbol, day), strict=True)
        ]
        scale = NOISE_MINUTE * listing.volatility * plan.nervousness
        path = _path(first, last, plan.price, noise, scale)
        return _candles(listing, rng, path, activity, scale, self._readings(symbol, day, plan))

    def _market_noise(self, day: int) -> list[float]:
        return _cached(self._shared_noise, day, BLOCKS_KEPT_MAX, lambda: _noise(self._seed, "market", day))

    def _readings(self, symbol: str, day: int, plan: DayPlan) -> list[float]:
        first, last = self._interest_level(symbol, day), self._interest_level(symbol, day + 1)
        path = _path(first, last, plan.interest, _noise(self._seed, symbol, day, "interest"), 0.00008)
        base = self.listing(symbol).open_interest_base
        return [
            int(base * max(0.2, 1.0 + path[minute]) + 0.5) * 1.0 for minute in range(0, DAY_MINUTES, READING_MINUTES)
        ]


def _cached(cache: OrderedDict[K, V], key: K, most: int, compute: Callable[[], V]) -> V:
    """Return the value of a key; compute it if it is missing, and forget the oldest beyond `most`."""
    if key not in cache:
        cache[key] = compute()
        if len(cache) > most:
            cache.popitem(last=False)
    return cache[key]


def price_ticks(listing: SimSymbol, level: float) -> int:
    """Return the price at a level, in ticks: a rational approximation of the exponential, always above zero."""
    swing = max(-SWING_MAX, min(SWING_MAX, level))
    numerator, denominator = listing.tick
    return max(1, int(listing.price_usdt * (2.0 + swing) / (2.0 - swing) * denominator / numerator + 0.5))


def _path(first: float, last: float, moves: list[Move], noise: list[float], scale: float) -> list[float]:
    """Return 1,441 levels from `first` to exactly `last`: moves, noise, and the rest spread evenly."""
    steps = [0.0] * DAY_MINUTES
    for move in moves:
        for minute in range(move.minute, move.minute + move.minutes):
            steps[minute] += move.size / move.minutes
    pull = (last - first - total_move(moves) - scale * noise[-1]) / DAY_MINUTES
    path, level = [first], first
    for minute, step in enumerate(steps):
        level += step + pull
        path.append(level + scale * noise[minute])
    path[-1] = last
    return path


def _noise(seed: int, *names: object) -> list[float]:
    """Return a mean-reverting walk of about one unit a minute, in clusters of some hours."""
    rng = stream(seed, "noise", *names)
    draw = rng.random
    noise, at, walk = 0.0, 1.0, []
    for hour in range(24):
        goal = uniform(rng, 0.6, 1.5) * (1.0 + 0.2 * (1.0 - abs(hour - 15) / 9.0))
        for _ in range(60):
            at += (goal - at) / 45.0
            noise += at * 2.0 * (draw() + draw() + draw() - 1.5) - NOISE_PULL * noise
            walk.append(noise)
    return walk


def _activity(moves: list[Move]) -> list[float]:
    activity = [1.0] * DAY_MINUTES
    for move in moves:
        for minute in range(move.minute, move.minute + move.minutes):
            activity[minute] = max(activity[minute], move.activity)
    return activity


def _candles(
    listing: SimSymbol, rng: Random, path: list[float], activity: list[float], scale: float, readings: list[float]
) -> Block:
    numerator, denominator = listing.tick
    draw, block = rng.random, Block([], [], [], [], [], readings)
    wick_ticks = 1.2 * scale * listing.price_usdt * denominator / numerator
    opened = price_ticks(listing, path[0])
    for minute in range(DAY_MINUTES):
        closed = price_ticks(listing, path[minute + 1])
        high, low = (closed, opened) if closed > opened else (opened, closed)
        block.open.append(opened * numerator / denominator)
        block.high.append((high + int(draw() * draw() * wick_ticks)) * numerator / denominator)
        block.low.append(max(1, low - int(draw() * draw() * wick_ticks)) * numerator / denominator)
        block.close.append(closed * numerator / denominator)
        hurry = abs(path[minute + 1] - path[minute]) / scale
        volume = listing.minute_volume_base * activity[minute] * (0.5 + 0.7 * draw() + 0.15 * min(4.0, hurry))
        block.volume.append(int(volume * 1_000.0) / 1_000.0)
        opened = closed
    return block
