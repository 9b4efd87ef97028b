"""Catching up and following live give the same result, whatever the pages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from papertape.events.bus import Bus
from papertape.events.errors import LogDamaged
from papertape.events.log import Entry
from papertape.events.memory_log import MemoryEventLog
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.trades import Trades
from papertape.projections.host import FOLLOW_EVENTS_MAX, Cursor, fold, follow
from tests.build import candle, closed, configured, opened, recorded
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from papertape.events.facts import Event
    from papertape.events.log import Recorded

STORY: list[Event] = [configured(), candle(0, 100.0), opened(), candle(1, 105.0), closed(5.0), candle(2, 90.0)]


class Seen:
    """A projection that records the seqs it folds."""

    def __init__(self) -> None:
        self.seqs: list[int] = []

    def apply(self, recorded: Recorded) -> None:
        self.seqs.append(recorded.seq)


async def append(log: MemoryEventLog, bus: Bus, *events: Event) -> None:
    head = await log.append(log.head.seq, [Entry(event) for event in events])
    bus.publish(head.seq)


def test_every_projection_receives_every_event_in_order() -> None:
    first, second = Seen(), Seen()
    fold([first, second], recorded(STORY))
    assert first.seqs == second.seqs == [1, 2, 3, 4, 5, 6]


def test_following_catches_up_and_continues_live() -> None:
    async def story() -> tuple[list[int], int]:
        log, bus, seen, cursor = MemoryEventLog(clock_ms=lambda: 0), Bus(), Seen(), Cursor()
        await append(log, bus, *STORY[:2])
        task = asyncio.create_task(follow(log.reader(), bus, [seen], cursor))
        async with asyncio.timeout(PATIENCE_S):
            while len(seen.seqs) < 2:  # noqa: ASYNC110 - what is seen tells nobody.
                await asyncio.sleep(0)
        caught_up = list(seen.seqs)
        await append(log, bus, *STORY[2:])
        bus.close()
        await task
        assert caught_up == [1, 2]
        return seen.seqs, cursor.seq

    assert asyncio.run(story()) == ([1, 2, 3, 4, 5, 6], 6)


def test_a_long_log_is_read_to_its_end_in_pages_even_if_the_bus_is_closed() -> None:
    async def story() -> list[int]:
        log, bus, seen = MemoryEventLog(clock_ms=lambda: 0), Bus(), Seen()
        for start in range(0, 2 * FOLLOW_EVENTS_MAX + 500, 500):
            await append(log, bus, *[candle(start + i, 100.0) for i in range(500)])
        bus.close()
        await follow(log.reader(), bus, [seen], Cursor())
        return seen.seqs

    assert asyncio.run(story()) == list(range(1, 2 * FOLLOW_EVENTS_MAX + 501))


def test_following_from_a_cursor_folds_only_later_events() -> None:
    async def story() -> list[int]:
        log, bus, seen = MemoryEventLog(clock_ms=lambda: 0), Bus(), Seen()
        await append(log, bus, *STORY)
        bus.close()
        await follow(log.reader(), bus, [seen], Cursor(4))
        return seen.seqs

    assert asyncio.run(story()) == [5, 6]


def test_a_cancelled_follow_can_be_continued_from_its_cursor() -> None:
    async def story() -> list[int]:
        log, bus, seen, cursor = MemoryEventLog(clock_ms=lambda: 0), Bus(), Seen(), Cursor()
        await append(log, bus, *STORY[:3])
        task = asyncio.create_task(follow(log.reader(), bus, [seen], cursor))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await append(log, bus, *STORY[3:])
        bus.close()
        await follow(log.reader(), bus, [seen], cursor)
        return seen.seqs

    assert asyncio.run(story()) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("seqs", [(2,), (1, 3), (1, 1)])
def test_a_missing_or_repeated_event_is_refused(seqs: tuple[int, ...]) -> None:
    events = [event for seq in seqs for event in recorded([STORY[0]], first_seq=seq)]
    with pytest.raises(LogDamaged, match="was expected"):
        Cursor().advance(events)


def test_no_event_of_a_refused_page_is_folded() -> None:
    class Torn:
        def read(self, after_seq: int, limit: int = 0, /) -> list[Recorded]:
            return recorded(STORY[:2]) + recorded(STORY[2:3], first_seq=after_seq + limit)

    bus, seen = Bus(9), Seen()
    with pytest.raises(LogDamaged):
        asyncio.run(follow(Torn(), bus, [seen], Cursor()))
    assert seen.seqs == []


def test_folding_in_batches_equals_folding_at_once() -> None:
    tape = recorded(STORY)
    for cut in range(len(tape) + 1):
        pieces, whole = (Portfolio(), Trades()), (Portfolio(), Trades())
        fold(whole, tape)
        fold(pieces, tape[:cut])
        pieces[0].view()
        fold(pieces, tape[cut:])
        assert pieces[0].view() == whole[0].view()
        assert pieces[1].closed() == whole[1].closed()
