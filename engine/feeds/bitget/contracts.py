"""The contracts as the exchange lists them: specifications for the log, and whether they are open for trading."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from papertape.engine.feeds.bitget.responses import ContractList
from papertape.engine.feeds.bitget.settings import BITGET
from papertape.engine.feeds.bitget.symbol_cursor import SymbolCursor, make_tracks
from papertape.engine.feeds.files.derived_contract import DEFAULT_GROUP
from papertape.events.errors import ConfigError, ExchangeBusy, ExchangeError, ExchangeUnreachable
from papertape.events.facts import ContractDelisted, ContractListed, FeedFact, SymbolResumed, SymbolSuspended

if TYPE_CHECKING:
    from papertape.engine.feeds.bitget.responses import ContractBody
    from papertape.engine.feeds.bitget.rest import BitgetRest
    from papertape.engine.feeds.bitget.settings import BitgetSettings
    from papertape.engine.ports.feed import ResumePoint

NORMAL: Final = "normal"
OFF: Final = "off"
ENDED: Final = "the exchange no longer lists it"
NOT_CONFIGURED: Final = "it is no longer in feed.bitget.symbols; it is watched until its position closes"
STATES_EVERY_MS: Final = 300_000
BUSY_TRIES_MAX: Final = 10


class ContractRegistry:
    """What the exchange lists. Tiers are asked for once a run, states every five minutes.

    `left` are symbols with a position that are no longer configured: they are watched, but nothing is opened.
    """

    def __init__(self, rest: BitgetRest, settings: BitgetSettings, left: Sequence[str] = ()) -> None:
        self._rest = rest
        self._settings = settings
        self._left = left
        self._list = ContractList({}, {})
        self._tiers: dict[str, tuple[tuple[float, float], ...]] = {}
        self._asked_ms = -STATES_EVERY_MS
        self._absent: list[str] = []
        """The configured symbols that the log does not know and whose contract could not be read yet."""

    async def contract_facts(self, seen: dict[str, ResumePoint]) -> list[FeedFact]:
        """The specifications of the symbols there are, in configured order, and which symbols must wait for theirs.

        Raises ExchangeError, and ConfigError for a symbol that neither the exchange nor the log knows.
        """
        await self._fetch_contracts()
        readable, unreadable = self._list.readable, self._list.unreadable
        for symbol in self._settings.symbols:
            if symbol not in readable and symbol not in unreadable and symbol not in seen:
                raise _unknown(symbol, list(readable))
        self._absent = [one for one in self._settings.symbols if one not in readable and one not in seen]
        for symbol in self._settings.symbols:
            if symbol in readable and symbol not in self._tiers:
                await self._ask_tiers(symbol, known=symbol in seen)
        # Without its tiers a symbol goes on under the specification that the log holds.
        contracts = [self._contract(readable[symbol]) for symbol in self._settings.symbols if symbol in self._tiers]
        now_ms = self._rest.server_now_ms()
        return [*contracts, *(SymbolSuspended(now_ms, one, _fault(unreadable[one])) for one in self._absent)]

    def make_tracks(self, seen: dict[str, ResumePoint], now_ms: int) -> list[SymbolCursor]:
        """Return a track for every symbol that can be watched."""
        return [track for track in self._tracks(seen, now_ms) if track.symbol not in self._absent]

    def _tracks(self, seen: dict[str, ResumePoint], now_ms: int) -> list[SymbolCursor]:
        settings = self._settings
        limits_ms = (settings.warm_up_ms, settings.catch_up_ms_max)
        return make_tracks(settings.symbols, settings.timeframe_ms, seen, now_ms, limits_ms)

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

    async def state_changes(self, tracks: list[SymbolCursor], now_ms: int) -> list[FeedFact]:
        """Return facts about contracts that were closed, opened or became readable. Raise ExchangeError."""
        if 0 <= now_ms - self._asked_ms < STATES_EVERY_MS:  # The exchange's clock may have been set back.
            return []
        await self._fetch_contracts()
        return [*await self._join(tracks, now_ms), *self.tradability_changes(tracks, now_ms)]

    async def _join(self, tracks: list[SymbolCursor], now_ms: int) -> list[FeedFact]:
        """Begin to watch the symbols whose contract has become readable; they catch up like any late symbol."""
        facts: list[FeedFact] = []
        for symbol in [one for one in self._absent if one in self._list.readable]:
            await self._ask_tiers(symbol, known=False)
            self._absent.remove(symbol)
            facts += [SymbolResumed(now_ms, symbol, "its contract can be read")]
            facts += [self._contract(self._list.readable[symbol])]
            (track,) = (one for one in self._tracks({}, now_ms) if one.symbol == symbol)
            track.lagging = True
            tracks.append(track)
        return facts

    async def _fetch_contracts(self) -> None:
        found = await self._rest.contracts()
        if not found.readable and not found.unreadable:
            raise ExchangeUnreachable("contracts: the exchange lists nothing at all")
        self._list, self._asked_ms = found, self._rest.server_now_ms()

    def tradability_changes(self, tracks: Sequence[SymbolCursor], now_ms: int) -> list[FeedFact]:
        """Suspend every symbol that is not open for trading, release the others, and report delisted ones."""
        facts: list[FeedFact] = []
        for track in tracks:
            body, fault = self._list.readable.get(track.symbol), self._list.unreadable.get(track.symbol)
            gone = body is None and fault is None
            if track.symbol in self._left:
                facts += track.suspend("left", NOT_CONFIGURED, now_ms)
            if body is not None and body.status == NORMAL:
                facts += track.release("state", "the exchange trades it again", now_ms)
            else:
                state = ENDED if gone else _fault(fault) if body is None else f"the exchange says: {body.status}"
                facts += track.suspend("state", state, now_ms)
            # A contract may be missing once by mistake; if it is missing twice, it was delisted.
            if (gone and track.ended) or (body is not None and body.status == OFF):
                facts.append(ContractDelisted(now_ms, track.symbol, ENDED if gone else f"its state is {OFF!r}"))
            track.ended = gone
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


def _fault(text: str | None) -> str:
    return f"its contract cannot be read ({text})"


def _unknown(symbol: str, known: list[str]) -> ConfigError:
    close = get_close_matches(symbol, known, n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    return ConfigError(f"feed.bitget.symbols: {symbol} is no USDT-margined perpetual of the exchange{meant}")
