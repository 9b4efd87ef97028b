"""What users write and press: the queue of updates, the long poll, and the answers to pressed buttons."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from msgspec import Struct

from papertape.engine.ports.clock import Clock
from papertape.events.units import DAY_MS, MINUTE_MS
from papertape.sandbox.telegram.arguments import Arguments, BotApiError, bad_request

UPDATES_MAX: Final = 10_000
POLL_S_MAX: Final = 50
KEPT_MS: Final = DAY_MS
ANSWERABLE_MS: Final = MINUTE_MS
"""How long a pressed button waits for its answer."""
FIRST_ID: Final = 700_001
KINDS: Final = ("message", "edited_message", "channel_post", "callback_query")


class ButtonPress(Struct):
    """A pressed button; `answered` is the text of the answer, None before it."""

    callback_id: str
    at_ms: int
    data: str
    answered: str | None = None
    alert: bool = False


class Updates:
    """The queue of one bot."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queue: deque[tuple[int, int, str, dict[str, Any]]] = deque()
        self._next_id = FIRST_ID
        self._allowed: tuple[str, ...] = KINDS
        self._polling: asyncio.Future[bool] | None = None
        self._confirmed: tuple[int, int, str, dict[str, Any]] | None = None
        self.pressed: dict[str, ButtonPress] = {}

    def add(self, kind: str, body: dict[str, Any]) -> int:
        """Add an update and return its id."""
        assert len(self._queue) < UPDATES_MAX
        update_id, self._next_id = self._next_id, self._next_id + 1
        if kind in self._allowed:
            self._queue.append((update_id, self._clock.now_ms(), kind, body))
            self._wake(True)
        return update_id

    def press(self, data: str, body: dict[str, Any]) -> ButtonPress:
        """Add the update of a pressed button."""
        callback_id = f"4382bfdwdsb{len(self.pressed):08d}"
        pressed = self.pressed[callback_id] = ButtonPress(callback_id, self._clock.now_ms(), data)
        self.add("callback_query", {"id": callback_id, "chat_instance": "-3755", "data": data} | body)
        return pressed

    def answer(self, arguments: Arguments) -> None:
        """Serve answerCallbackQuery. Raise BotApiError for a query that is unknown, too old or already answered."""
        pressed = self.pressed.get(arguments.text("callback_query_id"))
        too_old = pressed is not None and self._clock.now_ms() - pressed.at_ms > ANSWERABLE_MS
        if pressed is None or too_old or pressed.answered is not None:
            raise bad_request("query is too old and response timeout expired or query ID is invalid")
        if len(arguments.text("text")) > 200:
            raise bad_request("MESSAGE_TOO_LONG")
        pressed.answered, pressed.alert = arguments.text("text"), arguments.flag("show_alert")

    def jump(self, by: int) -> None:
        """Raise the next update's id."""
        self._next_id += by

    def repeat_confirmed(self) -> None:
        """Deliver the last confirmed update again."""
        if self._confirmed is not None:
            self._queue.appendleft(self._confirmed)
            self._confirmed = None

    def drop(self) -> None:
        """Drop the pending updates, as deleteWebhook does with drop_pending_updates."""
        self._queue.clear()

    async def poll(self, arguments: Arguments) -> list[dict[str, Any]]:
        """Serve getUpdates: confirm, then return updates or wait for one. Raise BotApiError if another client polls."""
        self._wake(False)
        allowed = arguments.structure("allowed_updates")
        if allowed is not None:
            self._allowed = tuple(allowed) or KINDS
        self._confirm(arguments.number("offset", 0) or 0)
        limit = max(1, min(100, arguments.number("limit", 100) or 100))
        timeout_s = max(0, min(POLL_S_MAX, arguments.number("timeout", 0) or 0))
        if not self._queue and timeout_s:
            await self._wait(timeout_s)
        return [{"update_id": one[0], one[2]: one[3]} for one in list(self._queue)[:limit]]

    async def _wait(self, timeout_s: int) -> None:
        arrival: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._polling = arrival
        sleep = asyncio.ensure_future(self._clock.sleep(timeout_s))
        try:
            futures: list[asyncio.Future[bool] | asyncio.Future[None]] = [arrival, sleep]
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            if self._polling is arrival:
                self._polling = None
        if arrival.done() and not arrival.result():
            other = "terminated by other getUpdates request; make sure that only one bot instance is running"
            raise BotApiError(409, f"Conflict: {other}")

    def _wake(self, arrived: bool) -> None:
        polling, self._polling = self._polling, None
        if polling is not None and not polling.done():
            polling.set_result(arrived)

    def _confirm(self, offset: int) -> None:
        oldest_ms = self._clock.now_ms() - KEPT_MS
        while self._queue and self._queue[0][1] < oldest_ms:
            self._queue.popleft()
        if offset < 0:
            while len(self._queue) > -offset:
                self._queue.popleft()
        while self._queue and offset > 0 and self._queue[0][0] < offset:
            self._confirmed = self._queue.popleft()
