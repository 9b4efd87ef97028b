"""A group that becomes a supergroup is followed, stored and reported; a newly configured chat replaces it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from papertape.events.cursors import Cursors, MemoryCursors, SqliteCursors
from papertape.projections.telegram.chat_address import ChatAddress
from papertape.projections.telegram.poll import ChatAllowlist
from papertape.sandbox.telegram.faults import TelegramFault
from papertape.sandbox.telegram.twin import CHAT_ID
from tests.build import news, trip
from tests.telegram import bot_rig
from tests.telegram.rig import HOUR_S, Rig, rigged

GROUP, SUPERGROUP, ELSEWHERE = -4_001_234_567, -1_001_557_912_345, -4_009_999_999
ADVICE = f"set TELEGRAM_CHAT_ID={SUPERGROUP}"


def chats(rig: Rig) -> list[int]:
    return [message.chat_id for message in rig.twin.messages]


def test_alerts_follow_the_group_and_the_owner_learns_the_new_id() -> None:
    async def use(rig: Rig) -> None:
        rig.configured_id = GROUP
        rig.tape.add(news("before"))
        async with rig.running() as notifier:
            await rig.sent(1)
            rig.twin.move(GROUP, SUPERGROUP)
            rig.tape.add(trip("after"))
            texts = await rig.sent(3)
            assert notifier.statistics().moved_to == SUPERGROUP
            assert notifier.statistics().parked == ""
        assert chats(rig) == [GROUP, SUPERGROUP, SUPERGROUP]
        assert texts[1] == "2 after"
        assert ADVICE in texts[2]
        assert len(rig.told) == 1 and ADVICE in rig.told[0]

    rigged(use, chats=(GROUP,))


def test_the_new_id_survives_a_restart_and_is_dropped_with_the_configured_one(tmp_path: Path) -> None:
    def opened() -> Cursors:
        return SqliteCursors(tmp_path / "cursors.db")

    async def use(rig: Rig) -> None:
        rig.cursors, rig.configured_id = opened(), GROUP
        rig.twin.move(GROUP, SUPERGROUP)
        rig.tape.add(news("first"))
        async with rig.running():
            await rig.sent(2)
        rig.cursors.close()
        rig.cursors = opened()
        rig.tape.add(news("second"))
        async with rig.running():
            await rig.sent(3)
        assert ADVICE in rig.told[-1], "each start says what is to be done"
        refused = [one for one in rig.twin.received if one.status == 400]
        assert len(refused) == 1, "the old id is not asked again"
        rig.configured_id = ELSEWHERE
        rig.tape.add(news("third"))
        async with rig.running():
            await rig.sent(4)
        assert chats(rig) == [SUPERGROUP, SUPERGROUP, SUPERGROUP, ELSEWHERE]
        rig.cursors.close()

    rigged(use, chats=(GROUP, ELSEWHERE))


@pytest.mark.parametrize("new_id", [GROUP, 5, -(1 << 60)])
def test_an_impossible_supergroup_id_is_not_followed(new_id: int) -> None:
    async def use(rig: Rig) -> None:
        rig.configured_id = GROUP
        rig.twin.faults.on(TelegramFault.MIGRATED, value=new_id)
        rig.tape.add(trip())
        async with rig.running() as notifier:
            await asyncio.sleep(HOUR_S)
            assert notifier.statistics().moved_to == 0
            assert "upgraded" in notifier.statistics().parked
            assert len(rig.told) == 1
            rig.twin.faults.clear()
            await rig.sent(1, within_s=HOUR_S)

    rigged(use, chats=(GROUP,))


def test_a_second_move_is_parked_and_not_followed() -> None:
    async def use(rig: Rig) -> None:
        rig.configured_id = GROUP
        rig.twin.move(GROUP, SUPERGROUP)
        rig.twin.move(SUPERGROUP, ELSEWHERE)
        rig.tape.add(trip())
        async with rig.running() as notifier:
            await asyncio.sleep(HOUR_S)
            assert notifier.statistics().moved_to == SUPERGROUP
            assert notifier.statistics().parked
            assert len(rig.twin.received) < 20

    rigged(use, chats=(GROUP,))


def test_commands_in_the_new_chat_are_answered_there() -> None:
    async def use(rig: bot_rig.Rig) -> None:
        address = ChatAddress(GROUP, rig.cursors, rig.told.append)
        async with rig.running(ChatAllowlist(GROUP, (CHAT_ID,)), address=address) as bot:
            assert (await rig.ask("/version", chat=GROUP)).chat_id == GROUP
            rig.twin.move(GROUP, SUPERGROUP)
            assert (await rig.ask("/version", chat=GROUP)).chat_id == SUPERGROUP
            assert (await rig.ask("/kill", chat=SUPERGROUP)).chat_id == SUPERGROUP
            assert await rig.pressed("Confirm", chat=SUPERGROUP) == "accepted: event #4711"
            assert bot.statistics().ignored == 0
            rig.twin.say("/version", chat=GROUP)
            await rig.silence()
            assert bot.statistics().ignored == 1, "the old group is nobody's any more"
        assert any(ADVICE in line for line in rig.told)

    bot_rig.rigged(use, chats=(GROUP,))


@pytest.mark.parametrize(("chat", "goes_to"), [(GROUP, SUPERGROUP), (ELSEWHERE, GROUP)])
def test_only_a_move_of_the_owners_group_counts(chat: int, goes_to: int) -> None:
    async def use(rig: bot_rig.Rig) -> None:
        address = ChatAddress(GROUP, rig.cursors, rig.told.append)
        async with rig.running(ChatAllowlist(GROUP, (CHAT_ID,)), address=address):
            rig.twin.move(chat, SUPERGROUP, says_so=True)
            await asyncio.sleep(5.0)
            assert address.id == goes_to

    bot_rig.rigged(use, chats=(GROUP, ELSEWHERE))


def test_a_move_is_followed_once_and_for_ever() -> None:
    cursors = MemoryCursors()
    address = ChatAddress(GROUP, cursors)
    assert address.move_to(SUPERGROUP)
    assert address.move_to(SUPERGROUP)
    assert not address.move_to(ELSEWHERE)
    assert ChatAddress(GROUP, cursors).id == SUPERGROUP
    assert ChatAddress(SUPERGROUP, cursors).id == SUPERGROUP
    assert ChatAddress(SUPERGROUP, cursors).moved_to == 0
