"""The events that match a filter, as a CSV file of any length."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from starlette.responses import Response, StreamingResponse

from papertape.api.gate import Access
from papertape.api.query import read
from papertape.api.routes import GuardedRoute, Operation
from papertape.api.view_handler import ViewHandler, seq_of
from papertape.api.views.history import EventFilterQuery, run_search, selected, stretch_of
from papertape.projections.folds.fills import csv_cell
from papertape.projections.site.event_query import EventFilter, Search
from papertape.projections.site.ports import newest_views
from papertape.projections.text.event_views import event_view
from papertape.projections.text.formats import utc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from papertape.api.view_handler import ViewContext

EVENTS_PER_CHUNK: Final = 500
COLUMNS: Final = ("seq", "time_utc", "type", "strategy", "symbol", "cause", "text")


def csv_route(handler: ViewHandler) -> GuardedRoute:
    """Return the route of the file: all matching events, oldest first, streamed as they are found."""

    async def endpoint(request: Request) -> Response:
        query = read(EventFilterQuery, request)
        selected(query)  # Refuses an unknown type before the answer has begun.
        seq = await seq_of(handler.site, query.as_of)
        not_modified = handler.not_modified(request, newest_views(handler.site.timeline).seq if seq is None else seq)
        if not_modified is not None:
            return not_modified
        context = await handler.context(seq)
        stretch = await stretch_of(context, query)
        headers = {"content-disposition": 'attachment; filename="events.csv"', **handler.headers(context.as_of.seq)}
        return StreamingResponse(_lines(context, *stretch), headers=headers, media_type="text/csv")

    operation = Operation(
        "The matching events as CSV, oldest first", str, EventFilterQuery, media_type="text/csv", refusals=(422, 503)
    )
    return GuardedRoute("/api/v1/events.csv", endpoint, access=Access.READ, operation=operation)


async def _lines(context: ViewContext, selection: EventFilter, first_seq: int, last_seq: int) -> AsyncIterator[str]:
    """Yield the header, then the rows of one search after another until the end of the range."""
    contracts = context.views.contracts.by_symbol
    yield ",".join(COLUMNS) + "\n"
    while first_seq <= last_seq:
        search = Search(selection, contracts, first_seq, last_seq, EVENTS_PER_CHUNK, backward=False)
        result = await run_search(search, context.site.timeline)
        file = io.StringIO()
        views = [event_view(one, contracts) for one in result.events]
        csv.writer(file, lineterminator="\n").writerows(
            [
                one.seq,
                utc(one.at_ms),
                one.type,
                *map(csv_cell, (one.strategy, one.symbol)),
                one.cause or "",
                csv_cell(one.text),
            ]
            for one in views
        )
        yield file.getvalue()
        first_seq = last_seq + 1 if result.complete else result.to_seq + 1
