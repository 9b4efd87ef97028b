"""What systemd hears of a service: that it is ready, that it lives, that it ends (sd_notify, by a socket of its own).

Without systemd nothing is sent and nothing is looked at.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SOCKET_VARIABLE: Final = "NOTIFY_SOCKET"
WATCHDOG_VARIABLES: Final = ("WATCHDOG_USEC", "WATCHDOG_PID")
VARIABLES: Final = (SOCKET_VARIABLE, *WATCHDOG_VARIABLES)
"""They are the keeper's alone: whoever it starts is not to speak to systemd."""
READY_LOOK_S: Final = 0.25
LOOK_S_MAX: Final = 60.0
BEATS_A_LIMIT: Final = 3.0
"""A word that is lost, or late by a busy machine, is none too few."""


class SystemdNotifier:
    """Tells systemd. `is_up` says whether what is kept does its work; it is asked until it does once."""

    def __init__(self, variables: Mapping[str, str], is_up: Callable[[], bool]) -> None:
        self._to, self._is_up = _address(variables.get(SOCKET_VARIABLE, "")), is_up
        self._is_ready, self._status = False, ""
        limit = variables.get("WATCHDOG_USEC", "")
        meant = variables.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._limit_s = int(limit) / 1e6 if limit.isdecimal() and meant else 0.0

    @property
    def look_s(self) -> float:
        """After so long it wants a turn."""
        if not self._to:
            return LOOK_S_MAX
        if not self._is_ready:
            return READY_LOOK_S
        return min(LOOK_S_MAX, self._limit_s / BEATS_A_LIMIT) if self._limit_s else LOOK_S_MAX

    def turn(self, *, lives: bool, status: str = "") -> None:
        """Send the current state. If `lives` is false, send neither readiness nor a sign of life; `status` says why."""
        if not self._to:
            return
        if status != self._status and self._say(f"STATUS={status}"):
            self._status = status
        if not lives:
            return
        if not self._is_ready and self._is_up():
            self._is_ready = self._say("READY=1")
        if self._limit_s:
            self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that it ends."""
        if self._to:
            self._say("STOPPING=1")

    def _say(self, word: str) -> bool:
        """Send a message and return whether it was sent. A missing listener is not an error."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
                to.setblocking(False)
                to.sendto(word.encode(errors="replace"), self._to)
        except OSError:
            return False
        return True


def _address(said: str) -> str:
    """The socket's address; `@` stands for the abstract name's leading zero byte."""
    return f"\0{said[1:]}" if said.startswith("@") else said
