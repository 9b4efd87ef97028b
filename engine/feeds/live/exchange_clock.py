"""The exchange's clock: whether the exchange lives, and its time, whatever happens to this machine's clock."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final

from papertape.engine.feeds.live.reconnect import backoff_s
from papertape.events.errors import ExchangeError
from papertape.events.facts import AnomalyCleared, AnomalyRaised, FeedFact

if TYPE_CHECKING:
    from papertape.engine.feeds.live.exchange import ExchangeClient, LiveSettings
    from papertape.engine.ports.clock import Clock

CHECK_S_MAX: Final = 5.0
"""While waiting, the clock is checked at least this often: it may have been set."""
SET_MS_MIN: Final = 2_000
"""A wait that took this much more or less than planned: the clock was set, or the machine has slept."""
SKEW_MS_MAX: Final = 2_000
CLOCK: Final = "this machine's clock"


class ExchangeClock:
    """One exchange's time and life. `heard_ms` returns when a stream last brought data, by the given clock."""

    def __init__(
        self, client: ExchangeClient, clock: Clock, settings: LiveSettings, heard_ms: Callable[[], float]
    ) -> None:
        self._client, self._clock, self._settings, self._heard_ms = client, clock, settings, heard_ms
        self._answered_ms = clock.now_ms()
        self._chance = Random()  # noqa: S311 - jitter is no secret.
        self._skewed = False

    async def synchronize(self) -> None:
        """Request the time. Raise ExchangeError if there is no answer."""
        await self._client.server_time_ms()
        self._answered_ms = self._clock.now_ms()

    async def wait_until(self, at_ms: int) -> str:
        """Wait for a time of the exchange; return why it was lost meanwhile, empty while it lives."""
        while (left_ms := at_ms - self._client.server_now_ms()) > 0:
            step_s = min(CHECK_S_MAX, left_ms / 1_000.0)
            before_ms = self._clock.now_ms()
            await self._clock.sleep(step_s)
            set_ms = self._clock.now_ms() - before_ms - step_s * 1_000.0
            if abs(set_ms) > SET_MS_MIN * max(1.0, self._settings.speed):
                self._answered_ms = self._clock.now_ms()  # Times of the old clock say nothing.
                await self._try_synchronize()
            elif loss := await self._loss():
                return loss
        return ""

    def silent_s(self) -> float:
        """Return the seconds since the exchange's last sign of life."""
        return (self._clock.now_ms() - max(self._answered_ms, self._heard_ms())) / 1_000.0

    async def _loss(self) -> str:
        """Return why the exchange is lost: it was silent for too long, and does not answer."""
        silent_s = self.silent_s()
        if silent_s < self._settings.silence_s:
            return ""
        fault = await self._try_synchronize()
        return fault if silent_s >= self._settings.declare_s else ""

    async def _try_synchronize(self) -> str:
        """Request the time; return why there is no answer."""
        try:
            await self.synchronize()
        except ExchangeError as error:
            return str(error)
        return ""

    async def wait_for_exchange(self) -> None:
        """Wait until the exchange answers, however long; its time is known then."""
        for attempt in range(1 << 62):
            await self.pause(attempt)
            if not await self._try_synchronize():
                return

    async def pause(self, attempt: int) -> None:
        """Wait before the next attempt: longer after each in a row."""
        await self._clock.sleep(backoff_s(attempt, self._chance))

    @property
    def reported_skew_ms(self) -> float | None:
        """The current skew of the exchange's clock while it counts as an anomaly, else None."""
        return float(self._client.offset_ms) if self._skewed else None

    def skew_facts(self) -> list[FeedFact]:
        """Report when this machine's clock starts to be far from the exchange's, and when that ends."""
        if self._settings.speed != 1.0:
            return []
        skew_ms, now_ms = self._client.offset_ms, self._client.server_now_ms()
        if not self._skewed and abs(skew_ms) > SKEW_MS_MAX:
            self._skewed = True
            text = f"{abs(skew_ms) / 1_000.0:.1f} s {'behind' if skew_ms > 0 else 'ahead of'} the exchange's"
            return [AnomalyRaised(now_ms, "clock_skew", CLOCK, text)]
        if self._skewed and abs(skew_ms) < SKEW_MS_MAX // 2:
            self._skewed = False
            return [AnomalyCleared(now_ms, "clock_skew", CLOCK, "it is right again")]
        return []
