"""The exchange's limits, and the stand-in's counters."""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

from msgspec import Struct, field

from papertape.events.units import DAY_MS

MESSAGES_A_SECOND_MAX: Final = 10
SUBSCRIBES_AN_HOUR_MAX: Final = 240
CHANNELS_MAX: Final = 1_000
ARGS_BYTES_MAX: Final = 4_096
CONNECTIONS_MAX: Final = 100
ATTEMPTS_MAX: Final = 300
ATTEMPTS_WINDOW_MS: Final = 300_000
PING_MS_MAX: Final = 120_000
AGE_MS_MAX: Final = DAY_MS
REQUESTS_A_SECOND_MAX: Final = 20
SLOW_REQUESTS_A_SECOND_MAX: Final = 10
REQUESTS_A_MINUTE_MAX: Final = 6_000
BACKLOG_BYTES_MAX: Final = 4_194_304
"""A client that leaves more than this unread is disconnected."""
MESSAGE_BYTES_MAX: Final = 65_536
BREACHES_KEPT_MAX: Final = 200


class RateWindow:
    """At most `most` events in any `window_ms`."""

    def __init__(self, most: int, window_ms: int) -> None:
        self._most = most
        self._window_ms = window_ms
        self._times: deque[int] = deque(maxlen=most)

    def allows(self, now_ms: int) -> bool:
        """Return whether one more event is within the limit, and count it if so."""
        times = self._times
        while times and times[0] <= now_ms - self._window_ms:
            times.popleft()
        if len(times) >= self._most:
            return False
        times.append(now_ms)
        return True

    @property
    def remaining(self) -> int:
        """How many more events the window allows."""
        return self._most - len(self._times)


class LimitBreach(Struct, frozen=True):
    """A limit that a client exceeded."""

    at_ms: int
    limit: str
    text: str


class BitgetTwinStatistics(Struct):
    """What the server has received and sent since its start."""

    connections: int = 0
    """Sockets that are open now."""
    connected: int = 0
    attempts: int = 0
    subscribes: int = 0
    unsubscribes: int = 0
    messages: int = 0
    frames: int = 0
    frame_bytes: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    too_many: int = 0
    """429 responses, by a limit or by a fault."""
    refused_by_limit: Counter[str] = field(default_factory=Counter)
    breaches: list[LimitBreach] = field(default_factory=list)
    """The first `BREACHES_KEPT_MAX`; `refused_by_limit` counts all."""

    def breach(self, at_ms: int, limit: str, text: str) -> None:
        """Count an exceeded limit."""
        self.refused_by_limit[limit] += 1
        if len(self.breaches) < BREACHES_KEPT_MAX:
            self.breaches.append(LimitBreach(at_ms, limit, text))
