"""The pace of messages when this machine's clock is set."""

from __future__ import annotations

from random import Random

from papertape.engine.ports.clock import ManualClock
from papertape.projections.telegram.rate_limit import BACKOFF_S_MAX, MessageRateLimiter


def test_a_failure_right_after_the_clock_was_set_back_does_not_pause_for_as_long() -> None:
    clock = ManualClock(1_780_000_000_000)
    limiter = MessageRateLimiter(clock, Random(1))
    limiter.record_failure()
    clock.set(-4_000.0)
    limiter.record_failure()
    assert limiter.wait_s() <= BACKOFF_S_MAX
