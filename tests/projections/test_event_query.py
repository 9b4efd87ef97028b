"""The filter for events, and the search for them from the newest back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from papertape.events.facts import GLOBAL_SCOPE
from papertape.projections.site.event_query import EventFilter, Search, SearchResult
from tests.build import candle, closed, configured, opened, recorded, tripped

if TYPE_CHECKING:
    from papertape.events.facts import Event


def search(
    wanted: EventFilter,
    *events: Event,
    first: int = 1,
    before: int | None = None,
    limit: int = 10,
    **limits: int | bool,
) -> SearchResult:
    log = recorded(events)
    found = Search(wanted, {}, first, (before or len(log) + 1) - 1, limit, **limits)  # type: ignore[arg-type]
    while found.page is not None:
        after, n = found.page
        found.take(log[after : after + n])
    return found.result


def seqs(wanted: EventFilter, *events: Event, before: int | None = None, limit: int = 10) -> object:
    found = search(wanted, *events, before=before, limit=limit)
    return [one.seq for one in found.events], 0 if found.complete else found.from_seq


def test_market_data_is_hidden_unless_everything_is_requested() -> None:
    assert seqs(EventFilter(), configured(), candle(1, 100.0), opened()) == ([3, 1], 0)
    assert seqs(EventFilter(everything=True), configured(), candle(1, 100.0), opened()) == ([3, 2, 1], 0)


def test_the_newest_come_first_and_the_search_continues_where_it_stopped() -> None:
    events = [configured(), opened(), closed(1.0), opened(), closed(2.0)]
    assert seqs(EventFilter(), *events, limit=2) == ([5, 4], 4)
    assert seqs(EventFilter(), *events, before=4, limit=2) == ([3, 2], 2)
    assert seqs(EventFilter(), *events, before=2, limit=2) == ([1], 0)


@pytest.mark.parametrize(("backward", "hit", "span"), [(True, 1, (1, 31)), (False, 31, (2, 31))])
def test_a_search_continues_to_its_first_match_and_reports_its_span(
    *, backward: bool, hit: int, span: tuple[int, int]
) -> None:
    quiet = [candle(n, 100.0) for n in range(30)]
    events = [configured(), *quiet] if backward else [configured(), *quiet[1:], opened()]
    found = search(EventFilter(), *events, first=1 if backward else 2, backward=backward, searched_max=5)
    assert [one.seq for one in found.events] == [hit]
    assert (found.from_seq, found.to_seq, found.complete) == (*span, True)


def test_a_search_without_a_match_ends_at_its_limit_and_can_continue() -> None:
    events = [configured(), *(candle(n, 100.0) for n in range(30))]
    first = search(EventFilter(), *events, no_match_max=10)
    assert first == SearchResult((), 22, 31, complete=False)
    assert search(EventFilter(), *events, before=first.from_seq, no_match_max=10) == SearchResult(
        (), 12, 21, complete=False
    )
    last = search(EventFilter(), *events, before=12, no_match_max=30)
    assert ([one.seq for one in last.events], last.from_seq, last.complete) == ([1], 1, True)


def test_a_distant_match_ends_the_search() -> None:
    events = [
        configured(),
        *(candle(n, 100.0) for n in range(10)),
        opened(),
        *(candle(n, 100.0) for n in range(10, 20)),
    ]
    found = search(EventFilter(), *events, searched_max=5)
    assert ([one.seq for one in found.events], found.from_seq, found.complete) == ([12], 12, False)


def test_an_empty_search_has_no_span() -> None:
    assert search(EventFilter()) == SearchResult((), 0, 0, complete=True)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (EventFilter(types=frozenset({"PositionClosed"})), [3]),
        (EventFilter(symbol="ETHUSDT"), [3]),
        (EventFilter(strategy="a"), [2, 1]),
        (EventFilter(strategy=GLOBAL_SCOPE), [4]),
        (EventFilter(text="b CLOSED"), [3]),
        (EventFilter(text="<script>"), []),
    ],
)
def test_the_filter_selects_by_type_symbol_strategy_and_text(wanted: EventFilter, found: list[int]) -> None:
    events = [configured("a"), opened("a"), closed(1.0, "b", "ETHUSDT"), tripped(GLOBAL_SCOPE)]
    assert seqs(wanted, *events) == (found, 0)
