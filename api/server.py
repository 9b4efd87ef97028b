"""The server: uvicorn over a socket that is there already, ended in time whatever is still open."""

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
TURNED_AWAY: Final = (
    "ASGI callable returned without completing",
    "Cancel ",
)
"""How the server calls a refused socket, a stream whose client did not read, and what the end cuts off."""


class _Server(uvicorn.Server):
    """Signals belong to whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


class _Protocol(H11Protocol):
    """HTTP that tells the application of a request that broke off: its answer would meet a connection in error."""

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read; where an answer is on its way already, the connection just ends."""
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
    """Drops what the server says of each client that was turned away or cut off: they are counted, and are no fault."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is anything else."""
        return not record.getMessage().startswith(TURNED_AWAY)


@contextmanager
def _counted() -> Iterator[None]:
    logger, counted = logging.getLogger("uvicorn.error"), _DisconnectLogFilter()
    logger.addFilter(counted)
    try:
        yield
    finally:
        logger.removeFilter(counted)


async def serve(
    app: ASGIApp, listener: socket.socket, streams: Streams, stop: asyncio.Event, proxies: Sequence[str] = ()
) -> None:
    """Serve until `stop` is set. `proxies` are addresses whose X-Forwarded headers are believed.

    Streams end at once, requests have a second, and what is open after that is cut off.
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
        ws_per_message_deflate=False,  # It costs each client a third of a megabyte, and the processor of all.
        ws_max_size=SOCKET_MESSAGE_BYTES_MAX,
        h11_max_incomplete_event_size=HEADER_BYTES_MAX,
    )
    server = _Server(config)
    with _counted():
        serving, stopping = asyncio.ensure_future(server.serve([listener])), asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await streams.close()
            server.should_exit = True
            await serving
        finally:
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)
