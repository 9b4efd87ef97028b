"""Login and logout: a form for the token, and a cookie that scripts cannot read and other sites cannot send."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from papertape.api.gate import SCOPE_KEY, Access
from papertape.api.login_link import LOGIN_PARAMETER, LOGIN_PATH
from papertape.api.routes import GuardedRoute, Operation
from papertape.api.token import COOKIE_HOURS_MAX

if TYPE_CHECKING:
    from starlette.requests import Request

    from papertape.api.gate import Gate

FORM = "application/x-www-form-urlencoded"
FIELDS_MAX = 10
LOGOUT_PATH = "/logout"
REFUSED_LINK = "refused=link"
"""The query of the form after an address that no longer logs in."""
TOO_MANY = 429


async def _login(request: Request) -> Response:
    gate: Gate = request.scope[SCOPE_KEY]
    fields = await _fields(request)
    if not gate.token.matches(fields.get("token", "")):
        return gate.wrong_token_response(request)
    return _logged_in(request, fields.get("next", ""))


async def follow_login_link(request: Request) -> Response:
    """Log in by the one-time token of an address, and redirect to one without it.

    A token that is wrong, used or expired counts as a wrong one, and leads to the form, which says so.
    """
    gate: Gate = request.scope[SCOPE_KEY]
    target = request.query_params.get("next", "")
    if gate.login_link is not None and gate.login_link.redeem(request.query_params[LOGIN_PARAMETER]):
        return _logged_in(request, target)
    if gate.is_logged_in(request):
        return RedirectResponse(local_path(target), 303)
    refusal = gate.wrong_token_response(request)
    return refusal if refusal.status_code == TOO_MANY else RedirectResponse(f"{LOGIN_PATH}?{REFUSED_LINK}", 303)


def _logged_in(request: Request, target: str) -> Response:
    """Return the redirect that sets the login's cookie."""
    gate: Gate = request.scope[SCOPE_KEY]
    response = RedirectResponse(local_path(target), 303)
    _set_cookie(request, response, gate.token.cookie(int(time.time())), COOKIE_HOURS_MAX * 3_600)
    return response


async def _logout(request: Request) -> Response:
    gate: Gate = request.scope[SCOPE_KEY]
    gate.log_out(request)
    response = RedirectResponse(LOGIN_PATH, 303)
    _set_cookie(request, response, "", 0)
    return response


def _set_cookie(request: Request, response: Response, value: str, age_s: int) -> None:
    gate: Gate = request.scope[SCOPE_KEY]
    secure = request.scope["scheme"] == "https"
    response.set_cookie(
        gate.token.cookie_name, value, max_age=age_s, path="/", secure=secure, httponly=True, samesite="strict"
    )


async def _fields(request: Request) -> dict[str, str]:
    """Return the fields of a form. Raise HTTPException 415 for another media type, 422 for an invalid form."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise HTTPException(415, f"a login needs Content-Type: {FORM}")
    try:
        fields = parse_qs((await request.body()).decode(), max_num_fields=FIELDS_MAX, strict_parsing=True)
    except ValueError as error:
        raise HTTPException(422, f"invalid form: {error}") from None
    return {name: values[0] for name, values in fields.items()}


def local_path(path: str) -> str:
    """Return a path of this server unchanged, and `/` for anything that could lead elsewhere."""
    unsafe = any(char in path for char in "\\\r\n\t") or any(ord(char) < 32 for char in path)
    return path if path.startswith("/") and not path.startswith("//") and not unsafe else "/"


def routes() -> list[GuardedRoute]:
    """Return the routes for login and logout; the form itself is a page."""
    login = Operation(
        "Log in with a form that contains the token; sets a cookie", None, refusals=(401, 403, 413, 415, 422, 429)
    )
    logout = Operation("Log out; the cookie becomes invalid", None, refusals=(403,))
    return [
        GuardedRoute(LOGIN_PATH, _login, access=Access.OPEN, method="POST", operation=login),
        GuardedRoute(LOGOUT_PATH, _logout, access=Access.OPEN, method="POST", operation=logout),
    ]
