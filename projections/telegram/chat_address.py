"""The id of the owner's chat: the configured id, or that of the supergroup which the group became.

Telegram gives a group a new id when it becomes a supergroup, once and permanently. The new id is used at once, stored
beside the log under the configured id, and forgotten as soon as another id is configured.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from papertape.events.cursors import Cursors
from papertape.projections.telegram.errors import ChatMigrated
from papertape.projections.telegram.secret import CHAT_ID_MAX, CHAT_VARIABLE

CURSOR: Final = "telegram.moved."
"""The prefix before the configured id. The cursor's position is the new id without its sign."""

T = TypeVar("T")


class ChatAddress:
    """The id that messages go to now, shared by all senders and listeners."""

    def __init__(
        self, configured_id: int, cursors: Cursors, write_line: Callable[[str], None] = lambda _: None
    ) -> None:
        """Report a move from an earlier run at once. `write_line` writes a line to the local log."""
        self.configured_id = configured_id
        self.notice = ""
        """The message about the move that the chat has yet to receive; its sender clears it."""
        self._cursors, self._write_line = cursors, write_line
        if self.moved_to:
            write_line(f"Telegram: {moved_words(self.moved_to)}")

    @property
    def id(self) -> int:
        """The chat that messages go to."""
        return self.moved_to or self.configured_id

    @property
    def moved_to(self) -> int:
        """The supergroup that the configured group became; 0 while the configured id is right."""
        return -self._cursors.position(f"{CURSOR}{self.configured_id}")

    def move_to(self, new_id: int) -> bool:
        """Use the chat's new id from now on; return False for an id that cannot be a moved group's.

        A supergroup has a negative id of its own and never moves again: a second move is an error on the way.
        """
        if self.moved_to:
            return new_id == self.moved_to
        if not -CHAT_ID_MAX < new_id < 0 or new_id == self.configured_id:
            return False
        self._cursors.advance(f"{CURSOR}{self.configured_id}", -new_id)
        self.notice = moved_words(new_id)
        self._write_line(f"Telegram: {self.notice}")
        return True

    async def send_to_chat(self, send: Callable[[int], Awaitable[T]]) -> T:
        """Return the result of a request to the chat; if the chat has moved, repeat it with the new id.

        Raises what the request raises, ChatMigrated where the move cannot be followed.
        """
        old_id = self.id
        try:
            return await send(old_id)
        except ChatMigrated as moved:
            if not self.move_to(moved.chat_id) or self.id == old_id:
                raise
        return await send(self.id)


def moved_words(new_id: int) -> str:
    """Return what the owner must do after a move."""
    return f"the group became a supergroup and alerts follow it; set {CHAT_VARIABLE}={new_id}"
