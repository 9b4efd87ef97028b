"""The Bot API's objects, as far as they are used here; other fields are ignored."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct, field

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class User(Struct, frozen=True):
    """A person or a bot."""

    id: int
    is_bot: bool = False
    first_name: str = ""
    username: str = ""


class Chat(Struct, frozen=True):
    """Where messages go: a private chat's id is the user's, a group's is negative."""

    id: int
    type: str = ""


class ChatMessage(Struct, frozen=True):
    """A message by anybody. An inaccessible one has the date 0 and no text."""

    message_id: int
    chat: Chat
    date: int = 0
    sender: User | None = field(default=None, name="from")
    text: str = ""
    forward_origin: dict[str, Any] | None = None
    migrate_to_chat_id: int | None = None
    """Only in Telegram's own message in a group that became a supergroup."""

    @property
    def forwarded(self) -> bool:
        """Whether somebody else wrote it originally."""
        return self.forward_origin is not None


class CallbackQuery(Struct, frozen=True):
    """A pressed button. `data` comes from the client and is untrusted."""

    id: str
    sender: User = field(name="from")
    message: ChatMessage | None = None
    data: str = ""
    inline_message_id: str = ""


class Update(Struct, frozen=True):
    """An update. Both fields are None if its kind is not supported here."""

    update_id: int
    message: ChatMessage | None = None
    callback_query: CallbackQuery | None = None


class BotCommand(Struct, frozen=True):
    """An entry of the client's menu."""

    command: str
    description: str


class InlineKeyboardButton(Struct, frozen=True):
    """A button under a message. `data` has 1 to 64 bytes."""

    text: str
    data: str = field(name="callback_data")


class ResponseParameters(Struct, frozen=True):
    """Details of an error."""

    retry_after: float | None = None
    migrate_to_chat_id: int | None = None


class TelegramEnvelope(Struct, frozen=True):
    """The envelope of every answer."""

    ok: bool
    result: Raw = Raw(b"null")
    error_code: int = 0
    description: str = ""
    parameters: ResponseParameters = ResponseParameters()


class _Numbered(Struct, frozen=True):
    update_id: int


def updates_of(result: Raw) -> list[Update]:
    """Return the updates of an answer. An unsupported one keeps its number, so that it can be confirmed.

    Raises one of UNREADABLE if it is not a list of numbered objects.
    """
    return [_update(one) for one in msgspec.json.decode(result, type=list[Raw])]


def _update(raw: Raw) -> Update:
    try:
        return msgspec.json.decode(raw, type=Update)
    except UNREADABLE:
        return Update(msgspec.json.decode(raw, type=_Numbered).update_id)
