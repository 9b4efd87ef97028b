"""Routes that state their access level; the application accepts no other kind of route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from starlette.requests import HTTPConnection
from starlette.routing import Mount, Route, WebSocketRoute

from papertape.api.gate import SCOPE_KEY, Access, Gate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send
    from starlette.websockets import WebSocket


class Operation(Struct, frozen=True):
    """A route's operation for the API description: its input, and its responses by status."""

    summary: str
    answer: Any = None
    query: type[Struct] | None = None
    body: Any = None
    media_type: str = "application/json"
    refusals: tuple[int, ...] = ()
    also: tuple[int, ...] = ()
    """Other statuses with the same kind of answer."""
    about: str = ""


class _Guarded:
    """A route that asks the gate before it handles a request."""

    access: Access
    live: bool = False

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> bool:
        gate: Gate = scope[SCOPE_KEY]
        refusal = gate.refusal(self.access, HTTPConnection(scope), live=self.live)
        if refusal is not None:
            await refusal(scope, receive, send)
        return refusal is not None


class GuardedRoute(_Guarded, Route):
    """A route with its access level. `live`: it opens a stream. API routes also have an operation."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response]],
        *,
        access: Access,
        method: str = "GET",
        live: bool = False,
        operation: Operation | None = None,
    ) -> None:
        super().__init__(path, endpoint, methods=[method])
        self.access, self.live, self.operation, self.method = access, live, operation, method

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle the request if the gate allows it."""
        if not await self._refuse(scope, receive, send):
            await super().handle(scope, receive, send)


class GuardedSocket(_Guarded, WebSocketRoute):
    """A WebSocket with its access level."""

    live = True

    def __init__(
        self,
        path: str,
        endpoint: Callable[[WebSocket], Awaitable[None]],
        *,
        access: Access,
        operation: Operation | None = None,
    ) -> None:
        super().__init__(path, endpoint)
        self.access, self.operation = access, operation

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle the connection if the gate allows it, else refuse it before the handshake."""
        if not await self._refuse(scope, receive, send):
            await super().handle(scope, receive, send)


class GuardedMount(_Guarded, Mount):
    """A folder of files with its access level."""

    def __init__(self, path: str, app: ASGIApp, *, access: Access) -> None:
        super().__init__(path, app)
        self.access = access

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle the request if the gate allows it."""
        if not await self._refuse(scope, receive, send):
            await super().handle(scope, receive, send)


Guarded = GuardedRoute | GuardedSocket | GuardedMount
