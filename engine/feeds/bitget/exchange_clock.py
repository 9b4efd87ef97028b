"""The exchange's pulse: whether it lives, and what time it is there, whatever happens to the clock of this machine."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final

from papertape.engine.feeds.bitget.reconnect import BACKOFF_S, JITTER_FRACTION
from papertape.events.errors import ExchangeError
from papertape.events.facts import AnomalyCleared, AnomalyRaised, FeedFact

if TYPE_CHECKING:
    from papertape.engine.feeds.bitget.rest import BitgetRest
    from papertape.engine.feeds.bitget.settings import BitgetSettings
    from papertape.engine.ports.clock import Clock

LOOK_S_MAX: Final = 5.0
"""So often at least the clock is asked while waiting: it may have been set."""
SET_MS_MIN: Final = 2_000
"""A wait that took this much more or less than it should: the clock was set, or the machine has slept."""
SKEW_MS_MAX: Final = 2_000
CLOCK: Final = "this machine's clock"


class ExchangeClock:
    """One exchange's time and life. `heard_ms` says when a stream brought something last, by the clock given."""

    def __init__(self, rest: BitgetRest, clock: Clock, settings: BitgetSettings, heard_ms: Callable[[], float]) -> None:
        self._rest, self._clock, self._settings, self._heard_ms = rest, clock, settings, heard_ms
        self._answered_ms = clock.now_ms()
        self._chance = Random()  # noqa: S311 - jitter is no secret.
        self._skewed = False

    async def synchronize(self) -> None:
        """Ask for the time. Raises ExchangeError."""
        await self._rest.server_time_ms()
        self._answered_ms = self._clock.now_ms()

    async def wait_until(self, at_ms: int) -> str:
        """Wait for a time of the exchange; why it is to be declared lost before that, empty while it lives."""
        while (left_ms := at_ms - self._rest.server_now_ms()) > 0:
            step_s = min(LOOK_S_MAX, left_ms / 1_000.0)
            before_ms = self._clock.now_ms()
            await self._clock.sleep(step_s)
            set_ms = self._clock.now_ms() - before_ms - step_s * 1_000.0
            if abs(set_ms) > SET_MS_MIN * max(1.0, self._settings.speed):
                self._answered_ms = self._clock.now_ms()  # What was counted by the old clock says nothing.
                await self._tried()
            elif why := await self._gone():
                return why
        return ""

    def silent_s(self) -> float:
        """How long ago the exchange gave its last sign of life."""
        return (self._clock.now_ms() - max(self._answered_ms, self._heard_ms())) / 1_000.0

    async def _gone(self) -> str:
        """Why the exchange is lost: nothing was heard for a while, it does not answer, and that for too long."""
        silent_s = self.silent_s()
        if silent_s < self._settings.silence_s:
            return ""
        why = await self._tried()
        return why if silent_s >= self._settings.declare_s else ""

    async def _tried(self) -> str:
        """Ask for the time; why there is no answer."""
        try:
            await self.synchronize()
        except ExchangeError as error:
            return str(error)
        return ""

    async def wait_for_exchange(self) -> None:
        """Wait until the exchange answers, however long; its time is known then, whatever our clock did meanwhile."""
        for attempt in range(1 << 62):
            await self.pause(attempt)
            if not await self._tried():
                return

    async def pause(self, attempt: int) -> None:
        """Wait before the next try: longer after every one in a row, never below a second, never equal."""
        pause_s = BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)]
        await self._clock.sleep(pause_s * (1.0 + JITTER_FRACTION * self._chance.random()))

    @property
    def reported_skew_ms(self) -> float | None:
        """The current skew of the exchange's clock while it counts as an anomaly, else None."""
        return float(self._rest.offset_ms) if self._skewed else None

    def skew_facts(self) -> list[FeedFact]:
        """Tell when this machine's clock is far from the exchange's, and when it is not any more."""
        if self._settings.speed != 1.0:
            return []
        skew_ms, now_ms = self._rest.offset_ms, self._rest.server_now_ms()
        if not self._skewed and abs(skew_ms) > SKEW_MS_MAX:
            self._skewed = True
            text = f"{abs(skew_ms) / 1_000.0:.1f} s {'behind' if skew_ms > 0 else 'ahead of'} the exchange's"
            return [AnomalyRaised(now_ms, "clock_skew", CLOCK, text)]
        if self._skewed and abs(skew_ms) < SKEW_MS_MAX // 2:
            self._skewed = False
            return [AnomalyCleared(now_ms, "clock_skew", CLOCK, "it is right again")]
        return []
