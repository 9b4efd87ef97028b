"""The feed of the simulated market: warm-up, pace, outages, and what the engine missed while it was down."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from papertape.engine.feeds.files.derived_contract import DEFAULT_GROUP, MAINTENANCE_TIERS, MINIMUM_NOTIONAL_USDT
from papertape.engine.feeds.playback import chunks, market_now_ms, play_back
from papertape.engine.feeds.sim.market import SimMarket
from papertape.engine.feeds.sim.script import SIM_NAME, SimSchedule, SimSettings
from papertape.engine.ports.clock import Clock
from papertape.engine.ports.feed import RefusalLog, ResumePoint
from papertape.events.facts import (
    CandleClosed,
    ContractListed,
    FeedConnected,
    FeedFact,
    GapFilled,
    SymbolResumed,
    SymbolSuspended,
)
from papertape.events.units import DAY_MS, MINUTE_MS

CATCH_UP_DAYS_MAX: Final = 30
"""After a longer absence the market has waited: more facts would be of no use, and a boot has to end."""
UNCONFIGURED: Final = "it is no longer in feed.sim.symbols; it is watched until its position closes"
CONFIGURED: Final = "it is configured again"


class SimFeed:
    """The simulated market as a feed. The same settings show the same market after every restart."""

    name = SIM_NAME

    def __init__(self, settings: SimSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self.market = SimMarket(settings.seed, settings.outage_every_hours)
        self.refusals = RefusalLog()

    def contracts(self) -> list[ContractListed]:
        """Return the specifications of the simulated symbols, in configured order."""
        return [self._contract(symbol) for symbol in self._settings.symbols]

    async def facts(
        self, seen: Mapping[str, ResumePoint], anchor: FeedConnected | None
    ) -> AsyncIterator[list[FeedFact]]:
        """Yield the facts not yet seen. What a running market brought during an absence comes first, late.

        A symbol that is no longer configured is watched as long as a strategy holds a position in it, but not tradable.
        """
        unconfigured = [name for name, one in seen.items() if one.in_position and name not in self._settings.symbols]
        script = SimSchedule(self.market, self._settings, seen, unconfigured)
        if changes := self._tradability_changes(seen, unconfigured, max(script.newest_ms, self._settings.first_ms)):
            yield changes
        if anchor is None or anchor.feed != self.name or anchor.speed <= 0.0:
            steps = script.steps(script.resume_ms)
        else:
            now_ms = min(market_now_ms(anchor, self._clock.now_ms()), self._settings.last_ms)
            newest_ms = max(script.newest_ms, self._settings.first_ms)
            now_ms = max(newest_ms, min(now_ms, newest_ms + CATCH_UP_DAYS_MAX * DAY_MS))
            missed = _LateCandleCounter()
            for facts in script.missed_facts(now_ms):
                for batch in chunks(missed.record(facts)):
                    yield batch
                await self._clock.sleep(0.0)
            steps = script.remaining_steps(now_ms, missed.gap_filled(now_ms))
        async for batch in play_back(self.name, steps, self._clock):
            yield batch

    def _tradability_changes(
        self, seen: Mapping[str, ResumePoint], unconfigured: Sequence[str], at_ms: int
    ) -> list[FeedFact]:
        """Suspend the symbols that are no longer configured, and release those that are configured again."""
        suspended = {name for name, one in seen.items() if one.suspended}
        return [
            *(SymbolSuspended(at_ms, name, UNCONFIGURED) for name in unconfigured if name not in suspended),
            *(SymbolResumed(at_ms, name, CONFIGURED) for name in self._settings.symbols if name in suspended),
        ]

    def _contract(self, symbol: str) -> ContractListed:
        listing = self.market.listing(symbol)
        return ContractListed(
            at_ms=self._settings.first_ms,
            symbol=symbol,
            timeframe_ms=MINUTE_MS,
            tick_numerator=listing.tick[0],
            tick_denominator=listing.tick[1],
            lot_numerator=listing.lot[0],
            lot_denominator=listing.lot[1],
            minimum_notional_usdt=MINIMUM_NOTIONAL_USDT,
            maintenance_tiers=MAINTENANCE_TIERS,
            group=self._settings.groups.get(symbol, DEFAULT_GROUP),
            source="sim",
        )


class _LateCandleCounter:
    """Counts late candles, to report afterwards which gaps were filled."""

    def __init__(self) -> None:
        self._gaps: dict[str, GapFilled] = {}

    def record(self, facts: list[FeedFact]) -> list[FeedFact]:
        """Count the facts, and return them unchanged."""
        for fact in facts:
            if isinstance(fact, CandleClosed):
                before = self._gaps.get(fact.symbol)
                from_ms, candles = (fact.open_time_ms, 0) if before is None else (before.from_ms, before.candles)
                self._gaps[fact.symbol] = GapFilled(fact.at_ms, fact.symbol, from_ms, fact.at_ms, candles + 1)
        return facts

    def gap_filled(self, at_ms: int) -> list[FeedFact]:
        """Return the gaps that were filled, as of `at_ms`."""
        return [GapFilled(at_ms, gap.symbol, gap.from_ms, gap.until_ms, gap.candles) for gap in self._gaps.values()]
