"""The login page; its form posts to the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse

from papertape.api.gate import SCOPE_KEY, Access
from papertape.api.login import REFUSED_LINK, follow_login_link, local_path
from papertape.api.login_link import LOGIN_MINUTES, LOGIN_PARAMETER, LOGIN_PATH
from papertape.api.routes import GuardedRoute
from papertape.api.token import TOKEN_VARIABLE
from papertape.ui.rendering import render

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from papertape.api.gate import Gate


async def _login(request: Request) -> Response:
    # A HEAD request may be a preview of the address: it uses nothing up.
    if LOGIN_PARAMETER in request.query_params and request.method == "GET":
        return await follow_login_link(request)
    gate: Gate = request.scope[SCOPE_KEY]
    context = {
        "action": LOGIN_PATH,
        "next": local_path(request.query_params.get("next", "/")),
        "known": gate.is_logged_in(request),
        "is_printed": gate.reading_open,
        "variable": TOKEN_VARIABLE,
        "is_refused": REFUSED_LINK in request.scope["query_string"].decode("latin-1").split("&"),
        "minutes": LOGIN_MINUTES,
    }
    return HTMLResponse(render("login.html", context))


def login_route() -> GuardedRoute:
    """Return the route of the login page."""
    return GuardedRoute(LOGIN_PATH, _login, access=Access.OPEN)
