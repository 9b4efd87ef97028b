"""Trading while Telegram hangs against trading while it answers: from a minute's facts to their commit."""

from __future__ import annotations

import asyncio
import gc
import signal
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from benchmarks.market import drawn_symbols, listed, minutes, runners, strategies
from benchmarks.measure import ROOT, Bench, Result, milliseconds, percentile
from benchmarks.processes import environment
from papertape.engine.command_queue import CommandQueue
from papertape.engine.loop import Loop
from papertape.engine.ports.clock import SystemClock
from papertape.engine.reducer.state import new_state
from papertape.engine.runner_settings import configuration
from papertape.engine.startup import snapshot_store
from papertape.engine.strategy_registry import code_digest
from papertape.events.bus import Bus
from papertape.events.cursors import SqliteCursors
from papertape.events.facts import EngineStarted
from papertape.events.sqlite_log import SqliteEventLog
from papertape.projections.alerts.derive import Alerts
from papertape.projections.alerts.digest import Digest
from papertape.projections.telegram.bot import Bot
from papertape.projections.telegram.chat_address import ChatAddress
from papertape.projections.telegram.client import TelegramClient
from papertape.projections.telegram.delivery import Notifier
from papertape.projections.telegram.poll import ChatAllowlist
from papertape.projections.telegram.rate_limit import MessageRateLimiter
from papertape.projections.telegram.secret import BotToken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator
    from pathlib import Path

SYMBOLS = 20
WARM_UP_MINUTES = 1_500
BATCH_MINUTES = 20
BLOCKS = 4
"""Blocks of each kind, in turn, so that other load on the machine affects both."""
SOON_S = 0.005
CATCH_UP_S = 20.0
RATIO_MAX = 1.2
STARTS_S_MAX = 30.0


class BotApiProcess(Struct, frozen=True):
    """A stand-in of the Bot API in a separate process."""

    process: subprocess.Popen[bytes]
    words: dict[str, str]
    file: Path

    def let(self, *, live: bool) -> None:
        """Continue the process, or stop it at any point, so that requests hang until they time out."""
        self.process.send_signal(signal.SIGCONT if live else signal.SIGSTOP)

    def sent(self) -> int:
        """Return the number of messages it received."""
        return self.file.read_text(encoding="utf-8", errors="replace").count("sendMessage")


@contextmanager
def chat(folder: Path) -> Iterator[BotApiProcess]:
    """Run the stand-in for the duration of the block."""
    file = folder / "chat.txt"
    command = [sys.executable, "-m", "papertape", "twin", "telegram", "--port", "0"]
    with file.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=out)
    try:
        until_s = time.monotonic() + STARTS_S_MAX
        while "\n" not in (output := file.read_text(encoding="utf-8")):
            assert time.monotonic() < until_s, "the stand-in does not start"
            time.sleep(0.05)
        yield BotApiProcess(process, dict(word.split("=", 1) for word in output.split() if "=" in word), file)
    finally:
        process.kill()
        process.wait()


class EngineWithChat:
    """An engine's loop with a notifier and a bot, as in a live engine."""

    def __init__(self, db: Path, log: SqliteEventLog, words: dict[str, str]) -> None:
        self.bus, self.clock = Bus(), SystemClock()
        digest = code_digest(strategies().values())
        self.loop = Loop(new_state(strategies()), log, self.bus, snapshot_store(db, print), digest, print)
        self._readers = [log.reader(), log.reader()]
        self._clients = [TelegramClient(BotToken(words["TELEGRAM_BOT_TOKEN"]), words["telegram.api_url"]) for _ in "ab"]
        self._cursors = SqliteCursors(db.with_name("cursors"))
        chat_id, pace = int(words["TELEGRAM_CHAT_ID"]), MessageRateLimiter(self.clock)
        self.notifier = Notifier(
            self._readers[0], self.bus, self._cursors, Alerts, self._clients[0], ChatAddress(chat_id, self._cursors),
            self.clock, lambda _: None, digest=Digest, limiter=pace,
        )  # fmt: skip
        self.bot = Bot(
            self._clients[1], ChatAllowlist(chat_id), CommandQueue(self.loop, self.clock), self._readers[1], self.bus,
            self._cursors, self.clock, lambda _: None, limiter=pace,
        )  # fmt: skip

    def start(self) -> list[asyncio.Future[Any]]:
        """Start the notifier and the bot."""
        works: list[Awaitable[None]] = [self.notifier.run(), self.bot.run()]
        return [asyncio.ensure_future(work) for work in works]

    async def close(self) -> None:
        """Close everything."""
        for client in self._clients:
            await client.close()
        for reader in self._readers:
            reader.close()
        self._cursors.close()


async def measure_minutes(
    folder: Path, here: BotApiProcess, minutes_per_block: int
) -> tuple[dict[bool, list[list[float]]], int, int]:
    """Return the seconds of every minute in blocks, by whether Telegram answers; the notifier's lag; the messages."""
    db = folder / "log.db"
    log = await SqliteEventLog.open(db, clock_ms=SystemClock().now_ms)
    engine = EngineWithChat(db, log, here.words)
    started = EngineStarted(0, "benchmark", "", "")
    await engine.loop.take([started, *configuration(strategies(), listed(drawn_symbols(SYMBOLS)), runners())])
    market = minutes(drawn_symbols(SYMBOLS), warm_up=WARM_UP_MINUTES)
    for _ in range(WARM_UP_MINUTES // BATCH_MINUTES):
        await engine.loop.take([fact for facts in islice(market, BATCH_MINUTES) for fact in facts])
    tasks = engine.start()
    await asyncio.sleep(CATCH_UP_S)
    assert engine.bot.statistics().seq == log.head.seq, "the views are not up to date"
    seconds: dict[bool, list[list[float]]] = {True: [], False: []}
    for number in range(2 * BLOCKS):
        live = number % 2 == 0
        here.let(live=live)
        gc.collect()
        seconds[live].append([await _minute(engine.loop, next(market)) for _ in range(minutes_per_block)])
    behind = engine.notifier.statistics().lag_events
    here.let(live=True)
    for task in tasks:
        assert not task.done(), "notifier and bot must survive the outage"
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await engine.close()
    await log.close()
    return seconds, behind, here.sent()


async def _minute(loop: Loop, facts: Any) -> float:
    batch = [*facts]
    started = time.perf_counter()
    await loop.take(batch)
    took = time.perf_counter() - started
    await asyncio.sleep(SOON_S)
    return took


def telegram_dead(bench: Bench) -> Result:
    """Measure simulated days without Telegram in turn with days on which it answers."""
    minutes_per_block = bench.choose(30, 360)
    what = f"{SYMBOLS} symbols x {len(strategies())} strategies, fact to commit"
    result = Result("telegram", f"{what}, Telegram dead or alive")
    folder = bench.folder / "telegram"
    folder.mkdir()
    with chat(folder) as here:
        seconds, behind, sent = asyncio.run(measure_minutes(folder, here, minutes_per_block))
    for percent in (50.0, 99.0):
        alive, dead = (
            statistics.median(percentile(block, percent) for block in seconds[live]) for live in (True, False)
        )
        share = dead / alive
        has_target = percent == 99.0
        result.add(f"alive, p{percent:g}", milliseconds(alive))
        result.add(f"dead, p{percent:g}", milliseconds(dead))
        goal, met = (f"<= {RATIO_MAX:g}x", share <= RATIO_MAX) if has_target else ("", None)
        result.add(f"dead against alive, p{percent:g}", f"{share:.2f}x", goal, met)
    result.notes.append(
        f"{BLOCKS} blocks of {minutes_per_block:,} simulated minutes each, in turn; the median of the blocks. Notifier "
        "and bot run in the engine's event loop. Dead means that the stand-in is stopped, so that requests hang. "
        f"{sent:,} messages were received; at the end the notifier was {behind:,} events behind the log, which is its "
        "queue."
    )
    return result
