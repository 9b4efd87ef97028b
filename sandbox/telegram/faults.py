"""Faults of Telegram and of the way to it, switched on at run time. Each use is counted."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from papertape.sandbox.faults import ActiveFault, FaultInjector


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


class TelegramFaultInjector(FaultInjector[TelegramFault]):
    """The active faults of Telegram. A target is a method in lower case."""

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
        self._add(ActiveFault(fault, method and method.lower(), self._until_ms(for_s), times, value))
