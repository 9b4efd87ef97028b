"""What a live session needs from an exchange: the port that the Bitget client and ccxt implement."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from papertape.engine.feeds.candle_row import CandleRow
from papertape.events.units import DAY_MS, MINUTE_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.engine.feeds.live.stream_state import StreamState

NORMAL: Final = "normal"
"""The status of a contract in which positions may be opened."""
STEP_PARTS_MAX: Final = 10**12
"""Numerators and denominators of steps stay below this, so that the product with a price fits into 64 bits."""
FUNDING_RATE_MAX: Final = 1.0
FEE_FRACTION_MAX: Final = 0.05
DEFAULT_SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


class LiveSettings(Struct, frozen=True, kw_only=True):
    """One live market of perpetuals. `speed` is market seconds per wall second: 1 on the real exchange.

    All times are market seconds: against a stand-in that runs at `speed` times real time, they pass that much faster.
    """

    symbols: tuple[str, ...] = DEFAULT_SYMBOLS
    timeframe_ms: int = MINUTE_MS
    groups: Mapping[str, str] = {}
    speed: float = 1.0

    warm_up_ms: int = 2 * DAY_MS
    """The history before the first start, which only warms up indicators."""
    catch_up_ms_max: int = 30 * DAY_MS
    """A longer absence is not fetched completely: what lies further back remains a hole."""

    requests_per_s: float = 10.0
    request_timeout_s: float = 10.0
    symbols_a_connection: int = 24

    settle_s: float = 2.0
    """A streamed candle is final this long after its close, with the corrections that arrived meanwhile."""
    grace_s: float = 3.0
    """A candle that the stream has not finished this long after its close is requested from the history."""
    on_time_s: float = 30.0
    """A candle known this long after its close still opens positions; a later one is late."""
    wait_s: float = 25.0
    """Most symbols wait this long for a few. If most are missing, the feed waits for them until `declare_s`."""
    declare_s: float = 90.0
    """What is missing this long after its close is declared: the feed is lost, or a symbol is not tradable."""
    silence_s: float = 45.0
    """A connection or channel that was silent for this long is renewed."""
    rotate_s: float = 82_800.0
    """A connection is replaced before the exchange cuts it after 24 h."""


class FundingSettlement(Struct, frozen=True):
    """A funding settlement: its time cut to the minute in UTC ms, the rate as a fraction of the whole interval."""

    time_ms: int
    rate: float


class OpenInterestReading(Struct, frozen=True):
    """The open interest standing at `time_ms` (UTC ms), in coins."""

    time_ms: int
    open_interest_base: float


class ContractBody(Struct, frozen=True):
    """The exchange's specification of a perpetual. Tick (USDT) and lot (coins) are reduced ratios of integers.

    `status` is `normal` while positions may be opened; any other means that they may not. A fee is None if the
    exchange publishes no valid one.
    """

    symbol: str
    tick_numerator: int
    tick_denominator: int
    lot_numerator: int
    lot_denominator: int
    minimum_notional_usdt: float
    maker_fee_fraction: float | None
    taker_fee_fraction: float | None
    status: str


class ContractList(Struct, frozen=True):
    """The exchange's perpetuals by symbol, and the invalid field of each row that cannot be read."""

    readable: dict[str, ContractBody]
    unreadable: dict[str, str]


class OpenInterestSource(StrEnum):
    """How open interest is obtained."""

    STREAMED = "streamed"
    REQUESTED = "requested"
    NONE = "none"


class Connection(Protocol):
    """One connection that passes the candles of its symbols to the stream state.

    `served` says whether any data arrived, `complete` is set once every channel has delivered some, and `heard_s` is
    when the newest arrived, in seconds of the clock.
    """

    symbols: tuple[str, ...]
    complete: asyncio.Event
    served: bool
    heard_s: float

    async def run(self) -> str:
        """Serve until the connection ends, and return why. Raise ExchangeError if it never opens."""
        ...

    def give_up(self, reason: str) -> None:
        """End this connection soon."""
        ...

    def request_resubscribe(self, symbol: str) -> None:
        """Subscribe a symbol again soon."""
        ...

    def silent_channels(self) -> list[str]:
        """Return the channels that have not delivered any data yet."""
        ...


class ExchangeClient(Protocol):
    """One exchange. Nothing is retried: each request raises an ExchangeError. Invalid rows are refused and left out."""

    name: str
    section: str
    """The configuration's section, such as `feed.bitget`."""
    address: str
    product: str
    """What its contracts are called in messages, such as `USDT-margined perpetual`."""
    limits: str
    """The limits that the client keeps to, in words."""
    lacks: Sequence[str]
    """Features the exchange lacks that some strategies may need, in words."""
    open_interest_source: OpenInterestSource

    @property
    def offset_ms(self) -> int:
        """The server's clock minus ours, as of the last `server_time_ms`; 0 before."""
        ...

    def server_now_ms(self) -> int:
        """Return the server's time as far as it is known, UTC ms."""
        ...

    async def server_time_ms(self) -> int:
        """Request the server's time, and return it, UTC ms."""
        ...

    async def contracts(self) -> ContractList:
        """Return all perpetuals by symbol, with unreadable ones kept apart."""
        ...

    async def tiers(self, symbol: str) -> tuple[tuple[float, float], ...]:
        """Return (lowest notional in USDT, maintenance margin as a fraction) of every tier, rising from 0."""
        ...

    async def candles(self, symbol: str, from_ms: int, until_ms: int) -> list[CandleRow]:
        """Return the closed candles with from <= open time < until, rising. What is missing is a hole."""
        ...

    async def settlements(self, symbol: str, from_ms: int) -> list[FundingSettlement]:
        """Return the settlements from `from_ms` on that the exchange still has, rising."""
        ...

    async def open_interest(self, symbol: str) -> OpenInterestReading:
        """Return the current open interest, in coins."""
        ...

    def connection(self, symbols: Sequence[str], stream_state: StreamState) -> Connection:
        """Return a connection for some symbols, not yet open."""
        ...

    async def close(self) -> None:
        """Close everything that is open."""
        ...
