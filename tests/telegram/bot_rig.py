"""A rig for the bot: a stand-in of Telegram, a tape, a list of commands, and the bot between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from papertape.events.commands import Accepted, Command, Commands
from papertape.events.cursors import Cursors, MemoryCursors
from papertape.events.errors import CommandRefused
from papertape.events.facts import Event
from papertape.events.signals import SignalBatch, SignalsRecorded
from papertape.projections.host import fold
from papertape.projections.site.views import Views
from papertape.projections.telegram.bot import Bot
from papertape.projections.telegram.client import TelegramClient
from papertape.projections.telegram.poll import ChatAllowlist
from papertape.projections.telegram.secret import BotToken
from papertape.sandbox.telegram.chats import BotMessage
from papertape.sandbox.telegram.limits import UNLIMITED
from papertape.sandbox.telegram.twin import CHAT_ID, TelegramTwin
from tests.alerts.example_day import A_DAY, market
from tests.build import recorded
from tests.sandbox.served_twin import START_MS
from tests.sandbox.virtual_time import VirtualClock, run
from tests.telegram.rig import Tape

T = TypeVar("T")
PATIENCE_S = 0.05
STRANGER = 999_888_777
TELLING: list[Event] = [*market(), *A_DAY]
"""A day in which something of everything happened; one position is open and one strategy is stopped."""


def views_of(events: Iterable[Event]) -> Views:
    """Return the views of a log."""
    views = Views()
    fold([views], recorded(events))
    return views


class Clerk:
    """Collects commands in a list; refuses those for which `rule` returns a reason."""

    def __init__(self, rule: Callable[[Command], str] = lambda _: "", *, takes_s: float = 0.0) -> None:
        self.taken: list[Command] = []
        self.rule = rule
        self.takes_s = takes_s

    async def submit(self, command: Command) -> Accepted:
        await asyncio.sleep(self.takes_s)
        if why := self.rule(command):
            raise CommandRefused(why)
        self.taken.append(command)
        return Accepted(4_710 + len(self.taken), 4_710 + len(self.taken))

    async def receive(self, batch: SignalBatch) -> SignalsRecorded:
        raise CommandRefused(f"{len(batch.signals)} signals: the chat sends none")


class Rig:
    """A stand-in, a tape and a bot. `told` are the lines that the bot wrote to the local log."""

    def __init__(self, clock: VirtualClock, twin: TelegramTwin, events: Sequence[Event]) -> None:
        self.clock, self.twin = clock, twin
        self.tape = Tape(clock)
        if events:
            self.tape.add(*events)
        self.cursors: Cursors = MemoryCursors()
        self.clerk = Clerk()
        self.told: list[str] = []

    @asynccontextmanager
    async def running(
        self, gate: ChatAllowlist | None = None, commands: Commands | None = None, **more: Any
    ) -> AsyncIterator[Bot]:
        """Run a bot, cut off at the end as by a crash."""
        client = TelegramClient(BotToken(self.twin.token), self.twin.api_url)
        given: dict[str, Any] = {"source": self.tape, "bus": self.tape.bus, "clock": self.clock, **more}
        bot = Bot(
            client,
            gate or ChatAllowlist(CHAT_ID),
            commands or self.clerk,
            cursors=self.cursors,
            write_line=self.told.append,
            **given,
        )
        task = asyncio.ensure_future(bot.run())
        try:
            await asyncio.sleep(0.2)
            yield bot
        finally:
            task.cancel()
            await asyncio.wait([task])
            await client.close()
        if not task.cancelled():
            task.result()

    async def until(self, holds: Callable[[], bool], within_s: float = 200.0) -> None:
        """Wait until a condition holds."""
        until_ms = self.clock.now_ms() + within_s * 1_000.0
        while not holds():
            assert self.clock.now_ms() < until_ms, (self.twin.texts[-4:], self.told)
            await asyncio.sleep(PATIENCE_S)

    async def ask(self, text: str, **manner: Any) -> BotMessage:
        """Send a message and wait for the answer."""
        before = len(self.twin.messages)
        self.twin.say(text, **manner)
        await self.until(lambda: len(self.twin.messages) > before)
        return self.twin.messages[before]

    async def silence(self, seconds: float = 5.0) -> None:
        """Check that nothing is answered."""
        before = len(self.twin.messages)
        await asyncio.sleep(seconds)
        assert len(self.twin.messages) == before, self.twin.texts[before:]

    async def pressed(self, word: str, user: int = CHAT_ID, **manner: Any) -> str:
        """Press the newest button with that label; return what Telegram showed to the user."""
        press = self.twin.press(self.twin.button(word), user, **manner)
        await self.until(lambda: press.answered is not None)
        await asyncio.sleep(0.2)
        return press.answered or ""


def rigged(use: Callable[[Rig], Awaitable[T]], events: Sequence[Event] = TELLING, **manner: Any) -> T:
    """Run a test with a rig in virtual time."""

    async def main(clock: VirtualClock) -> T:
        async with TelegramTwin(clock, **({"limits": UNLIMITED} | manner)) as twin:
            return await use(Rig(clock, twin, events))

    return run(main, START_MS)
