"""Checks for every request, whatever its route: the host and the body's size. Adds security headers to responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers, MutableHeaders

from papertape.api.gate import SCOPE_KEY
from papertape.api.problems import problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from papertape.api.gate import Gate

BODY_BYTES_MAX: Final = 16_384
LENGTH_DIGITS_MAX: Final = 15
CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not `no-referrer`: with it, browsers would send `Origin: null` for our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class SecurityMiddleware:
    """Passes the gate to the routes, refuses unknown hosts and large bodies, and adds headers to every response."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, a WebSocket or the lifespan protocol."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        scope[SCOPE_KEY] = self._gate

        async def with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._gate.hosts.allows(hosts[0]):
            detail = "unknown host name; add it to web.trusted_hosts in the configuration to allow it"
            await problem(421, detail)(scope, receive, with_headers)
        elif _declared_bytes(headers) > BODY_BYTES_MAX:
            await problem(413, f"the body may have at most {BODY_BYTES_MAX} bytes")(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)


def _declared_bytes(headers: Headers) -> int:
    """Return the declared length of the body; a body without one is counted while it is read."""
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        return 0  # The server itself refuses an invalid number.
    return int(length) if len(length) <= LENGTH_DIGITS_MAX else BODY_BYTES_MAX + 1
