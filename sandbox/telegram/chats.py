"""The chats of the stand-in: accepted messages, their edits, and the checks of the server."""

from __future__ import annotations

import struct
from typing import Any, Final

from msgspec import Struct, field

from papertape.sandbox.telegram.arguments import Arguments, bad_request, keyboard_of
from papertape.sandbox.telegram.html import InvalidHtml, ParsedHtml, parse, utf16_units
from papertape.sandbox.telegram.wire import Upload

TEXT_UNITS_MAX: Final = 4_096
CAPTION_UNITS_MAX: Final = 1_024
PHOTO_BYTES_MAX: Final = 10 * 1_048_576
DOCUMENT_BYTES_MAX: Final = 50 * 1_048_576
PNG: Final = b"\x89PNG\r\n\x1a\n"
JPEG: Final = b"\xff\xd8\xff"
MESSAGES_MAX: Final = 1_000_000
BOT: Final = {"id": 987_654_321, "is_bot": True, "first_name": "Alert", "username": "alert_bot"}


class Button(Struct, frozen=True):
    """A button under a message."""

    text: str
    data: str
    chat_id: int
    message_id: int


class BotMessage(Struct):
    """A message of the bot. `text` is what users read, `html` what was sent; for a file both are its caption."""

    at_ms: int
    chat_id: int
    message_id: int
    text: str
    html: str
    parse_mode: str = ""
    silent: bool = False
    kind: str = "text"
    file: Upload | None = None
    reply_to: int | None = None
    keyboard: list[list[dict[str, Any]]] = field(default_factory=list)
    edits: list[tuple[int, str]] = field(default_factory=list)

    @property
    def buttons(self) -> list[Button]:
        """The buttons, in order."""
        return [
            Button(one["text"], str(one.get("callback_data", "")), self.chat_id, self.message_id)
            for row in self.keyboard
            for one in row
        ]


class Chats:
    """The chats that know the bot, and everything that the bot wrote there."""

    def __init__(self, chats: tuple[int, ...]) -> None:
        self.known = set(chats)
        self.messages: list[BotMessage] = []
        self._by_id: dict[tuple[int, int], BotMessage] = {}
        self._last_ids: dict[int, int] = {}

    def check_chat(self, arguments: Arguments) -> int:
        """Return the chat of a request. Raise BotApiError for an unknown one."""
        if not arguments.text("chat_id"):
            raise bad_request("chat_id is empty")
        chat_id = arguments.number("chat_id")
        if chat_id is None or chat_id not in self.known:
            raise bad_request("chat not found")
        return chat_id

    def next_id(self, chat_id: int) -> int:
        """Return the next message id of a chat; messages of users count too."""
        self._last_ids[chat_id] = self._last_ids.get(chat_id, 0) + 1
        return self._last_ids[chat_id]

    def add(self, at_ms: int, chat_id: int, arguments: Arguments, kind: str = "text") -> BotMessage:
        """Accept a message. Raise BotApiError if it is invalid."""
        parsed = _text(arguments) if kind == "text" else _caption(arguments)
        upload = None if kind == "text" else _file(arguments, kind)
        reply = arguments.structure("reply_parameters") or {}
        keyboard = keyboard_of(arguments)
        assert len(self.messages) < MESSAGES_MAX
        message = BotMessage(
            at_ms=at_ms,
            chat_id=chat_id,
            message_id=self.next_id(chat_id),
            text=parsed.text,
            html=arguments.text("text" if kind == "text" else "caption"),
            parse_mode=arguments.text("parse_mode"),
            silent=arguments.flag("disable_notification"),
            kind=kind,
            file=upload,
            reply_to=reply.get("message_id"),
            keyboard=keyboard,
        )
        self.messages.append(message)
        self._by_id[chat_id, message.message_id] = message
        return message

    def find(self, chat_id: int, arguments: Arguments) -> BotMessage:
        """Return the message that a request names. Raise BotApiError if there is none."""
        message_id = arguments.number("message_id")
        message = None if message_id is None else self._by_id.get((chat_id, message_id))
        if message is None:
            raise bad_request("message to edit not found")
        return message

    def edit(self, at_ms: int, message: BotMessage, arguments: Arguments, *, text: bool) -> None:
        """Edit a message. Raise BotApiError if nothing changes."""
        new_text = _text(arguments).text if text else message.text
        keyboard = keyboard_of(arguments)
        if (new_text, keyboard) == (message.text, message.keyboard):
            same = "specified new message content and reply markup are exactly the same as a current content"
            raise bad_request(f"message is not modified: {same} and reply markup of the message")
        message.edits.append((at_ms, message.text))
        message.text, message.keyboard = new_text, keyboard
        if text:
            message.html = arguments.text("text")

    def delete(self, message: BotMessage) -> None:
        """Delete a message from its chat; `messages` keeps it."""
        del self._by_id[message.chat_id, message.message_id]


def wire_message(message: BotMessage) -> dict[str, Any]:
    """Return a message in the API's format."""
    shown: dict[str, Any] = {
        "message_id": message.message_id,
        "from": BOT,
        "chat": chat_face(message.chat_id),
        "date": message.at_ms // 1_000,
    }
    if message.kind == "text":
        shown["text"] = message.text
    else:
        shown["caption"] = message.text
        shown[message.kind] = [{"file_id": f"file{message.message_id}"}]
    if message.edits:
        shown["edit_date"] = message.edits[-1][0] // 1_000
    if message.keyboard:
        shown["reply_markup"] = {"inline_keyboard": message.keyboard}
    return shown


def chat_face(chat_id: int) -> dict[str, Any]:
    """Return a chat in the API's format: a negative id is a group."""
    return {"id": chat_id, "type": "private" if chat_id > 0 else "supergroup"}


def _parsed(text: str, mode: str) -> ParsedHtml:
    if not mode:
        return ParsedHtml(text)
    if mode.lower() != "html":
        raise bad_request(f'unsupported parse_mode "{mode}": this stand-in reads HTML only')
    try:
        return parse(text)
    except InvalidHtml as error:
        raise bad_request(f"can't parse entities: {error}") from None


def _text(arguments: Arguments) -> ParsedHtml:
    parsed = _parsed(arguments.text("text"), arguments.text("parse_mode"))
    if not parsed.text.strip():
        raise bad_request("message text is empty")
    if utf16_units(parsed.text) > TEXT_UNITS_MAX:
        raise bad_request("message is too long")
    return parsed


def _caption(arguments: Arguments) -> ParsedHtml:
    parsed = _parsed(arguments.text("caption"), arguments.text("parse_mode"))
    if utf16_units(parsed.text) > CAPTION_UNITS_MAX:
        raise bad_request("message caption is too long")
    return parsed


def _file(arguments: Arguments, kind: str) -> Upload:
    upload = arguments.files.get(kind)
    if upload is None:
        raise bad_request(f"there is no {kind} in the request")
    if not upload.content:
        raise bad_request("file must be non-empty")
    if len(upload.content) > (PHOTO_BYTES_MAX if kind == "photo" else DOCUMENT_BYTES_MAX):
        raise bad_request(f"file is too big for a {kind}")
    if kind == "photo":
        _check_picture(upload.content)
    return upload


def _check_picture(content: bytes) -> None:
    if not content.startswith((PNG, JPEG)):
        raise bad_request("IMAGE_PROCESS_FAILED")
    if content.startswith(PNG) and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        if not width or not height or width + height > 10_000 or max(width, height) > 20 * min(width, height):
            raise bad_request("PHOTO_INVALID_DIMENSIONS")
