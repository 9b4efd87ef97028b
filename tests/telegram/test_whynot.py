"""/whynot of a running engine: what prevents each strategy from an entry, from the log."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from papertape.cli.service.chat_conditions import ChatConditions
from papertape.engine.inspect.entry_conditions import entry_conditions
from papertape.engine.ports.clock import ManualClock, SystemClock
from papertape.engine.startup import open_engine
from papertape.engine.strategy_registry import load_strategies
from papertape.events.cursors import MemoryCursors
from papertape.events.errors import LogBusy
from papertape.projections.site.ports import ConditionsView
from papertape.projections.telegram.answers import RuntimeInfo
from papertape.projections.telegram.bot import Bot
from papertape.projections.telegram.client import TelegramClient
from papertape.projections.telegram.explain import Conditions
from papertape.projections.telegram.poll import ChatAllowlist
from papertape.projections.telegram.secret import BotToken
from papertape.sandbox.telegram.limits import UNLIMITED
from papertape.sandbox.telegram.twin import CHAT_ID, TelegramTwin
from tests.build import FIVE_MINUTES_MS
from tests.engine.parts import busy, settings
from tests.events.loop import in_loop
from tests.patience import PATIENCE_S
from tests.reducer.random_market import Recipe
from tests.reducer.runs import BUILT_IN, eager
from tests.telegram.test_bot_engine import Chatting, Eager, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from papertape.engine.startup import Engine

GOLDEN = Path(__file__).parent / "golden" / "whynot.txt"
STRATEGIES = load_strategies()
MARKET = Recipe(11, 2, 300, FIVE_MINUTES_MS)


@asynccontextmanager
async def chatting(made: Engine, asked: Conditions | None) -> AsyncIterator[Chatting]:
    """Run a bot of an engine, and yield a user who writes to it."""
    clock = SystemClock()
    async with TelegramTwin(clock, limits=UNLIMITED) as twin:
        client, reader = TelegramClient(BotToken(twin.token), twin.api_url), made.log.reader()
        outside, pace = RuntimeInfo(conditions=asked), Eager(clock)
        cursors, gate = MemoryCursors(), ChatAllowlist(CHAT_ID)
        bot = Bot(client, gate, made.commands, reader, made.bus, cursors, clock, print, runtime=outside, limiter=pace)
        running = asyncio.ensure_future(bot.run())
        try:
            await until(lambda: bot.statistics().seq == made.log.head.seq)
            yield Chatting(twin)
        finally:
            await made.finish()
            await asyncio.wait_for(running, PATIENCE_S)
            await client.close()
            reader.close()


@asynccontextmanager
async def played(db: Path) -> AsyncIterator[Engine]:
    """Yield a running engine of the built-in strategies that has processed a whole market."""
    what, feed = settings(db, strategies=STRATEGIES, runners=eager(BUILT_IN)), busy(MARKET)
    async with open_engine(what, feed.contracts(), ManualClock(), print) as made:
        await made.loop.run(feed)
        yield made


@in_loop
async def test_whynot_shows_conditions_missing_candles_and_pending_orders(tmp_path: Path) -> None:
    db = tmp_path / "log.db"
    async with played(db) as made:
        asked = ChatConditions(db, made.log.reader, STRATEGIES)
        async with chatting(made, asked) as chat:
            said = (await chat.ask("/whynot bbb")).text
        asked.close()
    if os.environ.get("PAPERTAPE_GOLDEN") == "write":
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(said + "\n", encoding="utf-8")
    assert said + "\n" == GOLDEN.read_text(encoding="utf-8")


@in_loop
async def test_the_numbers_are_those_the_engine_would_decide_on(tmp_path: Path) -> None:
    db = tmp_path / "log.db"
    async with played(db) as made:
        asked = ChatConditions(db, made.log.reader, STRATEGIES)
        found = await asked(made.log.head.seq, "BBB")
        own = {name: entry_conditions(made.loop.state, name, "BBB") for name in BUILT_IN}
        assert [(one.strategy, one.side) for one in found] == [(name, side) for name in BUILT_IN for side in SIDES]
        for one in found:
            live = own[one.strategy][SIDES.index(one.side)]
            assert [c.value for c in one.conditions] == [c.value for c in live.conditions]
            assert (one.at_ms, one.seq) == (live.at_ms, made.log.head.seq)
        assert await asked(made.log.head.seq, "ZZZ") == ()
        asked.close()


SIDES = ("long", "short")


@in_loop
async def test_without_conditions_the_rest_is_shown_with_the_reason(tmp_path: Path) -> None:
    async def busy_now(_seq: int, _symbol: str) -> tuple[ConditionsView, ...]:
        raise LogBusy("64 moments are looked at already")

    async with played(tmp_path / "log.db") as made, chatting(made, busy_now) as chat:
        said = (await chat.ask("/whynot BBB")).text
        assert "conditions unavailable: 64 moments are looked at already" in said
        assert "liquidation last evaluated" in said
        assert " met #" not in said


@pytest.mark.parametrize("asked", ["xrp", "zzz"])
def test_an_unknown_symbol_is_answered_with_the_known_ones(tmp_path: Path, asked: str) -> None:
    @in_loop
    async def ask() -> None:
        async with played(tmp_path / "log.db") as made, chatting(made, None) as chat:
            assert "/whynot AAA" in (await chat.ask(f"/whynot {asked}")).text

    ask()
