"""The notifier: without loss, in order, urgent first, rate-limited; its reaction to each answer of Telegram."""

from __future__ import annotations

import asyncio

import pytest

from papertape.events.cursors import MemoryCursors
from papertape.projections.telegram.delivery_queues import PAGE_EVENTS_MAX, REMEMBER_EVENTS
from papertape.projections.telegram.rate_limit import MessageRateLimiter
from papertape.projections.telegram.text import REPEAT_MARK
from papertape.sandbox.telegram.faults import TelegramFault
from papertape.sandbox.telegram.limits import ChatLimits
from tests.build import news, noise, trip
from tests.sandbox.served_twin import START_MS
from tests.telegram.rig import Rig, rigged


def test_alerts_are_sent_once_and_in_order_and_the_cursor_moves() -> None:
    async def use(rig: Rig) -> None:
        rig.tape.add(news("a < b"), noise(), news("&amp;"), noise())
        async with rig.running() as notifier:
            assert await rig.sent(2) == ["1 a < b", "3 &amp;"]
            rig.tape.add(news("c"))
            assert (await rig.sent(3))[-1] == "5 c"
            await asyncio.sleep(60)
            assert notifier.statistics().sent == 3
            assert notifier.statistics().lag_events == 0
        async with rig.running():
            await asyncio.sleep(60)
        assert rig.seqs() == [1, 3, 5]
        assert rig.cursors.position("telegram.normal.sent") == 5

    rigged(use)


def test_the_first_start_begins_at_the_head_and_stores_it() -> None:
    async def use(rig: Rig) -> None:
        rig.tape.add(news(), news())
        async with rig.running(begin_after_seq=None):
            await asyncio.sleep(1)
        rig.tape.add(news())
        async with rig.running(begin_after_seq=None):
            await rig.sent(1)
        assert rig.seqs() == [3]

    rigged(use)


def test_the_first_start_on_an_empty_log_is_stored_too() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running(begin_after_seq=None):
            await asyncio.sleep(1)
        rig.tape.add(news())
        async with rig.running(begin_after_seq=None):
            await rig.sent(1)

    rigged(use)


def test_at_most_twenty_a_minute_and_never_a_burst() -> None:
    async def use(rig: Rig) -> None:
        rig.tape.add(*[news() for _ in range(60)], *[trip() for _ in range(30)])
        async with rig.running():
            await rig.sent(90)
        times = [message.at_ms for message in rig.twin.messages]
        assert all(later - first >= 60_000 for first, later in zip(times, times[20:], strict=False))
        assert all(later - first >= 1_000 for first, later in zip(times, times[3:], strict=False))
        assert rig.twin.statistics.limited == 0
        assert rig.seqs() == [*range(61, 91), *range(1, 61)]

    rigged(use, limits=ChatLimits())


@pytest.mark.system
def test_a_kill_switch_overtakes_a_hundred_others() -> None:
    async def use(rig: Rig) -> list[int]:
        waits: list[int] = []
        rig.tape.add(*[news() for _ in range(100)])
        async with rig.running():
            for number in range(100):
                await asyncio.sleep(17.3 + number % 7)
                rig.tape.add(*[news() for _ in range(6)])
                seq, tripped_ms = rig.tape.add(trip()), rig.clock.now_ms()
                await asyncio.sleep(5)
                found = [message for message in rig.twin.messages if message.text.startswith(f"{seq} ")]
                waits.append(found[0].at_ms - tripped_ms if found else 5_000)
                assert len(rig.tape.events) - len(rig.twin.messages) >= 60
        return sorted(waits)

    waits = rigged(use, limits=ChatLimits())
    assert waits[98] < 2_000, waits


def test_a_kill_switch_does_not_wait_for_a_conversation() -> None:
    """Alerts wait by the hundred, and the owner asks more than there is room for."""

    async def use(rig: Rig) -> list[int]:
        waits: list[int] = []
        pace = MessageRateLimiter(rig.clock)
        rig.tape.add(*[news() for _ in range(100)])

        async def answer() -> None:
            while True:
                await rig.clock.sleep(pace.wait_s(answers=True) or 0.3)
                if pace.wait_s(answers=True) == 0.0:
                    pace.record_sent()

        talking = asyncio.ensure_future(answer())
        async with rig.running(limiter=pace):
            for number in range(40):
                await asyncio.sleep(47.3 + number % 7)
                rig.tape.add(*[news() for _ in range(6)])
                seq, tripped_ms = rig.tape.add(trip()), rig.clock.now_ms()
                await asyncio.sleep(5)
                found = [message for message in rig.twin.messages if message.text.startswith(f"{seq} ")]
                waits.append(found[0].at_ms - tripped_ms if found else 5_000)
        talking.cancel()
        return sorted(waits)

    waits = rigged(use)
    assert waits[-1] < 2_000, waits


def test_a_kill_switch_is_the_next_message_of_a_slow_telegram() -> None:
    async def use(rig: Rig) -> None:
        rig.twin.faults.on(TelegramFault.SLOW, value=2.0)
        rig.tape.add(*[news() for _ in range(20)])
        async with rig.running():
            await rig.sent(3)
            await asyncio.sleep(0.5)
            seq = rig.tape.add(trip())
            await rig.sent(5)
        assert rig.seqs()[:5] == [1, 2, 3, 4, seq]

    rigged(use)


def test_all_senders_respect_a_request_to_wait() -> None:
    async def use(rig: Rig) -> None:
        rig.twin.faults.on(TelegramFault.BUSY, times=1, value=90)
        rig.tape.add(news())
        async with rig.running():
            await asyncio.sleep(5)
            rig.tape.add(trip())
            assert len(rig.twin.received) == 1
            await rig.sent(2)
        times = [one.at_ms - START_MS for one in rig.twin.received]
        assert times[1] >= 90_000
        assert times[1] < 92_000
        assert rig.twin.texts == ["2 manual", "1 x"]
        assert len(rig.told) == 1
        assert "429" in rig.told[0]

    rigged(use)


@pytest.mark.parametrize(
    "fault",
    [
        TelegramFault.SERVER_ERROR,
        TelegramFault.BAD_GATEWAY,
        TelegramFault.GARBAGE,
        TelegramFault.RESET_BEFORE,
        TelegramFault.HANGING,
        None,
    ],
)
def test_while_telegram_is_away_alerts_wait_in_the_log(fault: TelegramFault | None) -> None:
    async def use(rig: Rig) -> None:
        if fault is None:
            await rig.twin.stop_listening()
        else:
            rig.twin.faults.on(fault)
        rig.tape.add(news(), news())
        async with rig.running() as notifier:
            await asyncio.sleep(600)
            rig.tape.add(trip())
            await asyncio.sleep(600)
            assert notifier.statistics().oldest_unsent_ms == 1_200_000
            assert notifier.statistics().lag_events == 3
            assert 20 <= len(rig.twin.received) <= 60 or fault is None
            assert len(rig.told) == 1
            rig.twin.faults.clear()
            if fault is None:
                await rig.twin.start_listening()
            await rig.sent(3, within_s=60)
            assert notifier.statistics().oldest_unsent_ms == 0
        assert [text.split()[0] for text in rig.twin.texts] == ["3", "1", "2"]
        assert "answers again" in rig.told[1]
        sure = fault in (TelegramFault.SERVER_ERROR, None)
        assert sum(REPEAT_MARK in text for text in rig.twin.texts) == (0 if sure else 2)

    rigged(use)


@pytest.mark.parametrize("fault", [TelegramFault.TIMEOUT_AFTER, TelegramFault.RESET_AFTER])
def test_after_a_lost_answer_the_repeat_is_marked(fault: TelegramFault) -> None:
    async def use(rig: Rig) -> None:
        rig.twin.faults.on(fault, times=1)
        rig.tape.add(news("a"), news("b"))
        async with rig.running() as notifier:
            await rig.sent(3)
            assert notifier.statistics().repeated == 1
        assert rig.twin.texts == ["1 a", f"1 a\n{REPEAT_MARK}", "2 b"]

    rigged(use)


def test_refused_html_is_sent_as_plain_text() -> None:
    async def use(rig: Rig) -> None:
        rig.twin.faults.on(TelegramFault.PARSE)
        rig.tape.add(news("a < b"), news("c"))
        async with rig.running():
            await rig.sent(2)
        assert rig.twin.texts == ["1 a < b", "2 c"]
        assert [message.parse_mode for message in rig.twin.messages] == ["", ""]
        assert len(rig.told) == 2
        assert all("defect" in line for line in rig.told)

    rigged(use)


def test_a_long_alert_is_sent_in_parts_and_resumes_where_it_stopped() -> None:
    async def use(rig: Rig) -> None:
        long = "\n".join(f"line {number} {'&' * 60}" for number in range(200))
        rig.tape.add(news(long), news("end"))
        async with rig.running():
            await rig.sent(2)
        async with rig.running():
            await rig.sent(5)
        texts = [text.replace(f"\n{REPEAT_MARK}", "") for text in rig.twin.texts]
        assert len(set(texts)) == 5
        assert len(texts) - 5 == sum(REPEAT_MARK in text for text in rig.twin.texts) <= 1
        assert "\n".join(dict.fromkeys(texts[:-1])) == f"1 {long}"
        assert texts[-1] == "2 end"

    rigged(use)


def test_remaining_alerts_are_sent_for_a_while_after_the_bus_closes() -> None:
    async def use(rig: Rig) -> None:
        rig.tape.add(*[news() for _ in range(40)])
        async with rig.running() as notifier:
            await rig.sent(3)
            rig.tape.bus.close()
            await asyncio.sleep(30)
            assert 8 <= notifier.statistics().sent <= 16
        assert rig.seqs() == [*range(1, len(rig.seqs()) + 1)]

    rigged(use)


def test_a_silent_telegram_does_not_delay_the_end() -> None:
    async def use(rig: Rig) -> None:
        await rig.twin.stop_listening()
        rig.tape.add(news())
        async with rig.running():
            await asyncio.sleep(30)
            rig.tape.bus.close()
            began_ms = rig.clock.now_ms()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.wait(others)
            assert rig.clock.now_ms() - began_ms < 20_000

    rigged(use)


def test_a_long_stretch_without_alerts_is_not_read_again_and_other_tasks_run() -> None:
    async def use(rig: Rig) -> None:
        rig.tape.add(*[noise() for _ in range(20_000)])
        turns = 0
        async with rig.running() as notifier:
            while notifier.statistics().lag_events or not turns:
                await asyncio.sleep(0)
                turns += 1
        assert turns >= 20_000 / PAGE_EVENTS_MAX
        for lane in ("urgent", "normal"):
            assert rig.cursors.position(f"telegram.{lane}.sent") > 20_000 - REMEMBER_EVENTS - PAGE_EVENTS_MAX

    rigged(use, MemoryCursors())
