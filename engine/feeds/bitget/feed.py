"""Bitget's USDT-margined perpetuals, live and without a key: candles, funding, open interest, healing itself.

Minute by minute: when a candle's time is over, the streams are asked whether they saw all of it, the exchange's
history for whatever they did not, and the candles of all symbols go out together, in order, once. What is missing
is waited for; after `declare_s` it is declared and made up for later, late.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing

from msgspec.structs import replace

from papertape.engine.feeds.bitget.session import FeedSession
from papertape.engine.feeds.bitget.settings import BITGET, BitgetSettings
from papertape.engine.feeds.playback import chunks
from papertape.engine.ports.clock import Clock, ScaledClock
from papertape.engine.ports.feed import RefusalLog, ResumePoint
from papertape.events.facts import ContractListed, FeedConnected, FeedFact


class BitgetFeed:
    """The live market as a feed. Contracts come from the exchange, with the first facts."""

    name = BITGET

    def __init__(self, settings: BitgetSettings, clock: Clock) -> None:
        self.settings = settings
        self.refusals = RefusalLog()
        self._watch: FeedSession | None = None
        self._clock = clock

    def contracts(self) -> list[ContractListed]:
        """None yet: only the exchange knows them."""
        return []

    @property
    def clock_skew_ms(self) -> float | None:
        """The skew of the exchange's clock against this machine's while it counts as an anomaly, else None."""
        return None if self._watch is None else self._watch.pulse.reported_skew_ms

    async def reconnect(self, _: str = "") -> str:
        """Repair: give every connection up for a new one; what was done, in words."""
        return "not begun yet" if self._watch is None else self._watch.reconnect()

    async def resubscribe(self, symbol: str) -> str:
        """Repair: subscribe a symbol again; what was done, in words."""
        return "not begun yet" if self._watch is None else self._watch.resubscribe(symbol)

    async def facts(
        self,
        seen: Mapping[str, ResumePoint],
        anchor: FeedConnected | None,  # noqa: ARG002
    ) -> AsyncIterator[list[FeedFact]]:
        """The market from where the log ends, for ever; what was missed comes first, late.

        A symbol that is not configured any more is watched as long as a strategy holds a position in it.
        Raises ConfigError for a symbol that the exchange does not know and the log neither.
        """
        chosen = self.settings.symbols
        left = tuple(symbol for symbol, one in seen.items() if one.in_position and symbol not in chosen)
        settings = replace(self.settings, symbols=(*chosen, *left))
        clock = ScaledClock(self._clock, settings.speed)
        watch = self._watch = FeedSession(settings, clock, self._clock, self.refusals, left)
        try:
            async with aclosing(watch.facts(dict(seen))) as batches:  # type: ignore[type-var]
                async for batch in batches:
                    for part in chunks(batch):
                        yield part
        finally:
            await watch.close()
