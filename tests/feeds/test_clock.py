"""The clocks keep time as they say."""

from __future__ import annotations

import asyncio

from papertape.engine.ports.clock import ManualClock, SystemClock


def test_sleeping_advances_the_manual_clock_by_exactly_what_was_asked() -> None:
    clock = ManualClock(1_000)
    asyncio.run(clock.sleep(2.5))
    assert clock.now_ms() == 3_500
    assert clock.slept_seconds == [2.5]


def test_the_manual_clock_can_be_set_back_as_a_wall_clock_can() -> None:
    clock = ManualClock(10_000)
    clock.advance(-4)
    assert clock.now_ms() == 6_000


def test_fractions_of_a_millisecond_are_not_lost() -> None:
    clock = ManualClock()

    async def sleep_often() -> None:
        for _ in range(3):
            await clock.sleep(0.0004)

    asyncio.run(sleep_often())
    assert clock.now_ms() == 1


def test_the_system_clock_moves_on_while_it_sleeps() -> None:
    clock = SystemClock()
    before_ms = clock.now_ms()
    asyncio.run(clock.sleep(0.01))
    asyncio.run(clock.sleep(-1.0))
    assert 5 <= clock.now_ms() - before_ms < 5_000
