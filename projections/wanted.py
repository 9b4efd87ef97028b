"""Which events somebody wants to see, and the search for them through the log, the newest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from events.facts import ContractListed, type_name
from projections.words import interesting, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from events.log import Recorded

PAGE_EVENTS = 1_000
SEARCHED_EVENTS_MAX = 20_000
"""A search that finds nothing ends here; it may go on from where it stopped."""
_NO_CONTRACTS: Mapping[str, ContractListed] = {}


class Wanted(Struct, frozen=True):
    """Which events are shown. `text` is looked for in their words, whatever its case."""

    types: frozenset[str] = frozenset()
    symbol: str | None = None
    strategy: str | None = None
    everything: bool = False
    text: str = ""

    def takes(self, recorded: Recorded, contracts: Mapping[str, ContractListed] = _NO_CONTRACTS) -> bool:
        """Whether an event is shown."""
        event = recorded.event
        fits = type_name(event) in self.types if self.types else self.everything or interesting(event)
        return fits and self._of_symbol(event) and self._of_strategy(event) and self._says(recorded, contracts)

    def _of_symbol(self, event: object) -> bool:
        wanted = self.symbol
        return wanted is None or getattr(event, "symbol", None) == wanted or wanted in getattr(event, "symbols", ())

    def _of_strategy(self, event: object) -> bool:
        wanted = self.strategy
        return wanted is None or wanted in (getattr(event, "strategy", None), getattr(event, "scope", None))

    def _says(self, recorded: Recorded, contracts: Mapping[str, ContractListed]) -> bool:
        return not self.text or self.text.casefold() in words(recorded, contracts).text.casefold()


class Found(Struct, frozen=True):
    """What a search found, the newest first. `next_before` is where it goes on; 0 at the beginning of the log."""

    events: tuple[Recorded, ...]
    next_before: int


class Search:
    """A search from `before` backwards, in pages that whoever reads the log hands in.

    It takes at most `limit` events with a seq below `before`, and looks at no more than `searched_max`.
    """

    def __init__(
        self,
        wanted: Wanted,
        contracts: Mapping[str, ContractListed],
        before: int,
        limit: int,
        searched_max: int = SEARCHED_EVENTS_MAX,
    ) -> None:
        self._wanted, self._contracts, self._limit = wanted, contracts, limit
        self._before = before
        self._floor = max(before - 1 - searched_max, 0)
        self._found: list[Recorded] = []

    @property
    def page(self) -> tuple[int, int] | None:
        """What is to be read next, as (after_seq, limit); None where the search is over."""
        if len(self._found) >= self._limit or self._before - 1 <= self._floor:
            return None
        after = max(self._before - 1 - PAGE_EVENTS, self._floor)
        return after, self._before - 1 - after

    def take(self, events: Sequence[Recorded]) -> None:
        """The events of the page, oldest first; a page without any ends the search."""
        if not events:
            self._before = self._floor + 1
        for recorded in reversed(events):
            self._before = recorded.seq
            if self._wanted.takes(recorded, self._contracts):
                self._found.append(recorded)
                if len(self._found) >= self._limit:
                    return

    @property
    def found(self) -> Found:
        """What was found so far."""
        return Found(tuple(self._found), self._before if self._before > 1 else 0)
