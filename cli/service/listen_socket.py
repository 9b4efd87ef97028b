"""The socket on which the page is served: taken here, or handed over by a keeper that outlives the web's process.

A keeper's socket goes on listening while the web is started again: who comes meanwhile waits instead of being refused.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import Final

from papertape.api.listener import listen
from papertape.events.errors import UsageError

HANDED: Final = "PAPERTAPE_LISTEN_FD"
"""The environment variable with the number of the descriptor that was handed over."""
PORT_MAX: Final = 65_535


def open_listener(host: str, port: int) -> socket.socket:
    """A socket that listens there, or the one handed over; port 0 is any free one.

    Raises UsageError for a port that there is not, AddressTaken for an address that cannot be had now.
    """
    handed = os.environ.get(HANDED, "")
    if handed.isdecimal():
        return socket.socket(fileno=os.dup(int(handed)))
    if not 0 <= port <= PORT_MAX:
        raise UsageError(f"--port {port}: 0 to {PORT_MAX}")
    return listen(host, port)


def url_of(listening: socket.socket) -> str:
    """Where a browser on this machine finds the page."""
    host, port = listening.getsockname()[:2]
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.is_unspecified:
        address = ipaddress.ip_address("::1" if address.version == 6 else "127.0.0.1")
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"
