"""The live feed against a stand-in at two candle messages per second and symbol: from a frame to its commit."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import aclosing, contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import Struct, field

from benchmarks.exchange import TICKER_MS, UPDATE_MS
from benchmarks.market import drawn_symbols, listed, minutes, runners, strategies
from benchmarks.measure import ROOT, Bench, Result, milliseconds, percentile
from papertape.engine.feeds.bitget.feed import BitgetFeed
from papertape.engine.feeds.bitget.settings import BitgetSettings
from papertape.engine.feeds.live.session import FeedSession
from papertape.engine.loop import Loop
from papertape.engine.ports.clock import SystemClock
from papertape.engine.reducer.state import new_state
from papertape.engine.runner_settings import configuration
from papertape.engine.startup import EngineSettings, open_engine, snapshot_store
from papertape.engine.strategy_registry import code_digest
from papertape.events.bus import Bus
from papertape.events.facts import CandleClosed, Timing
from papertape.events.sqlite_log import SqliteEventLog
from papertape.events.units import HOUR_MS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from papertape.engine.ports.feed import ResumePoint
    from papertape.events.facts import FeedConnected, FeedFact

SIZES = (50, 500)
SYMBOLS_CPU = 50
WARM_UP_MS = HOUR_MS
DAY_MINUTES = 1_440


class CommitDelays(Struct):
    """The seconds from a frame to the commit of the candle that it completed, and the share of one core.

    `own` counts from each symbol's own frame, `last` from the last frame of the minute.
    """

    own: list[float] = field(default_factory=list)
    last: list[float] = field(default_factory=list)
    late: int = 0
    cpu_share: float = 0.0


class MeasuredFeed(BitgetFeed):
    """The feed, measured after every commit, from the first minute that the streams have covered completely."""

    def __init__(self, settings: BitgetSettings, minutes: int) -> None:
        super().__init__(settings, SystemClock())
        self.delays = CommitDelays()
        self._minutes = minutes

    async def facts(
        self,
        seen: Mapping[str, ResumePoint],
        anchor: FeedConnected | None,  # noqa: ARG002
    ) -> AsyncIterator[list[FeedFact]]:
        """Yield the feed's batches; the loop has committed a batch when it asks for the next one."""
        clock = SystemClock()
        session = FeedSession(self.client(clock), self.settings, clock, clock, self.refusals)
        begun = (0.0, 0.0)
        try:
            async with aclosing(session.facts(dict(seen))) as batches:  # type: ignore[type-var]
                async for batch in batches:
                    yield batch
                    closed = [fact for fact in batch if isinstance(fact, CandleClosed)]
                    if not closed or not self._is_complete(session, closed):
                        continue
                    if begun == (0.0, 0.0):
                        begun = (time.monotonic(), time.process_time())
                        continue
                    self._measure(session, closed)
                    self._minutes -= 1
                    if self._minutes == 0:
                        share = (time.process_time() - begun[1]) / (time.monotonic() - begun[0])
                        self.delays.cpu_share = share
                        return
        finally:
            await session.close()

    @staticmethod
    def _is_complete(session: FeedSession, closed: list[CandleClosed]) -> bool:
        """Return whether the streams covered the candles from their beginning."""
        return all(fact.open_time_ms >= session.stream_state.symbols[fact.symbol].complete_from_ms for fact in closed)

    def _measure(self, session: FeedSession, closed: list[CandleClosed]) -> None:
        now_ms = session.now_ms()
        begun_ms = [session.stream_state.symbols[fact.symbol].begun_ms for fact in closed]
        self.delays.own += [(now_ms - at_ms) / 1_000.0 for at_ms in begun_ms]
        self.delays.last.append((now_ms - max(begun_ms)) / 1_000.0)
        self.delays.late += sum(fact.timing is not Timing.ON_TIME for fact in closed)


@contextmanager
def exchange(symbols: int) -> Iterator[tuple[str, str]]:
    """Run a stand-in in a separate process, and yield its addresses."""
    command = [sys.executable, "-m", "benchmarks.exchange", str(symbols)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        rest_url, ws_url = process.stdout.readline().split()
        try:
            yield rest_url, ws_url
        finally:
            process.kill()


async def run_engine(db: Path, symbols: int, minutes: int) -> CommitDelays:
    """Run the live engine on the stand-in for some minutes, without the wait for corrections."""
    names = tuple(drawn_symbols(symbols))
    with exchange(symbols) as (rest_url, ws_url):
        settings = BitgetSettings(symbols=names, rest_url=rest_url, ws_url=ws_url, warm_up_ms=WARM_UP_MS, settle_s=0.0)
        feed = MeasuredFeed(settings, minutes)
        what = EngineSettings(db, "bench", strategies(), runners())
        async with open_engine(what, [], SystemClock(), print, names) as running:
            await running.loop.run(feed)
        return feed.delays


async def write_day(db: Path) -> None:
    """Write the log of a day of fifty symbols, one minute per commit."""
    names = drawn_symbols(SYMBOLS_CPU)
    log = await SqliteEventLog.open(db, clock_ms=lambda: 0)
    digest = code_digest(strategies().values())
    loop = Loop(new_state(strategies()), log, Bus(), snapshot_store(db, print), digest, print)
    await loop.take(configuration(strategies(), listed(names), runners()))
    for facts in islice(minutes(names), DAY_MINUTES):
        await loop.take([*facts])
    await log.close()


def feed(bench: Bench) -> Result:
    """Measure frame to commit at two sizes, the share of one core, and the size of a day's log."""
    result = Result("feed", "the live feed over loopback, frame to commit")
    count = bench.choose(1, 6)
    for symbols in SIZES[:1] if bench.quick else SIZES:
        delays = asyncio.run(run_engine(bench.folder / f"feed{symbols}.db", symbols, count))
        for percent in (50.0, 99.0):
            seconds = percentile(delays.own, percent)
            result.add(f"{symbols} symbols, p{percent:g} of {len(delays.own):,} candles", milliseconds(seconds))
        seconds = percentile(delays.last, 50.0)
        result.add(f"{symbols} symbols, p50 from the last frame of a minute", milliseconds(seconds))
        result.add(f"{symbols} symbols, candles that were late", f"{delays.late:,}")
        result.add(f"{symbols} symbols, share of one core", f"{delays.cpu_share * 100.0:.1f} %")
    day = bench.folder / "day.db"
    asyncio.run(write_day(day))
    result.add(f"log of a day, {SYMBOLS_CPU} symbols", f"{day.stat().st_size / 1e6:.1f} MB")
    result.notes.append(
        f"The stand-in is a separate process; it sends each symbol's candle every {UPDATE_MS} ms while it changes, and "
        f"its ticker every {TICKER_MS / 1000:g} s. The time runs from the frame that begins a symbol's next candle to "
        "the commit of the finished one; minutes that the streams have not covered completely are omitted. All symbols "
        "are committed together, so the time includes the wait for the last frame, and for the tickers if a reading of "
        "open interest is due. The wait of a live engine for corrections, `settle_s` (2 s), is not included."
    )
    return result
