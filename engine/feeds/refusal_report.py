"""Report what a feed refused as facts, at most once an hour per reason, so that it does not fill the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from papertape.events.facts import DataRefused, FeedFact
from papertape.events.units import HOUR_MS

if TYPE_CHECKING:
    from papertape.engine.ports.feed import RefusalLog, RefusalReason

REPORT_EVERY_MS: Final = HOUR_MS


class RefusalReporter:
    """Reports a log of refusals: the first of each reason at once, further ones as an hourly count."""

    def __init__(self, refusals: RefusalLog, feed: str, since_ms: int) -> None:
        self._refusals, self._feed = refusals, feed
        self._since_ms = since_ms
        self._reported: dict[RefusalReason, tuple[int, int]] = {}
        """When each reason was last reported, and its count then."""

    def due(self, now_ms: int) -> list[FeedFact]:
        """Return the reports that are due, in market time."""
        facts: list[FeedFact] = []
        for reason, count in self._refusals.counts.items():
            reported_ms, before = self._reported.get(reason, (self._since_ms, 0))
            # A clock that was set back must not delay the report.
            early = reason in self._reported and 0 <= now_ms - reported_ms < REPORT_EVERY_MS
            if count > before and not early:
                self._reported[reason] = (now_ms, count)
                since_ms, text = min(reported_ms, now_ms), self._text(reason)
                facts.append(DataRefused(now_ms, self._feed, reason.value, count - before, since_ms, text))
        return facts

    def _text(self, reason: RefusalReason) -> str:
        """Return the newest refusal of a reason in one line, with blanks for unprintable characters."""
        newest = self._refusals.newest[reason]
        text = f"{newest.source}: {newest.text}"
        return " ".join("".join(char if char.isprintable() else " " for char in text).split())
