"""Every command of the chat, answered by the same bot that `papertape run` starts."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.cli.config.log_sections import LogsSection
from papertape.cli.config.sections import Config, EngineSection
from papertape.cli.service.engine_services import start_services
from papertape.cli.service.engine_status import status_of
from papertape.engine.ports.clock import ScaledClock, SystemClock
from papertape.engine.startup import open_engine
from papertape.projections.telegram.parse import MENU
from papertape.sandbox.telegram.faults import TelegramFault
from papertape.sandbox.telegram.limits import UNLIMITED
from papertape.sandbox.telegram.twin import CHAT_ID, TelegramTwin
from tests.build import candle, listed
from tests.engine.parts import Given, settings
from tests.events.loop import in_loop
from tests.kernel.scripted.scripted import BUY, LEAVE
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from papertape.projections.site.ports import EngineStatus

SPEED = 300.0
"""The bot keeps to twenty messages a minute: its minutes are short here."""
LOOK_S = 0.02
FOOT = r"#\d+ \d{4}-\d\d-\d\d \d\d:\d\d UTC$"

REPLIES: dict[str, tuple[str, str]] = {
    "status": ("/status", rf"USDT, (?:today|[-\d]+) .*open positions 1.*active strategies 1 of 1.*{FOOT}"),
    "positions": ("/positions", r"1 open.*scripted · X LONG.*/close \d+"),
    "profit": ("/profit", r"USDT, .*since inception.*scripted.*1 trade closed"),
    "arena": ("/arena", r"scripted leads with .*won \d of 1: too few trades for a verdict"),
    "daily": ("/daily", r"USDT in 1 day.*01-01"),
    "weekly": ("/weekly", r"USDT in 1 week.*week of"),
    "trades": ("/trades", r"last 1 of 1 trade.*scripted · X LONG"),
    "risk": ("/risk", r"at risk .* USDT.*no kill switch tripped.*limits:"),
    "health": ("/health", r"alerts sent \d+, skipped 0"),
    "why": ("/why 6", r"#6"),
    "whynot": ("/whynot X", r"^X.*scripted.* holds LONG since"),
    "asof": ("/asof 6", r"as of #6"),
    "config": ("/config", r"log: log\.db, a snapshot every 5,000 events.*market: simulated.*strategies: "),
    "log": ("/log 5", r"last 5 events"),
    "version": ("/version", r"papertape \d.*started .* UTC.*code .*config "),
    "pause": ("/pause scripted news", r"Pause scripted\?.*reason: news.*Confirm within 60 s"),
    "resume": ("/resume all", r"Resume ALL STRATEGIES\?.*Confirm within 60 s"),
    "close": ("/close all weekend", r"Close 1 position at the next open\?.*scripted · X LONG"),
    "kill": ("/kill scripted odd", r"STOP scripted\?.*reason: odd.*Confirm within 60 s"),
    "reset": ("/reset scripted a drill", r"the kill switch of scripted is not tripped"),
    "signals": ("/signals", r"signals.*no signal has arrived"),
    "funnel": ("/funnel 3", r"no funnel: .*papertape.toml: this configuration file does not exist"),
    "reload": ("/reload calmer", r"Reload the configuration\?.*reason: calmer.*Confirm within 60 s"),
    "help": ("/help", r"/status - .*/help - this list"),
}
"""What is said for each command, and what its answer holds; the lines of an answer are joined by spaces."""


class Chat:
    """The owner, who writes to the stand-in."""

    def __init__(self, twin: TelegramTwin, status: Callable[[], Awaitable[EngineStatus]]) -> None:
        self.twin, self.status = twin, status

    async def reply_to(self, said: str, pattern: str) -> bool:
        """Send a text; return whether a matching answer arrives. Pictures and alerts may arrive in between."""
        before = len(self.twin.messages)
        self.twin.say(said)
        for _ in range(int(PATIENCE_S / LOOK_S)):
            texts = [" ".join(message.text.split()) for message in self.twin.messages[before:]]
            if any(re.search(pattern, text) for text in texts):
                return True
            await asyncio.sleep(LOOK_S)
        return False


@asynccontextmanager
async def talking(folder: Path) -> AsyncIterator[Chat]:
    """Yield an engine with one closed trade, an open position, and all its services."""
    db, feed = folder / "log.db", Given([], [])
    clock = ScaledClock(SystemClock(), SPEED)
    async with TelegramTwin(clock, limits=UNLIMITED) as twin:
        (folder / ".env").write_text(f"TELEGRAM_BOT_TOKEN={twin.token}\nTELEGRAM_CHAT_ID={CHAT_ID}\n")
        config = Config(
            engine=EngineSection(db="log.db"), logs=LogsSection(folder=""), file=str(folder / "papertape.toml")
        )
        config = replace(config, telegram=replace(config.telegram, api_url=twin.api_url))
        warnings: list[str] = []
        async with open_engine(settings(db), [listed("X")], clock, warnings.append) as running:
            facts = [
                candle(0, 100.0, "X", volume=BUY),
                candle(1, 100.0, "X", volume=LEAVE),
                candle(2, 100.0, "X"),
                candle(3, 100.0, "X", volume=BUY),
            ]
            await running.loop.take([*facts, candle(4, 100.0, "X")])
            async with start_services(running, config, feed, db) as services:
                works = [asyncio.ensure_future(work()) for work in services.watchers().values()]
                serving = asyncio.ensure_future(running.commands.serve())
                try:
                    yield Chat(twin, lambda: status_of(running, services.health, services))
                    assert not services.tasks.dead
                finally:
                    await running.finish()
                    await asyncio.wait_for(asyncio.gather(*works), PATIENCE_S)
                    await serving


def test_every_command_of_the_menu_has_an_expectation() -> None:
    assert set(REPLIES) == set(MENU), "say what a new command answers, in REPLIES"


@pytest.mark.system
@in_loop
async def test_every_command_is_answered_by_the_running_program(tmp_path: Path) -> None:
    async with talking(tmp_path) as chat:
        unanswered = [said for said, pattern in REPLIES.values() if not await chat.reply_to(said, pattern)]
        assert not unanswered, chat.twin.texts
        assert not [text for text in chat.twin.texts if "internal error" in text]


@in_loop
async def test_the_running_program_says_that_alerts_are_parked_and_why(tmp_path: Path) -> None:
    async with talking(tmp_path) as chat:
        chat.twin.faults.on(TelegramFault.BAD_REQUEST, method="sendMessage", value="TOPIC_CLOSED")
        assert await said(chat, lambda status: "TOPIC_CLOSED" in status.alerts_parked)
        chat.twin.faults.clear()
        assert await said(chat, lambda status: not status.alerts_parked)


async def said(chat: Chat, holds: Callable[[EngineStatus], bool]) -> bool:
    """Return whether the engine reports a status."""
    for _ in range(int(PATIENCE_S / LOOK_S)):
        if holds(await chat.status()):
            return True
        await asyncio.sleep(LOOK_S)
    return False
