"""Closed trades: filtered, in pages, and as the CSV file that `papertape trades --csv` writes."""

from __future__ import annotations

import asyncio
import io
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta
from starlette.responses import Response, StreamingResponse

from papertape.api.gate import Access
from papertape.api.query import LIMIT_DEFAULT, Limit, read
from papertape.api.ranges import Cursor, RangeQuery, check_cursor, seq_range, time_range
from papertape.api.routes import GuardedRoute, Operation
from papertape.api.view_handler import Page, ViewEndpoint, ViewHandler, seq_of
from papertape.api.views.names import check_strategy, check_symbol
from papertape.projections.folds.trades import TradeView, write_trades_csv
from papertape.projections.site.ports import newest_views
from papertape.projections.site.trade_query import TradeFilter, newest_trades

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from starlette.requests import Request

    from papertape.api.view_handler import ViewContext

ROWS_PER_CHUNK = 500
Text = Annotated[str, Meta(max_length=100)]


class TradeQuery(RangeQuery, frozen=True, forbid_unknown_fields=True):
    """Which closed trades; an empty parameter does not filter. The ranges limit the exit: its time and its event."""

    strategy: Text = ""
    symbol: Text = ""
    side: Literal["", "long", "short"] = ""
    reason: Text = ""
    result: Literal["", "won", "lost"] = ""


class TradePageQuery(TradeQuery, frozen=True, forbid_unknown_fields=True):
    """A page of closed trades, the newest first."""

    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor = 0


def _filter(query: TradeQuery) -> TradeFilter:
    names = (query.strategy, query.symbol, query.side, query.reason, query.result)
    return TradeFilter(*names, *time_range(query), *seq_range(query))


async def _trades(context: ViewContext, query: TradePageQuery) -> Page[TradeView]:
    check_strategy(context, query.strategy)
    check_symbol(context, query.symbol)
    check_cursor(query.cursor, context.as_of.seq)
    trades = newest_trades(context.views.trades, _filter(query), query.cursor, query.limit + 1)
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
        check_strategy(context, query.strategy)
        check_symbol(context, query.symbol)
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
