"""Answers on their way out: polling never waits for a slow answer, and a picture never for another one's turn.

A few errands go at the same time, urgent ones first; slow ones (pictures, reading the log again) have a lane of their
own. An answer that nobody takes after a few tries is dropped: who asked is there and asks again. It is not an alert.
An errand that a bug ends is reported and dropped; the next one runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from papertape.events.tasks import failure_of
from papertape.projections.telegram.errors import RequestRefused, TelegramBusy, TelegramError, TelegramUnreachable
from papertape.projections.telegram.rate_limit import MessageRateLimiter, TelegramClock

SENDERS: Final = 3
WAITING_MAX: Final = 100
SLOW_WAITING_MAX: Final = 4
TRIES_MAX: Final = 4
WAIT_S_MAX: Final = 120.0
"""An answer that could not go for so long is not wanted any more."""

T = TypeVar("T")
Errand = Callable[[], Awaitable[None]]


class ReplyQueue:
    """Errands and who runs them. `run` belongs to one task; it ends when it is cancelled."""

    def __init__(self, pace: MessageRateLimiter, clock: TelegramClock, tell: Callable[[str], None]) -> None:
        self.dropped = 0
        self._pace, self._clock, self._tell = pace, clock, tell
        self._urgent: asyncio.Queue[Errand] = asyncio.Queue(WAITING_MAX)
        self._normal: asyncio.Queue[Errand] = asyncio.Queue(WAITING_MAX)
        self._slow: asyncio.Queue[Errand] = asyncio.Queue(SLOW_WAITING_MAX)
        self._there_is_work = asyncio.Semaphore(0)

    def put(self, errand: Errand, *, urgent: bool = False) -> bool:
        """Hand in an errand; False where too many wait, and it is dropped."""
        queue = self._urgent if urgent else self._normal
        if queue.full():
            self.dropped += 1
            return False
        queue.put_nowait(errand)
        self._there_is_work.release()
        return True

    def put_slow(self, errand: Errand) -> bool:
        """Hand in one that takes long; False where too many wait."""
        if self._slow.full():
            return False
        self._slow.put_nowait(errand)
        return True

    async def run(self) -> None:
        """Run errands for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(self._send())
            group.create_task(self._send_slow())

    async def drain(self) -> None:
        """Wait until every quick errand that was handed in is done."""
        await self._urgent.join()
        await self._normal.join()

    async def _send(self) -> None:
        while True:
            await self._there_is_work.acquire()
            queue = self._normal if self._urgent.empty() else self._urgent
            errand = queue.get_nowait()
            try:
                await self._done(errand)
            finally:
                queue.task_done()

    async def _send_slow(self) -> None:
        while True:
            await self._done(await self._slow.get())

    async def _done(self, errand: Errand) -> None:
        error = await failure_of(errand)
        if error is not None:
            self._tell(f"Telegram: an answer failed with {type(error).__name__}: {error}")

    async def send_with_retries(
        self, send: Callable[[], Awaitable[T]], *, counts: bool = True, plain: Callable[[], Awaitable[T]] | None = None
    ) -> T | None:
        """What a request gives, tried a few times; None where it fails for good. `counts`: it is a message.

        `plain` sends the same text without tags, if Telegram refuses the tags.
        """
        until_ms = self._clock.now_ms() + WAIT_S_MAX * 1_000.0
        for _ in range(TRIES_MAX):
            if counts and not await self._wait_for_turn(until_ms):
                break
            try:
                result = await send()
            except TelegramBusy as busy:
                self._pace.back_off(busy.retry_after_s)
                await self._pause(busy.retry_after_s, until_ms)
            except TelegramUnreachable:
                self._pace.record_failure()
                await self._pause(self._pace.wait_s(answers=True), until_ms)
            except RequestRefused as refused:
                self._tell(f"Telegram: an answer was refused: {refused}")
                if plain is None:
                    break
                send, plain = plain, None
            except TelegramError as error:
                self._tell(f"Telegram: an answer could not be sent: {error}")
                break
            else:
                self._pace.record_success()
                return result
        self.dropped += 1
        return None

    async def _wait_for_turn(self, until_ms: float) -> bool:
        while (wait_s := self._pace.wait_s(answers=True)) > 0.0:
            if self._clock.now_ms() + wait_s * 1_000.0 > until_ms:
                return False
            await self._clock.sleep(wait_s)
        self._pace.record_sent()
        return True

    async def _pause(self, seconds: float, until_ms: float) -> None:
        left_s = max(0.0, (until_ms - self._clock.now_ms()) / 1_000.0)
        await self._clock.sleep(min(seconds, left_s))
