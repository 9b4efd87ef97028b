"""The socket on which everything is served."""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from papertape.events.errors import AddressTaken

UNREAD_S_MAX: Final = 20
"""A client that takes nothing of what was sent for so long is cut off by the system."""
BACKLOG_MAX: Final = 1_024


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raise AddressTaken if the address is unavailable."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        made = socket.create_server(address[:2], family=family, backlog=BACKLOG_MAX)
    except OSError as error:
        raise AddressTaken(f"cannot listen on {host} port {port}: {_reason(error)}") from error
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Its connections inherit it. Without it a client that never reads would keep one open for ever.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_S_MAX * 1_000)
    made.setblocking(False)
    return made


def _reason(error: OSError) -> str:
    """Why an address cannot be had, and what to do about a port that is taken."""
    if error.errno == errno.EADDRINUSE:
        return "another program listens there; stop it, or choose another port with --port"
    if error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)  # The error's own text repeats the address.
    return error.strerror or str(error)
