"""Every page of the dashboard over a long log, as a browser asks `papertape ui` for it."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Final

import httpx

from benchmarks import traded
from benchmarks.logs import SYMBOLS
from benchmarks.measure import Bench, Result, milliseconds
from benchmarks.web import page_of

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS, TRADES = 1_000_000, 10_000
QUICK_EVENTS, QUICK_TRADES = 30_000, 300
ROUNDS: Final = 15
PAGE_S: Final = 0.05
READY_S_MAX: Final = 300.0
PAGES: Final = {
    "overview": "/",
    "what changes on it": "/?part=content",
    "arena": "/arena",
    "a strategy": "/strategy/momentum",
    "a chart": f"/chart/{SYMBOLS[0]}",
    "positions and trades": "/trades",
    "trades that were chosen": "/trades?strategy=momentum&result=won&page=3",
    "risk": "/risk",
    "events": "/events",
    "one event": "/events/{middle}",
    "health": "/system",
    "overview as of an event": "/?as_of={middle}",
}


def dashboard(bench: Bench) -> Result:
    """The middle of some rounds, after one visit of each page."""
    db = bench.folder / "papertape.db"
    head = traded.write(db, bench.choose(QUICK_EVENTS, EVENTS), bench.choose(QUICK_TRADES, TRADES))
    result = Result("dashboard", f"pages over a log of {head:,} events")
    with page_of(db) as (host, port), httpx.Client(base_url=f"http://{host}:{port}", timeout=READY_S_MAX) as client:
        _wait_until_read(client, head)
        for name, seconds in _timed(client, head // 2):
            result.add(name, milliseconds(seconds), f"< {milliseconds(PAGE_S)}", seconds < PAGE_S)
    return result


def _wait_until_read(client: httpx.Client, head: int) -> None:
    """Until the views stand at the head of the log, and what the kernel knew was read once."""
    ends_s = time.monotonic() + READY_S_MAX
    while client.get("/api/v1/arena").json()["as_of"]["seq"] < head:
        assert time.monotonic() < ends_s, "the log was not read in time"
        time.sleep(0.2)
    client.get("/api/v1/state", params={"digest": "true"}).raise_for_status()


def _timed(client: httpx.Client, middle: int) -> Iterator[tuple[str, float]]:
    for name, path in PAGES.items():
        address, took = path.format(middle=middle), []
        client.get(address).raise_for_status()
        for _ in range(ROUNDS):
            began = time.perf_counter()
            client.get(address).raise_for_status()
            took.append(time.perf_counter() - began)
        yield name, statistics.median(took)
