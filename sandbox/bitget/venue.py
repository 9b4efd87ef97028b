"""What the stand-in's REST pages and sockets share: the time, the history, the faults and the counters."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from msgspec import Struct

from papertape.engine.ports.clock import Clock
from papertape.sandbox.bitget.faults import BitgetFault, BitgetFaultInjector
from papertape.sandbox.bitget.history import MarketHistory
from papertape.sandbox.bitget.limits import (
    ATTEMPTS_MAX,
    ATTEMPTS_WINDOW_MS,
    REQUESTS_A_MINUTE_MAX,
    REQUESTS_A_SECOND_MAX,
    SLOW_REQUESTS_A_SECOND_MAX,
    BitgetTwinStatistics,
    RateWindow,
)

ADDRESSES_MAX: Final = 256
SLOW_PAGES: Final = frozenset({"query-position-lever", "fills-history", "vip-fee-rate", "oi-limit"})


class ExchangeBehaviour(Struct, frozen=True, kw_only=True):
    """The exchange's behaviour where Bitget leaves it open, or where a long run needs fewer frames."""

    update_ms: int = 500
    ticker_ms: int = 300
    snapshot_rows: int = 500
    two_rows: bool = False
    """At rollover the complete candle and the new one come in one frame; otherwise in two."""
    rest_delay_ms: int = 0
    """The delay until a closed candle is in the history pages."""
    funding_delay_ms: int = 0
    """The delay until a settlement is in its page."""
    start_bounds: bool = False
    """Whether the candle pages respect `startTime`."""
    limits: bool = True
    """Whether limits are enforced; breaches are counted anyway."""


class ClientUsage:
    """The limits that one client address has used."""

    def __init__(self) -> None:
        self.attempts = RateWindow(ATTEMPTS_MAX, ATTEMPTS_WINDOW_MS)
        self.minute = RateWindow(REQUESTS_A_MINUTE_MAX, 60_000)
        self.pages: dict[str, RateWindow] = {}
        self.sockets = 0

    def page(self, name: str) -> RateWindow:
        """Return the rate window of one endpoint."""
        if name not in self.pages:
            most = SLOW_REQUESTS_A_SECOND_MAX if name in SLOW_PAGES else REQUESTS_A_SECOND_MAX
            self.pages[name] = RateWindow(most, 1_000)
        return self.pages[name]


class Venue:
    """The shared state. Its time is the clock's with a skew, and never goes back: it stands still instead."""

    def __init__(
        self,
        history: MarketHistory,
        clock: Clock,
        faults: BitgetFaultInjector,
        behaviour: ExchangeBehaviour,
        skew_ms: int = 0,
    ) -> None:
        self.history = history
        self.clock = clock
        self.faults = faults
        self.behaviour = behaviour
        self.skew_ms = skew_ms
        self.statistics = BitgetTwinStatistics()
        self._shown_ms = 0
        self._addresses: OrderedDict[str, ClientUsage] = OrderedDict()

    def now_ms(self) -> int:
        """Return the server's time."""
        self._shown_ms = max(self._shown_ms, self.clock.now_ms() + self.skew_ms)
        return self._shown_ms

    def address(self, ip: str) -> ClientUsage:
        """Return the usage of a client address; the oldest address is forgotten."""
        if ip not in self._addresses:
            self._addresses[ip] = ClientUsage()
            if len(self._addresses) > ADDRESSES_MAX:
                self._addresses.popitem(last=False)
        return self._addresses[ip]

    def is_known(self, symbol: str) -> bool:
        """Return whether the exchange lists a symbol."""
        if symbol not in self.history.market.symbols or self.faults.sees(BitgetFault.DELISTED, symbol):
            return False
        return self.history.listing(symbol).listed_ms <= self.now_ms()
