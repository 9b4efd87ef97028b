"""The market as the engine sees it: the feed's connection, symbols that are not tradable, anomalies and refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from papertape.events.facts import (
    AnomalyCleared,
    AnomalyPersists,
    AnomalyRaised,
    ContractDelisted,
    DataRefused,
    EngineStarted,
    EngineStopped,
    FeedConnected,
    FeedLost,
    SymbolResumed,
    SymbolSuspended,
)

if TYPE_CHECKING:
    from papertape.events.log import Recorded

ANOMALIES_MAX = 100
DELISTED = "delisted: "
"""The prefix of the reason why a delisted symbol is not tradable."""


class FeedView(Struct, frozen=True):
    """The feed: its name, whether it delivers, since when in market time, and why not."""

    name: str
    delivers: bool
    since_ms: int
    why: str


class SuspendedView(Struct, frozen=True):
    """A symbol on which no position may be opened, since when, and why."""

    symbol: str
    since_ms: int
    why: str


class AnomalyView(Struct, frozen=True):
    """An anomaly that is not cleared yet."""

    kind: str
    subject: str
    since_ms: int
    detail: str


class RefusedView(Struct, frozen=True):
    """The data that the feed refused for one reason since the engine started.

    `at_ms`, `newest_count` and `newest` are those of the newest report.
    """

    reason: str
    count: int
    at_ms: int
    newest_count: int
    newest: str


class MarketStatus:
    """Fold of the status of the feed, of its symbols and of the anomalies."""

    def __init__(self) -> None:
        self.feed: FeedView | None = None
        self.connected = False
        """Whether the feed of the engine that started last delivers."""
        self._suspended: dict[str, SuspendedView] = {}
        self._anomalies: dict[tuple[str, str], AnomalyView] = {}
        self._refused: dict[str, RefusedView] = {}

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        event = recorded.event
        match event:
            case FeedConnected():
                self.feed, self.connected = FeedView(event.feed, True, event.at_ms, ""), True
            case FeedLost():
                self.feed, self.connected = FeedView(event.feed, False, event.at_ms, event.reason), False
            case SymbolSuspended():
                self._suspended[event.symbol] = SuspendedView(event.symbol, event.at_ms, event.reason)
            case SymbolResumed():
                self._suspended.pop(event.symbol, None)
            case ContractDelisted():
                before = self._suspended.get(event.symbol)
                since_ms = event.at_ms if before is None else before.since_ms
                self._suspended[event.symbol] = SuspendedView(event.symbol, since_ms, DELISTED + event.reason)
            case AnomalyRaised():
                self._raise(event)
            case AnomalyPersists():
                self._renew(event)
            case AnomalyCleared():
                self._anomalies.pop((event.kind, event.subject), None)
            case DataRefused():
                self._refuse(event)
            case EngineStarted():
                self.connected = False
                self._refused.clear()
            case EngineStopped():
                self.connected = False
            case _:
                pass

    def _refuse(self, event: DataRefused) -> None:
        before = self._refused.get(event.reason)
        count = event.count + (0 if before is None else before.count)
        self._refused[event.reason] = RefusedView(event.reason, count, event.at_ms, event.count, event.newest)

    def _raise(self, event: AnomalyRaised) -> None:
        if len(self._anomalies) >= ANOMALIES_MAX:
            del self._anomalies[next(iter(self._anomalies))]
        view = AnomalyView(event.kind, event.subject, event.at_ms, event.detail)
        self._anomalies[event.kind, event.subject] = view

    def _renew(self, event: AnomalyPersists) -> None:
        """Update the text of an open anomaly, but keep its start time."""
        key = (event.kind, event.subject)
        if key in self._anomalies:
            self._anomalies[key] = replace(self._anomalies[key], detail=event.detail)

    def suspended_symbols(self) -> tuple[SuspendedView, ...]:
        """Return the symbols that are not tradable, in the order in which they were suspended."""
        return tuple(self._suspended.values())

    def anomalies(self) -> tuple[AnomalyView, ...]:
        """Return the open anomalies, oldest first."""
        return tuple(self._anomalies.values())

    def refusals(self) -> tuple[RefusedView, ...]:
        """Return what the feed refused since the engine started, sorted by reason."""
        return tuple(self._refused[reason] for reason in sorted(self._refused))
