"""The listening socket of the server."""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from papertape.events.errors import AddressTaken

UNREAD_S_MAX: Final = 20
"""The operating system drops a client that acknowledges nothing for this long."""
BACKLOG_MAX: Final = 1_024


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raise AddressTaken if the address is unavailable."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG_MAX)
    except OSError as error:
        raise AddressTaken(f"cannot listen on {host} port {port}: {_reason(error)}") from error
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Connections inherit this. Without it, a client that never reads would hold its connection forever.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_S_MAX * 1_000)
    listener.setblocking(False)
    return listener


def _reason(error: OSError) -> str:
    """Return why an address is unavailable, with advice for a port in use."""
    if error.errno == errno.EADDRINUSE:
        return "another program listens there; stop it, or choose another port with --port"
    if error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)  # The error's own text repeats the address.
    return error.strerror or str(error)
