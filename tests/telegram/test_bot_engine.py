"""From a chat to the log of a real engine, and back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from papertape.engine.ports.clock import ManualClock, SystemClock
from papertape.engine.startup import open_engine
from papertape.events.cursors import MemoryCursors
from papertape.events.facts import (
    CloseRequested,
    KillSwitchReset,
    KillSwitchTripped,
    PositionClosed,
    RunnerPaused,
    RunnerResumed,
)
from papertape.projections.telegram.bot import Bot
from papertape.projections.telegram.client import TelegramClient
from papertape.projections.telegram.poll import ChatAllowlist
from papertape.projections.telegram.rate_limit import MessageRateLimiter
from papertape.projections.telegram.secret import BotToken
from papertape.projections.text.formats import money
from papertape.sandbox.telegram.limits import UNLIMITED
from papertape.sandbox.telegram.twin import CHAT_ID, TelegramTwin
from tests.build import candle, listed
from tests.engine.logs import of_type
from tests.engine.parts import settings
from tests.events.loop import in_loop
from tests.kernel.scripted.scripted import BUY
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from papertape.engine.startup import Engine
    from papertape.events.sqlite_log import SqliteLogReader
    from papertape.sandbox.telegram.chats import BotMessage


class Eager(MessageRateLimiter):
    """No pauses: the stand-in has no limits."""

    def wait_s(self, *, urgent: bool = False, answers: bool = False) -> float:  # noqa: ARG002
        return 0.0


class Chatting:
    """Somebody who writes to the bot and presses its buttons, in real time."""

    def __init__(self, twin: TelegramTwin) -> None:
        self.twin = twin

    async def ask(self, text: str) -> BotMessage:
        before = len(self.twin.messages)
        self.twin.say(text)
        await until(lambda: len(self.twin.messages) > before)
        return self.twin.messages[before]

    async def confirm(self, text: str) -> str:
        question = await self.ask(text)
        pressed = self.twin.press(self.twin.button("Confirm"))
        await until(lambda: pressed.answered is not None and bool(question.edits))
        assert pressed.answered is not None
        assert question.text.endswith(pressed.answered)
        return pressed.answered


async def until(holds: Callable[[], bool]) -> None:
    """Wait in real time, not for ever."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - the twin tells nobody.
            await asyncio.sleep(0.01)


async def talk(made: Engine, reader: SqliteLogReader, chat: Chatting) -> None:
    """Everything that acts, each seen in the answers afterwards."""
    seq = made.log.head.seq
    assert await chat.confirm("/pause scripted news") == f"accepted: event #{seq + 1}"
    assert await chat.confirm("/pause") == "refused: nothing to do: every selected strategy is already paused"
    assert "active strategies 0 of 1" in (await chat.ask("/status")).text
    assert (await chat.confirm("/resume")).startswith("accepted")
    (opened,) = (one for one in reader.read(0) if type(one.event).__name__ == "PositionOpened")
    assert f"/close {opened.seq}" in (await chat.ask("/positions")).text
    assert (await chat.confirm(f"/close {opened.seq} enough")).startswith("accepted")
    await made.loop.take([candle(2, 101.0, "X")])
    assert "no open positions" in (await chat.ask("/positions")).text
    assert (await chat.confirm("/kill 'odd'")).startswith("accepted")
    assert "stopped already" in (await chat.ask("/kill")).text
    assert (await chat.confirm("/reset global fine again")).startswith("accepted")
    equity = made.loop.state.runners[0].account.equity_usdt
    assert f"{money(equity)} USDT" in (await chat.ask("/status")).text
    assert "KillSwitchReset" not in (await chat.ask("/log")).text
    assert "fine again" in (await chat.ask("/log 3")).text
    assert (await chat.ask("/why 4")).text


@in_loop
async def test_a_command_confirmed_in_the_chat_is_logged_with_who_and_why(tmp_path: Path) -> None:
    db = tmp_path / "log.db"
    clock = SystemClock()
    async with (
        TelegramTwin(clock, limits=UNLIMITED) as twin,
        open_engine(settings(db), [listed("X")], ManualClock(), print) as made,
    ):
        await made.loop.take([candle(0, 100.0, "X", volume=BUY), candle(1, 100.0, "X")])
        client = TelegramClient(BotToken(twin.token), twin.api_url)
        reader = made.log.reader()
        bot = Bot(
            client,
            ChatAllowlist(CHAT_ID),
            made.commands,
            reader,
            made.bus,
            MemoryCursors(),
            clock,
            print,
            limiter=Eager(clock),
        )
        running, serving = asyncio.ensure_future(bot.run()), asyncio.ensure_future(made.commands.serve())
        try:
            await talk(made, reader, Chatting(twin))
        finally:
            await made.finish()
            await asyncio.wait_for(running, PATIENCE_S)
            await serving
            await client.close()
            reader.close()
        assert bot.statistics().seq == made.log.head.seq
    by = "telegram:Ann"
    kinds = (RunnerPaused, RunnerResumed, CloseRequested, KillSwitchTripped, KillSwitchReset)
    assert [(type(one), one.who, one.why) for one in of_type(db, *kinds)] == [  # type: ignore[attr-defined]
        (RunnerPaused, by, "news"),
        (RunnerResumed, by, "no reason given"),
        (CloseRequested, by, "enough"),
        (KillSwitchTripped, by, "odd"),
        (KillSwitchReset, by, "fine again"),
    ]
    assert len(of_type(db, PositionClosed)) == 1
