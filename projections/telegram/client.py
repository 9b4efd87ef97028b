"""The Bot API over plain HTTP: one request, one typed result, every failure by name and without the token.

Nothing is retried or rate-limited here. The error tree is in `projections.telegram.errors`. Errors are raised outside
the `except` that caught the library's own, because its request holds the URL with the token.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import httpx
import msgspec
from msgspec import Raw, Struct

from papertape.events.text import replace_unsafe
from papertape.projections.telegram.errors import RequestRefused, TelegramBusy, TelegramError, TelegramUnreachable
from papertape.projections.telegram.refusals import error_of, seconds_of
from papertape.projections.telegram.secret import MASK, BotToken
from papertape.projections.telegram.wire import (
    UNREADABLE,
    BotCommand,
    ChatMessage,
    InlineKeyboardButton,
    TelegramEnvelope,
    Update,
    User,
    updates_of,
)

API_URL: Final = "https://api.telegram.org"
CONNECT_S_MAX: Final = 5.0
ANSWER_S_MAX: Final = 15.0
UPLOAD_S_MAX: Final = 60.0
POLL_EXTRA_S: Final = 10.0
CONNECTIONS_MAX: Final = 4
BODY_BYTES_MAX: Final = 4 * 1_048_576
WORDS_CHARS_MAX: Final = 200
CHATTY_LOGGERS: Final = ("httpx", "httpcore")
"""They log the URL, which contains the token."""
ADDRESS: Final = re.compile(r"https?://\S+")
UPDATE_KINDS: Final = ("message", "callback_query")

T = TypeVar("T")
Keyboard = Sequence[Sequence[InlineKeyboardButton]]


class TelegramHttpResponse(Struct, frozen=True):
    """A complete HTTP response."""

    status: int
    retry_after: str
    content: bytes


class NoResponse(Struct, frozen=True):
    """Why there is no response, and whether the request may have taken effect."""

    why: str
    may_have_acted: bool


class TelegramClient:
    """One bot at one address. `close` may be followed by further requests.

    Every method raises a TelegramError: TelegramUnreachable, TelegramBusy or a refusal by name.
    """

    def __init__(self, token: BotToken, api_url: str = API_URL) -> None:
        self._token = token
        self._api_url = api_url.rstrip("/")
        self._client: httpx.AsyncClient | None = None
        for name in CHATTY_LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    # ------------------------------------------------------------ methods

    async def get_me(self) -> User:
        """Return the bot's user: the cheapest request, which proves token and connection."""
        return _typed(await self._call("getMe", {}), User, "getMe")

    async def send_message(
        self,
        chat_id: int,
        text: str,
        *,
        html: bool = True,
        silent: bool = False,
        keyboard: Keyboard = (),
        reply_to: int | None = None,
    ) -> ChatMessage:
        """Send a text of at most 4,096 units; the message's id is the receipt and the handle for edits."""
        fields = {"chat_id": chat_id, "text": text, "link_preview_options": {"is_disabled": True}}
        fields |= _options(html=html, silent=silent, keyboard=keyboard)
        if reply_to is not None:
            fields["reply_parameters"] = {"message_id": reply_to, "allow_sending_without_reply": True}
        return _typed(await self._call("sendMessage", fields), ChatMessage, "sendMessage")

    async def edit_message_text(
        self, chat_id: int, message_id: int, text: str, *, html: bool = True, keyboard: Keyboard = ()
    ) -> None:
        """Replace a message's text and buttons. The same text again is a success."""
        fields: dict[str, Any] = {"chat_id": chat_id, "message_id": message_id, "text": text}
        fields |= {
            "link_preview_options": {"is_disabled": True},
            **_options(html=html, silent=False, keyboard=keyboard),
        }
        try:
            await self._call("editMessageText", fields)
        except RequestRefused as refused:
            if "message is not modified" not in str(refused):
                raise

    async def send_photo(self, chat_id: int, picture: bytes, *, caption: str = "", silent: bool = False) -> ChatMessage:
        """Send a PNG of at most 10 MB with an HTML caption of at most 1,024 units."""
        form = {"chat_id": str(chat_id), "caption": replace_unsafe(caption), "parse_mode": "HTML"}
        form["disable_notification"] = "true" if silent else "false"
        body = {"data": form, "files": {"photo": ("chart.png", picture, "image/png")}}
        return _typed(await self._result("sendPhoto", body, UPLOAD_S_MAX), ChatMessage, "sendPhoto")

    async def get_updates(self, offset: int, poll_s: int = 25, limit: int = 100) -> list[Update]:
        """Confirm everything below `offset`, then wait up to `poll_s` for more. Raises PollConflict."""
        fields = {"offset": offset, "limit": limit, "timeout": poll_s, "allowed_updates": UPDATE_KINDS}
        result = await self._call("getUpdates", fields, poll_s + POLL_EXTRA_S)
        try:
            return updates_of(result)
        except UNREADABLE:
            pass
        raise _unexpected("getUpdates", "a result of an unexpected shape")

    async def answer_callback_query(self, callback_id: str, text: str = "", *, alert: bool = False) -> None:
        """End the wait of a pressed button, with at most 200 characters for whoever pressed it."""
        fields = {"callback_query_id": callback_id, "text": text, "show_alert": alert}
        await self._call("answerCallbackQuery", fields)

    async def set_my_commands(self, commands: Sequence[BotCommand], chat_id: int) -> None:
        """Set the menu of one chat."""
        fields = {"commands": commands, "scope": {"type": "chat", "chat_id": chat_id}}
        await self._call("setMyCommands", fields)

    async def delete_webhook(self) -> None:
        """Remove the webhook, which would prevent polling."""
        await self._call("deleteWebhook", {})

    # ------------------------------------------------------------ requests

    async def _call(self, method: str, fields: Mapping[str, Any], answer_s_max: float = ANSWER_S_MAX) -> Raw:
        safe = {name: replace_unsafe(value) if isinstance(value, str) else value for name, value in fields.items()}
        body = {"content": msgspec.json.encode(safe), "headers": {"content-type": "application/json"}}
        return await self._result(method, body, answer_s_max)

    async def _result(self, method: str, body: dict[str, Any], answer_s_max: float) -> Raw:
        reply = await self._exchange(method, body, answer_s_max)
        if isinstance(reply, NoResponse):
            raise TelegramUnreachable(f"{method}: {reply.why}", may_have_acted=reply.may_have_acted)
        envelope = _envelope(reply.content)
        if envelope is None:
            raise _error_without_envelope(method, reply)
        if not envelope.ok:
            words = self._words(envelope.description)
            raise error_of(method, envelope, words, reply.status, reply.retry_after)
        return envelope.result

    async def _exchange(
        self, method: str, body: dict[str, Any], answer_s_max: float
    ) -> TelegramHttpResponse | NoResponse:
        try:
            async with asyncio.timeout(answer_s_max):
                return await self._read(method, body)
        except TimeoutError:
            return NoResponse(f"no complete answer within {answer_s_max:g} s", may_have_acted=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return NoResponse(self._words(str(error)) or type(error).__name__, may_have_acted=False)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL):
            return NoResponse("the address of the Bot API is not a URL", may_have_acted=False)
        except (httpx.HTTPError, httpx.StreamError) as error:
            return NoResponse(self._words(str(error)) or type(error).__name__, may_have_acted=True)

    async def _read(self, method: str, body: dict[str, Any]) -> TelegramHttpResponse | NoResponse:
        content = bytearray()
        url = f"{self._api_url}/bot{self._token.reveal()}/{method}"
        async with self._opened().stream("POST", url, **body) as response:
            async for part in response.aiter_bytes():
                content += part
                if len(content) > BODY_BYTES_MAX:
                    return NoResponse(f"an answer of more than {BODY_BYTES_MAX} bytes", may_have_acted=True)
            # If the answer repeats the token, it is masked before an error could quote it.
            hidden = bytes(content).replace(self._token.reveal().encode(), MASK.encode())
            return TelegramHttpResponse(response.status_code, response.headers.get("retry-after", ""), hidden)

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            limits = httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX)
            # The timeout around the whole exchange ends it; httpx's own restarts with every byte.
            timeout = httpx.Timeout(None, connect=CONNECT_S_MAX, pool=CONNECT_S_MAX)
            # Without TLS, skip loading certificates, which takes longer than a request.
            verify = self._api_url.startswith("https:")
            self._client = httpx.AsyncClient(
                timeout=timeout, limits=limits, verify=verify, headers={"user-agent": "papertape"}
            )
        return self._client

    def _words(self, text: str) -> str:
        """Return a foreign text on one line of bounded length, without token and address."""
        hidden = ADDRESS.sub("<address>", self._token.hidden_in(text))
        return " ".join(hidden.split())[:WORDS_CHARS_MAX]


def _options(*, html: bool, silent: bool, keyboard: Keyboard) -> dict[str, Any]:
    fields: dict[str, Any] = {"parse_mode": "HTML"} if html else {}
    if silent:
        fields["disable_notification"] = True
    if keyboard:
        fields["reply_markup"] = {"inline_keyboard": keyboard}
    return fields


def _error_without_envelope(method: str, reply: TelegramHttpResponse) -> TelegramError:
    """Return the error for a body that is no envelope, so something on the way answered instead."""
    if reply.status == 429:
        return TelegramBusy(f"{method}: 429 from something on the way", seconds_of(reply.retry_after))
    return _unexpected(method, f"HTTP {reply.status} with a body that is not Telegram's")


def _unexpected(method: str, what: str) -> TelegramUnreachable:
    return TelegramUnreachable(f"{method}: {what}", may_have_acted=True)


def _envelope(content: bytes) -> TelegramEnvelope | None:
    try:
        return msgspec.json.decode(content, type=TelegramEnvelope)
    except UNREADABLE:
        return None


def _typed(result: Raw, kind: type[T], method: str) -> T:
    try:
        return msgspec.json.decode(result, type=kind)
    except UNREADABLE:
        pass
    raise _unexpected(method, "a result of an unexpected shape")
