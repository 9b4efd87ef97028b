"""A thousand clients of the page, and their effect on the engine: from a minute's facts to their commit."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import httpx
from msgspec import Struct, field

from benchmarks.market import drawn_symbols, listed, minutes, runners, strategies
from benchmarks.measure import ROOT, Bench, Result, milliseconds, percentile
from benchmarks.processes import environment
from papertape.engine.loop import Loop
from papertape.engine.reducer.state import new_state
from papertape.engine.runner_settings import configuration
from papertape.engine.startup import snapshot_store
from papertape.engine.strategy_registry import code_digest
from papertape.events.bus import Bus
from papertape.events.sqlite_log import SqliteEventLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from papertape.events.facts import Event

    Market = Iterator[Sequence[Event]]

SYMBOLS = 50
CLIENTS = 1_000
WARM_UP_MINUTES = 1_500
BATCH_MINUTES = 20
BOUNDARY_EVERY_S = 1.0
TIMES_IDLE_MAX = 2.0
UP_S_MAX = 120.0


class ClientLoadImpact(Struct):
    """The seconds of every boundary without and with clients, and the responses to the clients."""

    idle: list[float] = field(default_factory=list)
    crowded: list[float] = field(default_factory=list)
    responses: list[dict[str, int]] = field(default_factory=list)
    bytes: int = 0
    health: dict[str, Any] = field(default_factory=dict)


@contextmanager
def page_of(db: Path) -> Iterator[tuple[str, int]]:
    """Run `papertape ui` beside the engine; yield its address."""
    command = [sys.executable, "-m", "papertape", "ui", "--db", str(db), "--port", "0"]
    with subprocess.Popen(command, cwd=db.parent, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = re.search(r"http://([^/:]+):(\d+)/", process.stdout.readline())
            assert address is not None, "the page printed no address"
            yield address[1], int(address[2])
        finally:
            process.terminate()


@contextmanager
def crowd(host: str, port: int, impact: ClientLoadImpact) -> Iterator[None]:
    """Run a thousand clients for the duration of the block."""
    command = [sys.executable, "-m", "benchmarks.programs.web_clients", host, str(port), str(CLIENTS)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        impact.responses.append(json.loads(process.stdout.readline()))
        yield
        process.stdin.close()
        impact.bytes += json.loads(process.stdout.readline())["bytes"]


async def boundaries(
    loop: Loop, market: Market, count: int, seconds: list[float], every_s: float = BOUNDARY_EVERY_S
) -> None:
    """Process a number of minutes at a pace."""
    for _ in range(count):
        facts = [*next(market)]
        started = time.perf_counter()
        await loop.take(facts)
        seconds.append(time.perf_counter() - started)
        await asyncio.sleep(every_s)


async def up(host: str, port: int, seq: int) -> dict[str, Any]:
    """Return the page's health as soon as its views include `seq`."""
    until_s = time.monotonic() + UP_S_MAX
    async with httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=UP_S_MAX) as client:
        while time.monotonic() < until_s:
            health: dict[str, Any] = (await client.get("/health")).json()
            if health["as_of"]["seq"] >= seq:
                return health
            await asyncio.sleep(0.1)
    raise TimeoutError("the page did not catch up")


@asynccontextmanager
async def warmed_up(db: Path) -> AsyncIterator[tuple[Loop, SqliteEventLog, Market]]:
    """Yield an engine's loop with its log and the market, after the warm-up."""
    log = await SqliteEventLog.open(db, clock_ms=lambda: time.time_ns() // 1_000_000)
    digest = code_digest(strategies().values())
    loop = Loop(new_state(strategies()), log, Bus(), snapshot_store(db, print), digest, print)
    await loop.take(configuration(strategies(), listed(drawn_symbols(SYMBOLS)), runners()))
    market = minutes(drawn_symbols(SYMBOLS), warm_up=WARM_UP_MINUTES)
    for _ in range(WARM_UP_MINUTES // BATCH_MINUTES):
        await loop.take([fact for facts in islice(market, BATCH_MINUTES) for fact in facts])
    try:
        yield loop, log, market
    finally:
        await log.close()


async def measure_crowd(db: Path, count: int, rounds: int) -> ClientLoadImpact:
    """Alternate between boundaries without and with a thousand clients."""
    impact = ClientLoadImpact()
    async with warmed_up(db) as (loop, log, market):
        with page_of(db) as (host, port):
            await up(host, port, log.head.seq)
            for _ in range(rounds):
                await boundaries(loop, market, count, impact.idle)
                with crowd(host, port, impact):
                    await boundaries(loop, market, count, impact.crowded)
                    impact.health = (await up(host, port, 0))["web"]
            await up(host, port, log.head.seq)
    return impact


def web(bench: Bench) -> Result:
    """Measure an engine in this process, with the page and its clients in two others."""
    title = f"{CLIENTS:,} clients of the page: fact to commit, {SYMBOLS} symbols at a minute's boundary"
    result = Result("web", title)
    impact = asyncio.run(measure_crowd(bench.folder / "web.db", bench.choose(15, 60), bench.choose(1, 3)))
    for percent in (50.0, 99.0):
        idle, crowded = percentile(impact.idle, percent), percentile(impact.crowded, percent)
        limit = max(TIMES_IDLE_MAX * idle, 0.0)
        result.add(f"no clients, p{percent:g}", milliseconds(idle))
        has_target = percent == 99.0
        goal, met = (f"<= {TIMES_IDLE_MAX:g}x, {milliseconds(limit)}", crowded <= limit) if has_target else ("", None)
        result.add(f"{CLIENTS:,} clients, p{percent:g}", milliseconds(crowded), goal, met)
    for responses in impact.responses[:1]:
        limit, others = impact.health["streams_max"], responses["others"]
        served = f"{responses['served']} served, {responses['refused']} answered 503, {others} anything else"
        result.add("of these", served, f"{limit} served", responses["served"] == limit and others == 0)
    dropped = impact.health["streams_dropped"]
    result.add("dropped clients that never read", str(dropped), ">= 1", dropped >= 1)
    result.notes.append(
        f"{len(impact.idle):,} boundaries each way, alternating, one every {BOUNDARY_EVERY_S:g} s, which is "
        f"{60 / BOUNDARY_EVERY_S:,.0f} times a live market's pace; the clients received {impact.bytes / 1e6:,.0f} MB. "
        "Engine, page and clients share the cores."
    )
    return result
