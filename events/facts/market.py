"""Facts of the market and of the feed that brings it."""

from __future__ import annotations

from typing import Final

from papertape.events.facts.base import Event, Timing

SIGNAL_NAME_PATTERN: Final = r"^[a-z][a-z0-9_]{0,31}$"


class ContractListed(Event, frozen=True, tag="ContractListed.2"):
    """The contract specification that applies to a symbol from now on. Tick and lot are ratios of integers.

    `maintenance_tiers` are rows of (lowest notional in USDT, maintenance margin as a fraction). The fees are those that
    the exchange publishes, as fractions, None if it publishes none; the fees that a runner pays are in its `risk`.
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
    """The exchange has delisted the contract; `reason` names how that was detected. No candle fills an order on it now.

    Positions in it are settled at its last close, 24 hours after its last candle or when their owner closes them.
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
    """A funding settlement; `at_ms` is its time truncated to the minute, `rate` the rate of the whole interval."""

    symbol: str
    rate: float


class OpenInterestObserved(Event, frozen=True, tag="OpenInterestObserved.1"):
    """The open interest at `at_ms`, in coins."""

    symbol: str
    open_interest_base: float


class SignalReceived(Event, frozen=True, tag="SignalReceived.1"):
    """A number from outside the market, such as a webhook's or a model's. Strategies know it after `at_ms`.

    `source` says who sent it: an API client, a terminal, a file. A source never uses an `id` for two signals.
    """

    symbol: str
    name: str
    value: float
    source: str
    id: str


class FeedConnected(Event, frozen=True, tag="FeedConnected.1"):
    """The feed delivers. `at_ms` is market time; `wall_at_ms` and `speed` relate later market time to the wall clock.

    `speed` is market seconds per wall second; 0 means as fast as the engine accepts facts.
    """

    feed: str
    wall_at_ms: int
    speed: float


class FeedLost(Event, frozen=True, tag="FeedLost.1"):
    """The feed stopped delivering."""

    feed: str
    reason: str


class GapFound(Event, frozen=True, tag="GapFound.1"):
    """Candles are missing: the first missing one opens at `from_ms`, the next existing one at `until_ms`."""

    symbol: str
    from_ms: int
    until_ms: int
    missing_candles: int


class GapFilled(Event, frozen=True, tag="GapFilled.1"):
    """The candles missed while the feed was silent were delivered late."""

    symbol: str
    from_ms: int
    until_ms: int
    candles: int


class DataRefused(Event, frozen=True, tag="DataRefused.1"):
    """The number of frames or rows that the feed has refused for one reason since `since_ms`, and the newest of them.

    Recorded at most once per hour and reason. The facts in them arrived another way, or a gap was recorded.
    """

    feed: str
    reason: str
    count: int
    since_ms: int
    newest: str


class SymbolSuspended(Event, frozen=True, tag="SymbolSuspended.1"):
    """The symbol is not tradable: no position is opened in it until it is resumed. Open positions are unaffected."""

    symbol: str
    reason: str


class SymbolResumed(Event, frozen=True, tag="SymbolResumed.1"):
    """The symbol is tradable again."""

    symbol: str
    reason: str
