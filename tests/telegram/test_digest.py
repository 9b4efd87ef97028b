"""After an outage: a digest within a minute, urgent alerts before it, and flat memory."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable

import pytest

from papertape.events.log import Recorded
from papertape.projections.alerts.alert import Alert
from papertape.projections.telegram.backlog import URGENT_SINGLE_MAX
from papertape.projections.telegram.text import REPEAT_MARK
from papertape.sandbox.telegram.faults import TelegramFault
from papertape.sandbox.telegram.limits import ChatLimits
from tests.build import news, noise, trip
from tests.sandbox.served_twin import START_MS
from tests.telegram.rig import HOUR_S, Plain, Rig, Tape, rigged

MINUTE_MS = 60_000
DAY_EVENTS = 24 * 60
GROWTH_BYTES_MAX = 150_000


class Seqs:
    """A digest that names the alerts it stands for."""

    def __init__(self) -> None:
        self.seqs: list[int] = []

    def apply(self, recorded: Recorded, alert: Alert | None, /) -> None:
        if alert is not None:
            assert alert.seq == recorded.seq
            self.seqs.append(alert.seq)

    def html(self) -> str:
        return f"digest {self.seqs}"


def away(rig: Rig, fault: TelegramFault | None) -> None:
    if fault is not None:
        rig.twin.faults.on(fault)


@pytest.mark.system
@pytest.mark.parametrize(
    "fault", [TelegramFault.HANGING, pytest.param(TelegramFault.BAD_GATEWAY, marks=pytest.mark.slow), None]
)
def test_a_day_without_telegram_ends_in_one_digest_within_a_minute(fault: TelegramFault | None) -> None:
    async def use(rig: Rig) -> None:
        async with rig.running(digest=Seqs) as notifier:
            rig.tape.add(news())
            await rig.sent(1)
            if fault is None:
                await rig.twin.stop_listening()
            away(rig, fault)
            for minute in range(DAY_EVENTS):
                rig.tape.add(news() if minute % 10 == 0 else noise())
                await asyncio.sleep(60)
            assert notifier.statistics().oldest_unsent_ms > 23 * 3_600_000
            if fault is None:
                await rig.twin.start_listening()
            rig.twin.faults.clear()
            back_ms = rig.clock.now_ms()
            await rig.sent(2, within_s=120)
            assert rig.twin.messages[1].at_ms - back_ms <= MINUTE_MS
            assert rig.twin.texts[1].replace(f"\n{REPEAT_MARK}", "") == f"digest {[*range(2, DAY_EVENTS + 2, 10)]}"
            assert REPEAT_MARK not in rig.twin.texts[1], "Telegram was asked first, so nothing was in doubt"
            rig.tape.add(news())
            assert (await rig.sent(3))[2] == f"{DAY_EVENTS + 2} x"
            assert notifier.statistics().lag_events == 0
        assert len(rig.told) == 3

    rigged(use, limits=ChatLimits())


def test_urgent_alerts_are_sent_one_by_one_before_the_digest_of_the_others() -> None:
    async def use(rig: Rig) -> None:
        rig.twin.faults.on(TelegramFault.SERVER_ERROR)
        rig.tape.add(news(), *[trip() for _ in range(30)], news())
        async with rig.running(digest=Seqs):
            await asyncio.sleep(2 * HOUR_S)
            rig.tape.add(trip(), news())
            rig.twin.faults.clear()
            back_ms = rig.clock.now_ms()
            await rig.sent(URGENT_SINGLE_MAX + 1, within_s=120)
            assert rig.twin.messages[-1].at_ms - back_ms <= MINUTE_MS
            single = [*range(2, 2 + URGENT_SINGLE_MAX)]
            rest = [seq for seq in range(1, 35) if seq not in single]
            assert [int(text.split()[0]) for text in rig.twin.texts[:-1]] == single
            assert rig.twin.texts[-1] == f"digest {rest}"
            await asyncio.sleep(HOUR_S)
            rig.tape.add(trip())
            await rig.sent(URGENT_SINGLE_MAX + 2)
        assert rig.twin.texts[-1] == "35 manual"

    rigged(use, limits=ChatLimits())


def test_urgent_alerts_alone_may_need_a_digest_too() -> None:
    async def use(rig: Rig) -> None:
        rig.twin.faults.on(TelegramFault.SERVER_ERROR)
        rig.tape.add(*[trip() for _ in range(URGENT_SINGLE_MAX + 3)])
        async with rig.running(digest=Seqs):
            await asyncio.sleep(2 * HOUR_S)
            rig.twin.faults.clear()
            await rig.sent(URGENT_SINGLE_MAX + 1)
            await asyncio.sleep(HOUR_S)
        assert rig.twin.texts[URGENT_SINGLE_MAX:] == [f"digest {[19, 20, 21]}"]

    rigged(use)


def test_a_refused_digest_is_sent_as_plain_text_and_a_lost_one_is_marked() -> None:
    async def use(rig: Rig) -> None:
        rig.tape.add(news(), news())
        await asyncio.sleep(2 * HOUR_S)
        rig.twin.faults.on(TelegramFault.PARSE, times=1)
        async with rig.running(digest=Seqs):
            await rig.sent(1)
            assert rig.twin.messages[0].parse_mode == ""
            rig.tape.add(news())
            await asyncio.sleep(0)
        rig.twin.messages.clear()
        await asyncio.sleep(2 * HOUR_S)
        rig.twin.faults.on(TelegramFault.RESET_AFTER, method="sendMessage", times=1)
        async with rig.running(digest=Seqs):
            await rig.sent(2)
        assert rig.twin.texts == ["digest [3]", f"digest [3]\n{REPEAT_MARK}"]

    rigged(use)


def test_a_refused_probe_is_repeated_with_pauses() -> None:
    async def use(rig: Rig) -> None:
        rig.tape.add(news())
        await asyncio.sleep(2 * HOUR_S)
        rig.twin.faults.on(TelegramFault.BAD_REQUEST, method="getMe")
        async with rig.running(digest=Seqs):
            await asyncio.sleep(600)
            assert 10 <= len(rig.twin.received) <= 40
            rig.twin.faults.clear()
            await rig.sent(1, within_s=60)

    rigged(use)


def test_the_real_digest_is_one_message() -> None:
    async def use(rig: Rig) -> None:
        rig.tape.add(news(), trip(at_ms=START_MS), news())
        await asyncio.sleep(2 * HOUR_S)
        async with rig.running():
            await rig.sent(2)
        assert "2 undelivered messages" in rig.twin.texts[1]

    rigged(use)


class Endless(Tape):
    """A log that holds nothing: its events are made when they are read, one a minute."""

    def read(self, after_seq: int, limit: int = 1_000) -> list[Recorded]:
        seqs = range(after_seq + 1, min(after_seq + limit, self.bus.head_seq) + 1)
        return [Recorded(seq, START_MS + seq * MINUTE_MS, 0, news() if seq % 2 else noise()) for seq in seqs]

    def grow(self) -> None:
        self.bus.publish(self.bus.head_seq + 1)


class Counting:
    """The smallest digest."""

    def __init__(self) -> None:
        self.count = 0

    def apply(self, recorded: Recorded, alert: Alert | None, /) -> None:  # noqa: ARG002
        self.count += alert is not None

    def html(self) -> str:
        return f"{self.count} waited"


def _traced() -> int:
    """What is held, without what the import system remembers of folders that others change."""
    gc.collect()
    imports = tracemalloc.Filter(inclusive=False, filename_pattern="<frozen importlib*")
    snapshot = tracemalloc.take_snapshot().filter_traces([imports])
    return sum(statistic.size for statistic in snapshot.statistics("filename"))


@pytest.mark.slow
def test_memory_stays_flat_for_a_day_without_telegram() -> None:
    async def use(rig: Rig) -> None:
        tape = rig.tape = Endless(rig.clock)
        await rig.twin.stop_listening()
        sizes: list[int] = []
        tracemalloc.start()
        async with rig.running(digest=Counting):
            for hour in range(24):
                for _ in range(60):
                    tape.grow()
                    await asyncio.sleep(60)
                if hour >= 2:
                    sizes.append(_traced())
            await rig.twin.start_listening()
            await rig.sent(1, within_s=60)
            peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert rig.twin.texts == ["720 waited"]
        assert max(sizes) - min(sizes) < GROWTH_BYTES_MAX, sizes
        assert peak - min(sizes) < 20 * GROWTH_BYTES_MAX

    rigged(use)


@pytest.mark.system
def test_an_outage_costs_one_fold_of_each_event() -> None:
    counts: list[int] = []

    def counted() -> Plain:
        fold = Plain()
        counts.append(len(counts))
        return fold

    async def use(rig: Rig) -> None:
        rig.twin.faults.on(TelegramFault.SERVER_ERROR)
        reads = _Reads(rig.tape.read)
        rig.tape.add(*[news() for _ in range(500)])
        async with rig.running(alerts=counted, digest=Counting, reader=reads):
            await asyncio.sleep(10 * HOUR_S)
        assert counts == [0, 1]
        assert reads.count < 10

    rigged(use)


class _Reads:
    def __init__(self, read: Callable[[int, int], list[Recorded]]) -> None:
        self._read = read
        self.count = 0

    def read(self, after_seq: int, limit: int = 1_000) -> list[Recorded]:
        self.count += 1
        return self._read(after_seq, limit)
