"""The bus wakes those that wait, and stores nothing for those that do not."""

from __future__ import annotations

import asyncio

import pytest

from papertape.events.bus import WAITERS_MAX, Bus
from papertape.events.errors import UsageError
from tests.events.loop import in_loop


@in_loop
async def test_what_was_published_before_is_answered_at_once() -> None:
    bus = Bus(head_seq=3)
    bus.publish(7)
    assert await bus.wait_beyond(2) == await bus.wait_beyond(6) == 7


@in_loop
async def test_every_waiter_is_woken_with_the_newest_seq() -> None:
    bus = Bus()
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(bus.wait_beyond(seq)) for seq in (0, 1, 4)]
        await asyncio.sleep(0)
        bus.publish(1)
        await asyncio.sleep(0)
        bus.publish(5)
    assert [task.result() for task in waiting] in ([1, 5, 5], [5, 5, 5])


@in_loop
async def test_a_known_seq_wakes_no_waiter() -> None:
    bus = Bus()
    waiting = asyncio.ensure_future(bus.wait_beyond(5))
    await asyncio.sleep(0)
    bus.publish(5)
    await asyncio.wait([waiting], timeout=0.01)
    assert not waiting.done()
    bus.publish(6)
    assert await waiting == 6


@in_loop
async def test_closing_wakes_everybody_and_refuses_what_comes_after() -> None:
    bus = Bus()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(bus.wait_beyond(9))
        await asyncio.sleep(0)
        bus.close()
        bus.close()
    assert waiting.result() == 0
    assert bus.closed
    assert await bus.wait_beyond(100) == 0
    with pytest.raises(UsageError):
        bus.publish(1)


@in_loop
async def test_the_seq_never_goes_back() -> None:
    bus = Bus(head_seq=5)
    with pytest.raises(UsageError):
        bus.publish(4)
    assert bus.head_seq == 5


@in_loop
async def test_the_number_of_waiters_is_bounded_and_counts_only_the_waiting() -> None:
    bus = Bus()
    waiting = [asyncio.ensure_future(bus.wait_beyond(0)) for _ in range(WAITERS_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(UsageError):
        await bus.wait_beyond(0)
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    waiting[0] = asyncio.ensure_future(bus.wait_beyond(0))
    await asyncio.sleep(0)
    bus.publish(1)
    assert await asyncio.gather(*waiting) == [1] * WAITERS_MAX
