"""The contracts as the exchange lists them: specifications for the log, and whether they are open for trading."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from engine.feeds.bitget_settings import BITGET
from engine.feeds.contracts import DEFAULT_GROUP
from events.errors import ConfigError, ExchangeBusy, ExchangeError, ExchangeUnreachable
from events.facts import ContractListed, FeedFact

if TYPE_CHECKING:
    from engine.feeds.bitget_bodies import ContractBody
    from engine.feeds.bitget_rest import BitgetRest
    from engine.feeds.bitget_settings import BitgetSettings
    from engine.feeds.bitget_track import Track
    from engine.feeds.port import Seen

NORMAL: Final = "normal"
STATES_EVERY_MS: Final = 300_000
BUSY_TRIES_MAX: Final = 10


class Listing:
    """What the exchange lists. Tiers are asked for once a run, states every five minutes."""

    def __init__(self, rest: BitgetRest, settings: BitgetSettings) -> None:
        self._rest = rest
        self._settings = settings
        self._bodies: dict[str, ContractBody] = {}
        self._tiers: dict[str, tuple[tuple[float, float], ...]] = {}
        self._asked_ms = -STATES_EVERY_MS

    async def listed(self, seen: dict[str, Seen]) -> list[FeedFact]:
        """The specifications of the symbols there are, in configured order.

        Raises ExchangeError, and ConfigError for a symbol that neither the exchange nor the log knows.
        """
        await self._ask()
        for symbol in self._settings.symbols:
            if symbol not in self._bodies and symbol not in seen:
                raise _unknown(symbol, list(self._bodies))
        for symbol in self._settings.symbols:
            if symbol in self._bodies and symbol not in self._tiers:
                await self._ask_tiers(symbol, known=symbol in seen)
        # Without its tiers a symbol goes on under the specification that the log holds.
        return [self._contract(self._bodies[symbol]) for symbol in self._settings.symbols if symbol in self._tiers]

    async def _ask_tiers(self, symbol: str, *, known: bool) -> None:
        """A symbol's margin tiers. Raises ExchangeError where the log does not know the symbol either."""
        for _ in range(BUSY_TRIES_MAX):
            try:
                self._tiers[symbol] = await self._rest.tiers(symbol)
            except ExchangeBusy:
                continue  # The next request waits as long as the exchange asks for.
            except ExchangeError:
                if not known:
                    raise
            return

    async def states(self, tracks: Sequence[Track], now_ms: int) -> list[FeedFact]:
        """Which contracts were closed or opened for trading meanwhile. Raises ExchangeError."""
        if now_ms - self._asked_ms < STATES_EVERY_MS:
            return []
        await self._ask()
        return self.tradable(tracks, now_ms)

    async def _ask(self) -> None:
        bodies = await self._rest.contracts()
        if not bodies:
            raise ExchangeUnreachable("contracts: the exchange lists nothing at all")
        self._bodies, self._asked_ms = bodies, self._rest.server_now_ms()

    def tradable(self, tracks: Sequence[Track], now_ms: int) -> list[FeedFact]:
        """Hold every symbol that is not open for trading, release the others."""
        facts: list[FeedFact] = []
        for track in tracks:
            body = self._bodies.get(track.symbol)
            state = "no contract any more" if body is None else body.status
            if state == NORMAL:
                facts += track.release("state", "the exchange trades it again", now_ms)
            else:
                facts += track.hold("state", f"the exchange says: {state}", now_ms)
        return facts

    def _contract(self, body: ContractBody) -> ContractListed:
        return ContractListed(
            at_ms=self._rest.server_now_ms(),
            symbol=body.symbol,
            timeframe_ms=self._settings.timeframe_ms,
            tick_numerator=body.tick_numerator,
            tick_denominator=body.tick_denominator,
            lot_numerator=body.lot_numerator,
            lot_denominator=body.lot_denominator,
            minimum_notional_usdt=body.minimum_notional_usdt,
            maintenance_tiers=self._tiers[body.symbol],
            group=self._settings.groups.get(body.symbol, DEFAULT_GROUP),
            source=BITGET,
            maker_fee_rate=body.maker_fee_fraction,
            taker_fee_rate=body.taker_fee_fraction,
        )


def _unknown(symbol: str, known: list[str]) -> ConfigError:
    close = get_close_matches(symbol, known, n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    return ConfigError(f"feed.bitget.symbols: {symbol} is no USDT-margined perpetual of the exchange{meant}")
