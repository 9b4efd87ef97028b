"""The login page; its form posts to the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse

from papertape.api.gate import LOGIN_PATH, SCOPE_KEY, Access
from papertape.api.login import local_path
from papertape.api.routes import GuardedRoute
from papertape.ui.rendering import render

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from papertape.api.gate import Gate


async def _login(request: Request) -> Response:
    gate: Gate = request.scope[SCOPE_KEY]
    target = local_path(request.query_params.get("next", "/"))
    return HTMLResponse(
        render("login.html", {"action": LOGIN_PATH, "next": target, "known": gate.is_logged_in(request)})
    )


def login_route() -> GuardedRoute:
    """Return the route of the login page."""
    return GuardedRoute(LOGIN_PATH, _login, access=Access.OPEN)
