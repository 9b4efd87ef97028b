"""Closed trades: chosen, in pages by cursor, and as the file that `papertape trades --csv` writes."""

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

ROWS_A_TURN = 500
Text = Annotated[str, Meta(max_length=100)]
Time = Annotated[
    str, Meta(max_length=40, description="A day or time of the market in UTC like 2025-03-01T14:05; empty is any.")
]


class TradeQuery(Query, frozen=True, forbid_unknown_fields=True):
    """Which closed trades; what is empty leaves all. `from` and `to` are moments of the exit, both included."""

    strategy: Text = ""
    symbol: Text = ""
    side: Literal["", "long", "short"] = ""
    reason: Text = ""
    result: Literal["", "won", "lost"] = ""
    from_: Time = field(default="", name="from")
    to: Time = ""


class TradePageQuery(TradeQuery, frozen=True, forbid_unknown_fields=True):
    """And which part of them: the newest that closed before the event `before`, 0 for the newest of all."""

    before: Seq = 0
    limit: Limit = LIMIT_DEFAULT


def _choice(query: TradeQuery) -> TradeFilter:
    return TradeFilter(
        query.strategy, query.symbol, query.side, query.reason, query.result, _ms(query.from_), _ms(query.to)
    )


def _ms(text: str) -> int:
    at_ms = moment_ms(text) if text else 0
    if at_ms is None:
        raise HTTPException(422, f"{text!r} is no time like 2025-03-01T14:05")
    return at_ms


async def _trades(scene: ViewContext, query: TradePageQuery) -> Page[TradeView]:
    found = newest_trades(scene.views.trades, _choice(query), query.before, query.limit + 1)
    shown = found[: query.limit]
    return Page(shown, shown[-1].seq if len(found) > len(shown) else None)


VIEWS = (ViewEndpoint("trades", "The closed trades, newest first", Page[TradeView], _trades, TradePageQuery),)


def csv_route(viewing: ViewHandler) -> GuardedRoute:
    """The chosen trades as a file, oldest first, without an end to their number: it is written as it is read."""

    async def endpoint(request: Request) -> Response:
        query = read(TradeQuery, request)
        choice, seq = _choice(query), await seq_of(viewing.site, query.as_of)
        known = viewing.not_modified(request, newest_views(viewing.site.timeline).seq if seq is None else seq)
        if known is not None:
            return known
        scene = await viewing.scene(seq)
        chosen = (trade for trade in scene.views.trades.closed(choice.strategy or None) if choice.matches(trade))
        name = {"content-disposition": 'attachment; filename="trades.csv"'}
        return StreamingResponse(_lines(chosen), headers=viewing.headers(scene.as_of.seq) | name, media_type="text/csv")

    operation = Operation(
        "The closed trades as CSV, oldest first", str, TradeQuery, media_type="text/csv", refusals=(404, 422, 503)
    )
    return GuardedRoute("/api/v1/trades.csv", endpoint, access=Access.READ, operation=operation)


async def _lines(trades: Iterable[TradeView]) -> AsyncIterator[str]:
    """The file in pieces; others have their turn between them."""
    left, header = iter(trades), True
    while (part := list(islice(left, ROWS_A_TURN))) or header:
        file = io.StringIO()
        write_trades_csv(file, part)
        yield file.getvalue() if header else file.getvalue().partition("\n")[2]
        header = False
        await asyncio.sleep(0)
