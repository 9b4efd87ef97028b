"""Messages that no event causes reach the owner: an edited heartbeat, a fault, a ping to an outside service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from papertape.cli.service.owner_channel import FileChannel, TelegramChannel, alert_file, ping
from papertape.events.cursors import Cursors, MemoryCursors
from papertape.projections.telegram.chat_address import ChatAddress
from papertape.projections.telegram.client import TelegramClient
from papertape.projections.telegram.errors import TelegramBusy
from papertape.projections.telegram.rate_limit import MessageRateLimiter
from papertape.projections.telegram.secret import BotToken
from papertape.sandbox.telegram.faults import TelegramFault
from papertape.sandbox.telegram.twin import CHAT_ID, TOKEN, TelegramTwin
from tests.feeds.http_script import http, scripted
from tests.sandbox.served_twin import START_MS
from tests.sandbox.virtual_time import VirtualClock, run

Use = Callable[[Callable[[], TelegramChannel], TelegramTwin, MessageRateLimiter], Awaitable[None]]


def in_chat(use: Use, cursors: Cursors | None = None) -> TelegramTwin:
    async def main(clock: VirtualClock) -> TelegramTwin:
        kept, pace = cursors or MemoryCursors(), MessageRateLimiter(clock)
        async with TelegramTwin(clock) as twin:
            client = TelegramClient(BotToken(twin.token), twin.api_url)
            await use(lambda: TelegramChannel(client, ChatAddress(CHAT_ID, kept), kept, pace), twin, pace)
            await client.close()
        return twin

    return run(main, START_MS)


def test_a_heartbeat_is_silent_and_the_next_one_takes_its_place_also_after_a_restart() -> None:
    async def use(here: Callable[[], TelegramChannel], twin: TelegramTwin, _: MessageRateLimiter) -> None:
        await here().beat("<b>first</b>")
        await asyncio.sleep(3_600)
        await here().beat("<b>second</b>")
        (message,) = twin.messages
        assert (message.text, message.silent, len(message.edits)) == ("second", True, 1)

    in_chat(use)


def test_a_heartbeat_that_the_owner_deleted_is_sent_anew() -> None:
    async def use(here: Callable[[], TelegramChannel], twin: TelegramTwin, _: MessageRateLimiter) -> None:
        await here().beat("first")
        twin.faults.on(TelegramFault.BAD_REQUEST, method="editMessageText", value="message to edit not found", times=1)
        await here().beat("second")
        await here().beat("third")
        assert twin.texts == ["first", "third"]

    in_chat(use)


def test_after_the_group_moved_a_heartbeat_is_sent_anew_and_no_other_message_is_edited() -> None:
    group, supergroup = -4_001_234_567, -1_001_557_912_345

    async def main(clock: VirtualClock) -> None:
        kept = MemoryCursors()
        async with TelegramTwin(clock, chats=(group, supergroup)) as twin:
            client = TelegramClient(BotToken(twin.token), twin.api_url)
            here = TelegramChannel(client, ChatAddress(group, kept), kept, MessageRateLimiter(clock))
            await here.beat("first")
            await client.send_message(supergroup, "an alert with the same id")
            twin.move(group, supergroup)
            for words in ("second", "third"):
                await here.beat(words)
            assert [(message.chat_id, message.text) for message in twin.messages] == [
                (group, "first"),
                (supergroup, "an alert with the same id"),
                (supergroup, "third"),
            ]
            await client.close()

    run(main, START_MS)


def test_a_message_rings_where_it_should_and_everybody_waits_when_telegram_asks_to() -> None:
    async def use(here: Callable[[], TelegramChannel], twin: TelegramTwin, pace: MessageRateLimiter) -> None:
        await here().say("a fault", silent=False)
        assert not twin.messages[0].silent
        twin.faults.on(TelegramFault.BUSY, value=30, times=1)
        with pytest.raises(TelegramBusy):
            await here().say("another", silent=True)
        assert pace.wait_s(urgent=True) >= 30.0

    in_chat(use)


def test_without_a_token_everything_is_a_line_of_a_file(tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            told = FileChannel(alert_file(tmp_path / "log.db.alerts.log", stack))
            await told.beat("<b>20,010.25 USDT</b>\nopen positions 2")
            await told.say(f"a fault at https://x/bot{TOKEN}/getMe", silent=True)

    asyncio.run(story())
    beat, said = (tmp_path / "log.db.alerts.log").read_text().splitlines()
    assert beat.endswith("20,010.25 USDT · open positions 2")
    assert "bot<redacted>" in said


@pytest.mark.parametrize(("status", "is_heard"), [(200, True), (204, True), (302, False), (404, False), (503, False)])
def test_who_answers_a_ping_otherwise_than_with_a_yes_has_not_heard_it(status: int, *, is_heard: bool) -> None:
    async def main(_: VirtualClock) -> None:
        async with scripted(lambda *_: http("", status)) as script:
            if is_heard:
                await ping(script.url)
            else:
                with pytest.raises(OSError, match=str(status)):
                    await ping(script.url)

    run(main, START_MS)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/secret-path", "nonsense", "http://["])
def test_a_ping_that_nobody_takes_has_not_been_heard_and_its_address_stays_untold(url: str) -> None:
    with pytest.raises(OSError, match="cannot be reached") as caught:
        asyncio.run(ping(url))
    assert "secret" not in str(caught.value)
