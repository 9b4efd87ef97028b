"""A faithful stand-in of Telegram's Bot API: one bot, the chats it knows, and users who write and press buttons.

`papertape twin telegram` serves it. Its time is a given clock, real or virtual; `faults` switches faults on. It keeps
everything that it received, in order. Left out: MarkdownV2, `entities`, webhooks (`webhook` only makes polling
conflict), file downloads, and the throttling of short polls.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from msgspec import Struct

from papertape.engine.ports.clock import Clock
from papertape.sandbox.telegram.arguments import Arguments, BotApiError, bad_request
from papertape.sandbox.telegram.chats import BOT, BotMessage, Button, Chats, chat_face, wire_message
from papertape.sandbox.telegram.faults import TelegramFault, TelegramFaultInjector
from papertape.sandbox.telegram.limits import ChatLimits, RateLimit, TelegramTwinStatistics
from papertape.sandbox.telegram.updates import ButtonPress, Updates
from papertape.sandbox.telegram.wire import BotApiDelivery, BotApiResponse, Request, converse

TOKEN: Final = "100000001:AAtelegram-stand-in_never_a_secret0"  # noqa: S105 - it opens nothing.
"""It is valid for this stand-in only."""
CHAT_ID: Final = 111_222_333
RECEIVED_MAX: Final = 200_000
COMMANDS_MAX: Final = 100
COMMAND_CHARS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
KINDS: Final = {"sendmessage": "text", "sendphoto": "photo", "senddocument": "document"}
EDITS: Final = {"editmessagetext": True, "editmessagereplymarkup": False}
HTML_502: Final = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
REFUSALS: Final = {
    TelegramFault.SERVER_ERROR: (500, "Internal Server Error"),
    TelegramFault.UNAUTHORIZED: (401, "Unauthorized"),
    TelegramFault.FORBIDDEN: (403, "Forbidden: bot was blocked by the user"),
    TelegramFault.NOT_FOUND: (404, "Not Found"),
    TelegramFault.CONFLICT: (
        409,
        "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
    ),
}


class ReceivedRequest(Struct, frozen=True):
    """A request and the status of its answer; 0 means no answer."""

    at_ms: int
    method: str
    arguments: dict[str, Any]
    status: int
    description: str = ""


class TelegramTwin:
    """The server. `async with TelegramTwin(clock) as twin` serves until the block ends."""

    def __init__(
        self,
        clock: Clock,
        *,
        token: str = TOKEN,
        chats: tuple[int, ...] = (CHAT_ID,),
        limits: ChatLimits | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        on_received: Callable[[ReceivedRequest], None] | None = None,
    ) -> None:
        self.token = token
        self.faults = TelegramFaultInjector(clock.now_ms)
        self.statistics = TelegramTwinStatistics()
        self.received: deque[ReceivedRequest] = deque(maxlen=RECEIVED_MAX)
        self.commands: dict[str, list[dict[str, str]]] = {}
        self.webhook = ""
        self._clock = clock
        self._chats = Chats(chats)
        self._updates = Updates(clock)
        self._moves: dict[int, int] = {}
        self._limit = RateLimit(limits or ChatLimits())
        self._on_received = on_received or (lambda _received: None)
        self._host, self._port = host, port
        self._server: asyncio.Server | None = None
        self._conversations: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    # ------------------------------------------------------------ what tests and users do

    @property
    def api_url(self) -> str:
        """The base address of `/bot<token>/<method>`."""
        return f"http://{self._host}:{self._port}"

    @property
    def messages(self) -> list[BotMessage]:
        """All accepted messages, oldest first."""
        return self._chats.messages

    @property
    def texts(self) -> list[str]:
        """The texts of these messages as users read them."""
        return [message.text for message in self.messages]

    def button(self, text: str) -> Button:
        """Return the newest button whose text contains these words."""
        buttons = [one for message in self.messages for one in message.buttons if text in one.text]
        assert buttons, f"no message has a button {text!r}"
        return buttons[-1]

    def press(self, button: Button, user: int = CHAT_ID, *, inaccessible: bool = False, chat: int = 0) -> ButtonPress:
        """Press a button as a user; the result shows the bot's answer."""
        message: dict[str, Any] = {"message_id": button.message_id, "chat": chat_face(chat or button.chat_id)}
        message |= {"date": 0} if inaccessible else {"date": self._clock.now_ms() // 1_000, "text": "..."}
        return self._updates.press(button.data, {"from": _person(user), "message": message})

    def say(self, text: str, user: int = CHAT_ID, chat: int = CHAT_ID, *, age_s: int = 0, **more: Any) -> int:
        """Write to the bot as a user, `age_s` ago; return the update's id. `more` is added to the message."""
        self._chats.known.add(chat)
        message: dict[str, Any] = {
            "message_id": self._chats.next_id(chat),
            "from": _person(user),
            "chat": chat_face(chat),
            "date": self._clock.now_ms() // 1_000 - age_s,
            "text": text,
        }
        if text.startswith("/"):
            message["entities"] = [{"offset": 0, "length": len(text.split(maxsplit=1)[0]), "type": "bot_command"}]
        return self._updates.add("message", message | more)

    def update(self, kind: str, body: dict[str, Any]) -> int:
        """Add any other update: an edited message, a channel post."""
        return self._updates.add(kind, body)

    def jump(self, by: int = 1_000_000) -> None:
        """Raise the id of the next update."""
        self._updates.jump(by)

    def move(self, chat: int, new_id: int, *, says_so: bool = False) -> None:
        """Migrate a group to a supergroup: requests with the old id fail and name the new one.

        With `says_so` a message in the group names it too.
        """
        self._moves[chat] = new_id
        self._chats.known.add(new_id)
        if says_so:
            self.say("", chat=chat, migrate_to_chat_id=new_id)

    async def stop_listening(self) -> None:
        """Close the port and all connections."""
        if self._server is not None:
            self._server.close()
        self._server = None
        for task, writer in self._conversations.items():
            writer.transport.abort()
            task.cancel()
        if self._conversations:
            await asyncio.wait([*self._conversations])
        # Aborted transports report their end in the next round of the loop.
        await asyncio.sleep(0)

    async def start_listening(self) -> None:
        """Open the port, again at the same address."""
        self._server = await asyncio.start_server(self._converse, self._host, self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def __aenter__(self) -> Self:
        await self.start_listening()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop_listening()

    # ------------------------------------------------------------ a request

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations[task] = writer
        self.statistics.connections += 1
        try:
            await converse(reader, writer, self._answer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            del self._conversations[task]

    async def _answer(self, request: Request) -> BotApiResponse:
        at_ms = self._clock.now_ms()
        name = request.path.rpartition("/")[2]
        method = name.lower()
        self.statistics.requests[name] += 1
        try:
            reply = await self._fault_response(method, request) or _success(await self._result(method, request))
            description = ""
        except BotApiError as error:
            reply, description = _refusal(error), error.description
        if reply.status == 200 and (self._hits(TelegramFault.RESET_AFTER, method)):
            reply = BotApiResponse(0, b"", delivery=BotApiDelivery.RESET)
        elif reply.status == 200 and self._hits(TelegramFault.TIMEOUT_AFTER, method):
            reply = BotApiResponse(0, b"", delivery=BotApiDelivery.NEVER)
        self.statistics.statuses[reply.status] += 1
        received = ReceivedRequest(at_ms, name, request.arguments, reply.status, description)
        self.received.append(received)
        self._on_received(received)
        return reply

    def _hits(self, fault: TelegramFault, method: str) -> bool:
        return self.faults.hits(fault, method) is not None

    async def _fault_response(self, method: str, request: Request) -> BotApiResponse | None:
        """Return the answer of an active fault, if any. Raise BotApiError for a refusal."""
        if slow := self.faults.hits(TelegramFault.SLOW, method):
            await self._clock.sleep(slow.value or 5.0)
        if self._hits(TelegramFault.RESET_BEFORE, method):
            return BotApiResponse(0, b"", delivery=BotApiDelivery.RESET)
        if self._hits(TelegramFault.HANGING, method):
            return BotApiResponse(0, b"", delivery=BotApiDelivery.NEVER)
        if self._hits(TelegramFault.BAD_GATEWAY, method):
            return BotApiResponse(502, HTML_502, "text/html")
        if self._hits(TelegramFault.GARBAGE, method):
            return BotApiResponse(200, b"<html>Welcome to the hotel's network", "text/html")
        for fault, (code, description) in REFUSALS.items():
            if refusal := self.faults.hits(fault, method):
                raise BotApiError(code, refusal.value or description)
        if busy := self.faults.hits(TelegramFault.BUSY, method):
            raise _busy(busy.value or 7)
        if wrong := self.faults.hits(TelegramFault.BAD_REQUEST, method):
            raise bad_request(wrong.value or "MESSAGE_INVALID")
        if moved := self.faults.hits(TelegramFault.MIGRATED, method):
            words = "Bad Request: group chat was upgraded to a supergroup chat"
            raise BotApiError(400, words, migrate_to_chat_id=moved.value or -1_001_234_567_890)
        chat_id = _chat_of(request)
        if chat_id is not None and (new_id := self._moves.get(chat_id)) is not None:
            raise BotApiError(
                400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=new_id
            )
        poison = self.faults.sees(TelegramFault.POISON, method)
        if poison is not None and poison.value in str(request.arguments.get("text", "")):
            self.faults.count(TelegramFault.POISON)
            raise bad_request("MESSAGE_STRANGE")
        if request.arguments.get("parse_mode") and self._hits(TelegramFault.PARSE, method):
            raise bad_request('can\'t parse entities: Unsupported start tag "x" at byte offset 3')
        return None

    async def _result(self, method: str, request: Request) -> Any:
        """Return the result of a method. Raise BotApiError for a refusal."""
        _, _, rest = request.path.partition("/bot")
        if not rest or request.path.count("/") != 2:
            raise BotApiError(404, "Not Found")
        if rest.partition("/")[0] != self.token:
            raise BotApiError(401, "Unauthorized")
        arguments = Arguments(request.arguments, request.files)
        if method in KINDS:
            return self._send(arguments, KINDS[method])
        if method in EDITS or method == "deletemessage":
            return self._edit(arguments, method)
        if method == "getupdates":
            return await self._poll(arguments, method)
        return self._other(arguments, method)

    def _send(self, arguments: Arguments, kind: str) -> dict[str, Any]:
        chat_id = self._chats.check_chat(arguments)
        self._check_rate(chat_id)
        return wire_message(self._chats.add(self._clock.now_ms(), chat_id, arguments, kind))

    def _edit(self, arguments: Arguments, method: str) -> Any:
        chat_id = self._chats.check_chat(arguments)
        self._check_rate(chat_id)
        message = self._chats.find(chat_id, arguments)
        if method == "deletemessage":
            self._chats.delete(message)
            return True
        self._chats.edit(self._clock.now_ms(), message, arguments, text=EDITS[method])
        return wire_message(message)

    def _check_rate(self, chat_id: int) -> None:
        retry_after_s = self._limit.retry_after_s(chat_id, self._clock.now_ms())
        if retry_after_s:
            self.statistics.limited += 1
            raise _busy(retry_after_s)

    async def _poll(self, arguments: Arguments, method: str) -> Any:
        if self.webhook:
            why = "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
            raise BotApiError(409, f"Conflict: {why}")
        if self._hits(TelegramFault.DUPLICATE_UPDATES, method):
            updates = await self._updates.poll(arguments)
            self._updates.repeat_confirmed()
            return updates or await self._updates.poll(Arguments({}, {}))
        return await self._updates.poll(arguments)

    def _other(self, arguments: Arguments, method: str) -> Any:
        if method == "getme":
            return BOT | {"can_join_groups": True, "can_read_all_group_messages": False}
        if method == "answercallbackquery":
            self._updates.answer(arguments)
        elif method == "setmycommands":
            self.commands[_scope(arguments)] = _commands(arguments)
        elif method == "getmycommands":
            return self.commands.get(_scope(arguments), [])
        elif method == "deletewebhook":
            self.webhook = ""
            if arguments.flag("drop_pending_updates"):
                self._updates.drop()
        else:
            raise BotApiError(404, "Not Found")
        return True


def _chat_of(request: Request) -> int | None:
    """Return the chat that a request names by its id, if any."""
    named = str(request.arguments.get("chat_id") or (request.arguments.get("scope") or {}).get("chat_id"))
    return int(named) if named.removeprefix("-").isdecimal() else None


def _busy(retry_after_s: int) -> BotApiError:
    return BotApiError(429, f"Too Many Requests: retry after {retry_after_s}", retry_after=retry_after_s)


def _success(result: Any) -> BotApiResponse:
    return BotApiResponse(200, json.dumps({"ok": True, "result": result}).encode())


def _refusal(error: BotApiError) -> BotApiResponse:
    body: dict[str, Any] = {"ok": False, "error_code": error.code, "description": error.description}
    if error.parameters:
        body["parameters"] = error.parameters
    seconds = error.parameters.get("retry_after")
    headers = () if seconds is None else (("Retry-After", str(seconds)),)
    return BotApiResponse(error.code, json.dumps(body).encode(), headers=headers)


def _person(user: int) -> dict[str, Any]:
    return {"id": user, "is_bot": False, "first_name": "Ann" if user == CHAT_ID else "Stranger"}


def _scope(arguments: Arguments) -> str:
    return json.dumps(arguments.structure("scope") or {"type": "default"}, sort_keys=True)


def _commands(arguments: Arguments) -> list[dict[str, str]]:
    commands: list[dict[str, str]] = arguments.structure("commands") or []
    if len(commands) > COMMANDS_MAX:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    for one in commands:
        if not 1 <= len(one["command"]) <= 32 or not set(one["command"]) <= COMMAND_CHARS:
            raise bad_request("BOT_COMMAND_INVALID")
        if not 1 <= len(one["description"]) <= 256:
            raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
    return commands
