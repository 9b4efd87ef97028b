"""Commands are confirmed, executed once, only for the user who sent them, and only in time."""

from __future__ import annotations

import asyncio

import pytest

from papertape.events.commands import Close, Command, Kill, Pause, Reset, Resume
from papertape.events.facts import KillSwitchReset, KillSwitchTripped
from papertape.projections.telegram.confirmation import ALREADY_PRESSED, CANCELLED, EXPIRED, NOT_YOURS
from papertape.projections.telegram.poll import ChatAllowlist
from papertape.sandbox.telegram.faults import TelegramFault
from papertape.sandbox.telegram.twin import CHAT_ID
from tests.alerts.example_day import BOTH_OPEN, MOVED, TRIP_SEQ, closed_gala, market, tripped
from tests.build import NOON_MS
from tests.telegram.bot_rig import STRANGER, TELLING, Rig, rigged

OPEN = [*market(), *BOTH_OPEN, *MOVED]
BTC_SEQ, GALA_SEQ = len(market()) + 2, len(market()) + 4
WHO = "telegram:Ann"
NONE = "no reason given"


@pytest.mark.parametrize(
    ("said", "command"),
    [
        ("/pause", Pause(WHO, NONE)),
        ("/pause momentum", Pause(WHO, NONE, "momentum")),
        ("/pause momentum news at 14:00", Pause(WHO, "news at 14:00", "momentum")),
        ('/pause "a holiday"', Pause(WHO, "a holiday")),
        ("/resume", Resume(WHO, NONE)),
        ("/resume vwap_rsi", Resume(WHO, NONE, "vwap_rsi")),
        ("/close all", Close(WHO, NONE)),
        (f"/close {BTC_SEQ}", Close(WHO, NONE, "momentum", "BTCUSDT")),
        (f"/close #{GALA_SEQ} enough", Close(WHO, "enough", "vwap_rsi", "GALAUSDT")),
        ("/kill", Kill(WHO, NONE)),
        ("/kill everything looks odd", Kill(WHO, "everything looks odd")),
        ("/kill momentum", Kill(WHO, NONE, "momentum")),
        ("/kill vwap_rsi trades against the trend", Kill(WHO, "trades against the trend", "vwap_rsi")),
        ("/kill all momentum is odd", Kill(WHO, "momentum is odd")),
    ],
)
def test_a_confirmed_command_is_submitted_exactly_once(said: str, command: Command) -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            question = await rig.ask(said)
            assert [one.text for one in question.buttons] == ["Confirm", "Cancel"]
            assert rig.clerk.taken == []
            assert await rig.pressed("Confirm") == "accepted: event #4711"
            assert rig.clerk.taken == [command]
            assert question.text.endswith("✓ accepted: event #4711")
            assert not question.buttons

    rigged(use, OPEN)


def test_a_second_press_does_nothing_and_says_so() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            await rig.ask("/kill")
            button = rig.twin.button("Confirm")
            await rig.pressed("Confirm")
            again = rig.twin.press(button)
            await rig.until(lambda: again.answered is not None)
            assert again.answered == ALREADY_PRESSED
            assert rig.clerk.taken == [Kill(WHO, NONE)]

    rigged(use, OPEN)


def test_two_presses_at_once_act_once() -> None:
    async def use(rig: Rig) -> None:
        rig.clerk.takes_s = 3.0
        async with rig.running():
            await rig.ask("/kill")
            button = rig.twin.button("Confirm")
            presses = [rig.twin.press(button) for _ in range(3)]
            await rig.until(lambda: all(one.answered is not None for one in presses))
            assert [one.answered for one in presses].count(ALREADY_PRESSED) == 2
            assert len(rig.clerk.taken) == 1

    rigged(use, OPEN)


def test_a_button_expires_after_a_minute_and_disappears() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            question = await rig.ask("/kill")
            await asyncio.sleep(61.0)
            assert await rig.pressed("Confirm") == EXPIRED
            assert rig.clerk.taken == []
            assert not question.buttons
            assert EXPIRED in question.text

    rigged(use, OPEN)


def test_a_press_within_the_minute_counts() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            await rig.ask("/kill")
            await asyncio.sleep(55.0)
            await rig.pressed("Confirm")
            assert len(rig.clerk.taken) == 1

    rigged(use, OPEN)


def test_only_the_user_who_sent_the_command_can_confirm_or_cancel() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running(ChatAllowlist(CHAT_ID, (CHAT_ID, STRANGER))):
            await rig.ask("/kill")
            for word in ("Confirm", "Cancel"):
                assert await rig.pressed(word, STRANGER) == NOT_YOURS
            assert rig.clerk.taken == []
            await rig.pressed("Confirm")
            assert len(rig.clerk.taken) == 1

    rigged(use, OPEN)


def test_a_strangers_press_does_nothing() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running() as bot:
            await rig.ask("/kill")
            assert await rig.pressed("Confirm", STRANGER) == NOT_YOURS
            elsewhere = rig.twin.press(rig.twin.button("Confirm"), STRANGER, chat=STRANGER)
            mine_elsewhere = rig.twin.press(rig.twin.button("Confirm"), CHAT_ID, chat=STRANGER)
            await rig.silence()
            assert elsewhere.answered is None and mine_elsewhere.answered is None
            assert rig.clerk.taken == []
            assert bot.statistics().ignored == 3

    rigged(use, OPEN)


def test_cancel_does_nothing_and_removes_the_buttons() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            question = await rig.ask("/kill")
            confirm = rig.twin.button("Confirm")
            assert await rig.pressed("Cancel") == CANCELLED
            assert not question.buttons
            late = rig.twin.press(confirm)
            await rig.until(lambda: late.answered is not None)
            assert late.answered == ALREADY_PRESSED
            assert rig.clerk.taken == []

    rigged(use, OPEN)


def test_a_restart_expires_all_buttons() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            question = await rig.ask("/kill")
        async with rig.running():
            assert await rig.pressed("Confirm") == EXPIRED
            assert rig.clerk.taken == []
            assert not question.buttons

    rigged(use, OPEN)


def test_a_forged_nonce_is_rejected() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            await rig.ask("/kill")
            button = rig.twin.button("Confirm")
            message = {"message_id": button.message_id, "chat": {"id": CHAT_ID, "type": "private"}, "date": 1}
            person = {"id": CHAT_ID, "is_bot": False, "first_name": "Ann"}
            for data in ("yes:", "yes:00", button.data[:-1], button.data + "0", "", "kill"):
                rig.twin.update("callback_query", {"id": "x", "from": person, "message": message, "data": data})
            await asyncio.sleep(3.0)
            assert rig.clerk.taken == []

    rigged(use, OPEN)


def test_a_refusal_shows_its_reason() -> None:
    async def use(rig: Rig) -> None:
        rig.clerk.rule = lambda command: "the <desk> is closed" if isinstance(command, Pause) else ""
        async with rig.running() as bot:
            question = await rig.ask("/pause")
            assert await rig.pressed("Confirm") == "refused: the <desk> is closed"
            assert question.text.endswith("✗ refused: the <desk> is closed")
            assert bot.statistics().refused == 1

    rigged(use, OPEN)


def test_a_reset_names_the_trip_shown_in_its_prompt() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            await rig.ask("/reset momentum looked at it")
            rig.tape.add(KillSwitchReset(NOON_MS, "momentum", TRIP_SEQ, "bob", "x"), tripped())
            await asyncio.sleep(1.0)
            await rig.pressed("Confirm")
            assert rig.clerk.taken == [Reset(WHO, "looked at it", "momentum", TRIP_SEQ)]

    rigged(use, [*market(), tripped()])


def test_an_impossible_command_gets_no_buttons() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            for said, why in (
                ("/reset global why", "is not tripped"),
                ("/reset momentum", "needs a reason"),
                ("/reset momentm why", "there is no strategy"),
                ("/close 1", "no open position with ID 1"),
                ("/close", "which position?"),
                ("/pause momentm news", "there is no strategy"),
            ):
                answer = await rig.ask(said)
                assert why in answer.text
                assert not answer.buttons

    rigged(use, OPEN)


def test_closing_a_position_that_is_gone_closes_no_other() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            await rig.ask(f"/close {GALA_SEQ}")
            rig.tape.add(closed_gala(), *BOTH_OPEN[2:])
            await asyncio.sleep(1.0)
            assert "no longer open" in await rig.pressed("Confirm")
            assert rig.clerk.taken == []

    rigged(use, OPEN)


def test_a_kill_does_not_wait_for_a_slow_telegram() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            for _ in range(5):
                rig.twin.say("/status")
            rig.twin.say("/kill")
            await rig.until(lambda: any(message.buttons for message in rig.twin.messages))
            rig.twin.faults.on(TelegramFault.SLOW, method="sendMessage", value=12.0)
            rig.twin.faults.on(TelegramFault.SLOW, method="answerCallbackQuery", value=12.0)
            for _ in range(5):
                rig.twin.say("/status")
            pressed_ms = rig.clock.now_ms()
            rig.twin.press(rig.twin.button("Confirm"))
            await rig.until(lambda: bool(rig.clerk.taken), 3.0)
            assert rig.clock.now_ms() - pressed_ms < 1_000

    rigged(use, OPEN)


def test_the_prompt_of_a_kill_overtakes_waiting_answers() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            rig.twin.faults.on(TelegramFault.SLOW, method="sendMessage", value=5.0)
            for _ in range(20):
                rig.twin.say("/version")
            rig.twin.say("/kill")
            await rig.until(lambda: any("STOP ALL" in text for text in rig.twin.texts), 60.0)
            assert len(rig.twin.texts) < 12

    rigged(use, OPEN)


def test_a_command_queue_that_does_not_answer_times_out() -> None:
    async def use(rig: Rig) -> None:
        rig.clerk.takes_s = 500.0
        async with rig.running():
            await rig.ask("/kill")
            assert "may still be executed" in await rig.pressed("Confirm")
            assert (await rig.ask("/version")).text.startswith("papertape")

    rigged(use, OPEN)


def test_an_outdated_command_is_refused_and_an_outdated_question_is_answered() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running() as bot:
            late = await rig.ask("/kill", age_s=300)
            assert "nothing was done" in late.text and not late.buttons
            assert "300 s" in late.text
            assert bot.statistics().late == 1
            assert (await rig.ask("/status", age_s=300)).text.startswith("●")

    rigged(use, OPEN)


def test_users_are_identified_by_name_or_id() -> None:
    async def use(rig: Rig) -> None:
        nameless = {"from": {"id": CHAT_ID, "is_bot": False, "first_name": " \n"}}
        async with rig.running():
            await rig.ask("/kill", **nameless)
            button = rig.twin.button("Confirm")
            message = {"message_id": button.message_id, "chat": {"id": CHAT_ID, "type": "private"}, "date": 1}
            rig.twin.update("callback_query", {"id": "x", "message": message, "data": button.data} | nameless)
            await rig.until(lambda: bool(rig.clerk.taken))
            assert rig.clerk.taken[0].who == f"telegram:{CHAT_ID}"

    rigged(use, OPEN)


def test_a_kill_when_everything_is_stopped_is_refused_at_once() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            answer = await rig.ask("/kill")
            assert "stopped already" in answer.text and not answer.buttons

    rigged(use, [*TELLING, KillSwitchTripped(NOON_MS, "global", "manual", 1.0, 1.0, 1.0, 0.0, "anna", "x")])
