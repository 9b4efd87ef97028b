"""The queue of answers: a slow answer delays no polling, and a picture delays no other answer.

Several jobs run at the same time, urgent ones first; slow ones (pictures, reading the log again) have a worker of their
own. An undeliverable answer is dropped after a few tries, unlike an alert: the user is there and can ask again. A job
that fails by a bug is reported and dropped; the next one runs.
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
"""An answer that could not be sent for so long is outdated."""

T = TypeVar("T")
Job = Callable[[], Awaitable[object]]


class ReplyQueue:
    """Jobs and their workers. `run` belongs to one task; it ends when it is cancelled."""

    def __init__(self, limiter: MessageRateLimiter, clock: TelegramClock, write_line: Callable[[str], None]) -> None:
        self.dropped = 0
        self._limiter, self._clock, self._write_line = limiter, clock, write_line
        self._urgent: asyncio.Queue[Job] = asyncio.Queue(WAITING_MAX)
        self._normal: asyncio.Queue[Job] = asyncio.Queue(WAITING_MAX)
        self._slow: asyncio.Queue[Job] = asyncio.Queue(SLOW_WAITING_MAX)
        self._available = asyncio.Semaphore(0)

    def put(self, job: Job, *, urgent: bool = False) -> bool:
        """Queue a job; return False if the queue is full and the job is dropped."""
        queue = self._urgent if urgent else self._normal
        if queue.full():
            self.dropped += 1
            return False
        queue.put_nowait(job)
        self._available.release()
        return True

    def put_slow(self, job: Job) -> bool:
        """Queue a slow job; return False if the queue is full."""
        if self._slow.full():
            return False
        self._slow.put_nowait(job)
        return True

    async def run(self) -> None:
        """Run jobs for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(self._send())
            group.create_task(self._send_slow())

    async def drain(self) -> None:
        """Wait until every quick job in the queue is done."""
        await self._urgent.join()
        await self._normal.join()

    async def _send(self) -> None:
        while True:
            await self._available.acquire()
            queue = self._normal if self._urgent.empty() else self._urgent
            job = queue.get_nowait()
            try:
                await self._run_job(job)
            finally:
                queue.task_done()

    async def _send_slow(self) -> None:
        while True:
            await self._run_job(await self._slow.get())

    async def _run_job(self, job: Job) -> None:
        error = await failure_of(job)
        if error is not None:
            self._write_line(f"Telegram: an answer failed with {type(error).__name__}: {error}")

    async def send_with_retries(
        self, send: Callable[[], Awaitable[T]], *, counts: bool = True, plain: Callable[[], Awaitable[T]] | None = None
    ) -> T | None:
        """Return the result of a request after at most `TRIES_MAX` tries, or None. `counts`: it is a message.

        `plain` sends the same text without tags, if Telegram refuses the tags.
        """
        until_ms = self._clock.now_ms() + WAIT_S_MAX * 1_000.0
        for _ in range(TRIES_MAX):
            if counts and not await self._wait_for_turn(until_ms):
                break
            try:
                result = await send()
            except TelegramBusy as busy:
                self._limiter.back_off(busy.retry_after_s)
                await self._pause(busy.retry_after_s, until_ms)
            except TelegramUnreachable:
                self._limiter.record_failure()
                await self._pause(self._limiter.wait_s(answers=True), until_ms)
            except RequestRefused as refused:
                self._write_line(f"Telegram: an answer was refused: {refused}")
                if plain is None:
                    break
                send, plain = plain, None
            except TelegramError as error:
                self._write_line(f"Telegram: an answer could not be sent: {error}")
                break
            else:
                self._limiter.record_success()
                return result
        self.dropped += 1
        return None

    async def _wait_for_turn(self, until_ms: float) -> bool:
        while (wait_s := self._limiter.wait_s(answers=True)) > 0.0:
            if self._clock.now_ms() + wait_s * 1_000.0 > until_ms:
                return False
            await self._clock.sleep(wait_s)
        self._limiter.record_sent()
        return True

    async def _pause(self, seconds: float, until_ms: float) -> None:
        left_s = max(0.0, (until_ms - self._clock.now_ms()) / 1_000.0)
        await self._clock.sleep(min(seconds, left_s))
