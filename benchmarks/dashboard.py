"""Every page of the dashboard on a long log, as a browser requests it from `papertape ui`."""

from __future__ import annotations

import statistics
import time
from random import Random
from typing import TYPE_CHECKING, Final

import httpx

from benchmarks import trade_log
from benchmarks.log_grower import SYMBOLS
from benchmarks.measure import Bench, Result, milliseconds, percentile
from benchmarks.web import page_of

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS, TRADES = 1_000_000, 10_000
QUICK_EVENTS, QUICK_TRADES = 30_000, 300
ROUNDS: Final = 15
PAGE_S: Final = 0.05
READY_S_MAX: Final = 600.0
LOG_BUSY: Final = 503
PROBES: Final = 20
PAGES: Final = {
    "overview": "/",
    "its live content": "/?part=content",
    "arena": "/arena",
    "a strategy": "/strategy/momentum",
    "a chart": f"/chart/{SYMBOLS[0]}",
    "positions and trades": "/trades",
    "filtered trades": "/trades?strategy=momentum&result=won&page=3",
    "risk": "/risk",
    "events": "/events",
    "one event": "/events/{middle}",
    "health": "/system",
    "overview as of an event": "/?as_of={middle}",
}
SEEKS: Final = {
    "overview as of any event": "/?as_of={seq}",
    "a strategy with its conditions as of any event": "/strategy/momentum?as_of={seq}",
    "the digest of the engine's state as of any event": "/api/v1/state?digest=true&as_of={seq}",
}
SEEKS_EACH: Final = 40
SEEK_S: Final = 0.2


def dashboard(bench: Bench) -> Result:
    """Measure the median of some rounds, after one request of each page."""
    db = bench.folder / "papertape.db"
    head = trade_log.write(db, bench.choose(QUICK_EVENTS, EVENTS), bench.choose(QUICK_TRADES, TRADES))
    result = Result("dashboard", f"pages on a log of {head:,} events")
    with page_of(db) as (host, port), httpx.Client(base_url=f"http://{host}:{port}", timeout=READY_S_MAX) as client:
        _wait_until_read(client, head)
        for name, seconds in _timed(client, head // 2):
            result.add(name, milliseconds(seconds), f"< {milliseconds(PAGE_S)}", seconds < PAGE_S)
        for name, path in SEEKS.items():
            took = _sought(client, path, head)
            middle, slow = percentile(took, 50.0), percentile(took, 95.0)
            result.add(f"{name}, p50", milliseconds(middle), f"< {SEEK_S:g} s", middle < SEEK_S)
            result.add(f"{name}, p95", milliseconds(slow), f"< {SEEK_S:g} s", slow < SEEK_S)
    return result


def _wait_until_read(client: httpx.Client, head: int) -> None:
    """Wait until the views are at the head of the log and the kernel's state was folded once."""
    ends_s = time.monotonic() + READY_S_MAX
    while client.get("/api/v1/arena").status_code == LOG_BUSY:
        assert time.monotonic() < ends_s, "the log was not read in time"
        time.sleep(0.2)
    for at in range(head, 0, -max(1, head // PROBES)):
        while client.get("/api/v1/state", params={"digest": "true", "as_of": at}).status_code == LOG_BUSY:
            assert time.monotonic() < ends_s, "the log was not read in time"
            time.sleep(0.2)


def _sought(client: httpx.Client, path: str, head: int) -> list[float]:
    """Return the seconds of pages as of random events."""
    random, took = Random(path), []
    for _ in range(SEEKS_EACH):
        began = time.perf_counter()
        client.get(path.format(seq=random.randint(1, head))).raise_for_status()
        took.append(time.perf_counter() - began)
    return took


def _timed(client: httpx.Client, middle: int) -> Iterator[tuple[str, float]]:
    for name, path in PAGES.items():
        address, took = path.format(middle=middle), []
        client.get(address).raise_for_status()
        for _ in range(ROUNDS):
            began = time.perf_counter()
            client.get(address).raise_for_status()
            took.append(time.perf_counter() - began)
        yield name, statistics.median(took)
