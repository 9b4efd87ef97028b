"""Why sending is parked, and when it is retried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from papertape.projections.telegram.rate_limit import DOUBLINGS_MAX, TelegramClock

FIRST_S: Final = 2.0
CHAT_S_MAX: Final = 600.0
"""The longest pause for a chat that accepts nothing; short, for an owner who restores the bot's rights and waits."""
TOKEN_S_MAX: Final = 3_600.0
"""The pause after a refused token; not shorter, because Telegram counts wrong tokens."""


class DeliveryPause:
    """Whether, since when and why sending is parked. It ends with the first accepted message."""

    def __init__(self, clock: TelegramClock, write_line: Callable[[str], None], title: str = "Telegram") -> None:
        self.why = ""
        self._clock, self._write_line, self._title = clock, write_line, title
        self._failures = 0
        self._since_ms = self._until_ms = 0

    def park_chat(self, why: str) -> None:
        """Park because the chat accepts nothing, with pauses of 2, 4, 8 s and so on up to ten minutes."""
        self._park(why, "", min(CHAT_S_MAX, FIRST_S * 2.0 ** min(self._failures, DOUBLINGS_MAX)))

    def park_bot(self, why: str) -> None:
        """Park for an hour because the token is refused."""
        self._park(
            why,
            f" every {TOKEN_S_MAX / 60.0:g} min; correct it and restart papertape to resume at once",
            TOKEN_S_MAX,
        )

    def wait_s(self) -> float:
        """Return the seconds until the next try; 0 if it is due."""
        now_ms = self._clock.now_ms()
        # A clock that was set back must not lengthen a pause.
        return (self._until_ms - now_ms) / 1_000.0 if self._since_ms <= now_ms < self._until_ms else 0.0

    def end(self) -> None:
        """Note that a message was accepted."""
        if self.why:
            self._write_line(f"{self._title}: the chat accepts messages again")
        self.why, self._failures, self._until_ms = "", 0, 0

    def _park(self, why: str, more: str, pause_s: float) -> None:
        if self.why != why:
            self._write_line(f"{self._title} is parked: {why}; alerts wait in the log, and sending is retried{more}")
        self.why = why
        self._failures += 1
        self._since_ms = self._clock.now_ms()
        self._until_ms = self._since_ms + int(pause_s * 1_000.0)
