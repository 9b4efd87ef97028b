"""Long polling: receive messages and button presses, check their sender, and handle each once.

An update is handled, then the cursor moves past it, and the next request confirms it. After a crash in between it comes
again, which is harmless: a command only opens a confirmation, and a pressed button is used up.

| Telegram's answer          | what happens                                             |
|----------------------------|----------------------------------------------------------|
| none, 5xx, unreadable      | pauses of 1, 2, 4 .. 60 s, randomly a little shorter     |
| 429                        | no requests for as long as it says                       |
| 409                        | reported once, and again each hour; retried every 15 s   |
| 401, 404                   | reported once, and again with each hourly retry          |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

from msgspec import Struct

from papertape.events.cursors import Cursors
from papertape.events.units import HOUR_MS
from papertape.projections.telegram.client import TelegramClient
from papertape.projections.telegram.errors import (
    ChatRefused,
    PollConflict,
    TelegramBusy,
    TelegramError,
    TelegramUnreachable,
    TokenRefused,
)
from papertape.projections.telegram.rate_limit import (
    BACKOFF_S_MAX,
    BUSY_EXTRA_S,
    DOUBLINGS_MAX,
    RETRY_AFTER_S_MAX,
    TelegramClock,
)
from papertape.projections.telegram.wire import CallbackQuery, ChatMessage, Update

POLL_S: Final = 25
CONFLICT_S: Final = 15.0
TOKEN_S: Final = 3_600.0
REPEAT_MS: Final = HOUR_MS
POLL_PAUSE_S_MIN: Final = 0.5
"""The shortest interval between polls that return empty at once."""
LAST_DIGITS: Final = 1_000


class ChatAllowlist(Struct, frozen=True):
    """Who may use the bot: these users in this chat; without users, the owner of a private chat."""

    chat_id: int
    user_ids: tuple[int, ...] = ()

    @property
    def users(self) -> frozenset[int]:
        """The allowed users. A group without named users has none."""
        own = (self.chat_id,) if self.chat_id > 0 else ()
        return frozenset(self.user_ids or own)

    def admits(self, message: ChatMessage) -> bool:
        """Return whether a message counts: written directly by an allowed human in this chat."""
        sender = message.sender
        if sender is None or sender.is_bot or message.forwarded:
            return False
        return message.chat.id == self.chat_id and sender.id in self.users

    def is_here(self, query: CallbackQuery) -> bool:
        """Return whether a button was pressed in this chat."""
        message = query.message
        return message is not None and message.chat.id == self.chat_id and not query.inline_message_id

    def admits_press(self, query: CallbackQuery) -> bool:
        """Return whether a press counts."""
        return self.is_here(query) and query.sender.id in self.users and not query.sender.is_bot


class PollStatistics(Struct):
    """Counts since the start of the process."""

    updates: int = 0
    duplicates: int = 0
    ignored: int = 0
    failures: int = 0
    conflicts: int = 0
    over: str = ""
    """Why no commands are received; empty while Telegram answers."""


class Poller:
    """Requests updates and passes them on one by one."""

    def __init__(
        self,
        client: TelegramClient,
        cursors: Cursors,
        handle: Callable[[Update], Awaitable[None]],
        greet: Callable[[], Awaitable[None]],
        clock: TelegramClock,
        write_line: Callable[[str], None],
        name: str = "telegram.updates",
        chance: Random | None = None,
    ) -> None:
        """Call `greet` once, before the first poll that succeeds. The cursor `name` holds the next offset."""
        self.statistics = PollStatistics()
        self._client, self._cursors, self._handle, self._greet = client, cursors, handle, greet
        self._clock, self._write_line, self._name = clock, write_line, name
        self._chance = chance or Random()  # noqa: S311 - jitter is no secret.
        self._greeted = False
        self._failures = 0
        self._written_ms: int | None = None

    async def run(self) -> None:
        """Poll for ever."""
        while True:
            try:
                await self._once()
            except TelegramError as error:
                await self._answer(error)

    async def _once(self) -> None:
        if not self._greeted:
            await self._greet_once()
        sent_ms = self._clock.now_ms()
        updates = await self._client.get_updates(self._cursors.position(self._name), POLL_S)
        self._failures, self._written_ms, self.statistics.over = 0, None, ""
        for update in updates:
            await self._take(update)
        if not updates and self._clock.now_ms() - sent_ms < POLL_PAUSE_S_MIN * 1_000.0:
            await self._clock.sleep(POLL_PAUSE_S_MIN)

    async def _greet_once(self) -> None:
        try:
            await self._greet()
        except (ChatRefused, TelegramUnreachable, TelegramBusy, TokenRefused):
            raise
        except TelegramError as error:
            self._write_line(f"Telegram: the menu of commands could not be set: {error}")
        self._greeted = True

    async def _take(self, update: Update) -> None:
        """Handle an update, unless it is below the cursor and therefore a duplicate."""
        if update.update_id < self._cursors.position(self._name):
            self.statistics.duplicates += 1
            return
        self.statistics.updates += 1
        await self._handle(update)
        self._cursors.advance(self._name, update.update_id + 1)

    def ignore(self, user_id: int | None) -> None:
        """Count a user without access; the 1st, 10th, 100th .. is reported."""
        self.statistics.ignored += 1
        count = self.statistics.ignored
        if str(count).strip("0") == "1":
            whom = "somebody" if user_id is None else f"user ...{user_id % LAST_DIGITS:03d}"
            self._write_line(f"Telegram: ignored {count} so far, now {whom}: only the configured chat is allowed")

    # ------------------------------------------------------------ failures

    async def _answer(self, error: TelegramError) -> None:
        match error:
            case TelegramBusy():
                await self._clock.sleep(min(RETRY_AFTER_S_MAX, max(1.0, error.retry_after_s)) + BUSY_EXTRA_S)
            case PollConflict():
                await self._conflict(error)
            case TokenRefused():
                self.statistics.over = str(error)
                self._write_hourly(f"Telegram: {error}; no commands are received; correct it and restart papertape")
                await self._clock.sleep(TOKEN_S)
            case ChatRefused():
                self._write_hourly(f"Telegram: {error}; no commands are received until the chat is started")
                await self._back_off(self._failures + DOUBLINGS_MAX)
            case _:
                self.statistics.failures += 1
                self._write_hourly(f"Telegram: {error}; no commands are received meanwhile")
                await self._back_off(self._failures)

    async def _conflict(self, error: PollConflict) -> None:
        """Wait after a conflict; if a webhook is the cause, greet again, which removes it."""
        self.statistics.conflicts += 1
        self._write_hourly(f"Telegram: {error}; no commands are received; retrying every {CONFLICT_S:g} s")
        await self._clock.sleep(CONFLICT_S)
        self._greeted = self._greeted and "webhook" not in str(error).lower()

    async def _back_off(self, doublings: int) -> None:
        self._failures += 1
        nominal_s = min(BACKOFF_S_MAX, 2.0 ** min(doublings, DOUBLINGS_MAX))
        await self._clock.sleep(nominal_s * self._chance.uniform(0.75, 1.0))

    def _write_hourly(self, line: str) -> None:
        now_ms = self._clock.now_ms()
        if self._written_ms is None or not 0 <= now_ms - self._written_ms < REPEAT_MS:
            self._written_ms = now_ms
            self._write_line(line)
