"""What the notifier needs of the chat or other channel that it sends to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class ChatClient(Protocol):
    """Sends messages. Its methods raise TelegramError, whose kind decides when and how the notifier tries again."""

    async def get_me(self) -> object:
        """Ask whether the other side answers, without sending anything."""

    async def send_message(self, chat_id: int, text: str, *, html: bool = True, silent: bool = False) -> object:
        """Return when a text was accepted."""


class ChatDestination(Protocol):
    """The chat that messages go to now."""

    notice: str
    """A message about a move of the chat, to be sent before any other."""

    @property
    def moved_to(self) -> int:
        """The id that the chat moved to; 0 without a move."""

    async def send_to_chat(self, send: Callable[[int], Awaitable[T]]) -> T:
        """Return the result of a request to the chat."""
