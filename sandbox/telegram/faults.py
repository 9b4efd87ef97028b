"""Faults of Telegram and of the way to it, switched on at run time. Each use is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

SWITCHES_MAX: Final = 1_000
FOR_EVER_MS: Final = 1 << 62


class TelegramFault(StrEnum):
    """One way to fail. `value` is a parameter where the text names it."""

    SLOW = "slow"
    """Everything takes `value` (5) more seconds."""

    # Instead of an answer; nothing is processed.
    BUSY = "busy"
    """429 with `value` (7) as retry_after, in the body and in the header."""
    SERVER_ERROR = "server_error"
    """500 in Telegram's own envelope."""
    BAD_GATEWAY = "bad_gateway"
    """502 in HTML, as a proxy answers."""
    GARBAGE = "garbage"
    """200 with a body that is not JSON."""
    RESET_BEFORE = "reset_before"
    """The connection is reset."""
    HANGING = "hanging"
    """No answer at all."""
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    """403; `value` is the description (blocked by the user)."""
    NOT_FOUND = "not_found"
    BAD_REQUEST = "bad_request"
    """400; `value` is the description after `Bad Request: `."""
    POISON = "poison"
    """400 for every text that contains `value`; others are processed."""
    PARSE = "parse"
    """400, can't parse entities, for a request with a parse mode; others are processed."""
    MIGRATED = "migrated"
    """400 with `value` as migrate_to_chat_id."""
    CONFLICT = "conflict"
    """409, as if another instance polled."""

    # The request is processed, but not answered.
    RESET_AFTER = "reset_after"
    """The connection is reset."""
    TIMEOUT_AFTER = "timeout_after"
    """No answer comes."""

    # Of updates.
    DUPLICATE_UPDATES = "duplicate_updates"
    """The last confirmed update is delivered again."""


class ActiveTelegramFault(Struct):
    """A fault that is on: its method (None: all), its end, its remaining uses (None: unlimited)."""

    fault: TelegramFault
    method: str | None
    until_ms: int
    times: int | None
    value: Any


class TelegramFaultInjector:
    """All faults of a server. `counts` says how often each was applied."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.counts: Counter[TelegramFault] = Counter()
        self._now_ms = now_ms
        self._active: list[ActiveTelegramFault] = []

    def on(
        self,
        fault: TelegramFault,
        *,
        method: str | None = None,
        for_s: float | None = None,
        times: int | None = None,
        value: Any = None,
    ) -> None:
        """Switch a fault on: for some seconds, for some uses, or until it is switched off."""
        assert len(self._active) < SWITCHES_MAX, f"more than {SWITCHES_MAX} faults are on"
        until_ms = FOR_EVER_MS if for_s is None else self._now_ms() + int(for_s * 1_000.0)
        self._active.append(ActiveTelegramFault(fault, method and method.lower(), until_ms, times, value))

    def off(self, fault: TelegramFault) -> None:
        """Switch a fault off."""
        self._active = [one for one in self._active if one.fault is not fault]

    def clear(self) -> None:
        """Switch everything off."""
        self._active.clear()

    def find(self, fault: TelegramFault, method: str) -> ActiveTelegramFault | None:
        """Return the active fault for a method, or None, without counting a use."""
        now_ms = self._now_ms()
        self._active = [one for one in self._active if one.until_ms > now_ms and one.times != 0]
        return next((one for one in self._active if one.fault is fault and one.method in (None, method.lower())), None)

    def hits(self, fault: TelegramFault, method: str) -> ActiveTelegramFault | None:
        """Return the active fault for a method, or None, and count one use."""
        switch = self.find(fault, method)
        if switch is not None:
            self.counts[fault] += 1
            if switch.times is not None:
                switch.times -= 1
        return switch
