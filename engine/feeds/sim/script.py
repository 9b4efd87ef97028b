"""The schedule of the simulated market: which facts are delivered when, and the outages between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from papertape.engine.feeds.playback import PlaybackStep
from papertape.engine.feeds.sim.episodes import FUNDING_MS
from papertape.engine.feeds.sim.market import KNOWN, OUTAGE_EVERY_HOURS, READING_MINUTES, Outage, SimMarket
from papertape.engine.ports.feed import BATCH_FACTS_MAX, NOTHING_SEEN, ResumePoint
from papertape.events.errors import ConfigError
from papertape.events.facts import (
    CandleClosed,
    FeedFact,
    FeedLost,
    FundingRateSettled,
    GapFilled,
    OpenInterestObserved,
    Timing,
)
from papertape.events.units import DAY_MS, MINUTE_MS

SIM_NAME: Final = "sim"
READING_MS: Final = READING_MINUTES * MINUTE_MS
START_MS: Final = 1_735_689_600_000
"""2025-01-01 00:00 UTC."""
WARM_UP_DAYS_MAX: Final = 365
SYMBOLS_MAX: Final = 64
OUTAGE_EVERY_HOURS_MIN: Final = 2
OUTAGE_EVERY_HOURS_MAX: Final = 8_760
TIME_END_MS: Final = 1 << 62


class SimSettings(Struct, frozen=True, kw_only=True):
    """The simulated market's seed, symbols, period and speed.

    `start_ms` is when trading begins; `warm_up_days` of history come before it. The market ends at `end_ms` or after
    `days`, whichever is first, and never if neither is given. `speed` is market seconds per wall second; 0 is as
    fast as the consumer takes facts. Most spans of `outage_every_hours` hold an outage; 0 means none.
    """

    seed: int = 7
    symbols: tuple[str, ...] = tuple(KNOWN)
    start_ms: int = START_MS
    warm_up_days: int = 2
    end_ms: int | None = None
    days: int | None = None
    speed: float = 0.0
    outage_every_hours: int = OUTAGE_EVERY_HOURS
    groups: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        """Raise `ConfigError` for an invalid setting."""
        if not 1 <= len(self.symbols) <= SYMBOLS_MAX or len(set(self.symbols)) < len(self.symbols):
            raise ConfigError(f"sim.symbols = {list(self.symbols)}: 1 to {SYMBOLS_MAX} different symbols")
        if not 0 <= self.warm_up_days <= WARM_UP_DAYS_MAX:
            raise ConfigError(f"sim.warm_up_days = {self.warm_up_days}: 0 to {WARM_UP_DAYS_MAX} days")
        if self.start_ms % MINUTE_MS != 0 or self.start_ms < WARM_UP_DAYS_MAX * DAY_MS:
            raise ConfigError(f"sim.start_ms = {self.start_ms}: a whole minute from 1971 on")
        if not 0.0 <= self.speed < float("inf"):
            raise ConfigError(f"sim.speed = {self.speed}: 0 or more market seconds a second")
        if self.outage_every_hours and not OUTAGE_EVERY_HOURS_MIN <= self.outage_every_hours <= OUTAGE_EVERY_HOURS_MAX:
            span = f"{OUTAGE_EVERY_HOURS_MIN} to {OUTAGE_EVERY_HOURS_MAX} hours, or 0 for none"
            raise ConfigError(f"sim.outage_every_hours = {self.outage_every_hours}: {span}")

    @property
    def first_ms(self) -> int:
        """The open of the first candle of the warm-up."""
        return self.start_ms - self.warm_up_days * DAY_MS

    @property
    def last_ms(self) -> int:
        """No fact is later than this."""
        ends = [TIME_END_MS] if self.end_ms is None else [self.end_ms]
        return min(ends if self.days is None else [*ends, self.start_ms + self.days * DAY_MS])


class SimSchedule:
    """The facts in the order of delivery, without those that the engine has seen."""

    def __init__(
        self,
        market: SimMarket,
        settings: SimSettings,
        seen: Mapping[str, ResumePoint],
        unconfigured: Sequence[str] = (),
    ) -> None:
        """Deliver the configured symbols, then the `unconfigured` ones."""
        self._market = market
        self._settings = settings
        self._seen = [(symbol, seen.get(symbol, NOTHING_SEEN)) for symbol in (*settings.symbols, *unconfigured)]
        closes = [one.candle_open_ms + MINUTE_MS for _, one in self._seen]
        self.newest_ms = max(closes)
        # A symbol that is new or was away gets its warm-up, but not its whole history.
        floor_ms = max(settings.first_ms + MINUTE_MS, self.newest_ms - settings.warm_up_days * DAY_MS)
        self.resume_ms = max(floor_ms, min(closes))

    def steps(self, from_ms: int) -> Iterator[PlaybackStep]:
        """Yield the steps from `from_ms` to the end of the market. Withheld facts come when an outage ends."""
        settings, at_ms = self._settings, -(-from_ms // MINUTE_MS) * MINUTE_MS
        if (outage := self._outage(at_ms)) is not None:
            at_ms = outage.back_ms
        while at_ms <= settings.last_ms:
            speed = settings.speed if at_ms > settings.start_ms else 0.0
            ended, begun = self._outage(at_ms), self.outage_at(at_ms)
            facts = self._withheld(ended) if ended is not None else []
            facts += self._facts(at_ms, late=at_ms < self.newest_ms)
            if begun is not None and begun.lost_ms >= self.newest_ms:
                facts.append(feed_lost(at_ms))
            reconnects = ended is not None and ended.back_ms > self.newest_ms
            if facts:
                yield PlaybackStep(at_ms, facts, speed, reconnects)
            at_ms = begun.back_ms if begun is not None else at_ms + MINUTE_MS

    def missed_facts(self, now_ms: int) -> Iterator[list[FeedFact]]:
        """Yield the facts up to `now_ms` that the engine missed; during an outage only those before it."""
        outage = self.outage_at(now_ms)
        until_ms = now_ms if outage is None else outage.lost_ms
        batch: list[FeedFact] = []
        for at_ms in range(self.resume_ms, until_ms + 1, MINUTE_MS):
            batch += self._facts(at_ms, late=True)
            if len(batch) >= BATCH_FACTS_MAX:
                yield batch
                batch = []
        yield batch

    def remaining_steps(self, now_ms: int, first: list[FeedFact]) -> Iterator[PlaybackStep]:
        """Yield the market from `now_ms` on, beginning with `first`; nothing more if it is over."""
        running = now_ms < self._settings.last_ms
        if self.outage_at(now_ms) is not None:
            first = [*first, feed_lost(now_ms)]
        if first or running:
            yield PlaybackStep(now_ms, first, self._settings.speed)
        if running:
            yield from self.steps(max(self.resume_ms, now_ms + 1))

    def outage_at(self, now_ms: int) -> Outage | None:
        """Return the outage at this moment, or None."""
        return self._outage(now_ms + 1)

    def _outage(self, at_ms: int) -> Outage | None:
        """Return the outage that withholds the facts of this time or ends with them; warm-up and the end have none."""
        outage = self._market.outage(at_ms)
        if outage is None or outage.lost_ms < self._settings.start_ms or outage.back_ms > self._settings.last_ms:
            return None
        return outage

    def _withheld(self, outage: Outage) -> list[FeedFact]:
        from_ms, until_ms = outage.lost_ms, outage.back_ms - MINUTE_MS
        facts: list[FeedFact] = []
        for at_ms in range(from_ms + MINUTE_MS, until_ms + 1, MINUTE_MS):
            facts += self._facts(at_ms, late=True)
        if outage.back_ms > self.newest_ms:
            candles = (until_ms - from_ms) // MINUTE_MS
            facts += [GapFilled(outage.back_ms, symbol, from_ms, until_ms, candles) for symbol, _ in self._seen]
        return facts

    def _facts(self, at_ms: int, *, late: bool) -> list[FeedFact]:
        facts: list[FeedFact] = [*self._candles(at_ms, late=late)]
        if at_ms % READING_MS == 0:
            settlement, rest = divmod(at_ms, FUNDING_MS)
            if rest == 0:
                facts += [
                    FundingRateSettled(at_ms, symbol, self._market.funding_rate(symbol, settlement))
                    for symbol, seen in self._seen
                    if at_ms > seen.funding_ms
                ]
            day, place = at_ms // DAY_MS, at_ms % DAY_MS // READING_MS
            facts += [
                OpenInterestObserved(at_ms, symbol, self._market.block(symbol, day).open_interest[place])
                for symbol, seen in self._seen
                if at_ms > seen.open_interest_ms
            ]
        return facts

    def _candles(self, at_ms: int, *, late: bool) -> Iterator[CandleClosed]:
        open_ms = at_ms - MINUTE_MS
        timing = Timing.LATE if late else Timing.ON_TIME
        if open_ms < self._settings.start_ms:
            timing = Timing.WARM_UP
        day, minute = open_ms // DAY_MS, open_ms % DAY_MS // MINUTE_MS
        for symbol, seen in self._seen:
            if open_ms > seen.candle_open_ms:
                block = self._market.block(symbol, day)
                yield CandleClosed(
                    at_ms,
                    symbol,
                    MINUTE_MS,
                    block.open[minute],
                    block.high[minute],
                    block.low[minute],
                    block.close[minute],
                    block.volume[minute],
                    timing,
                )


def feed_lost(at_ms: int) -> FeedLost:
    """Return the loss of the simulated connection."""
    return FeedLost(at_ms, SIM_NAME, "simulated outage")
