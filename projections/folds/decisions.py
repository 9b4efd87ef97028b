"""What was decided, apart from where it stands in a log and when the machine wrote it down.

Two logs that decided the same differ in their seqs, their starts and stops, and what the feed had to repair.
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
    PositionOpened,
    RunnerConfigured,
    RunnerPaused,
    RunnerResumed,
    Timing,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from papertape.events.log import Recorded

Decision = (
    OrderPlaced
    | OrderRejected
    | OrderCancelled
    | PositionOpened
    | Closing
    | FundingPaid
    | KillSwitchTripped
    | KillSwitchReset
    | RunnerPaused
    | RunnerResumed
    | CloseRequested
)
"""What a strategy, the exchange on its behalf, a limit or a human brought about. All carry market time."""
MARKET = (CandleClosed, FundingRateSettled, OpenInterestObserved)


class Decisions:
    """Fold of the decisions of one log, in order, by strategy (or `global`); and how far its market goes."""

    def __init__(self) -> None:
        self.by_scope: dict[str, list[Recorded]] = {}
        self.configured: dict[str, list[Recorded]] = {}
        self.until_ms = 0

    def apply(self, recorded: Recorded) -> None:
        """Take one event."""
        event = recorded.event
        if type(event) is CandleClosed:
            self.until_ms = max(self.until_ms, event.at_ms)
        elif isinstance(event, Decision):
            self.by_scope.setdefault(scope_of(event), []).append(recorded)
        elif isinstance(event, RunnerConfigured):
            self.configured.setdefault(event.strategy, []).append(recorded)
            self.by_scope.setdefault(event.strategy, [])

    @property
    def count(self) -> int:
        """All of them."""
        return sum(len(found) for found in self.by_scope.values())

    def configuration_at(self, strategy: str, decision: Recorded | None) -> RunnerConfigured | None:
        """What a strategy ran under when it decided; without a decision what it ran under last."""
        every = self.configured.get(strategy, [])
        found = [one for one in every if decision is None or one.seq < decision.seq]
        event = found[-1].event if found else None
        assert event is None or isinstance(event, RunnerConfigured), "nothing else is kept there"
        return event


def scope_of(event: Event) -> str:
    """Whose decision it is: a strategy's name, or `global`."""
    scope = getattr(event, "strategy", None) or getattr(event, "scope", "")
    return str(scope)


def strip_readings(event: Event) -> Event:
    """What was decided: without the numbers that spoke for it, and without the places in its own log that it names."""
    if isinstance(event, OrderPlaced | OrderRejected):
        return replace(event, readings={}, score=0.0)
    return strip_seqs(event)


def strip_seqs(event: Event) -> Event:
    """An event without the places in its own log that it names."""
    return replace(event, trip_seq=0) if isinstance(event, KillSwitchReset) else event


def market_of(events: Iterable[Recorded], symbol: str, until_ms: int) -> Iterator[Event]:
    """What a log says of a symbol's market up to a moment, without its warm-up."""
    for recorded in events:
        event = recorded.event
        if isinstance(event, MARKET) and event.symbol == symbol and event.at_ms <= until_ms and not _warms_up(event):
            yield event


def _warms_up(event: Event) -> bool:
    return isinstance(event, CandleClosed) and event.timing is Timing.WARM_UP
