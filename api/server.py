"""The server: uvicorn on an existing socket, which stops in time even with open connections."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from starlette.types import ASGIApp

    from papertape.api.streams import Streams

CONNECTIONS_MAX: Final = 4_000
GRACE_S: Final = 1
IDLE_S_MAX: Final = 15
SOCKET_MESSAGE_BYTES_MAX: Final = 16_384
HEADER_BYTES_MAX: Final = 32_768
DISCONNECT_MESSAGES: Final = (
    "ASGI callable returned without completing",
    "Cancel ",
)
"""How uvicorn's messages about refused WebSockets, dropped streams and cut-off connections begin."""


class _Server(uvicorn.Server):
    """Leaves signals to the caller."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers."""
        yield


class _Protocol(H11Protocol):
    """HTTP/1.1 that reports a broken request to the application, because its response could not be sent."""

    def send_400_response(self, msg: str) -> None:
        """Refuse an unreadable request; if its response has already started, close the connection."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            super().send_400_response(msg)
            return
        if cycle.response_started:
            self.transport.close()
        else:
            super().send_400_response(msg)
        cycle.disconnected = True
        cycle.message_event.set()


class _DisconnectLogFilter(logging.Filter):
    """Drops uvicorn's messages about disconnected clients: they are counted, and are not faults."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is about anything else."""
        return not record.getMessage().startswith(DISCONNECT_MESSAGES)


@contextmanager
def _without_disconnect_messages() -> Iterator[None]:
    logger, disconnects = logging.getLogger("uvicorn.error"), _DisconnectLogFilter()
    logger.addFilter(disconnects)
    try:
        yield
    finally:
        logger.removeFilter(disconnects)


async def serve(
    app: ASGIApp, listener: socket.socket, streams: Streams, stop: asyncio.Event, proxies: Sequence[str] = ()
) -> None:
    """Serve until `stop` is set. `proxies` are the addresses whose X-Forwarded headers are trusted.

    At the end, streams close at once, requests have one second, and remaining connections are cut off.
    """
    config = uvicorn.Config(
        app,
        http=_Protocol,
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
        ws_per_message_deflate=False,  # It costs a third of a megabyte per client, and CPU time.
        ws_max_size=SOCKET_MESSAGE_BYTES_MAX,
        h11_max_incomplete_event_size=HEADER_BYTES_MAX,
    )
    server = _Server(config)
    with _without_disconnect_messages():
        serving, stopping = asyncio.ensure_future(server.serve([listener])), asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await streams.close()
            server.should_exit = True
            await serving
        finally:
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)
