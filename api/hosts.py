"""The host names this server answers to, and the origins that may call it.

This prevents DNS rebinding, where another site points its name at this machine. On a loopback address only the
loopback names are allowed; elsewhere, IP addresses and the configured names.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
HOST_CHARS_MAX: Final = 255
DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def is_loopback(address: str) -> bool:
    """Return whether no other machine can reach an address to bind."""
    if address == "localhost":
        return True
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


class AllowedHosts:
    """The allowed host names."""

    def __init__(self, bound: str, trusted: Iterable[str] = ()) -> None:
        """Allow the `bound` address of the listener and the `trusted` names, which have no port."""
        self._addresses = not is_loopback(bound)
        self._names = LOCAL_NAMES | {name.lower() for name in trusted} | {bound.lower()}

    def allows(self, host: str) -> bool:
        """Return whether a `Host` header names this server."""
        split = _split(f"http://{host}")
        if split is None or any(one in host for one in "/@?#\\ "):
            return False
        name, _ = split
        return name in self._names or (self._addresses and _is_address(name))

    @staticmethod
    def same_origin(origin: str, host: str) -> bool:
        """Return whether an `Origin` is this server's. A proxy may terminate TLS, so the schemes may differ."""
        address = _split(origin)
        scheme = origin.partition("://")[0].lower()
        return address is not None and scheme in DEFAULT_PORTS and address == _split(f"{scheme}://{host}")


def _split(url: str) -> tuple[str, int] | None:
    """Return the name and the port of a URL, or None if it is invalid."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
        name = (parts.hostname or "").lower().removesuffix(".")
    except ValueError:
        return None
    return (name, port) if name and len(name) <= HOST_CHARS_MAX else None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
