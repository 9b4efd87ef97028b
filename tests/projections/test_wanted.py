"""Which events are wanted, and the search for them from the newest back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from events.facts import GLOBAL_SCOPE
from projections.wanted import Search, Wanted
from tests.projections.tape import candle, closed, configured, opened, recorded, tripped

if TYPE_CHECKING:
    from events.facts import Event


def seqs(wanted: Wanted, *events: Event, before: int | None = None, limit: int = 10, most: int = 100) -> object:
    log = recorded(events)
    search = Search(wanted, {}, before or len(log) + 1, limit, most)
    while search.page is not None:
        after, n = search.page
        search.take(log[after : after + n])
    return [one.seq for one in search.found.events], search.found.next_before


def test_market_data_is_left_out_unless_everything_is_wanted() -> None:
    assert seqs(Wanted(), configured(), candle(1, 100.0), opened()) == ([3, 1], 0)
    assert seqs(Wanted(everything=True), configured(), candle(1, 100.0), opened()) == ([3, 2, 1], 0)


def test_the_newest_come_first_and_the_search_goes_on_where_it_stopped() -> None:
    events = [configured(), opened(), closed(1.0), opened(), closed(2.0)]
    assert seqs(Wanted(), *events, limit=2) == ([5, 4], 4)
    assert seqs(Wanted(), *events, before=4, limit=2) == ([3, 2], 2)
    assert seqs(Wanted(), *events, before=2, limit=2) == ([1], 0)


def test_a_search_that_finds_nothing_ends_and_says_where() -> None:
    events = [configured(), *(candle(n, 100.0) for n in range(30))]
    assert seqs(Wanted(), *events, most=10) == ([], 22)
    assert seqs(Wanted(), *events, before=22, most=10) == ([], 12)
    assert seqs(Wanted(), *events, before=12, most=30) == ([1], 0)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(types=frozenset({"PositionClosed"})), [3]),
        (Wanted(symbol="ETHUSDT"), [3]),
        (Wanted(strategy="a"), [2, 1]),
        (Wanted(strategy=GLOBAL_SCOPE), [4]),
        (Wanted(text="b CLOSED"), [3]),
        (Wanted(text="<script>"), []),
    ],
)
def test_events_are_chosen_by_type_symbol_strategy_and_words(wanted: Wanted, found: list[int]) -> None:
    events = [configured("a"), opened("a"), closed(1.0, "b", "ETHUSDT"), tripped(GLOBAL_SCOPE)]
    assert seqs(wanted, *events) == (found, 0)
