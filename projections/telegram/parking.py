"""Why nothing is sent for now, and when it is tried again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from projections.telegram.pace import DOUBLINGS_MAX, Clock

FIRST_S: Final = 2.0
CHAT_S_MAX: Final = 600.0
"""A chat that takes nothing is tried at least so often: somebody gives the bot its rights back, and waits."""
TOKEN_S_MAX: Final = 3_600.0
"""A token that is refused is tried so often, and not sooner: Telegram counts wrong tokens."""


class Parking:
    """Whether sending is parked, since when and why. It always ends by itself: with a message that is taken."""

    def __init__(self, clock: Clock, tell: Callable[[str], None]) -> None:
        self.why = ""
        self._clock, self._tell = clock, tell
        self._failures = 0
        self._since_ms = self._until_ms = 0

    def by_chat(self, why: str) -> None:
        """The chat takes nothing: pauses of 2, 4, 8 s and so on up to ten minutes."""
        self._park(why, "", min(CHAT_S_MAX, FIRST_S * 2.0 ** min(self._failures, DOUBLINGS_MAX)))

    def by_token(self, why: str) -> None:
        """The token is refused: an hour's pause."""
        self._park(
            why,
            f" every {TOKEN_S_MAX / 60.0:g} min; correct it and start papertape again to resume at once",
            TOKEN_S_MAX,
        )

    def wait_s(self) -> float:
        """Return the seconds until the next try; 0 where it may be made now."""
        now_ms = self._clock.now_ms()
        # A clock that was set back makes no pause longer than it was meant to be.
        return (self._until_ms - now_ms) / 1_000.0 if self._since_ms <= now_ms < self._until_ms else 0.0

    def end(self) -> None:
        """A message was taken."""
        if self.why:
            self._tell("Telegram: the chat accepts messages again")
        self.why, self._failures, self._until_ms = "", 0, 0

    def _park(self, why: str, more: str, pause_s: float) -> None:
        if self.why != why:
            self._tell(f"Telegram is parked: {why}; alerts wait in the log, and sending is retried{more}")
        self.why = why
        self._failures += 1
        self._since_ms = self._clock.now_ms()
        self._until_ms = self._since_ms + int(pause_s * 1_000.0)
