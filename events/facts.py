"""The facts: everything that ever happened, as frozen, tagged, versioned Structs.

A fact is in the past tense and carries `at_ms`, its event time in milliseconds since 1970 UTC. The log
adds `seq`, `recorded_at_ms` and `cause` (see `events.log.Recorded`). The tag is `Name.version`: a changed
shape gets the next version, and the old one moves to `events.upcast` with a function to the new shape.

Units stand in the names: `_usdt` money and prices in USDT, `_base` quantities in coins of the base
currency, `_ms` UTC milliseconds, `_percent` percent, `_fraction` and `rate` plain fractions (0.0001 is
0.01 %). Open, high, low, close are prices in USDT, `volume` is in coins.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

from msgspec import Struct

Side = Literal["long", "short"]
Action = Literal["entry", "exit"]
GLOBAL_SCOPE = "global"


class Timing(IntEnum):
    """How a candle reached the engine, and therefore what it may do."""

    ON_TIME = 0
    LATE = 1
    """Fetched after the fact: resolves stops and funding, but never opens a position."""
    WARM_UP = 2
    """History before the start: feeds the indicators and nothing else."""


class Event(Struct, frozen=True, array_like=True):
    """What all facts share: the time at which they became true."""

    at_ms: int


# ---------------------------------------------------------------- market


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


class SymbolSuspended(Event, frozen=True, tag="SymbolSuspended.1"):
    """The symbol is not tradable: nothing is opened on it until it is resumed. Open positions go on as they are."""

    symbol: str
    reason: str


class SymbolResumed(Event, frozen=True, tag="SymbolResumed.1"):
    """The symbol is tradable again."""

    symbol: str
    reason: str


# ---------------------------------------------------------------- trading


class OrderPlaced(Event, frozen=True, tag="OrderPlaced.1"):
    """A market order for the next candle's open, decided on the close at `at_ms`.

    `side` is the side of the position. `readings` are the numbers that led to the decision. An exit
    order carries zero in the fields of planning.
    """

    strategy: str
    symbol: str
    action: Action
    side: Side
    reason: str
    quantity_base: float
    planned_price_usdt: float
    stop_fraction: float
    target_fraction: float
    risk_usdt: float
    score: float
    readings: dict[str, float]


class OrderRejected(Event, frozen=True, tag="OrderRejected.1"):
    """A signal that became no order, with the limit that refused it."""

    strategy: str
    symbol: str
    side: Side
    reason: str
    score: float
    readings: dict[str, float]


class OrderCancelled(Event, frozen=True, tag="OrderCancelled.1"):
    """A placed entry that was never filled, and why."""

    strategy: str
    symbol: str
    side: Side
    reason: str


class PositionOpened(Event, frozen=True, tag="PositionOpened.1"):
    """An entry was filled. `reference_price_usdt` is the price before slippage; a liquidation price of 0 means none."""

    strategy: str
    symbol: str
    side: Side
    quantity_base: float
    price_usdt: float
    reference_price_usdt: float
    fee_usdt: float
    slippage_usdt: float
    stop_price_usdt: float
    target_price_usdt: float
    liquidation_price_usdt: float
    margin_usdt: float
    risk_usdt: float


class Closing(Event, frozen=True):
    """What an exit and a liquidation share.

    `fee_usdt` is the closing fee; `fees_usdt`, `funding_usdt` (received is positive) and `slippage_usdt` are
    those of the whole trade; net = gross - fees + funding. `ambiguous`: stop and target lay in one candle.
    """

    strategy: str
    symbol: str
    side: Side
    reason: str
    quantity_base: float
    entry_time_ms: int
    entry_price_usdt: float
    price_usdt: float
    reference_price_usdt: float
    fee_usdt: float
    gross_usdt: float
    fees_usdt: float
    funding_usdt: float
    slippage_usdt: float
    net_usdt: float
    r_multiple: float
    ambiguous: bool


class PositionClosed(Closing, frozen=True, tag="PositionClosed.1"):
    """A position left by stop, target or an exit order."""


class Liquidated(Closing, frozen=True, tag="Liquidated.1"):
    """A position the exchange took: the whole margin is lost."""


class FundingPaid(Event, frozen=True, tag="FundingPaid.1"):
    """Funding booked on an open position: `amount_usdt` is negative when the position paid."""

    strategy: str
    symbol: str
    side: Side
    settled_at_ms: int
    rate: float
    quantity_base: float
    price_usdt: float
    amount_usdt: float


# ---------------------------------------------------------------- risk


class KillSwitchTripped(Event, frozen=True, tag="KillSwitchTripped.2"):
    """Entries stop until a human resets. `scope` is a strategy's name or `global`.

    Tripped because base - equity reached `threshold_percent` of the base; for `global_loss` the base is
    the peak of the window. Reasons: `session_loss`, `daily_loss`, `global_loss`, `manual`; a human says who and why.
    """

    scope: str
    reason: str
    base_usdt: float
    peak_usdt: float
    equity_usdt: float
    threshold_percent: float
    who: str = ""
    why: str = ""


class KillSwitchReset(Event, frozen=True, tag="KillSwitchReset.1"):
    """A human ended the trip recorded at `trip_seq`."""

    scope: str
    trip_seq: int
    who: str
    why: str


# ---------------------------------------------------------------- operation


class EngineStarted(Event, frozen=True, tag="EngineStarted.1"):
    """The engine took the log. `at_ms` is the wall clock."""

    version: str
    code_digest: str
    config_digest: str


class EngineStopped(Event, frozen=True, tag="EngineStopped.1"):
    """The engine let go of the log on purpose. `at_ms` is the wall clock."""

    reason: str


class RunnerConfigured(Event, frozen=True, tag="RunnerConfigured.1"):
    """A strategy with its own capital, and all numbers it runs under from here on."""

    strategy: str
    symbols: tuple[str, ...]
    parameters: dict[str, int | float]
    symbol_parameters: dict[str, dict[str, int | float]]
    risk: dict[str, int | float]
    code_digest: str


class RunnerPaused(Event, frozen=True, tag="RunnerPaused.1"):
    """A human asked a strategy to open nothing."""

    strategy: str
    who: str
    why: str


class RunnerResumed(Event, frozen=True, tag="RunnerResumed.1"):
    """A human ended a pause."""

    strategy: str
    who: str
    why: str


class CloseRequested(Event, frozen=True, tag="CloseRequested.1"):
    """A human asked to leave a position; the exit is filled at the next open."""

    strategy: str
    symbol: str
    who: str
    why: str


class AnomalyRaised(Event, frozen=True, tag="AnomalyRaised.1"):
    """Something is wrong that the owner should know."""

    kind: str
    subject: str
    detail: str


class AnomalyCleared(Event, frozen=True, tag="AnomalyCleared.1"):
    """An anomaly is over."""

    kind: str
    subject: str
    detail: str


class AnomalyPersists(Event, frozen=True, tag="AnomalyPersists.1"):
    """An anomaly that was raised long ago is still there: a reminder."""

    kind: str
    subject: str
    detail: str
    raised_at_ms: int


class RepairTried(Event, frozen=True, tag="RepairTried.1"):
    """The engine tried to mend something by itself."""

    kind: str
    subject: str
    detail: str


MarketFact = CandleClosed | FundingRateSettled | OpenInterestObserved
FeedFact = (
    MarketFact
    | FeedConnected
    | FeedLost
    | GapFilled
    | ContractListed
    | SymbolSuspended
    | SymbolResumed
    | AnomalyRaised
    | AnomalyCleared
)


def _tagged(kind: type[Event]) -> tuple[type[Event], ...]:
    """A kind with a tag of its own, and those below it."""
    own = () if kind.__struct_config__.tag is None else (kind,)
    return own + tuple(found for below in kind.__subclasses__() for found in _tagged(below))


EVENT_TYPES: tuple[type[Event], ...] = _tagged(Event)
"""Every fact of this module."""


def type_name(event: Event | type[Event]) -> str:
    """The name of an event's type without its version, as the log shows it: `CandleClosed`."""
    kind = event if isinstance(event, type) else type(event)
    return kind.__name__
