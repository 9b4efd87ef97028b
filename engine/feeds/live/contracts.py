"""The contracts that the exchange lists: specifications for the log, and whether they are open for trading."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from papertape.engine.feeds.files.derived_contract import DEFAULT_GROUP
from papertape.engine.feeds.live.exchange import NORMAL, ContractList
from papertape.engine.feeds.live.symbol_cursor import SuspensionReason, SymbolCursor, make_cursors
from papertape.events.errors import ConfigError, ExchangeBusy, ExchangeError, ExchangeUnreachable
from papertape.events.facts import ContractDelisted, ContractListed, FeedFact, SymbolResumed, SymbolSuspended

if TYPE_CHECKING:
    from papertape.engine.feeds.live.exchange import ContractBody, ExchangeClient, LiveSettings
    from papertape.engine.ports.feed import ResumePoint

OFF: Final = "off"
DELISTED: Final = "the exchange no longer lists it"
UNCONFIGURED: Final = "it is no longer in {}.symbols; it is watched until its position closes"
STATES_EVERY_MS: Final = 300_000
BUSY_TRIES_MAX: Final = 10


class ContractRegistry:
    """The exchange's contracts. Margin tiers are fetched once a run, states every five minutes.

    `unconfigured` symbols have a position, but are no longer configured: they are watched and not traded.
    """

    def __init__(self, client: ExchangeClient, settings: LiveSettings, unconfigured: Sequence[str] = ()) -> None:
        self._client = client
        self._settings = settings
        self._unconfigured = unconfigured
        self._list = ContractList({}, {})
        self._tiers: dict[str, tuple[tuple[float, float], ...]] = {}
        self._fetched_ms = -STATES_EVERY_MS
        self._unreadable: list[str] = []
        """The configured symbols that the log does not know and whose contract cannot be read yet."""

    async def contract_facts(self, seen: dict[str, ResumePoint]) -> list[FeedFact]:
        """Return the specifications in configured order, and suspensions of the symbols whose contract is unreadable.

        Raise ExchangeError if there is no answer, and ConfigError for a symbol that neither the exchange nor the log
        knows.
        """
        await self._fetch_contracts()
        readable, unreadable = self._list.readable, self._list.unreadable
        for symbol in self._settings.symbols:
            if symbol not in readable and symbol not in unreadable and symbol not in seen:
                raise self._unknown(symbol)
        self._unreadable = [one for one in self._settings.symbols if one not in readable and one not in seen]
        for symbol in self._settings.symbols:
            if symbol in readable and symbol not in self._tiers:
                await self._fetch_tiers(symbol, known=symbol in seen)
        # Without its tiers a symbol keeps the specification that the log holds.
        contracts = [self._contract(readable[symbol]) for symbol in self._settings.symbols if symbol in self._tiers]
        now_ms = self._client.server_now_ms()
        return [*contracts, *(SymbolSuspended(now_ms, one, _fault(unreadable[one])) for one in self._unreadable)]

    async def new_contracts(self, symbols: Sequence[str]) -> list[ContractListed]:
        """Return the specifications of symbols that are about to be watched. Raise ExchangeError.

        Raise ConfigError for a symbol that the exchange does not list, or whose contract cannot be read.
        """
        await self._fetch_contracts()
        for symbol in symbols:
            if symbol in self._list.unreadable:
                raise ConfigError(f"{self._client.section}.symbols: {symbol}: {_fault(self._list.unreadable[symbol])}")
            if symbol not in self._list.readable:
                raise self._unknown(symbol)
            await self._fetch_tiers(symbol, known=False)
        return [self._contract(self._list.readable[symbol]) for symbol in symbols]

    def change_settings(self, settings: LiveSettings, unconfigured: Sequence[str]) -> None:
        """Continue with other symbols and groups."""
        self._settings, self._unconfigured = settings, unconfigured
        self._unreadable = [one for one in self._unreadable if one in settings.symbols]

    def join(self, symbols: Sequence[str], seen: dict[str, ResumePoint], now_ms: int) -> list[SymbolCursor]:
        """Return cursors for symbols that begin to be watched now; they catch up like any lagging symbol."""
        cursors = self._cursors_of([one for one in symbols if one not in self._unreadable], seen, now_ms)
        for cursor in cursors:
            cursor.lagging = True
        return cursors

    def make_cursors(self, seen: dict[str, ResumePoint], now_ms: int) -> list[SymbolCursor]:
        """Return a cursor for every symbol that can be watched."""
        return self._cursors_of([one for one in self._settings.symbols if one not in self._unreadable], seen, now_ms)

    def _cursors_of(self, symbols: Sequence[str], seen: dict[str, ResumePoint], now_ms: int) -> list[SymbolCursor]:
        limits_ms = (self._settings.warm_up_ms, self._settings.catch_up_ms_max)
        return make_cursors(symbols, self._settings.timeframe_ms, seen, now_ms, limits_ms)

    async def _fetch_tiers(self, symbol: str, *, known: bool) -> None:
        """Fetch a symbol's margin tiers. Raise ExchangeError unless the log knows the symbol (`known`)."""
        for _ in range(BUSY_TRIES_MAX):
            try:
                self._tiers[symbol] = await self._client.tiers(symbol)
            except ExchangeBusy:
                continue  # The next request waits as long as the exchange demands.
            except ExchangeError:
                if not known:
                    raise
            return

    async def state_changes(self, cursors: list[SymbolCursor], now_ms: int) -> list[FeedFact]:
        """Return facts about contracts that were closed, opened or became readable. Raise ExchangeError."""
        if 0 <= now_ms - self._fetched_ms < STATES_EVERY_MS:  # The exchange's clock may have been set back.
            return []
        await self._fetch_contracts()
        return [*await self._join(cursors, now_ms), *self.tradability_changes(cursors, now_ms)]

    async def _join(self, cursors: list[SymbolCursor], now_ms: int) -> list[FeedFact]:
        """Start watching the symbols whose contract has become readable; they catch up like any lagging symbol."""
        facts: list[FeedFact] = []
        for symbol in [one for one in self._unreadable if one in self._list.readable]:
            await self._fetch_tiers(symbol, known=False)
            self._unreadable.remove(symbol)
            facts += [SymbolResumed(now_ms, symbol, "its contract can be read")]
            facts += [self._contract(self._list.readable[symbol])]
            cursors += self.join([symbol], {}, now_ms)
        return facts

    async def _fetch_contracts(self) -> None:
        contracts = await self._client.contracts()
        if not contracts.readable and not contracts.unreadable:
            raise ExchangeUnreachable("contracts: the exchange lists nothing at all")
        self._list, self._fetched_ms = contracts, self._client.server_now_ms()

    def tradability_changes(self, cursors: Sequence[SymbolCursor], now_ms: int) -> list[FeedFact]:
        """Suspend every symbol that is not open for trading, release the others, and report delisted ones."""
        facts: list[FeedFact] = []
        unconfigured = UNCONFIGURED.format(self._client.section)
        for cursor in cursors:
            body, fault = self._list.readable.get(cursor.symbol), self._list.unreadable.get(cursor.symbol)
            delisted = body is None and fault is None
            if cursor.symbol in self._unconfigured:
                facts += cursor.suspend(SuspensionReason.UNCONFIGURED, unconfigured, now_ms)
            else:
                facts += cursor.release(SuspensionReason.UNCONFIGURED, "it is configured again", now_ms)
            if body is not None and body.status == NORMAL:
                facts += cursor.release(SuspensionReason.CONTRACT, "the exchange trades it again", now_ms)
            else:
                state = DELISTED if delisted else _fault(fault) if body is None else f"the exchange says: {body.status}"
                facts += cursor.suspend(SuspensionReason.CONTRACT, state, now_ms)
            # A contract may be missing once by mistake; missing twice, it was delisted.
            if (delisted and cursor.ended) or (body is not None and body.status == OFF):
                facts.append(ContractDelisted(now_ms, cursor.symbol, DELISTED if delisted else f"its state is {OFF!r}"))
            cursor.ended = delisted
        return facts

    def _unknown(self, symbol: str) -> ConfigError:
        close = get_close_matches(symbol, self._list.readable, n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        client = self._client
        return ConfigError(f"{client.section}.symbols: {symbol} is not a {client.product} of the exchange{meant}")

    def _contract(self, body: ContractBody) -> ContractListed:
        return ContractListed(
            at_ms=self._client.server_now_ms(),
            symbol=body.symbol,
            timeframe_ms=self._settings.timeframe_ms,
            tick_numerator=body.tick_numerator,
            tick_denominator=body.tick_denominator,
            lot_numerator=body.lot_numerator,
            lot_denominator=body.lot_denominator,
            minimum_notional_usdt=body.minimum_notional_usdt,
            maintenance_tiers=self._tiers[body.symbol],
            group=self._settings.groups.get(body.symbol, DEFAULT_GROUP),
            source=self._client.name,
            maker_fee_rate=body.maker_fee_fraction,
            taker_fee_rate=body.taker_fee_fraction,
        )


def _fault(text: str | None) -> str:
    return f"its contract cannot be read ({text})"
