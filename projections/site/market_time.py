"""The log position of a market time: everything that was known then, in the log's own order.

These are all events before the first candle that closed later. A late candle counts at its place in the log, because
nobody knew it before. Warm-up candles do not count, whatever their time: they precede the log. So the first market time
of a log is the close of its first candle that is not a warm-up candle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.events.errors import UsageError
from papertape.events.facts import CandleClosed, Timing
from papertape.projections.text.formats import utc

if TYPE_CHECKING:
    from papertape.events.log import Recorded

_WARM_UP = Timing.WARM_UP


class MarketTimeCutoff:
    """A cutoff in market time that is shown the events of a log one by one."""

    def __init__(self, at_ms: int, *, has_candle: bool = False) -> None:
        """Start a cutoff; `has_candle` says that a candle up to `at_ms` precedes the first event shown."""
        self._at_ms, self._has_candle = at_ms, has_candle
        self._later_ms = 0

    def includes(self, recorded: Recorded) -> bool:
        """Return whether the next event was known then; after the first False, stop."""
        event = recorded.event
        if type(event) is not CandleClosed or event.timing is _WARM_UP:
            return True
        if event.at_ms > self._at_ms:
            self._later_ms = event.at_ms
            return False
        self._has_candle = True
        return True

    def check_begun(self) -> None:
        """Raise UsageError if no candle had closed then, naming the close of the first later candle."""
        if self._has_candle:
            return
        if not self._later_ms:
            raise UsageError("the log holds no candle yet")
        raise UsageError(f"the log begins later, at {utc(self._later_ms)} UTC")
