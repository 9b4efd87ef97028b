"""Play a market back at a pace: steps of market time become batches of facts at the right wall-clock time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final

from msgspec import Struct

from papertape.engine.ports.clock import Clock
from papertape.engine.ports.feed import BATCH_FACTS_MAX
from papertape.events.facts import FeedConnected, FeedFact

SLEEP_SECONDS_MAX: Final = 60.0
"""The longest sleep before the wall clock is read again: it may have been corrected, or the machine slept."""


class PlaybackStep(Struct, frozen=True):
    """Facts that are delivered together at the market time `at_ms`.

    `speed` is market seconds per wall second; 0 is as fast as the consumer takes them. A step begins with a
    `FeedConnected` if the speed changes or if it `reconnects`.
    """

    at_ms: int
    facts: list[FeedFact]
    speed: float = 0.0
    reconnects: bool = False


def market_now_ms(anchor: FeedConnected, wall_ms: int) -> int:
    """Return the time of a market that ran on at the anchor's speed. The wall clock may have been set back."""
    return anchor.at_ms + int(max(0, wall_ms - anchor.wall_at_ms) * anchor.speed)


async def play_back(feed: str, steps: Iterable[PlaybackStep], clock: Clock) -> AsyncIterator[list[FeedFact]]:
    """Yield the facts of the steps in batches, each when its time has come, with `FeedConnected` at each connection.

    At speed 0 a batch is filled from many steps; otherwise a batch is one step, and overdue steps are joined.
    """
    anchor: FeedConnected | None = None
    batch: list[FeedFact] = []
    for step in steps:
        connects = anchor is None or step.reconnects or step.speed != anchor.speed
        if anchor is not None and (connects or _full(batch, step) or _early_ms(anchor, step.at_ms, clock) > 0.0):
            for full in chunks(batch):
                yield full
            batch = []
            await _wait(anchor, step.at_ms, clock)
        if connects:
            anchor = FeedConnected(step.at_ms, feed, clock.now_ms(), step.speed)
            batch.append(anchor)
        batch.extend(step.facts)
    for full in chunks(batch):
        yield full


def chunks(facts: list[FeedFact]) -> Iterator[list[FeedFact]]:
    """Yield the facts in batches of at most `BATCH_FACTS_MAX`."""
    for first in range(0, len(facts), BATCH_FACTS_MAX):
        yield facts[first : first + BATCH_FACTS_MAX]


def _full(batch: list[FeedFact], step: PlaybackStep) -> bool:
    return len(batch) + len(step.facts) > BATCH_FACTS_MAX


def _early_ms(anchor: FeedConnected, at_ms: int, clock: Clock) -> float:
    if anchor.speed <= 0.0:
        return 0.0
    return anchor.wall_at_ms + (at_ms - anchor.at_ms) / anchor.speed - clock.now_ms()


async def _wait(anchor: FeedConnected, at_ms: int, clock: Clock) -> None:
    # Yielding once even without a wait lets the rest of the engine run beside an endless market.
    await clock.sleep(0.0)
    while (early_ms := _early_ms(anchor, at_ms, clock)) > 0.0:
        await clock.sleep(min(SLEEP_SECONDS_MAX, early_ms / 1000.0))
