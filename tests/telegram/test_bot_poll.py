"""Who may use the bot, what is a duplicate, and how polling reacts to Telegram's errors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from papertape.events.cursors import SqliteCursors
from papertape.events.facts import AnomalyRaised
from papertape.projections.telegram.parse import MENU
from papertape.projections.telegram.poll import ChatAllowlist
from papertape.sandbox.telegram.faults import TelegramFault
from papertape.sandbox.telegram.limits import ChatLimits
from papertape.sandbox.telegram.twin import CHAT_ID
from tests.alerts.example_day import BOTH_OPEN, market
from tests.build import NOON_MS
from tests.telegram.bot_rig import STRANGER, Rig, rigged

OPEN = [*market(), *BOTH_OPEN]
GROUP = -100_500
ANN = {"id": CHAT_ID, "is_bot": False, "first_name": "Ann"}
ACTS = ("/kill", "/pause", "/close all", "/reset global x", "/resume")


def test_a_strangers_chat_gets_no_answer() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running() as bot:
            said = (*ACTS, *(f"/{name} 1" for name in MENU), "hello")
            for text in said:
                rig.twin.say(text, STRANGER, STRANGER)
                rig.twin.say(text, STRANGER, CHAT_ID)
                rig.twin.say(text, CHAT_ID, STRANGER)
            await rig.silence(10.0)
            assert rig.clerk.taken == []
            assert bot.statistics().ignored == 3 * len(said)
            assert bot.statistics().asked == 0
            assert len(rig.told) <= 3 and str(STRANGER) not in "".join(rig.told)

    rigged(use, OPEN, chats=(CHAT_ID, STRANGER))


@pytest.mark.parametrize(
    "more",
    [
        {"forward_origin": {"type": "user", "date": 1, "sender_user": ANN}},
        {"from": ANN | {"is_bot": True}},
        {"from": {"id": 1_087_968_824, "is_bot": True, "first_name": "Group"}},
    ],
)
def test_forwarded_messages_and_bots_are_ignored(more: dict[str, Any]) -> None:
    async def use(rig: Rig) -> None:
        async with rig.running() as bot:
            rig.twin.say("/kill", **more)
            await rig.silence()
            assert bot.statistics().ignored == 1

    rigged(use, OPEN)


def test_edited_messages_posts_and_messages_without_text_are_ignored() -> None:
    async def use(rig: Rig) -> None:
        message = {"message_id": 5, "from": ANN, "chat": {"id": CHAT_ID, "type": "private"}, "date": 1, "text": "/kill"}
        async with rig.running():
            for kind in ("edited_message", "channel_post", "poll"):
                rig.twin.update(kind, message)
            rig.twin.say("", photo=[])
            rig.twin.say("  \n")
            await rig.silence()
            polls = [one for one in rig.twin.received if one.method == "getUpdates"]
            assert all(one.arguments["allowed_updates"] == ["message", "callback_query"] for one in polls)

    rigged(use, OPEN)


def test_a_press_in_an_inline_message_is_ignored() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            await rig.ask("/kill")
            data = rig.twin.button("Confirm").data
            rig.twin.update("callback_query", {"id": "x", "from": ANN, "inline_message_id": "77", "data": data})
            await asyncio.sleep(2.0)
            assert rig.clerk.taken == []

    rigged(use, OPEN)


def test_a_group_hears_named_users_and_ignores_other_bots_commands() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running(ChatAllowlist(GROUP, (CHAT_ID,))):
            assert (await rig.ask("/version@alert_bot", chat=GROUP)).chat_id == GROUP
            for text, user in (("/version@other_bot", CHAT_ID), ("hello", CHAT_ID), ("/version", STRANGER)):
                rig.twin.say(text, user, GROUP)
            await rig.silence()

    rigged(use, OPEN, chats=(GROUP,))


def test_a_group_without_named_users_ignores_everybody_and_logs_it() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running(ChatAllowlist(GROUP)):
            rig.twin.say("/kill", CHAT_ID, GROUP)
            await rig.silence()
            assert "allowed users" in rig.told[0]

    rigged(use, OPEN, chats=(GROUP,))


def test_a_duplicate_update_is_answered_once() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running() as bot:
            rig.twin.faults.on(TelegramFault.DUPLICATE_UPDATES, method="getUpdates")
            for _ in range(3):
                await rig.ask("/version")
            await rig.silence(60.0)
            assert bot.statistics().duplicates >= 1

    rigged(use, OPEN)


def test_a_duplicate_press_acts_once() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running() as bot:
            await rig.ask("/kill")
            rig.twin.faults.on(TelegramFault.DUPLICATE_UPDATES, method="getUpdates")
            await rig.pressed("Confirm")
            await asyncio.sleep(60.0)
            assert bot.statistics().duplicates >= 1
            assert len(rig.clerk.taken) == 1

    rigged(use, OPEN)


def test_a_restart_continues_after_the_last_update(tmp_path: Any) -> None:
    async def use(rig: Rig) -> None:
        rig.cursors = SqliteCursors(tmp_path / "cursors.db")
        async with rig.running():
            await rig.ask("/version")
        rig.cursors.close()
        rig.cursors = SqliteCursors(tmp_path / "cursors.db")
        rig.twin.say("/status")
        async with rig.running():
            await rig.until(lambda: len(rig.twin.messages) == 2)
            await rig.silence()
        rig.cursors.close()

    rigged(use, OPEN)


def test_a_used_button_stays_used_when_its_update_is_repeated_after_a_crash() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running() as bot:
            await rig.ask("/kill")
            await rig.pressed("Confirm")
        lost = rig.cursors.position("telegram.updates") - 1
        rig.cursors = type(rig.cursors)()
        async with rig.running(confirmations=bot.confirmations):
            await asyncio.sleep(2.0)
            assert lost > 0
            assert len(rig.clerk.taken) == 1

    rigged(use, OPEN)


def test_ids_that_jump_are_followed() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            await rig.ask("/version")
            rig.twin.jump()
            assert (await rig.ask("/version")).text

    rigged(use, OPEN)


@pytest.mark.parametrize(
    "fault",
    [
        TelegramFault.SERVER_ERROR,
        TelegramFault.BAD_GATEWAY,
        TelegramFault.GARBAGE,
        TelegramFault.RESET_BEFORE,
        TelegramFault.HANGING,
        TelegramFault.BUSY,
    ],
)
def test_polling_retries_with_pauses_and_receives_what_was_sent_meanwhile(fault: TelegramFault) -> None:
    async def use(rig: Rig) -> None:
        rig.twin.faults.on(fault, for_s=600.0)
        async with rig.running():
            rig.twin.say("/version")
            await asyncio.sleep(600.0)
            asked = len(rig.twin.received)
            assert 3 <= asked <= 100
            await rig.until(lambda: len(rig.twin.messages) == 1, 120.0)
            assert len(rig.told) <= 4

    rigged(use, OPEN)


def test_a_second_poller_is_reported_once_and_polling_retries() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running() as bot:
            rig.twin.faults.on(TelegramFault.CONFLICT, method="getUpdates", for_s=300.0)
            await rig.ask("/version")
            await asyncio.sleep(320.0)
            assert 5 <= bot.statistics().conflicts <= 60
            assert sum("409" in line for line in rig.told) == 1
            assert (await rig.ask("/version")).text

    rigged(use, OPEN)


def test_a_webhook_is_removed() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            rig.twin.webhook = "https://elsewhere"
            rig.twin.say("/version")
            await rig.until(lambda: len(rig.twin.messages) == 1)
            rig.twin.webhook = "https://elsewhere"
            rig.twin.say("/version")
            await rig.until(lambda: len(rig.twin.messages) == 2)
            assert rig.twin.webhook == ""

    rigged(use, OPEN)


def test_a_refused_token_is_retried_once_an_hour_with_one_line() -> None:
    async def use(rig: Rig) -> None:
        rig.twin.faults.on(TelegramFault.UNAUTHORIZED)
        async with rig.running() as bot:
            await asyncio.sleep(3_500.0)
            assert len(rig.twin.received) == 1
            assert len(rig.told) == 1 and "401" in rig.told[0]
            assert "401" in bot.statistics().over
            assert rig.twin.token not in "".join(rig.told)
            rig.tape.add(AnomalyRaised(NOON_MS, "x", "y", "z"))
            await asyncio.sleep(1.0)
            assert bot.statistics().seq == rig.tape.bus.head_seq
            rig.twin.faults.clear()
            await rig.until(lambda: bool(rig.twin.commands), 200.0)
            assert (await rig.ask("/version")).text
            assert bot.statistics().over == ""

    rigged(use, OPEN)


def test_the_menu_is_set_at_the_start() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            (menu,) = rig.twin.commands.values()
            assert [one["command"] for one in menu] == list(MENU)

    rigged(use, OPEN)


def test_it_keeps_to_the_limits_of_a_chat() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            for _ in range(15):
                rig.twin.say("/version")
            await rig.until(lambda: len(rig.twin.messages) == 15)
            assert rig.twin.statistics.limited == 0

    rigged(use, OPEN, limits=ChatLimits())


def test_the_bot_ends_with_the_log_after_the_last_answer() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            rig.twin.faults.on(TelegramFault.SLOW, method="sendMessage", value=2.0)
            rig.twin.say("/version")
            await asyncio.sleep(0.5)
            rig.tape.bus.close()
            await asyncio.sleep(4.0)
            assert len(rig.twin.messages) == 1

    rigged(use, OPEN)


def test_a_refused_text_is_sent_without_tags() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            rig.twin.faults.on(TelegramFault.PARSE, method="sendMessage", times=1)
            answer = await rig.ask("/version")
            assert not answer.parse_mode and answer.text.startswith("papertape")

    rigged(use, OPEN)


@pytest.mark.parametrize(
    "fault", [TelegramFault.BUSY, TelegramFault.SERVER_ERROR, TelegramFault.RESET_BEFORE, TelegramFault.TIMEOUT_AFTER]
)
def test_a_failing_answer_is_retried_and_delays_no_kill(fault: TelegramFault) -> None:
    async def use(rig: Rig) -> None:
        async with rig.running() as bot:
            await rig.ask("/kill")
            rig.twin.faults.on(fault, method="sendMessage", times=2, value=3)
            rig.twin.say("/version")
            rig.twin.press(rig.twin.button("Confirm"))
            await rig.until(lambda: bool(rig.clerk.taken), 2.0)
            await rig.until(lambda: rig.twin.texts[-1].startswith("papertape"), 60.0)
            assert bot.statistics().unsent == 0

    rigged(use, OPEN)


def test_an_undeliverable_answer_is_dropped_and_counted() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running() as bot:
            rig.twin.faults.on(TelegramFault.SERVER_ERROR, method="sendMessage", for_s=600.0)
            rig.twin.say("/version")
            await rig.until(lambda: bot.statistics().unsent == 1)
            await asyncio.sleep(600.0)
            assert (await rig.ask("/status")).text.startswith("●")

    rigged(use, OPEN)
