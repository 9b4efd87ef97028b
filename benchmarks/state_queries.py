"""Queries of a page on a long log: the state as of any event, current conditions, charts."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from benchmarks.log_grower import SYMBOLS, LogGrower
from benchmarks.market import strategies
from benchmarks.measure import Bench, Result, milliseconds, percentile
from papertape.engine.inspect.chart_reader import ChartReader
from papertape.engine.inspect.entry_conditions import entry_conditions
from papertape.engine.inspect.state_history import StateHistory
from papertape.engine.reducer.snapshot_codec import state_digest
from papertape.events.log_thread import LogThread
from papertape.events.sqlite_log import SqliteLogReader
from papertape.events.units import MINUTE_MS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

QUERIES, CHARTS_PER_TIMEFRAME = 60, 5
QUERY_S, HEAD_S, CHART_S, SAME_CHART_S = 0.2, 0.01, 1.0, 0.05
TIMEFRAMES = {"1m": MINUTE_MS, "5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS}
CANDLES = 300


def state_queries(bench: Bench) -> Result:
    """Measure on a log written by an engine's loop, without a snapshot."""
    events = bench.choose(60_000, 1_000_000)
    result = Result(
        "queries", f"a page's queries on a log of {events:,} events, {len(SYMBOLS)} symbols, four strategies"
    )
    folder = bench.folder / "queries"
    folder.mkdir()
    grower = LogGrower(folder)
    head = asyncio.run(grower.grow(events, 0, snapshot=False))
    with closing(LogThread(lambda: SqliteLogReader(grower.db))) as thread:
        asyncio.run(_measure(result, thread, head, state_digest(grower.world)))
    return result


async def _measure(result: Result, thread: LogThread, head: int, expected: str) -> None:
    history, charts, random_seq = StateHistory(thread, strategies(), None), ChartReader(thread), random.Random(1)
    first, digest = await _timed(lambda: history.query(head, state_digest))
    result.add("the first query, which folds the whole log", milliseconds(first))
    result.add("it reaches the state that wrote the log", "digest", "equal", digest == expected)
    checkpoints = f"{len(history.checkpoints)} checkpoints"
    result.add("checkpoints kept, so that every event is near one", checkpoints)
    seqs = [random_seq.randrange(1, head) for _ in range(QUERIES)]
    took = [(await _timed(partial(history.query, seq, state_digest)))[0] for seq in seqs]
    middle, slowest = percentile(took, 50.0), percentile(took, 99.0)
    result.add("the state as of any event, median", milliseconds(middle), f"< {QUERY_S:g} s", middle < QUERY_S)
    result.add("the state as of any event, slowest of 60", milliseconds(slowest))
    now, _ = await _timed(lambda: history.query(head, lambda world: entry_conditions(world, "momentum", SYMBOLS[0])))
    result.add("current conditions", milliseconds(now), f"< {milliseconds(HEAD_S)}", now < HEAD_S)
    for name, frame_ms in TIMEFRAMES.items():
        await _charts(result, charts, name, frame_ms, head)


async def _charts(result: Result, charts: ChartReader, name: str, frame_ms: int, head: int) -> None:
    """Measure charts at several new places, and the same charts 100 events later."""
    fresh: list[float] = []
    again: list[float] = []
    for number in range(CHARTS_PER_TIMEFRAME):
        symbol, seq = SYMBOLS[number % len(SYMBOLS)], head - 1_000 - number * head // 10
        fresh.append((await _timed(partial(charts.chart, seq, symbol, MINUTE_MS, frame_ms, CANDLES)))[0])
        again.append((await _timed(partial(charts.chart, seq + 100, symbol, MINUTE_MS, frame_ms, CANDLES)))[0])
    first, later = percentile(fresh, 50.0), percentile(again, 50.0)
    what = f"a chart of {CANDLES} candles of {name}"
    result.add(f"{what}, first time", milliseconds(first), f"< {CHART_S:g} s", first < CHART_S)
    goal = f"< {milliseconds(SAME_CHART_S)}"
    result.add(f"{what}, 100 events later", milliseconds(later), goal, later < SAME_CHART_S)


async def _timed(query: Callable[[], Awaitable[T]]) -> tuple[float, T]:
    """Return the seconds of a query and its result."""
    started = time.perf_counter()
    result = await query()
    return time.perf_counter() - started, result
