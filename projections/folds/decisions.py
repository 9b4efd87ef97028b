"""Decisions without their position in a log and without the wall-clock time at which they were recorded.

Two logs with the same decisions still differ in their seqs, their starts and stops, and the feed's repairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from papertape.events.facts import (
    CandleClosed,
    CloseRequested,
    Closing,
    Event,
    FundingPaid,
    FundingRateSettled,
    KillSwitchReset,
    KillSwitchTripped,
    OpenInterestObserved,
    OrderCancelled,
    OrderPlaced,
    OrderRejected,
    PositionIncreased,
    PositionOpened,
    PositionReduced,
    RunnerConfigured,
    RunnerPaused,
    RunnerResumed,
    SignalReceived,
    StopMoved,
    StrategyFailed,
    TargetsMoved,
    Timing,
)
from papertape.projections.text.event_views import strategy_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from papertape.events.log import Recorded

Decision = (
    OrderPlaced
    | OrderRejected
    | OrderCancelled
    | PositionOpened
    | PositionIncreased
    | PositionReduced
    | StopMoved
    | TargetsMoved
    | Closing
    | FundingPaid
    | KillSwitchTripped
    | KillSwitchReset
    | RunnerPaused
    | RunnerResumed
    | StrategyFailed
    | CloseRequested
)
"""An event caused by a strategy, by the exchange on its behalf, by a limit or by a human. All carry market time."""
MARKET = (CandleClosed, FundingRateSettled, OpenInterestObserved, SignalReceived)


class Decisions:
    """Fold of the decisions of one log, in order, by strategy (or `global`), and of the end of its market time."""

    def __init__(self) -> None:
        self.by_scope: dict[str, list[Recorded]] = {}
        self.configured: dict[str, list[Recorded]] = {}
        self.until_ms = 0

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        event = recorded.event
        if type(event) is CandleClosed:
            self.until_ms = max(self.until_ms, event.at_ms)
        elif isinstance(event, Decision):
            self.by_scope.setdefault(strategy_of(event), []).append(recorded)
        elif isinstance(event, RunnerConfigured):
            self.configured.setdefault(event.strategy, []).append(recorded)
            self.by_scope.setdefault(event.strategy, [])

    @property
    def count(self) -> int:
        """The number of all decisions."""
        return sum(map(len, self.by_scope.values()))

    def configuration_at(self, strategy: str, decision: Recorded | None) -> RunnerConfigured | None:
        """Return a strategy's configuration at a decision; without a decision, its newest configuration."""
        earlier = [one for one in self.configured.get(strategy, []) if decision is None or one.seq < decision.seq]
        event = earlier[-1].event if earlier else None
        assert event is None or isinstance(event, RunnerConfigured), "`configured` holds only configurations"
        return event


def strip_readings(event: Event) -> Event:
    """Return the bare decision, without its readings, its score and the seqs that it refers to."""
    if isinstance(event, OrderPlaced | OrderRejected):
        return replace(event, readings={}, score=0.0)
    return strip_seqs(event)


def strip_seqs(event: Event) -> Event:
    """Return an event without the seqs of its own log that it refers to."""
    return replace(event, trip_seq=0) if isinstance(event, KillSwitchReset) else event


def market_of(events: Iterable[Recorded], symbol: str, until_ms: int) -> Iterator[Event]:
    """Yield a symbol's market facts up to a market time, without warm-up candles."""
    for recorded in events:
        event = recorded.event
        if isinstance(event, MARKET) and event.symbol == symbol and event.at_ms <= until_ms and not _is_warm_up(event):
            yield event


def _is_warm_up(event: Event) -> bool:
    return isinstance(event, CandleClosed) and event.timing is Timing.WARM_UP
