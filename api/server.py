"""The server: uvicorn over a socket that is there already, ended in time whatever is still open."""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import uvicorn

from events.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from starlette.types import ASGIApp

    from api.streams import Streams

CONNECTIONS_MAX: Final = 4_000
UNREAD_S_MAX: Final = 20
"""A client that takes nothing of what was sent for so long is cut off by the system."""
GRACE_S: Final = 1
IDLE_S_MAX: Final = 15
SOCKET_MESSAGE_BYTES_MAX: Final = 16_384
HEADER_BYTES_MAX: Final = 32_768


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises UsageError where the address cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        made = socket.create_server(address[:2], family=family, backlog=1_024)
    except OSError as error:
        raise UsageError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Its connections inherit it. Without it a client that never reads would keep one open for ever.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_S_MAX * 1_000)
    made.setblocking(False)
    return made


class _Server(uvicorn.Server):
    """Signals belong to whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


async def serve(
    app: ASGIApp, listener: socket.socket, streams: Streams, stop: asyncio.Event, proxies: Sequence[str] = ()
) -> None:
    """Serve until `stop` is set. `proxies` are addresses whose X-Forwarded headers are believed.

    Streams end at once, requests have a second, and what is open after that is cut off.
    """
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=IDLE_S_MAX,
        timeout_graceful_shutdown=GRACE_S,
        ws_max_size=SOCKET_MESSAGE_BYTES_MAX,
        h11_max_incomplete_event_size=HEADER_BYTES_MAX,
    )
    server = _Server(config)
    serving, stopping = asyncio.ensure_future(server.serve([listener])), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await streams.close()
        server.should_exit = True
        await serving
    finally:
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
