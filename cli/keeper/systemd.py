"""Notify systemd that the service is ready, alive or stopping (sd_notify). Without systemd, do nothing."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SOCKET_VARIABLE: Final = "NOTIFY_SOCKET"
WATCHDOG_VARIABLES: Final = ("WATCHDOG_USEC", "WATCHDOG_PID")
VARIABLES: Final = (SOCKET_VARIABLE, *WATCHDOG_VARIABLES)
"""The variables for the supervisor alone: the processes it starts must not notify systemd."""
READY_INTERVAL_S: Final = 0.25
INTERVAL_S_MAX: Final = 60.0
BEATS_PER_TIMEOUT: Final = 3.0
"""Three beats per timeout, so that one may be lost or late."""


class SystemdNotifier:
    """Notify systemd. `is_up` tells whether the service is ready; it is called until it is true once."""

    def __init__(self, variables: Mapping[str, str], is_up: Callable[[], bool]) -> None:
        self._address, self._is_up = _socket_address(variables.get(SOCKET_VARIABLE, "")), is_up
        self._is_ready, self._status = False, ""
        timeout = variables.get("WATCHDOG_USEC", "")
        is_watched = variables.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._timeout_s = int(timeout) / 1e6 if timeout.isdecimal() and is_watched else 0.0

    @property
    def interval_s(self) -> float:
        """The time until the next update is due."""
        if not self._address:
            return INTERVAL_S_MAX
        if not self._is_ready:
            return READY_INTERVAL_S
        return min(INTERVAL_S_MAX, self._timeout_s / BEATS_PER_TIMEOUT) if self._timeout_s else INTERVAL_S_MAX

    def update(self, *, lives: bool, status: str = "") -> None:
        """Send the current state. If `lives` is false, send neither readiness nor a sign of life; `status` says why."""
        if not self._address:
            return
        if status != self._status and self._send(f"STATUS={status}"):
            self._status = status
        if not lives:
            return
        if not self._is_ready and self._is_up():
            self._is_ready = self._send("READY=1")
        if self._timeout_s:
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Send that the service is stopping."""
        if self._address:
            self._send("STOPPING=1")

    def _send(self, message: str) -> bool:
        """Send a message and return whether it was sent. A missing listener is not an error."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as client:
                client.setblocking(False)
                client.sendto(message.encode(errors="replace"), self._address)
        except OSError:
            return False
        return True


def _socket_address(name: str) -> str:
    """Return the socket's address; `@` stands for the leading zero byte of an abstract name."""
    return f"\0{name[1:]}" if name.startswith("@") else name
