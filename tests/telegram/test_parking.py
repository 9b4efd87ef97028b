"""Refusals: errors about the chat park alerts, a refused text is sent in simpler forms."""

from __future__ import annotations

import asyncio

import pytest

from papertape.projections.telegram.delivery_pause import CHAT_S_MAX, TOKEN_S_MAX
from papertape.projections.telegram.errors import (
    ChatMigrated,
    ChatRefused,
    EntitiesRefused,
    MessageTooLong,
    RequestRefused,
    TelegramBusy,
    TelegramError,
    TokenRefused,
)
from papertape.projections.telegram.refusals import error_of
from papertape.projections.telegram.wire import ResponseParameters, TelegramEnvelope
from papertape.sandbox.telegram.faults import TelegramFault
from tests.build import news, noise, trip
from tests.telegram.rig import HOUR_S, Rig, rigged

OF_THE_CHAT = [
    "chat not found",
    "not enough rights to send text messages to the chat",
    "not enough rights to send photos to the chat",
    "have no rights to send a message",
    "need administrator rights in the channel chat",
    "TOPIC_CLOSED",
    "TOPIC_DELETED",
    "message thread not found",
    "CHAT_WRITE_FORBIDDEN",
    "CHAT_SEND_PLAIN_FORBIDDEN",
    "CHAT_RESTRICTED",
    "CHAT_ADMIN_REQUIRED",
    "CHANNEL_PRIVATE",
    "PEER_ID_INVALID",
    "USER_IS_BLOCKED",
    "USER_BANNED_IN_CHANNEL",
    "YOU_BLOCKED_USER",
    "INPUT_USER_DEACTIVATED",
    "group chat was deactivated",
    "group chat was upgraded to a supergroup chat",
    "user not found",
    "bot is not a member of the channel chat",
]
OF_THE_REQUEST: dict[str, type[TelegramError]] = {
    'can\'t parse entities: Unsupported start tag "x" at byte offset 3': EntitiesRefused,
    "can't parse entities: Can't find end of the entity starting at byte offset 4": EntitiesRefused,
    "ENTITIES_TOO_LONG": EntitiesRefused,
    "ENTITY_BOUNDS_INVALID": EntitiesRefused,
    "message is too long": MessageTooLong,
    "MESSAGE_TOO_LONG": MessageTooLong,
    "message caption is too long": MessageTooLong,
    "MEDIA_CAPTION_TOO_LONG": MessageTooLong,
    "message text is empty": RequestRefused,
    "text must be non-empty": RequestRefused,
    "strings must be encoded in UTF-8": RequestRefused,
    "message is not modified: specified new message content is the same": RequestRefused,
    "message to edit not found": RequestRefused,
    "message can't be edited": RequestRefused,
    "MESSAGE_ID_INVALID": RequestRefused,
    "message to be replied not found": RequestRefused,
    "BUTTON_DATA_INVALID": RequestRefused,
    "BUTTON_USER_PRIVACY_RESTRICTED": RequestRefused,
    "REPLY_MARKUP_TOO_LONG": RequestRefused,
    "can't parse reply keyboard markup JSON object": RequestRefused,
    "query is too old and response timeout expired or query ID is invalid": RequestRefused,
    "QUERY_ID_INVALID": RequestRefused,
    "IMAGE_PROCESS_FAILED": RequestRefused,
    "PHOTO_INVALID_DIMENSIONS": RequestRefused,
    "file is too big": RequestRefused,
    "wrong file identifier/HTTP URL specified": RequestRefused,
    "BOT_COMMAND_INVALID": RequestRefused,
    "SOMETHING_NEW_2031": RequestRefused,
}


def named(code: int, words: str, parameters: ResponseParameters = ResponseParameters()) -> TelegramError:  # noqa: B008 - it is frozen.
    envelope = TelegramEnvelope(ok=False, error_code=code, description=words, parameters=parameters)
    return error_of("sendMessage", envelope, words, code, "")


@pytest.mark.parametrize("words", OF_THE_CHAT)
def test_errors_about_the_chat_are_recognised(words: str) -> None:
    assert type(named(400, f"Bad Request: {words}")) is ChatRefused


@pytest.mark.parametrize(("words", "kind"), OF_THE_REQUEST.items())
def test_errors_about_a_message_are_never_taken_for_errors_about_the_chat(
    words: str, kind: type[TelegramError]
) -> None:
    assert type(named(400, f"Bad Request: {words}")) is kind


def test_the_code_takes_precedence_over_the_words() -> None:
    assert type(named(403, "Forbidden: something new")) is ChatRefused
    assert type(named(401, "Unauthorized")) is TokenRefused
    assert type(named(404, "Not Found")) is TokenRefused
    assert type(named(404, "Not Found: PEER_ID_INVALID")) is ChatRefused
    moved = named(400, "Bad Request: in other words", ResponseParameters(migrate_to_chat_id=-100_5))
    assert isinstance(moved, ChatMigrated) and moved.chat_id == -100_5
    slow = named(420, "SLOWMODE_WAIT_17")
    assert isinstance(slow, TelegramBusy) and slow.retry_after_s == 17


@pytest.mark.parametrize("words", ["not enough rights to send text messages to the chat", "TOPIC_CLOSED", None])
def test_alerts_refused_by_the_chat_for_a_day_are_parked_with_one_line_and_never_dropped(
    words: str | None,
) -> None:
    async def use(rig: Rig) -> None:
        rig.twin.faults.on(
            TelegramFault.FORBIDDEN if words is None else TelegramFault.BAD_REQUEST, method="sendMessage", value=words
        )
        rig.tape.add(trip("first"))
        async with rig.running() as notifier:
            await asyncio.sleep(20 * HOUR_S)
            rig.tape.add(trip("second"))
            await asyncio.sleep(1)
            assert (words or "blocked") in notifier.statistics().parked
            assert len(rig.told) == 1, rig.told
            assert 20 * HOUR_S / CHAT_S_MAX <= len(rig.twin.received) <= 20 * HOUR_S / CHAT_S_MAX + 12
            rig.twin.faults.clear()
            await rig.sent(2, within_s=CHAT_S_MAX + 5)
            assert (notifier.statistics().parked, notifier.statistics().skipped) == ("", 0)
        assert rig.twin.texts[:2] == ["1 first", "2 second"]

    rigged(use)


def test_a_right_that_is_restored_soon_is_used_soon() -> None:
    async def use(rig: Rig) -> None:
        rig.twin.faults.on(
            TelegramFault.BAD_REQUEST, value="not enough rights to send text messages to the chat", for_s=5.0
        )
        rig.tape.add(trip())
        async with rig.running():
            await rig.sent(1, within_s=10)

    rigged(use)


@pytest.mark.parametrize("fault", [TelegramFault.UNAUTHORIZED, TelegramFault.NOT_FOUND])
def test_a_refused_token_parks_with_one_line_and_is_tried_once_an_hour(fault: TelegramFault) -> None:
    async def use(rig: Rig) -> None:
        rig.twin.faults.on(fault, for_s=10 * HOUR_S - 60)
        async with rig.running() as notifier:
            for _ in range(10):
                rig.tape.add(trip())
                await asyncio.sleep(HOUR_S)
            assert notifier.statistics().parked
            assert len(rig.told) == 1
            assert len(rig.twin.received) <= 11
            await rig.sent(10, within_s=TOKEN_S_MAX)

    rigged(use)


def test_an_unknown_error_parks_if_the_chat_refuses_a_notice_too() -> None:
    async def use(rig: Rig) -> None:
        rig.twin.faults.on(
            TelegramFault.BAD_REQUEST, method="sendMessage", value="SOMETHING_NEW_2031", for_s=5 * HOUR_S
        )
        rig.tape.add(trip("kept"), news("too"))
        async with rig.running() as notifier:
            await asyncio.sleep(0.5 * HOUR_S)
            assert "SOMETHING_NEW" in notifier.statistics().parked
            assert len(rig.told) == 2, "a defect in a text, then parked"
            await asyncio.sleep(4.4 * HOUR_S)
            assert len(rig.told) <= 3
            rig.twin.faults.clear()
            await rig.sent(2, within_s=CHAT_S_MAX + 5)
            assert notifier.statistics().skipped == 0
        assert rig.twin.texts[0] == "1 kept"

    rigged(use)


@pytest.mark.parametrize("seconds", [1.5, 2.5, 3.5, 4.5, 6.5, 9.5])
def test_an_unknown_error_loses_nothing_whenever_it_ends(seconds: float) -> None:
    async def use(rig: Rig) -> None:
        rig.twin.faults.on(TelegramFault.BAD_REQUEST, method="sendMessage", value="SOMETHING_NEW_2031", for_s=seconds)
        rig.tape.add(trip("kept"))
        async with rig.running() as notifier:
            await asyncio.sleep(60)
            assert notifier.statistics().skipped == 0
        assert "1 kept" in rig.twin.texts

    rigged(use)


def test_a_refused_text_delays_no_other_and_leaves_a_notice_and_a_log_line() -> None:
    async def use(rig: Rig) -> None:
        rig.twin.faults.on(TelegramFault.POISON, value="poison")
        rig.tape.add(news("before"), news("poison"), news("after"))
        async with rig.running() as notifier:
            await rig.sent(3, within_s=30)
            assert notifier.statistics().skipped == 1
            assert notifier.statistics().sent == 2
            assert notifier.statistics().parked == ""
        assert rig.twin.texts == [
            "1 before",
            "The text of alert 2:anomaly was refused; read it in papertape's log.",
            "3 after",
        ]
        assert "2 poison" in rig.told[-1] and "MESSAGE_STRANGE" in rig.told[-1]

    rigged(use)


def test_a_refused_digest_leaves_a_notice_too() -> None:
    async def use(rig: Rig) -> None:
        rig.twin.faults.on(TelegramFault.POISON, value="the digest")
        rig.tape.add(news(), news(), noise())
        await asyncio.sleep(2 * HOUR_S)
        async with rig.running(digest=Named) as notifier:
            await rig.sent(1, within_s=30)
            await asyncio.sleep(30)
            assert notifier.statistics().skipped == 1
            rig.tape.add(news("later"))
            await rig.sent(2, within_s=30)
        assert rig.twin.texts[1] == "4 later"

    rigged(use)


class Named:
    """A digest that says what it is."""

    def apply(self, *_: object) -> None:
        """Nothing is counted."""

    def html(self) -> str:
        """The same for everything."""
        return "the digest"


def test_a_text_that_is_too_long_is_sent_in_halves_with_nothing_missing() -> None:
    async def use(rig: Rig) -> None:
        words = " ".join(f"word{number}" for number in range(300))
        rig.tape.add(news(words), news("next"))
        rig.twin.faults.on(TelegramFault.BAD_REQUEST, method="sendMessage", value="message is too long", times=2)
        async with rig.running() as notifier:
            await asyncio.sleep(60)
            assert (notifier.statistics().sent, notifier.statistics().skipped) == (2, 0)
        assert len(rig.twin.texts) == 4
        assert " ".join(rig.twin.texts) == f"1 {words} 2 next"

    rigged(use)


def test_after_a_crash_between_two_halves_nothing_is_missing() -> None:
    async def use(rig: Rig) -> None:
        words = " ".join(f"word{number}" for number in range(300))
        rig.tape.add(news(words))
        rig.twin.faults.on(TelegramFault.BAD_REQUEST, method="sendMessage", value="message is too long", times=1)
        async with rig.running():
            await rig.sent(1)
        async with rig.running():
            await rig.sent(2)
        assert rig.twin.texts[1].startswith(f"1 {words}")
        assert "possible repeat" in rig.twin.texts[1]

    rigged(use)
