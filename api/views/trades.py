"""Closed trades: filtered, in pages, and as the CSV file that `papertape trades --csv` writes."""

from __future__ import annotations

import asyncio
import io
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, field
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from papertape.api.gate import Access
from papertape.api.query import LIMIT_DEFAULT, Limit, Query, Seq, read
from papertape.api.routes import GuardedRoute, Operation
from papertape.api.view_handler import Page, ViewEndpoint, ViewHandler, seq_of
from papertape.projections.folds.trades import TradeView, write_trades_csv
from papertape.projections.site.ports import newest_views
from papertape.projections.site.trade_query import TradeFilter, newest_trades
from papertape.projections.text.formats import moment_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from starlette.requests import Request

    from papertape.api.view_handler import ViewContext

ROWS_PER_CHUNK = 500
Text = Annotated[str, Meta(max_length=100)]
Time = Annotated[
    str, Meta(max_length=40, description="A market day or time in UTC such as 2025-03-01T14:05; empty means any.")
]


class TradeQuery(Query, frozen=True, forbid_unknown_fields=True):
    """Which closed trades; an empty parameter does not filter. `from` and `to` limit the exit time, inclusively."""

    strategy: Text = ""
    symbol: Text = ""
    side: Literal["", "long", "short"] = ""
    reason: Text = ""
    result: Literal["", "won", "lost"] = ""
    from_: Time = field(default="", name="from")
    to: Time = ""


class TradePageQuery(TradeQuery, frozen=True, forbid_unknown_fields=True):
    """A page of closed trades: the newest that closed before the event `before`; 0 means the newest of all."""

    before: Seq = 0
    limit: Limit = LIMIT_DEFAULT


def _filter(query: TradeQuery) -> TradeFilter:
    return TradeFilter(
        query.strategy, query.symbol, query.side, query.reason, query.result, _ms(query.from_), _ms(query.to)
    )


def _ms(text: str) -> int:
    at_ms = moment_ms(text) if text else 0
    if at_ms is None:
        raise HTTPException(422, f"{text!r} is not a time such as 2025-03-01T14:05")
    return at_ms


async def _trades(context: ViewContext, query: TradePageQuery) -> Page[TradeView]:
    trades = newest_trades(context.views.trades, _filter(query), query.before, query.limit + 1)
    page = trades[: query.limit]
    return Page(page, page[-1].seq if len(trades) > len(page) else None)


VIEWS = (ViewEndpoint("trades", "The closed trades, newest first", Page[TradeView], _trades, TradePageQuery),)


def csv_route(handler: ViewHandler) -> GuardedRoute:
    """Return the route of the CSV file: any number of trades, oldest first, streamed as they are read."""

    async def endpoint(request: Request) -> Response:
        query = read(TradeQuery, request)
        selection, seq = _filter(query), await seq_of(handler.site, query.as_of)
        not_modified = handler.not_modified(request, newest_views(handler.site.timeline).seq if seq is None else seq)
        if not_modified is not None:
            return not_modified
        context = await handler.context(seq)
        closed = context.views.trades.closed(selection.strategy or None)
        trades = (trade for trade in closed if selection.matches(trade))
        headers = {"content-disposition": 'attachment; filename="trades.csv"'}
        headers |= handler.headers(context.as_of.seq)
        return StreamingResponse(_lines(trades), headers=headers, media_type="text/csv")

    operation = Operation(
        "The closed trades as CSV, oldest first", str, TradeQuery, media_type="text/csv", refusals=(422, 503)
    )
    return GuardedRoute("/api/v1/trades.csv", endpoint, access=Access.READ, operation=operation)


async def _lines(trades: Iterable[TradeView]) -> AsyncIterator[str]:
    """Yield the file in chunks; other tasks run between them."""
    rows, header = iter(trades), True
    while (part := list(islice(rows, ROWS_PER_CHUNK))) or header:
        file = io.StringIO()
        write_trades_csv(file, part)
        yield file.getvalue() if header else file.getvalue().partition("\n")[2]
        header = False
        await asyncio.sleep(0)
