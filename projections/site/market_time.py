"""What a time means, wherever one may be said: everything that was known then, by the log's own order.

That is every event before the first candle that closed later. A candle that came late counts where it stands: nobody
knew it before. Warm-up candles do not count, however they are dated: they are of a time when nobody watched. So the
first moment of a log is its first candle's close that is none of them.
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
    """A moment of market time, shown the events of a log one after the other."""

    def __init__(self, at_ms: int, *, begun: bool = False) -> None:
        """`begun`: a candle up to this moment stands before the first event that is shown."""
        self._at_ms, self._begun = at_ms, begun
        self._later_ms = 0

    def includes(self, recorded: Recorded) -> bool:
        """Whether the next event was known then; after a False there is nothing more to show."""
        event = recorded.event
        if type(event) is not CandleClosed or event.timing is _WARM_UP:
            return True
        if event.at_ms > self._at_ms:
            self._later_ms = event.at_ms
            return False
        self._begun = True
        return True

    def check_begun(self) -> None:
        """Raises UsageError where no candle had closed then, with the moment of the first one that did."""
        if self._begun:
            return
        if not self._later_ms:
            raise UsageError("the log holds no candle yet")
        raise UsageError(f"the log begins later, at {utc(self._later_ms)} UTC")
