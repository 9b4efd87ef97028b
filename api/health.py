"""Is the process up, does the engine trade."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from starlette.responses import Response

from api.gate import Access
from api.routes import GuardedRoute, Operation

if TYPE_CHECKING:
    from starlette.requests import Request


class Live(Struct, frozen=True):
    """This process answers."""

    live: bool = True


async def _live(_: Request) -> Response:
    return Response(msgspec.json.encode(Live()), media_type="application/json")


def routes() -> list[GuardedRoute]:
    """The routes of health."""
    return [GuardedRoute("/live", _live, access=Access.OPEN, operation=Operation("Whether this process answers", Live))]
