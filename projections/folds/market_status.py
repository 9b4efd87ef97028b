"""The market as the engine sees it: whether the feed delivers, which symbols are not tradable, what is wrong."""

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
    FeedConnected,
    FeedLost,
    SymbolResumed,
    SymbolSuspended,
)

if TYPE_CHECKING:
    from papertape.events.log import Recorded

ANOMALIES_KEPT_MAX = 100
DELISTED = "delisted: "
"""The prefix of the reason why a symbol is not tradable, if the exchange has delisted it."""


class FeedView(Struct, frozen=True):
    """The feed: its name, whether it delivers, since when in market time, and why not."""

    name: str
    delivers: bool
    since_ms: int
    why: str


class SuspendedView(Struct, frozen=True):
    """A symbol on which nothing is opened, since when, and why."""

    symbol: str
    since_ms: int
    why: str


class AnomalyView(Struct, frozen=True):
    """Something that is wrong and not over yet."""

    kind: str
    subject: str
    since_ms: int
    detail: str


class RefusedView(Struct, frozen=True):
    """What the feed refused for one reason since the engine started; `at_ms` and what follows is its newest word."""

    reason: str
    count: int
    at_ms: int
    newest_count: int
    newest: str


class MarketStatus:
    """Fold of what the feed says of itself and of its symbols."""

    def __init__(self) -> None:
        self.feed: FeedView | None = None
        self._suspended: dict[str, SuspendedView] = {}
        self._anomalies: dict[tuple[str, str], AnomalyView] = {}
        self._refused: dict[str, RefusedView] = {}

    def apply(self, recorded: Recorded) -> None:
        """Take one event."""
        event = recorded.event
        match event:
            case FeedConnected():
                self.feed = FeedView(event.feed, True, event.at_ms, "")
            case FeedLost():
                self.feed = FeedView(event.feed, False, event.at_ms, event.reason)
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
                self._refused.clear()
            case _:
                pass

    def _refuse(self, event: DataRefused) -> None:
        before = self._refused.get(event.reason)
        count = event.count + (0 if before is None else before.count)
        self._refused[event.reason] = RefusedView(event.reason, count, event.at_ms, event.count, event.newest)

    def _raise(self, event: AnomalyRaised) -> None:
        if len(self._anomalies) >= ANOMALIES_KEPT_MAX:
            del self._anomalies[next(iter(self._anomalies))]
        view = AnomalyView(event.kind, event.subject, event.at_ms, event.detail)
        self._anomalies[event.kind, event.subject] = view

    def _renew(self, event: AnomalyPersists) -> None:
        """Update the text of a standing anomaly, but keep its start time."""
        key = (event.kind, event.subject)
        if key in self._anomalies:
            self._anomalies[key] = replace(self._anomalies[key], detail=event.detail)

    def suspended_symbols(self) -> tuple[SuspendedView, ...]:
        """The symbols that are not tradable, in the order in which that was found."""
        return tuple(self._suspended.values())

    def anomalies(self) -> tuple[AnomalyView, ...]:
        """What is wrong and not over, oldest first."""
        return tuple(self._anomalies.values())

    def refusals(self) -> tuple[RefusedView, ...]:
        """What the feed did not take as facts since the engine started, by reason."""
        return tuple(self._refused[reason] for reason in sorted(self._refused))
