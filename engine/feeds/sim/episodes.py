"""The episodes of one day of the simulated market, drawn before any minute is.

A day is divided into slots that all symbols share, and each slot holds an episode: calm, an overshoot that may
revert, a trend that breaks out in thrusts, or a squeeze that builds up open interest. A symbol mostly follows the
market's episode and sometimes has its own. Now and then all symbols crash together.

Sizes are dimensionless: a size of 0.01 is about 1 % (see `price_ticks` in `market`). Only `+ - * /` and
`random()` are used, so the same seed gives the same day on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from random import Random
from typing import Final

from msgspec import Struct, field

from papertape.events.units import DAY_MS, HOUR_MS

DAY_MINUTES: Final = 1_440
FUNDING_MS: Final = 8 * HOUR_MS
CRASH_BLOCK_DAYS: Final = 10
FUNDING_ERA_SETTLEMENTS: Final = 6
ERAS_KEPT_MAX: Final = 4_096

TREND_BELOW: Final = 0.42
CALM_TREND_BELOW: Final = 0.07
OVERSHOOT_BELOW: Final = 0.66
SQUEEZE_BELOW: Final = 0.84
"""A number between 0 and 1 below these draws a trend (on a trending or a calm day), an overshoot, or a squeeze."""

EXTREME_RATE: Final = 0.0003
"""From here on a funding rate is extreme, and tends to be followed by a move against the crowd."""


class Move(Struct, frozen=True):
    """A change by `size`, spread over minutes of the day; `activity` multiplies the volume in these minutes."""

    minute: int
    minutes: int
    size: float
    activity: float = 1.0


class Slot(Struct, frozen=True):
    """The part of a day for one episode: first minute, length in minutes, side, and the symbol's volatility."""

    minute: float
    length: float
    side: float
    volatility: float


class DayPlan(Struct):
    """The moves of one symbol's price and open interest on one day, and how nervous the symbol is."""

    price: list[Move] = field(default_factory=list)
    interest: list[Move] = field(default_factory=list)
    nervousness: float = 1.0

    def move(self, minute: float, minutes: float, size: float, activity: float = 1.0) -> None:
        """Add a price move; one that would leave the day is moved back into it."""
        self.price.append(_within_day(minute, minutes, size, activity))

    def build(self, minute: float, minutes: float, size: float) -> None:
        """Add a change of open interest in the same way."""
        self.interest.append(_within_day(minute, minutes, size, 1.0))


def stream(seed: int, *names: object) -> Random:
    """Return a stream of random numbers for these names, the same in every process and version."""
    text = "|".join([str(seed), *map(str, names)])
    return Random(int.from_bytes(sha256(text.encode()).digest()[:8], "big"))  # noqa: S311 (a market, not a secret)


def uniform(rng: Random, low: float, high: float) -> float:
    """Return a uniformly distributed number between the two."""
    return low + (high - low) * rng.random()


def day_plan(seed: int, symbol: str, day: int, volatility: float) -> DayPlan:
    """Return the plan of a symbol's day (days since 1970)."""
    shared, own = stream(seed, "market", day), stream(seed, symbol, "plan", day)
    plan = DayPlan(nervousness=uniform(shared, 0.7, 1.2) * uniform(own, 0.85, 1.15))
    trend_share = TREND_BELOW if shared.random() < 0.5 else CALM_TREND_BELOW
    minute = uniform(shared, 0.0, 40.0)
    while minute < DAY_MINUTES - 90:
        length = min(uniform(shared, 110.0, 300.0), DAY_MINUTES - minute)
        market = (shared.random(), shared.random())
        mine = (own.random(), own.random())
        kind, direction = market if own.random() < 0.55 else mine
        slot = Slot(minute, length, 1.0 if direction < 0.5 else -1.0, volatility)
        _episode(own, plan, slot, kind, trend_share)
        minute += length
    _crash(seed, plan, own, day, volatility)
    _aftermath(seed, symbol, plan, own, day)
    return plan


def funding_rate(seed: int, symbol: str, settlement: int) -> float:
    """Return the rate settled at `settlement` times 8 hours since 1970: runs of extreme rates among normal ones."""
    mood = _mood(seed, symbol, (settlement + _era_offset(seed, symbol)) // FUNDING_ERA_SETTLEMENTS)
    rng = stream(seed, symbol, "funding", settlement)
    if mood < 0.45 and rng.random() < 0.85:
        side = 1.0 if mood < 0.27 else -1.0
        return side * int(uniform(rng, 310.0, 900.0)) / 1_000_000
    return 0.0001 if rng.random() < 0.3 else int(uniform(rng, -30.0, 140.0)) / 1_000_000


@lru_cache(ERAS_KEPT_MAX)
def _era_offset(seed: int, symbol: str) -> int:
    """Return by how many settlements a symbol's eras begin earlier."""
    return int(stream(seed, symbol, "offset").random() * FUNDING_ERA_SETTLEMENTS)


@lru_cache(ERAS_KEPT_MAX)
def _mood(seed: int, symbol: str, era: int) -> float:
    """Return how the crowd leans in an era of settlements."""
    return stream(seed, symbol, "era", era).random()


def _episode(rng: Random, plan: DayPlan, slot: Slot, kind: float, trend_share: float) -> None:
    if kind < trend_share:
        _trend(rng, plan, slot)
    elif kind < OVERSHOOT_BELOW:
        _overshoot(rng, plan, slot)
    elif kind < SQUEEZE_BELOW:
        _squeeze(rng, plan, slot)


def _trend(rng: Random, plan: DayPlan, slot: Slot) -> None:
    minute, length = slot.minute, slot.length
    total = slot.side * uniform(rng, 0.012, 0.032) * slot.volatility
    thrusts = max(2, int(length / uniform(rng, 38.0, 55.0)))
    every, part = length / thrusts, total / thrusts
    for number in range(thrusts):
        at, burst = minute + number * every + uniform(rng, 2.0, every - 24.0), uniform(rng, 3.0, 9.0)
        noticed = rng.random() < 0.2
        plan.move(minute + number * every, every, 0.4 * part)
        plan.move(at, burst, 0.7 * part, uniform(rng, 3.0, 6.0) if noticed else 1.3)
        if rng.random() < (0.6 if noticed else 0.3):
            plan.move(at + burst + 1.0, uniform(rng, 6.0, 20.0), -0.8 * part)
    if rng.random() < 0.6:
        built = uniform(rng, 0.02, 0.045)
        plan.build(minute - 40.0, 40.0 + 0.9 * length, built)
        plan.build(minute + length, uniform(rng, 40.0, 100.0), -built * uniform(rng, 0.5, 1.1))


def _overshoot(rng: Random, plan: DayPlan, slot: Slot) -> None:
    # It ends with a five-minute candle, because the crowd decides on its close.
    burst = int(uniform(rng, 3.0, 7.0))
    at = int((slot.minute + uniform(rng, 25.0, slot.length - 80.0)) / 5.0) * 5 - burst
    size = slot.side * uniform(rng, 0.007, 0.015) * (0.5 + 0.5 * slot.volatility)
    plan.move(at, burst, size, uniform(rng, 4.0, 8.0))
    if rng.random() < 0.75:
        plan.move(at + burst, uniform(rng, 12.0, 45.0), -size * uniform(rng, 0.7, 1.2))
    else:
        plan.move(at + burst + 2.0, uniform(rng, 15.0, 50.0), size * uniform(rng, 0.2, 0.5))


def _squeeze(rng: Random, plan: DayPlan, slot: Slot) -> None:
    # Leveraged positions gather while the price stands still; then it runs to where they would be liquidated.
    minute, side = slot.minute, slot.side
    gather, run = 0.6 * slot.length, uniform(rng, 20.0, 45.0)
    plan.build(minute, gather, uniform(rng, 0.025, 0.05))
    plan.build(minute + gather, run + 20.0, uniform(rng, 0.008, 0.016))
    plan.move(minute + gather, run, side * uniform(rng, 0.016, 0.022), uniform(rng, 1.5, 2.5))
    after = minute + gather + run + uniform(rng, 4.0, 15.0)
    if rng.random() < 0.35:
        plan.move(after, uniform(rng, 8.0, 20.0), side * uniform(rng, 0.008, 0.014), uniform(rng, 3.0, 6.0))
        plan.build(after + 10.0, uniform(rng, 20.0, 60.0), -uniform(rng, 0.03, 0.05))
    else:
        plan.move(after, uniform(rng, 25.0, 60.0), -side * uniform(rng, 0.008, 0.018))
        plan.build(after, uniform(rng, 40.0, 90.0), -uniform(rng, 0.02, 0.045))


def _crash(seed: int, plan: DayPlan, rng: Random, day: int, volatility: float) -> None:
    block, place = divmod(day, CRASH_BLOCK_DAYS)
    shared = stream(seed, "crash", block)
    chosen, happens = int(shared.random() * CRASH_BLOCK_DAYS), shared.random() < 0.9
    minute, minutes = uniform(shared, 120.0, 1_100.0), uniform(shared, 12.0, 30.0)
    if place != chosen or not happens:
        return
    size = uniform(shared, 0.035, 0.065) * volatility * uniform(rng, 0.8, 1.2)
    plan.move(minute, minutes, -size, 8.0)
    plan.move(minute + minutes, 130.0, size * uniform(rng, 0.25, 0.5), 2.0)
    plan.build(minute + 2.0, minutes, -uniform(rng, 0.06, 0.11))


def _aftermath(seed: int, symbol: str, plan: DayPlan, rng: Random, day: int) -> None:
    per_day = DAY_MS // FUNDING_MS
    for number in range(per_day):
        rate = funding_rate(seed, symbol, day * per_day + number)
        if abs(rate) >= EXTREME_RATE and rng.random() < 0.5:
            size = uniform(rng, 0.003, 0.008) * (-1.0 if rate > 0.0 else 1.0)
            plan.move(number * 480 + uniform(rng, 14.0, 30.0), uniform(rng, 20.0, 70.0), size, 1.3)


def _within_day(minute: float, minutes: float, size: float, activity: float) -> Move:
    whole = max(2, int(minutes))
    return Move(max(0, min(int(minute), DAY_MINUTES - whole)), whole, size, activity)


def total_move(moves: Sequence[Move]) -> float:
    """Return by how much all moves of a day change the level."""
    return sum(move.size for move in moves)
