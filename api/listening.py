"""The socket on which everything is served."""

from __future__ import annotations

import socket
from typing import Final

from events.errors import AddressTaken

UNREAD_S_MAX: Final = 20
"""A client that takes nothing of what was sent for so long is cut off by the system."""
BACKLOG_MAX: Final = 1_024


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raise AddressTaken if the address is unavailable."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        made = socket.create_server(address[:2], family=family, backlog=BACKLOG_MAX)
    except OSError as error:
        raise AddressTaken(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Its connections inherit it. Without it a client that never reads would keep one open for ever.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_S_MAX * 1_000)
    made.setblocking(False)
    return made
