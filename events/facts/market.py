"""Facts of the market and of the feed that brings it."""

from __future__ import annotations

from papertape.events.facts.base import Event, Timing


class ContractListed(Event, frozen=True, tag="ContractListed.2"):
    """The contract specification a symbol is traded under from here on. Tick and lot are ratios of integers.

    `maintenance_tiers` are rows of (lowest notional in USDT, maintenance margin as a fraction). The fees are those
    the exchange publishes, as fractions, None where it publishes none; what an account pays is in its `risk`.
    """

    symbol: str
    timeframe_ms: int
    tick_numerator: int
    tick_denominator: int
    lot_numerator: int
    lot_denominator: int
    minimum_notional_usdt: float
    maintenance_tiers: tuple[tuple[float, float], ...]
    group: str
    source: str
    maker_fee_rate: float | None = None
    taker_fee_rate: float | None = None


class ContractDelisted(Event, frozen=True, tag="ContractDelisted.1"):
    """The exchange has delisted the contract; `reason` tells how that was detected. No candle fills an order on it now.

    Positions in it are settled at its last close, 24 hours after its last candle or when their owner asks to close.
    The event is repeated when positions are due.
    """

    symbol: str
    reason: str


class CandleClosed(Event, frozen=True, tag="CandleClosed.1"):
    """A finished candle of the base timeframe; `at_ms` is its close, the open is one timeframe earlier."""

    symbol: str
    timeframe_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    timing: Timing = Timing.ON_TIME

    @property
    def open_time_ms(self) -> int:
        """Open time, UTC ms."""
        return self.at_ms - self.timeframe_ms


class FundingRateSettled(Event, frozen=True, tag="FundingRateSettled.1"):
    """A funding settlement; `at_ms` is the settlement time cut to the minute, `rate` that of the whole interval."""

    symbol: str
    rate: float


class OpenInterestObserved(Event, frozen=True, tag="OpenInterestObserved.1"):
    """The open interest standing at `at_ms`, in coins."""

    symbol: str
    open_interest_base: float


class FeedConnected(Event, frozen=True, tag="FeedConnected.1"):
    """The feed delivers. `at_ms` is market time; `wall_at_ms` and `speed` say how market time goes on from there.

    `speed` is market seconds a wall second; 0 means as fast as the engine takes facts.
    """

    feed: str
    wall_at_ms: int
    speed: float


class FeedLost(Event, frozen=True, tag="FeedLost.1"):
    """The feed stopped delivering."""

    feed: str
    reason: str


class GapFound(Event, frozen=True, tag="GapFound.1"):
    """Candles are missing: the first missing open is `from_ms`, the next candle that exists opens at `until_ms`."""

    symbol: str
    from_ms: int
    until_ms: int
    missing_candles: int


class GapFilled(Event, frozen=True, tag="GapFilled.1"):
    """The candles that a silence of the feed had withheld were delivered after the fact."""

    symbol: str
    from_ms: int
    until_ms: int
    candles: int


class DataRefused(Event, frozen=True, tag="DataRefused.1"):
    """What the feed did not take as facts for one reason since `since_ms`: how many frames or rows, and the newest.

    Told at most once an hour and reason. The facts they stood for came another way, or a gap was told.
    """

    feed: str
    reason: str
    count: int
    since_ms: int
    newest: str


class SymbolSuspended(Event, frozen=True, tag="SymbolSuspended.1"):
    """The symbol is not tradable: nothing is opened on it until it is resumed. Open positions go on as they are."""

    symbol: str
    reason: str


class SymbolResumed(Event, frozen=True, tag="SymbolResumed.1"):
    """The symbol is tradable again."""

    symbol: str
    reason: str
