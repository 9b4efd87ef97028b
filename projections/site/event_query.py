"""A filter for events, and the search for matching events in the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from papertape.events.checkpoints.postings import Candidates, PostingQuery
from papertape.events.facts import ContractListed, type_name
from papertape.projections.text.event_lines import BACKGROUND_EVENTS, event_line, is_notable
from papertape.projections.text.event_views import strategy_of, symbol_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.events.facts import Event
    from papertape.events.log import Recorded
    from papertape.projections.folds.trades import TradeView

PAGE_EVENTS = 2_000
SEARCHED_EVENTS_MAX = 20_000
"""The limit of a search that has matches; it can be continued."""
UNMATCHED_EVENTS_MAX = 2_000_000
"""The limit of a search that has no match yet."""
_NO_CONTRACTS: Mapping[str, ContractListed] = {}
_BACKGROUND_NAMES = frozenset(type_name(kind) for kind in BACKGROUND_EVENTS)


class EventFilter(Struct, frozen=True):
    """Which events are shown. `text` is searched for in their lines, ignoring case."""

    types: frozenset[str] = frozenset()
    symbol: str | None = None
    strategy: str | None = None
    everything: bool = False
    text: str = ""

    def matches(self, recorded: Recorded, contracts: Mapping[str, ContractListed] = _NO_CONTRACTS) -> bool:
        """Return whether an event is shown."""
        event = recorded.event
        has_type = type_name(event) in self.types if self.types else self.everything or is_notable(event)
        has_strategy = self.strategy is None or strategy_of(event) == self.strategy
        return has_type and has_strategy and self._has_symbol(event) and self._has_text(recorded, contracts)

    def _has_symbol(self, event: Event) -> bool:
        return self.symbol in (None, symbol_of(event)) or self.symbol in getattr(event, "symbols", ())

    def _has_text(self, recorded: Recorded, contracts: Mapping[str, ContractListed]) -> bool:
        return not self.text or self.text.casefold() in event_line(recorded, contracts).text.casefold()


def of_trade(selection: EventFilter, trade: TradeView) -> tuple[EventFilter, int, int]:
    """Narrow a filter to what a trade's strategy did on its symbol; return it with the first and the last event.

    A filter for another strategy or symbol stays as it is, and an empty range follows.
    """
    if selection.strategy not in (None, trade.strategy) or selection.symbol not in (None, trade.symbol):
        return selection, trade.seq + 1, trade.seq
    narrowed = structs.replace(selection, strategy=trade.strategy, symbol=trade.symbol)
    return narrowed, trade.order_seq or trade.opened_seq, trade.seq


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

    It returns at most `limit` events. It reads at most `searched_max` events, or without a match at most
    `no_match_max`; what a plan skips does not count.
    """

    def __init__(
        self,
        event_filter: EventFilter,
        contracts: Mapping[str, ContractListed],
        first_seq: int,
        last_seq: int,
        limit: int,
        *,
        backward: bool = True,
        searched_max: int = SEARCHED_EVENTS_MAX,
        no_match_max: int = UNMATCHED_EVENTS_MAX,
    ) -> None:
        self._filter, self._contracts, self._limit, self._backward = event_filter, contracts, limit, backward
        self._first, self._last = first_seq, last_seq
        self._low, self._high = first_seq, last_seq
        self._searched_max, self._no_match_max = searched_max, no_match_max
        self._matches: list[Recorded] = []
        self._skipped_events = 0
        self._spans: list[tuple[int, int]] = []
        self._planned_to: int | None = None

    @property
    def query(self) -> PostingQuery:
        """What the index has to be asked for the rest of the search."""
        choice = self._filter
        is_steady = choice.everything or not choice.types.isdisjoint(_BACKGROUND_NAMES)
        return PostingQuery(
            self._low, self._high, self._backward, choice.types, choice.strategy, choice.symbol, with_runs=is_steady
        )

    @property
    def needs_plan(self) -> bool:
        """Whether it is unknown where to search next."""
        return self._planned_to is None and self._low <= self._high

    def plan(self, found: Candidates) -> None:
        """Search only these stretches of what the index covers."""
        self._spans, self._planned_to = list(found.spans), found.searched_to_seq
        self._skip()

    def _skip(self) -> None:
        """Move to the next stretch of the plan, or to its end."""
        if self._planned_to is None:
            return
        before = self._searched_events
        while self._spans and (self._spans[0][0] > self._high or self._spans[0][1] < self._low):
            del self._spans[0]
        if self._backward:
            self._high = min(self._high, self._spans[0][1] if self._spans else self._planned_to - 1)
        else:
            self._low = max(self._low, self._spans[0][0] if self._spans else self._planned_to + 1)
        self._skipped_events += self._searched_events - before
        if not self._spans:
            self._planned_to = None

    @property
    def without_match(self) -> bool:
        """Whether it has searched without a match."""
        return self._searched_events > 0 and not self._matches

    @property
    def page(self) -> tuple[int, int] | None:
        """The next page to read, as (after_seq, limit); None if the search is over."""
        remaining = (self._searched_max if self._matches else self._no_match_max) - self._read_events
        low, high = self._spans[0] if self._spans else (self._low, self._high)
        count = min(PAGE_EVENTS, min(high, self._high) - max(low, self._low) + 1, remaining)
        if len(self._matches) >= self._limit or count <= 0:
            return None
        return (self._high - count if self._backward else self._low - 1), count

    def take(self, events: Sequence[Recorded]) -> None:
        """Search a page of events, which come oldest first."""
        for recorded in reversed(events) if self._backward else events:
            if self._backward:
                self._high = recorded.seq - 1
            else:
                self._low = recorded.seq + 1
            if self._filter.matches(recorded, self._contracts):
                self._matches.append(recorded)
            if self._matches and (len(self._matches) >= self._limit or self._read_events >= self._searched_max):
                return
        self._skip()

    @property
    def _read_events(self) -> int:
        return self._searched_events - self._skipped_events

    @property
    def _searched_events(self) -> int:
        return (self._last - self._high) + (self._low - self._first)

    @property
    def result(self) -> SearchResult:
        """The result so far."""
        events, complete = tuple(self._matches), self._low > self._high
        if not self._searched_events:
            return SearchResult(events, 0, 0, complete)
        span = (self._high + 1, self._last) if self._backward else (self._first, self._low - 1)
        return SearchResult(events, *span, complete)
