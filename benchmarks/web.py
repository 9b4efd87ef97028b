"""A thousand clients of the page, and what the engine feels of them: from a minute's facts in to their commit done."""

from __future__ import annotations

import asyncio
import json
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
    """Seconds of every boundary without clients and with them, and what the clients met with."""

    idle: list[float] = field(default_factory=list)
    crowded: list[float] = field(default_factory=list)
    met: list[dict[str, int]] = field(default_factory=list)
    bytes: int = 0
    health: dict[str, Any] = field(default_factory=dict)


@contextmanager
def page_of(db: Path) -> Iterator[tuple[str, int]]:
    """`papertape ui` beside the engine; where it is."""
    command = [sys.executable, "-m", "papertape", "ui", "--db", str(db), "--port", "0"]
    with subprocess.Popen(command, cwd=db.parent, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            host, _, port = process.stdout.readline().strip().rpartition("/")[2].partition(":")
            yield host, int(port)
        finally:
            process.terminate()


@contextmanager
def crowd(host: str, port: int, felt: ClientLoadImpact) -> Iterator[None]:
    """A thousand clients while the block lasts."""
    command = [sys.executable, "-m", "benchmarks.web_clients", host, str(port), str(CLIENTS)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        felt.met.append(json.loads(process.stdout.readline()))
        yield
        process.stdin.close()
        felt.bytes += json.loads(process.stdout.readline())["bytes"]


async def boundaries(
    loop: Loop, market: Market, count: int, seconds: list[float], every_s: float = BOUNDARY_EVERY_S
) -> None:
    """Take so many minutes at their pace."""
    for _ in range(count):
        facts = [*next(market)]
        started = time.perf_counter()
        await loop.take(facts)
        seconds.append(time.perf_counter() - started)
        await asyncio.sleep(every_s)


async def up(host: str, port: int, seq: int) -> dict[str, Any]:
    """The page's health, as soon as its views have come so far."""
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
    """An engine's loop with its log, and the market it has seen the warm-up of."""
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
    """Alternate: boundaries without clients, then with a thousand."""
    felt = ClientLoadImpact()
    async with warmed_up(db) as (loop, log, market):
        with page_of(db) as (host, port):
            await up(host, port, log.head.seq)
            for _ in range(rounds):
                await boundaries(loop, market, count, felt.idle)
                with crowd(host, port, felt):
                    await boundaries(loop, market, count, felt.crowded)
                    felt.health = (await up(host, port, 0))["web"]
            await up(host, port, log.head.seq)
    return felt


def web(bench: Bench) -> Result:
    """An engine in this process, the page in another, its clients in a third."""
    title = f"{CLIENTS:,} clients of the page: fact in to commit done, {SYMBOLS} symbols at a minute's boundary"
    result = Result("web", title)
    felt = asyncio.run(measure_crowd(bench.folder / "web.db", bench.choose(15, 60), bench.choose(1, 3)))
    for percent in (50.0, 99.0):
        idle, crowded = percentile(felt.idle, percent), percentile(felt.crowded, percent)
        limit = max(TIMES_IDLE_MAX * idle, 0.0)
        result.add(f"nobody looks, p{percent:g}", milliseconds(idle))
        held = percent == 99.0
        goal, met = (f"<= {TIMES_IDLE_MAX:g}x, {milliseconds(limit)}", crowded <= limit) if held else ("", None)
        result.add(f"{CLIENTS:,} clients, p{percent:g}", milliseconds(crowded), goal, met)
    for met_with in felt.met[:1]:
        limit, others = felt.health["streams_max"], met_with["others"]
        served = f"{met_with['served']} served, {met_with['refused']} answered 503, {others} anything else"
        result.add("of them", served, f"{limit} served", met_with["served"] == limit and others == 0)
    dropped = felt.health["streams_dropped"]
    result.add("clients that never read, dropped", str(dropped), ">= 1", dropped >= 1)
    result.notes.append(
        f"{len(felt.idle):,} boundaries each way, alternating, one every {BOUNDARY_EVERY_S:g} s, which is "
        f"{60 / BOUNDARY_EVERY_S:,.0f} times a live market's pace; the clients were sent {felt.bytes / 1e6:,.0f} MB. "
        "Engine, page and clients share the cores."
    )
    return result
