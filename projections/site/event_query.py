"""A filter for events, and the search for matching events in the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.facts import ContractListed, type_name
from papertape.projections.text.event_lines import event_line, is_notable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.events.log import Recorded

PAGE_EVENTS = 2_000
SEARCHED_EVENTS_MAX = 20_000
"""The limit of a search that has found something; it can be continued."""
SEARCHED_IN_VAIN_MAX = 2_000_000
"""The limit of a search that has found nothing yet."""
_NO_CONTRACTS: Mapping[str, ContractListed] = {}


class EventFilter(Struct, frozen=True):
    """Which events are shown. `text` is looked for in their words, whatever its case."""

    types: frozenset[str] = frozenset()
    symbol: str | None = None
    strategy: str | None = None
    everything: bool = False
    text: str = ""

    def matches(self, recorded: Recorded, contracts: Mapping[str, ContractListed] = _NO_CONTRACTS) -> bool:
        """Whether an event is shown."""
        event = recorded.event
        fits = type_name(event) in self.types if self.types else self.everything or is_notable(event)
        return fits and self._of_symbol(event) and self._of_strategy(event) and self._says(recorded, contracts)

    def _of_symbol(self, event: object) -> bool:
        wanted = self.symbol
        return wanted is None or getattr(event, "symbol", None) == wanted or wanted in getattr(event, "symbols", ())

    def _of_strategy(self, event: object) -> bool:
        wanted = self.strategy
        return wanted is None or wanted in (getattr(event, "strategy", None), getattr(event, "scope", None))

    def _says(self, recorded: Recorded, contracts: Mapping[str, ContractListed]) -> bool:
        return not self.text or self.text.casefold() in event_line(recorded, contracts).text.casefold()


class SearchResult(Struct, frozen=True):
    """The result of a search, in search order.

    It searched the events `from_seq` to `to_seq`; both are 0 if it searched none. `complete` is False if
    more events remain: the next search continues after the ones already searched.
    """

    events: tuple[Recorded, ...]
    from_seq: int
    to_seq: int
    complete: bool


class Search:
    """A search through the events `first_seq` to `last_seq`, in pages that the caller reads from the log.

    It returns at most `limit` events. It searches at most `searched_max` events, or without a match at most
    `in_vain_max`.
    """

    def __init__(
        self,
        wanted: EventFilter,
        contracts: Mapping[str, ContractListed],
        first_seq: int,
        last_seq: int,
        limit: int,
        *,
        backward: bool = True,
        searched_max: int = SEARCHED_EVENTS_MAX,
        in_vain_max: int = SEARCHED_IN_VAIN_MAX,
    ) -> None:
        self._wanted, self._contracts, self._limit, self._backward = wanted, contracts, limit, backward
        self._first, self._last = first_seq, last_seq
        self._low, self._high = first_seq, last_seq
        self._searched_max, self._in_vain_max = searched_max, in_vain_max
        self._found: list[Recorded] = []

    @property
    def in_vain(self) -> bool:
        """Whether it has searched and found nothing."""
        return self._searched_events > 0 and not self._found

    @property
    def page(self) -> tuple[int, int] | None:
        """What to read next, as (after_seq, limit); None if the search is over."""
        left = (self._searched_max if self._found else self._in_vain_max) - self._searched_events
        count = min(PAGE_EVENTS, self._high - self._low + 1, left)
        if len(self._found) >= self._limit or count <= 0:
            return None
        return (self._high - count if self._backward else self._low - 1), count

    def take(self, events: Sequence[Recorded]) -> None:
        """Search a page of events, which come oldest first."""
        for recorded in reversed(events) if self._backward else events:
            if self._backward:
                self._high = recorded.seq - 1
            else:
                self._low = recorded.seq + 1
            if self._wanted.matches(recorded, self._contracts):
                self._found.append(recorded)
            if self._found and (len(self._found) >= self._limit or self._searched_events >= self._searched_max):
                return

    @property
    def _searched_events(self) -> int:
        return (self._last - self._high) + (self._low - self._first)

    @property
    def result(self) -> SearchResult:
        """What was found so far."""
        events, complete = tuple(self._found), self._low > self._high
        if not self._searched_events:
            return SearchResult(events, 0, 0, complete)
        span = (self._high + 1, self._last) if self._backward else (self._first, self._low - 1)
        return SearchResult(events, *span, complete)
