"""The two streams of the log's events: server-sent events and a WebSocket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct
from starlette.exceptions import HTTPException
from starlette.responses import Response

from papertape.api.gate import Access
from papertape.api.problems import busy_problem, problem
from papertape.api.query import SEQ_MAX, read
from papertape.api.ranges import check_one_name, former_name
from papertape.api.routes import GuardedRoute, GuardedSocket, Operation
from papertape.api.shared_reader import StreamFilter
from papertape.api.streams import EventStream, Streams, events_of
from papertape.api.websocket import Names, converse
from papertape.events.errors import LogBusy
from papertape.projections.site.ports import newest_views
from papertape.projections.text.event_views import TYPE_NAMES, EventView

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.websockets import WebSocket

    from papertape.api.routes import Guarded
    from papertape.projections.site.ports import Timeline

ID_DIGITS_MAX = len(str(SEQ_MAX))


class StreamQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which events, and where to start. Without `after`, only new events."""

    after: Annotated[int, Meta(ge=0, le=SEQ_MAX, description="Start after this event.")] | None = None
    after_seq: Annotated[int, former_name("after")] | None = None
    type: Names = ()
    symbol: Names = ()
    strategy: Names = ()


def _filter(query: StreamQuery) -> StreamFilter:
    unknown = [name for name in query.type if name not in TYPE_NAMES]
    if unknown:
        raise HTTPException(422, f"unknown event type {unknown[0]!r}; the types are {', '.join(TYPE_NAMES)}")
    return StreamFilter(query.type, query.symbol, query.strategy)


def _after(request: Request, query: StreamQuery) -> int | None:
    """Return the last event that a reconnecting browser has seen; None means from now on."""
    last = request.headers.get("last-event-id", "")
    if last.isascii() and last.isdigit() and len(last) <= ID_DIGITS_MAX:
        return int(last)
    return _first(query)


def _first(query: StreamQuery) -> int | None:
    """Return the event after which a stream starts. Raise HTTPException 422 if it is given twice."""
    check_one_name("after", query.after, "after_seq", query.after_seq)
    return query.after_seq if query.after is None else query.after


def routes(streams: Streams, timeline: Timeline) -> list[Guarded]:
    """Return both streams."""

    async def stream(request: Request) -> Response:
        query = read(StreamQuery, request)
        selection, after_seq = _filter(query), _after(request, query)
        return EventStream(streams, lambda: events_of(streams, after_seq, selection))

    async def websocket(socket: WebSocket) -> None:
        try:
            query = read(StreamQuery, socket)
            selection, first = _filter(query), _first(query)
            newest_views(timeline)
        except LogBusy as folding:
            await socket.send_denial_response(busy_problem(str(folding)))
            return
        except HTTPException as error:
            await socket.send_denial_response(problem(error.status_code, error.detail))
            return
        await converse(socket, streams, selection, streams.tape.head_seq if first is None else first)

    sse = Operation(
        "New events, as server-sent events",
        EventView,
        StreamQuery,
        media_type="text/event-stream",
        refusals=(422, 503),
        about="A message's id is the event's seq: a client that reconnects with Last-Event-ID misses nothing.",
    )
    return [
        GuardedRoute("/api/v1/stream", stream, access=Access.READ, live=True, operation=sse),
        GuardedSocket("/api/v1/ws", websocket, access=Access.READ),
    ]
