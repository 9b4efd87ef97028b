"""The page's listening socket: opened here, or inherited from the supervisor, which outlives the page's process.

The supervisor's socket continues to listen while the page restarts, so a browser waits instead of being refused.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import Final

from papertape.api.listener import listen
from papertape.events.errors import UsageError

INHERITED: Final = "PAPERTAPE_LISTEN_FD"
"""The environment variable with the number of the inherited descriptor."""
PORT_MAX: Final = 65_535


def open_listener(host: str, port: int) -> socket.socket:
    """Return the inherited socket, or one that listens at the address; port 0 picks a free port.

    Raise UsageError for an invalid port, AddressTaken for an address that is not available now.
    """
    inherited = os.environ.get(INHERITED, "")
    if inherited.isdecimal():
        return socket.socket(fileno=os.dup(int(inherited)))
    if not 0 <= port <= PORT_MAX:
        raise UsageError(f"--port {port}: must be 0 to {PORT_MAX}")
    return listen(host, port)


def url_of(listening: socket.socket) -> str:
    """Return the page's address for a browser on this machine."""
    host, port = listening.getsockname()[:2]
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.is_unspecified:
        address = ipaddress.ip_address("::1" if address.version == 6 else "127.0.0.1")
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"
