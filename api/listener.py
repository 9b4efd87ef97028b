"""The listening socket of the server."""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from papertape.api.settings import PORT_DEFAULT
from papertape.events.errors import AddressTaken

UNREAD_S_MAX: Final = 20
"""The operating system drops a client that acknowledges nothing for this long."""
BACKLOG_MAX: Final = 1_024
PORTS_TRIED_MAX: Final = 20


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raise AddressTaken if the address is unavailable."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG_MAX)
    except OSError as error:
        raise AddressTaken(f"cannot listen on {host} port {port}: {_reason(error, host, port)}") from error
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Connections inherit this. Without it, a client that never reads would hold its connection forever.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_S_MAX * 1_000)
    listener.setblocking(False)
    return listener


def _reason(error: OSError, host: str, port: int) -> str:
    """Return why an address is unavailable, and what to do instead."""
    if error.errno == errno.EADDRINUSE:
        return f"another program listens there; stop it, or choose another port with --port {_free_port(host, port)}"
    if error.errno == errno.EACCES:
        return f"ports below 1024 need root; choose another one with --port {PORT_DEFAULT}"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address; --host 127.0.0.1 serves this machine only, 0.0.0.0 every network"
    if error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)  # The error's own text repeats the address.
    return error.strerror or str(error)


def _free_port(host: str, taken: int) -> int:
    """Return the next port on which nothing listens now; 0, which picks a free one, if there is none nearby."""
    for port in range(taken + 1, min(taken + PORTS_TRIED_MAX, 65_535)):
        try:
            socket.create_server((host, port)).close()
        except OSError:
            continue
        return port
    return 0
