"""The fill and the trip before and after an event, for stepping through the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

    from papertape.projections.site.views import Views


class EventNeighbours(Struct, frozen=True):
    """The seqs of the nearest fills and kill switch trips around an event; None where there is none."""

    previous_fill: int | None
    next_fill: int | None
    previous_trip: int | None
    next_trip: int | None


def find_neighbours(views: Views, seq: int) -> EventNeighbours:
    """Return the nearest fills and trips that the views know."""
    fills = _around(_fills(views), seq)
    trips = _around(_trips(views), seq)
    return EventNeighbours(*fills, *trips)


def _fills(views: Views) -> Iterable[int]:
    for trade in views.trades.closed():
        yield trade.opened_seq  # Known also for a trade whose fills are not.
        yield trade.seq
        yield from (fill.seq for fill in trade.fills[1:-1])
    for position in views.portfolio.positions():
        yield from (fill.seq for fill in position.fills)


def _trips(views: Views) -> Iterable[int]:
    switches = views.portfolio.switches
    return (trip.trip_seq for trip in (*switches.past_trips(), *switches.active_trips()))


def _around(seqs: Iterable[int], seq: int) -> tuple[int | None, int | None]:
    """Return the largest seq below and the smallest above; a seq of 0 is unknown."""
    before, after = 0, None
    for one in seqs:
        if one < seq:
            before = max(before, one)
        elif one > seq and (after is None or one < after):
            after = one
    return before or None, after
