"""A live market of perpetuals without a key: candles, funding and open interest.

Minute by minute: when a candle is over and the streams have shown all of it, the streamed candle counts; any other
is requested from the exchange's history. The candles of all symbols are delivered together, in order, once. Missing
candles are waited for; after `declare_s` they are declared missing, and delivered late when they arrive.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing

from msgspec.structs import replace

from papertape.engine.feeds.live.exchange import ExchangeClient, LiveSettings
from papertape.engine.feeds.live.session import FeedSession, WatchChange
from papertape.engine.feeds.playback import chunks
from papertape.engine.ports.clock import Clock, ScaledClock
from papertape.engine.ports.feed import RefusalLog, ResumePoint
from papertape.events.errors import ExchangeUnreachable
from papertape.events.facts import ContractListed, FeedConnected, FeedFact


class LiveFeed(ABC):
    """The live market as a feed. Contracts come from the exchange, with the first facts."""

    def __init__(self, name: str, settings: LiveSettings, clock: Clock) -> None:
        self.name = name
        self.settings = settings
        self.refusals = RefusalLog()
        self._session: FeedSession | None = None
        self._clock = clock

    @abstractmethod
    def client(self, clock: Clock) -> ExchangeClient:
        """Return a client of the exchange, whose refusals are counted in `refusals`. Nothing is connected yet."""

    def contracts(self) -> list[ContractListed]:
        """Return none: only the exchange knows them."""
        return []

    @property
    def clock_skew_ms(self) -> float | None:
        """The skew of the exchange's clock against this machine's while it counts as an anomaly, else None."""
        return None if self._session is None else self._session.exchange_clock.reported_skew_ms

    async def new_contracts(self, symbols: Sequence[str]) -> list[ContractListed]:
        """Return the contracts of symbols that are about to be watched.

        Raise ExchangeError if the exchange does not answer, ConfigError for a symbol that it does not list.
        """
        if self._session is None:
            raise ExchangeUnreachable("the exchange was not reached yet")
        return await self._session.new_contracts(symbols)

    def change_symbols(self, settings: LiveSettings, seen: Mapping[str, ResumePoint]) -> None:
        """Watch the symbols of other settings from the next minute on; `seen` is where the engine is with each.

        A symbol that is no longer configured is watched as long as a strategy holds a position in it.
        """
        self.settings = settings
        if self._session is not None:
            self._session.change = WatchChange(*_with_positions(settings, seen), dict(seen))

    async def reconnect(self, _: str = "") -> str:
        """Repair: replace every connection, and describe what was done."""
        return "not started yet" if self._session is None else self._session.reconnect()

    async def resubscribe(self, symbol: str) -> str:
        """Repair: subscribe a symbol again, and describe what was done."""
        return "not started yet" if self._session is None else self._session.resubscribe(symbol)

    async def facts(
        self,
        seen: Mapping[str, ResumePoint],
        anchor: FeedConnected | None,  # noqa: ARG002
    ) -> AsyncIterator[list[FeedFact]]:
        """Yield the market from where the log ends, forever; what was missed comes first, late.

        A symbol that is no longer configured is watched as long as a strategy holds a position in it.
        Raise ConfigError for a symbol that neither the exchange nor the log knows.
        """
        settings, unconfigured = _with_positions(self.settings, seen)
        clock = ScaledClock(self._clock, settings.speed)
        client = self.client(clock)
        session = self._session = FeedSession(client, settings, clock, self._clock, self.refusals, unconfigured)
        try:
            async with aclosing(session.facts(dict(seen))) as batches:  # type: ignore[type-var]
                async for batch in batches:
                    for part in chunks(batch):
                        yield part
        finally:
            await session.close()


def _with_positions(settings: LiveSettings, seen: Mapping[str, ResumePoint]) -> tuple[LiveSettings, tuple[str, ...]]:
    """Return the settings with the symbols that are no longer configured but have a position, and those symbols."""
    configured = settings.symbols
    unconfigured = tuple(symbol for symbol, one in seen.items() if one.in_position and symbol not in configured)
    return replace(settings, symbols=(*configured, *unconfigured)), unconfigured
