"""The newest signal of every symbol under every name, and how many have arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.facts import SignalReceived

if TYPE_CHECKING:
    from papertape.events.log import Recorded


class SignalView(Struct, frozen=True):
    """The newest signal of a symbol under a name, and the number of signals so far. `at_ms` is market time."""

    symbol: str
    name: str
    value: float
    at_ms: int
    source: str
    id: str
    seq: int
    count: int

    def age_ms(self, market_ms: int) -> int:
        """Return how old the signal is in market time."""
        return max(market_ms - self.at_ms, 0)


class Signals:
    """Fold of the newest signal of every symbol and name; the engine limits the number of names."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], SignalView] = {}

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        event = recorded.event
        if not isinstance(event, SignalReceived):
            return
        before = self._newest.get((event.symbol, event.name))
        count = 1 if before is None else before.count + 1
        self._newest[event.symbol, event.name] = SignalView(
            event.symbol, event.name, event.value, event.at_ms, event.source, event.id, recorded.seq, count
        )

    def newest(self) -> tuple[SignalView, ...]:
        """Return the newest signals by name, then by symbol."""
        return tuple(self._newest[key] for key in sorted(self._newest, key=lambda key: (key[1], key[0])))
