"""By which names this server may be called, and which pages may call it.

A name that anybody can point at this machine (DNS rebinding) would make a foreign page one of ours: on a loopback
address only the loopback's own names are taken, elsewhere addresses and the names of the configuration.
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
    """Whether an address to bind is one that no other machine reaches."""
    if address == "localhost":
        return True
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


class AllowedHosts:
    """The names that are taken."""

    def __init__(self, bound: str, trusted: Iterable[str] = ()) -> None:
        """`bound` is the address that is listened on, `trusted` are further names, without a port."""
        self._addresses = not is_loopback(bound)
        self._names = LOCAL_NAMES | {name.lower() for name in trusted} | {bound.lower()}

    def allows(self, host: str) -> bool:
        """Whether a `Host` header names this server."""
        split = _split(f"http://{host}")
        if split is None or any(one in host for one in "/@?#\\ "):
            return False
        name, _ = split
        return name in self._names or (self._addresses and _is_address(name))

    @staticmethod
    def same_origin(origin: str, host: str) -> bool:
        """Whether an `Origin` header is that of a page of this server. TLS may end at a proxy: schemes may differ."""
        found = _split(origin)
        scheme = origin.partition("://")[0].lower()
        return found is not None and scheme in DEFAULT_PORTS and found == _split(f"{scheme}://{host}")


def _split(url: str) -> tuple[str, int] | None:
    """Name and port of an address; None for what is none."""
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
