"""The client against the stand-in: typed results, errors by name, and no token in any text."""

from __future__ import annotations

import gc
import io
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from papertape.projections.telegram.client import TelegramClient
from papertape.projections.telegram.errors import (
    ChatMigrated,
    ChatRefused,
    EntitiesRefused,
    PollConflict,
    RequestRefused,
    TelegramBusy,
    TelegramError,
    TelegramUnreachable,
    TokenRefused,
)
from papertape.projections.telegram.secret import BotToken
from papertape.projections.telegram.wire import BotCommand, InlineKeyboardButton
from papertape.sandbox.telegram.faults import TelegramFault
from papertape.sandbox.telegram.limits import UNLIMITED
from papertape.sandbox.telegram.twin import CHAT_ID, TelegramTwin
from tests.canary import CANARY
from tests.sandbox.served_twin import START_MS
from tests.sandbox.test_telegram_twin import PNG
from tests.sandbox.virtual_time import VirtualClock, run

Use = Callable[[TelegramClient, TelegramTwin], Awaitable[None]]


def used(use: Use, token: str = CANARY, **manner: Any) -> TelegramTwin:
    async def main(clock: VirtualClock) -> TelegramTwin:
        async with TelegramTwin(clock, token=CANARY, limits=UNLIMITED, **manner) as twin:
            client = TelegramClient(BotToken(token), twin.api_url)
            await use(client, twin)
            await client.close()
        return twin

    return run(main, START_MS)


def test_messages_with_buttons_are_sent_and_edited() -> None:
    async def use(client: TelegramClient, twin: TelegramTwin) -> None:
        assert (await client.get_me()).is_bot
        sent = await client.send_message(
            CHAT_ID, "<b>stop?</b> \ud800", keyboard=[[InlineKeyboardButton("CONFIRM", "kill:1")]], silent=True
        )
        assert (sent.chat.id, sent.text) == (CHAT_ID, "stop? \ufffd")
        assert twin.button("CONFIRM").data == "kill:1"
        await client.edit_message_text(CHAT_ID, sent.message_id, "halted")
        await client.edit_message_text(CHAT_ID, sent.message_id, "halted")
        await client.send_message(CHAT_ID, "<raw>", html=False, reply_to=sent.message_id)
        assert twin.texts == ["halted", "<raw>"]
        assert twin.messages[0].silent
        assert twin.messages[1].reply_to == sent.message_id
        assert not twin.messages[0].buttons

    used(use)


def test_pictures_are_sent() -> None:
    async def use(client: TelegramClient, twin: TelegramTwin) -> None:
        await client.send_photo(CHAT_ID, PNG, caption="<b>equity</b>", silent=True)
        (photo,) = twin.messages
        assert (photo.text, photo.silent, photo.file and photo.file.content) == ("equity", True, PNG)

    used(use)


def test_updates_are_polled_confirmed_and_answered() -> None:
    async def use(client: TelegramClient, twin: TelegramTwin) -> None:
        await client.delete_webhook()
        first = twin.say("/status", forward_origin={"type": "user"})
        twin.update("message", {"message_id": "a text where a number belongs"})
        await client.send_message(CHAT_ID, "?", keyboard=[[InlineKeyboardButton("yes", "1")]])
        pressed = twin.press(twin.button("yes"), user=7)
        message, strange, query = await client.get_updates(0)
        assert message.message is not None
        assert message.message.sender is not None
        assert (message.update_id, message.message.sender.id, message.message.forwarded) == (first, CHAT_ID, True)
        assert (strange.update_id, strange.message) == (first + 1, None)
        assert query.callback_query is not None
        assert (query.callback_query.sender.id, query.callback_query.data) == (7, "1")
        await client.answer_callback_query(query.callback_query.id, "no", alert=True)
        assert (pressed.answered, pressed.alert) == ("no", True)
        assert await client.get_updates(query.update_id + 1, poll_s=50) == []

    used(use)


def test_the_menu_is_set() -> None:
    async def use(client: TelegramClient, twin: TelegramTwin) -> None:
        await client.set_my_commands([BotCommand("status", "Show state")], CHAT_ID)
        assert list(twin.commands.values()) == [[{"command": "status", "description": "Show state"}]]

    used(use)


ERRORS: list[tuple[TelegramFault, type[TelegramError]]] = [
    (TelegramFault.BUSY, TelegramBusy),
    (TelegramFault.SERVER_ERROR, TelegramUnreachable),
    (TelegramFault.BAD_GATEWAY, TelegramUnreachable),
    (TelegramFault.GARBAGE, TelegramUnreachable),
    (TelegramFault.RESET_BEFORE, TelegramUnreachable),
    (TelegramFault.RESET_AFTER, TelegramUnreachable),
    (TelegramFault.HANGING, TelegramUnreachable),
    (TelegramFault.TIMEOUT_AFTER, TelegramUnreachable),
    (TelegramFault.UNAUTHORIZED, TokenRefused),
    (TelegramFault.NOT_FOUND, TokenRefused),
    (TelegramFault.FORBIDDEN, ChatRefused),
    (TelegramFault.CONFLICT, PollConflict),
    (TelegramFault.BAD_REQUEST, RequestRefused),
    (TelegramFault.PARSE, EntitiesRefused),
    (TelegramFault.MIGRATED, ChatMigrated),
]


async def failed(client: TelegramClient) -> TelegramError:
    with pytest.raises(TelegramError) as error:
        await client.send_message(CHAT_ID, "x")
    return error.value


@pytest.mark.parametrize(("fault", "kind"), ERRORS)
def test_every_failure_has_its_name(fault: TelegramFault, kind: type[TelegramError]) -> None:
    async def use(client: TelegramClient, twin: TelegramTwin) -> None:
        twin.faults.on(fault, value=30 if fault is TelegramFault.BUSY else None)
        error = await failed(client)
        assert type(error) is kind
        if isinstance(error, TelegramBusy):
            assert error.retry_after_s == 30
        if isinstance(error, TelegramUnreachable):
            assert error.may_have_acted is (fault is not TelegramFault.SERVER_ERROR)

    used(use)


def test_a_failed_connection_had_no_effect() -> None:
    async def use(client: TelegramClient, twin: TelegramTwin) -> None:
        await twin.stop_listening()
        error = await failed(client)
        assert isinstance(error, TelegramUnreachable)
        assert not error.may_have_acted

    used(use)


def test_the_token_appears_nowhere() -> None:
    """Logging at DEBUG, every failure with its traceback and its locals, and whatever the objects say of themselves."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)

    async def use(client: TelegramClient, twin: TelegramTwin) -> None:
        errors: list[BaseException] = []
        for fault, _ in ERRORS:
            twin.faults.on(fault, times=1)
            errors.append(await failed(client))
        twin.faults.on(TelegramFault.BAD_REQUEST, value=f"what does https://x/bot{CANARY}/y or {CANARY} mean", times=1)
        errors.append(await failed(client))
        await twin.stop_listening()
        errors.append(await failed(client))
        for address in ("nonsense", "http://127.0.0.1:1"):
            other = TelegramClient(BotToken(CANARY), address)
            errors.append(await failed(other))
            await other.close()
        for error in errors:
            logging.getLogger("papertape").error("it failed: %s", error, exc_info=error)
            out.write(_told(error))
        out.write(repr(client) + repr(vars(client)))

    try:
        used(use)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    gc.collect()
    said = out.getvalue()
    assert "sendMessage" in said
    assert "Traceback" in said
    assert "canary" not in said, said[said.index("canary") - 300 :][:400]


def _told(error: BaseException) -> str:
    """Everything that a report of a crash might show: the chain, hidden contexts too, with the locals of frames."""
    seen = ""
    one: BaseException | None = error
    while one is not None:
        frames = traceback.TracebackException.from_exception(one, capture_locals=True)
        frames.stack = traceback.StackSummary.from_list(
            [frame for frame in frames.stack if "/tests/" not in frame.filename]
        )
        seen += "".join(frames.format(chain=False)) + repr(one) + repr(vars(one))
        one = one.__cause__ or one.__context__
    return seen
