"""The pace of requests on a clock that is corrected: neither does it stop, nor does it forget the limit."""

from __future__ import annotations

import asyncio

import pytest

from papertape.engine.feeds.rate_limit import SLEEP_S_MAX, RateLimiter
from papertape.engine.ports.clock import ManualClock

HOUR_S = 3_600.0


def waited_s(clock: ManualClock, pacer: RateLimiter) -> float:
    """How long the next request waits, by the clock."""

    async def turn() -> None:
        await pacer.acquire()

    clock.slept_seconds.clear()
    asyncio.run(turn())
    return sum(clock.slept_seconds)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_790_000_000_000)


def test_a_clock_set_back_costs_one_rest(clock: ManualClock) -> None:
    pacer = RateLimiter(10.0, clock)
    assert [waited_s(clock, pacer) for _ in range(10)] == [0.0] * 10
    clock.advance(-HOUR_S)
    assert waited_s(clock, pacer) == pytest.approx(1.001)
    assert sum(waited_s(clock, pacer) for _ in range(9)) == 0.0


def test_a_clock_set_back_does_not_lengthen_a_pause(clock: ManualClock) -> None:
    pacer = RateLimiter(10.0, clock)
    pacer.back_off(0, 7.0)
    clock.advance(-HOUR_S)
    assert 7.0 <= waited_s(clock, pacer) <= 7.0 * 1.25 + 0.01


def test_a_long_pause_is_slept_in_slices_and_has_a_limit(clock: ManualClock) -> None:
    pacer = RateLimiter(10.0, clock)
    pacer.back_off(0, 1e9)
    assert HOUR_S <= waited_s(clock, pacer) <= HOUR_S * 1.25 + 0.01
    assert max(clock.slept_seconds) == SLEEP_S_MAX


def test_a_longer_wish_of_a_request_that_was_under_way_counts(clock: ManualClock) -> None:
    pacer = RateLimiter(10.0, clock)
    pacer.back_off(0, 2.0)
    pacer.back_off(0, 30.0)
    pacer.back_off(0, 1.0)
    assert 30.0 <= waited_s(clock, pacer) <= 30.0 * 1.25 + 0.01
