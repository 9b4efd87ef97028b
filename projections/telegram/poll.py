"""Long polling: what people write and press, from whom it counts, each once.

An update is handled, then the cursor moves behind it, and the next request confirms it. After a crash between the two
it comes again: what it asked for is only a question, and a button that was pressed is used up.

| Telegram says              | what happens                                             |
|----------------------------|----------------------------------------------------------|
| nothing, 5xx, unreadable   | pauses of 1, 2, 4 .. 60 s, by chance a little shorter    |
| 429                        | nothing is asked for as long as it says                  |
| 409                        | told once, and again each hour; it is tried every 15 s   |
| 401, 404                   | told once, and again each hour, when it is tried         |
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
TOLD_AGAIN_MS: Final = HOUR_MS
HASTE_S: Final = 0.5
"""At most so often is asked when the answers are empty at once."""
LAST_DIGITS: Final = 1_000


class ChatAllowlist(Struct, frozen=True):
    """Who is listened to: this chat, and in it these users; without any, the one whose private chat it is."""

    chat_id: int
    user_ids: tuple[int, ...] = ()

    @property
    def users(self) -> frozenset[int]:
        """The users that count. A group without named users has none."""
        own = (self.chat_id,) if self.chat_id > 0 else ()
        return frozenset(self.user_ids or own)

    def admits(self, message: ChatMessage) -> bool:
        """Whether a message counts: written now, by an allowed human, in this chat."""
        sender = message.sender
        if sender is None or sender.is_bot or message.forwarded:
            return False
        return message.chat.id == self.chat_id and sender.id in self.users

    def is_here(self, query: CallbackQuery) -> bool:
        """Whether a button was pressed in this chat."""
        message = query.message
        return message is not None and message.chat.id == self.chat_id and not query.inline_message_id

    def admits_press(self, query: CallbackQuery) -> bool:
        """Whether a press counts."""
        return self.is_here(query) and query.sender.id in self.users and not query.sender.is_bot


class PollStatistics(Struct):
    """Since the start of the process."""

    updates: int = 0
    duplicates: int = 0
    ignored: int = 0
    failures: int = 0
    conflicts: int = 0
    over: str = ""
    """Why no commands are received; empty while Telegram answers."""


class Poller:
    """Asks for updates and hands them on, one after the other."""

    def __init__(
        self,
        client: TelegramClient,
        cursors: Cursors,
        handle: Callable[[Update], Awaitable[None]],
        greet: Callable[[], Awaitable[None]],
        clock: TelegramClock,
        tell: Callable[[str], None],
        name: str = "telegram.updates",
        chance: Random | None = None,
    ) -> None:
        """`greet` is done once, before the first poll that succeeds. The cursor `name` is the next offset."""
        self.statistics = PollStatistics()
        self._client, self._cursors, self._handle, self._greet = client, cursors, handle, greet
        self._clock, self._tell, self._name = clock, tell, name
        self._chance = chance or Random()  # noqa: S311 - jitter is no secret.
        self._greeted = False
        self._failures = 0
        self._told_ms: int | None = None

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            try:
                await self._once()
            except TelegramError as error:
                await self._answer(error)

    async def _once(self) -> None:
        if not self._greeted:
            await self._say_hello()
        asked_ms = self._clock.now_ms()
        updates = await self._client.get_updates(self._cursors.position(self._name), POLL_S)
        self._failures, self._told_ms, self.statistics.over = 0, None, ""
        for update in updates:
            await self._take(update)
        if not updates and self._clock.now_ms() - asked_ms < HASTE_S * 1_000.0:
            await self._clock.sleep(HASTE_S)

    async def _say_hello(self) -> None:
        try:
            await self._greet()
        except (ChatRefused, TelegramUnreachable, TelegramBusy, TokenRefused):
            raise
        except TelegramError as error:
            self._tell(f"Telegram: the menu of commands could not be set: {error}")
        self._greeted = True

    async def _take(self, update: Update) -> None:
        """An update below the cursor came before: it was handled, and is not again."""
        if update.update_id < self._cursors.position(self._name):
            self.statistics.duplicates += 1
            return
        self.statistics.updates += 1
        await self._handle(update)
        self._cursors.advance(self._name, update.update_id + 1)

    def ignore(self, user_id: int | None) -> None:
        """Count somebody who is not listened to; the 1st, 10th, 100th .. is told."""
        self.statistics.ignored += 1
        count = self.statistics.ignored
        if str(count).strip("0") == "1":
            whom = "somebody" if user_id is None else f"user ...{user_id % LAST_DIGITS:03d}"
            self._tell(f"Telegram: {count} ignored so far, now {whom}: only the configured chat is listened to")

    # ------------------------------------------------------------ failures

    async def _answer(self, error: TelegramError) -> None:
        match error:
            case TelegramBusy():
                await self._clock.sleep(min(RETRY_AFTER_S_MAX, max(1.0, error.retry_after_s)) + BUSY_EXTRA_S)
            case PollConflict():
                await self._conflict(error)
            case TokenRefused():
                self.statistics.over = str(error)
                self._tell_seldom(f"Telegram: {error}; commands are not heard; correct it and start papertape again")
                await self._clock.sleep(TOKEN_S)
            case ChatRefused():
                self._tell_seldom(f"Telegram: {error}; commands come when the chat has been started")
                await self._back_off(self._failures + DOUBLINGS_MAX)
            case _:
                self.statistics.failures += 1
                self._tell_seldom(f"Telegram: {error}; commands are not heard meanwhile")
                await self._back_off(self._failures)

    async def _conflict(self, error: PollConflict) -> None:
        """Somebody else polls, or a webhook is set: that one can be taken away."""
        self.statistics.conflicts += 1
        self._tell_seldom(f"Telegram: {error}: commands are not heard; it is tried again every {CONFLICT_S:g} s")
        await self._clock.sleep(CONFLICT_S)
        self._greeted = self._greeted and "webhook" not in str(error).lower()

    async def _back_off(self, doublings: int) -> None:
        self._failures += 1
        nominal_s = min(BACKOFF_S_MAX, 2.0 ** min(doublings, DOUBLINGS_MAX))
        await self._clock.sleep(nominal_s * self._chance.uniform(0.75, 1.0))

    def _tell_seldom(self, line: str) -> None:
        now_ms = self._clock.now_ms()
        if self._told_ms is None or not 0 <= now_ms - self._told_ms < TOLD_AGAIN_MS:
            self._told_ms = now_ms
            self._tell(line)
