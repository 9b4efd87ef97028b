"""What a feed refused, told as facts: once an hour and reason, so that it is seen and fills no log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from papertape.events.facts import DataRefused, FeedFact
from papertape.events.units import HOUR_MS

if TYPE_CHECKING:
    from papertape.engine.ports.feed import RefusalLog, RefusalReason

TOLD_EVERY_MS: Final = HOUR_MS


class RefusalReporter:
    """Watches a log of refusals. The first of a reason is told at once, what follows is counted for an hour."""

    def __init__(self, refusals: RefusalLog, feed: str, since_ms: int) -> None:
        self._refusals, self._feed = refusals, feed
        self._begun_ms = since_ms
        self._told: dict[RefusalReason, tuple[int, int]] = {}
        """When each reason was told last, and its count then."""

    def due(self, now_ms: int) -> list[FeedFact]:
        """What is to be told now, in market time."""
        facts: list[FeedFact] = []
        for reason, count in self._refusals.counts.items():
            told_ms, before = self._told.get(reason, (self._begun_ms, 0))
            # A clock that was set back must not make it wait for the time that was.
            early = reason in self._told and 0 <= now_ms - told_ms < TOLD_EVERY_MS
            if count > before and not early:
                self._told[reason] = (now_ms, count)
                since_ms, text = min(told_ms, now_ms), self._text(reason)
                facts.append(DataRefused(now_ms, self._feed, reason.value, count - before, since_ms, text))
        return facts

    def _text(self, reason: RefusalReason) -> str:
        """The newest of a reason in one line; whatever cannot be printed is a blank."""
        newest = self._refusals.newest[reason]
        text = f"{newest.source}: {newest.text}"
        return " ".join("".join(char if char.isprintable() else " " for char in text).split())
