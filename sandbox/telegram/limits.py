"""The message limits of chats, and counters. Telegram leaves its limits vague; these are the usual ones."""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import Final

from msgspec import Struct, field

from papertape.events.units import MINUTE_MS

CHATS_MAX: Final = 10_000


class ChatLimits(Struct, frozen=True):
    """Messages per second in a chat after a burst, per minute in a group (a negative id), and per second in all."""

    chat_a_second: float = 1.0
    chat_burst: int = 4
    group_a_minute: int = 20
    all_a_second: int = 30


UNLIMITED: Final = ChatLimits(1e6, 1_000_000, 1_000_000, 1_000_000)


class TelegramTwinStatistics(Struct):
    """The requests by method, and the answers by HTTP status."""

    requests: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    limited: int = 0
    connections: int = 0


class RateLimit:
    """Limits the messages of chats."""

    def __init__(self, limits: ChatLimits) -> None:
        self._limits = limits
        self._all: deque[int] = deque()
        self._groups: dict[int, deque[int]] = {}
        self._buckets: dict[int, tuple[float, int]] = {}

    def retry_after_s(self, chat_id: int, now_ms: int) -> int:
        """Count a message and return 0 if it is allowed; otherwise return the seconds to wait."""
        group = self._groups.setdefault(chat_id, deque())
        _forget(group, now_ms - MINUTE_MS)
        _forget(self._all, now_ms - 1_000)
        tokens = self._tokens(chat_id, now_ms)
        waits_s = [0.0]
        if tokens < 1.0:
            waits_s.append((1.0 - tokens) / self._limits.chat_a_second)
        if chat_id < 0 and len(group) >= self._limits.group_a_minute:
            waits_s.append((group[0] + MINUTE_MS - now_ms) / 1_000.0)
        if len(self._all) >= self._limits.all_a_second:
            waits_s.append(1.0)
        if max(waits_s) > 0.0:
            return max(1, math.ceil(max(waits_s)))
        self._count(chat_id, now_ms, tokens)
        return 0

    def _tokens(self, chat_id: int, now_ms: int) -> float:
        tokens, at_ms = self._buckets.get(chat_id, (float(self._limits.chat_burst), now_ms))
        return min(self._limits.chat_burst, tokens + (now_ms - at_ms) / 1_000.0 * self._limits.chat_a_second)

    def _count(self, chat_id: int, now_ms: int, tokens: float) -> None:
        assert len(self._buckets) < CHATS_MAX
        self._buckets[chat_id] = (tokens - 1.0, now_ms)
        self._groups[chat_id].append(now_ms)
        self._all.append(now_ms)


def _forget(times: deque[int], until_ms: int) -> None:
    while times and times[0] <= until_ms:
        times.popleft()
