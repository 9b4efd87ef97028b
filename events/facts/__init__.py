"""The facts: everything that can happen, as frozen, tagged, versioned Structs."""

from __future__ import annotations

from papertape.events.facts.base import (
    CONFIGURATION,
    GLOBAL_SCOPE,
    Action,
    AnswerKind,
    CancelReason,
    EngineReason,
    Event,
    ExitReason,
    OrderKind,
    RejectionReason,
    Side,
    StopReason,
    TargetReason,
    Timing,
    TripReason,
)
from papertape.events.facts.market import (
    SIGNAL_NAME_PATTERN,
    CandleClosed,
    ContractDelisted,
    ContractListed,
    DataRefused,
    FeedConnected,
    FeedLost,
    FundingRateSettled,
    GapFilled,
    GapFound,
    OpenInterestObserved,
    SignalReceived,
    SymbolResumed,
    SymbolSuspended,
)
from papertape.events.facts.operation import (
    AnomalyCleared,
    AnomalyPersists,
    AnomalyRaised,
    CloseRequested,
    ConfigurationReloaded,
    EngineStarted,
    EngineStopped,
    EpochBegan,
    RepairTried,
    ResultBand,
    RunnerConfigured,
    RunnerPaused,
    RunnerResumed,
    StrategyFailed,
    StudyPromoted,
)
from papertape.events.facts.risk import KillSwitchReset, KillSwitchTripped
from papertape.events.facts.trading import (
    Closing,
    FundingPaid,
    Liquidated,
    OrderCancelled,
    OrderPlaced,
    OrderRejected,
    PlannedAdd,
    PositionClosed,
    PositionIncreased,
    PositionOpened,
    PositionReduced,
    StopMoved,
    Target,
    TargetsMoved,
)

__all__ = [
    "CONFIGURATION",
    "EVENT_TYPES",
    "GLOBAL_SCOPE",
    "SIGNAL_NAME_PATTERN",
    "Action",
    "AnomalyCleared",
    "AnomalyPersists",
    "AnomalyRaised",
    "AnswerKind",
    "CancelReason",
    "CandleClosed",
    "CloseRequested",
    "Closing",
    "ConfigurationReloaded",
    "ContractDelisted",
    "ContractListed",
    "DataRefused",
    "EngineReason",
    "EngineStarted",
    "EngineStopped",
    "EpochBegan",
    "Event",
    "ExitReason",
    "FeedConnected",
    "FeedFact",
    "FeedLost",
    "FundingPaid",
    "FundingRateSettled",
    "GapFilled",
    "GapFound",
    "KillSwitchReset",
    "KillSwitchTripped",
    "Liquidated",
    "MarketFact",
    "OpenInterestObserved",
    "OrderCancelled",
    "OrderKind",
    "OrderPlaced",
    "OrderRejected",
    "PlannedAdd",
    "PositionClosed",
    "PositionIncreased",
    "PositionOpened",
    "PositionReduced",
    "RejectionReason",
    "RepairTried",
    "ResultBand",
    "RunnerConfigured",
    "RunnerPaused",
    "RunnerResumed",
    "Side",
    "SignalReceived",
    "StopMoved",
    "StopReason",
    "StrategyFailed",
    "StudyPromoted",
    "SymbolResumed",
    "SymbolSuspended",
    "Target",
    "TargetReason",
    "TargetsMoved",
    "Timing",
    "TripReason",
    "type_name",
]

MarketFact = CandleClosed | FundingRateSettled | OpenInterestObserved
FeedFact = (
    MarketFact
    | SignalReceived
    | FeedConnected
    | FeedLost
    | GapFilled
    | DataRefused
    | ContractListed
    | ContractDelisted
    | SymbolSuspended
    | SymbolResumed
    | AnomalyRaised
    | AnomalyCleared
)


def _tagged(kind: type[Event]) -> tuple[type[Event], ...]:
    """Return the class, if it has a tag, and all its tagged subclasses."""
    own = () if kind.__struct_config__.tag is None else (kind,)
    return own + tuple(tagged for subclass in kind.__subclasses__() for tagged in _tagged(subclass))


EVENT_TYPES: tuple[type[Event], ...] = _tagged(Event)
"""Every type of fact."""


def type_name(event: Event | type[Event]) -> str:
    """Return the name of an event's type without its version, as the log shows it: `CandleClosed`."""
    kind = event if isinstance(event, type) else type(event)
    return kind.__name__
