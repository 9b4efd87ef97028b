"""The heartbeat: an hourly proof of progress, not just of life.

Without progress no heartbeat is sent; by the same measure the watchdog raises the anomaly `no_progress`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.projections.watchdog.checks import progress_limit_ms
from papertape.projections.watchdog.watchdog import OUTSIDE_ERRORS, closed_within

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from papertape.projections.folds.portfolio import Portfolio
    from papertape.projections.watchdog.liveness import Liveness
    from papertape.projections.watchdog.watchdog import FoldFollower, WatchdogClock

SEND_S_MAX = 60.0
PING_S_MAX = 10.0


class Heartbeat(Struct, frozen=True):
    """The engine's state. `candles` and `events` count since the last beat of this process, or since it began.

    `last_candle_at_ms` is market time, 0 before the first; its age is on the machine's clock.
    """

    at_ms: int
    seq: int
    equity_usdt: float
    capital_usdt: float
    day_result_usdt: float
    open_positions: int
    strategies_active: int
    strategies: int
    evaluations: int
    last_candle_at_ms: int
    last_candle_age_ms: int
    candles: int
    events: int
    market_ended: bool


class HeartbeatStatus(Struct, frozen=True):
    """What this process sent. `last` is the last beat that was delivered."""

    last: Heartbeat | None
    beats: int
    without_progress: int
    failed_sends: int
    failed_pings: int

    def lines(self) -> list[str]:
        """Return what was sent and what failed, one idea a line."""
        failed = [f"{self.failed_sends:,} heartbeats were not delivered"] if self.failed_sends else []
        pings = [f"{self.failed_pings:,} pings of the dead man's switch failed"] if self.failed_pings else []
        return [f"heartbeats {self.beats:,}", *failed, *pings]


class HeartbeatSender:
    """Beats at the multiples of `interval_s`, so a restart neither skips nor repeats one.

    `following` must fold `vitals` and `portfolio`. `send` and `ping` (an external dead man's switch) may fail with
    `OUTSIDE_ERRORS` of the watchdog. A market that was played to its end makes no more progress, and raises no alarm.
    """

    def __init__(
        self,
        following: FoldFollower,
        vitals: Liveness,
        portfolio: Portfolio,
        clock: WatchdogClock,
        send: Callable[[Heartbeat], Awaitable[None]],
        interval_s: float,
        ping: Callable[[], Awaitable[None]] | None = None,
        market_ended: Callable[[], bool] = lambda: False,
    ) -> None:
        self._following, self._vitals, self._portfolio = following, vitals, portfolio
        self._clock, self._send, self._ping, self._market_ended = clock, send, ping, market_ended
        self._interval_s = interval_s
        self._before: tuple[int, int] | None = None
        self._last: Heartbeat | None = None
        self._beats = self._without_progress = self._failed_sends = self._failed_pings = 0

    @property
    def view(self) -> HeartbeatStatus:
        """What was sent and what failed."""
        return HeartbeatStatus(self._last, self._beats, self._without_progress, self._failed_sends, self._failed_pings)

    async def run(self) -> None:
        """Beat until the bus is closed."""
        await self._following.catch_up()
        self._before = (self._vitals.seq, self._vitals.candles)
        while not await closed_within(self._following.bus, self._clock, self._pause_s()):
            await self.beat()

    def _pause_s(self) -> float:
        interval_ms = int(self._interval_s * 1_000.0)
        return (interval_ms - self._clock.now_ms() % interval_ms) / 1_000.0

    async def beat(self) -> None:
        """Send one beat if there was progress."""
        await self._following.catch_up()
        steady_ms = self._following.time.now_ms()
        beat = self._heartbeat(self._clock.now_ms(), steady_ms)
        self._before = (self._vitals.seq, self._vitals.candles)
        if not beat.market_ended and not self._progresses(steady_ms):
            self._without_progress += 1
            return
        self._beats += 1
        if await _done(self._send(beat), SEND_S_MAX):
            self._last = beat
        else:
            self._failed_sends += 1
        if self._ping is not None and not await _done(self._ping(), PING_S_MAX):
            self._failed_pings += 1

    def _progresses(self, now_ms: int) -> bool:
        """Return whether a candle arrived in time, or the engine has not been up long enough to tell."""
        idle_ms = min(self._vitals.without_candle_ms(now_ms), self._vitals.up_ms(now_ms))
        return idle_ms < progress_limit_ms(self._vitals, self._interval_s)

    def _heartbeat(self, now_ms: int, steady_ms: int) -> Heartbeat:
        """Return the heartbeat at a time of the machine's clock; ages are counted up to `steady_ms` of the timeline."""
        vitals, view = self._vitals, self._portfolio.view()
        candle, (seq, candles) = vitals.last_candle, self._before or (vitals.seq, vitals.candles)
        active = [name for name in vitals.strategies if vitals.standing(name).state == "active"]
        return Heartbeat(
            at_ms=now_ms,
            seq=vitals.seq,
            equity_usdt=view.equity_usdt,
            capital_usdt=view.capital_usdt,
            day_result_usdt=view.day_result_usdt,
            open_positions=len(view.positions),
            strategies_active=len(active),
            strategies=len(vitals.strategies),
            evaluations=sum(vitals.evaluations(name, steady_ms) for name in vitals.strategies),
            last_candle_at_ms=0 if candle is None else candle.closed_at_ms,
            last_candle_age_ms=vitals.without_candle_ms(steady_ms),
            candles=vitals.candles - candles,
            events=vitals.seq - seq,
            market_ended=self._market_ended(),
        )


async def _done(sending: Awaitable[None], seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await sending
    except OUTSIDE_ERRORS:
        return False
    return True
