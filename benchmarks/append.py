"""Durable appends: our log against bare SQLite and against the library `eventsourcing`."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.market import SYMBOL, minutes
from benchmarks.measure import Bench, Result, Timings, ratio, times_as_fast
from papertape.events.chain import next_row
from papertape.events.codec import CODEC
from papertape.events.facts import CandleClosed
from papertape.events.log import Entry, Head
from papertape.events.sqlite_file import EXTEND_WAL
from papertape.events.sqlite_log import SqliteEventLog

try:
    from uvloop import run as run_loop  # As `papertape run` does.
except ImportError:
    from asyncio import run as run_loop  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.events.chain import Row
    from papertape.events.facts import Event

TARGET_BARE, TARGET_LIBRARY = 0.8, 5.0
EVENTS_PER_COMMIT = 100
BARE_SCHEMA = """
CREATE TABLE commits (seq INTEGER PRIMARY KEY, count INTEGER NOT NULL, recorded_at_ms INTEGER NOT NULL,
                      events BLOB NOT NULL, hash BLOB NOT NULL) STRICT
"""


def events(count: int) -> list[Event]:
    """Return candles to write."""
    candles: list[Event] = []
    for facts in minutes([SYMBOL]):
        candles += [fact for fact in facts if isinstance(fact, CandleClosed)]
        if len(candles) >= count:
            break
    return candles


def rows(written: Sequence[Event]) -> list[Row]:
    """Return the rows that our log would write for these events, one event per commit."""
    head, made = Head(), []
    for event in written:
        row = next_row(head, [Entry(event)], 0, CODEC)
        made.append(row)
        head = Head(row[0], row[4])
    return made


def time_sqlite(path: Path, written: Sequence[Row], prepared: str = "") -> float:
    """Return the seconds in which SQLite inserts the rows, one per commit, after a preparing script."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(BARE_SCHEMA)
    connection.executescript(prepared)
    started = time.perf_counter()
    for row in written:
        connection.execute("INSERT INTO commits VALUES (?, ?, ?, ?, ?)", row)
    took = time.perf_counter() - started
    connection.close()
    return took


def time_log(path: Path, commits: Sequence[Sequence[Event]]) -> float:
    """Return the seconds in which our log appends the commits, with the hash chain and the head file."""

    async def write() -> float:
        log = await SqliteEventLog.open(path, clock_ms=lambda: 0)
        started = time.perf_counter()
        for commit in commits:
            await log.append(log.head.seq, [Entry(event) for event in commit])
        took = time.perf_counter() - started
        await log.close()
        return took

    return run_loop(write())


def rounds_of(bench: Bench, runs: dict[str, Callable[[Path], float]], rounds: int) -> dict[str, Timings]:
    """Run the alternatives in turn, each time on new files."""
    times = {name: Timings() for name in runs}
    names = list(runs)
    for number in range(rounds + 1):
        for place in range(len(names)):
            name = names[(number + place) % len(names)]
            took = runs[name](bench.folder / f"{name}-{number}.db")
            if number > 0:  # The first round warms up.
                times[name].wall.append(took)
    return times


def append_one(bench: Bench) -> Result:
    """Measure one event per commit against bare SQLite."""
    commits = bench.choose(200, 1_000)
    result = Result("append", "durable append, one event per commit, hash chain on")
    written = events(commits)
    made, single = rows(written), [[event] for event in written]
    runs = {
        "bare": lambda path: time_sqlite(path, made),
        "long": lambda path: time_sqlite(path, made, EXTEND_WAL),
        "ours": lambda path: time_log(path, single),
    }
    times = rounds_of(bench, runs, bench.choose(5, 11))
    factor = ratio(times["bare"], times["ours"])
    for name, words in (
        ("ours", "papertape"),
        ("bare", "sqlite3, the same rows in autocommit"),
        ("long", "sqlite3 with a preallocated -wal like ours"),
    ):
        result.add(words, f"{commits / times[name].median:,.0f} commits/s")
    result.add("against SQLite with the preallocated -wal", f"{100.0 * ratio(times['long'], times['ours']):.0f} %")
    result.add("against bare SQLite", f"{100.0 * factor:.0f} %", f">= {100.0 * TARGET_BARE:g} %", factor >= TARGET_BARE)
    result.notes.append(
        "Both with journal_mode WAL and synchronous FULL: each commit waits for the disk. Bare SQLite gets finished "
        "rows and has no triggers; our side encodes, checks, chains, hands over to the writer thread and updates the "
        "head. Opening our log extends the -wal to the length of a checkpoint, so that no commit has to extend it; a "
        "bare one has grown to that length after a thousand commits and is then as fast."
    )
    return result


def append_many(bench: Bench) -> Result:
    """Measure a hundred events per commit against the library `eventsourcing`."""
    from benchmarks import rival_eventsourcing as rival  # noqa: PLC0415 - belongs to an extra

    commits = bench.choose(20, 100)
    result = Result("eventsourcing", f"durable append, {EVENTS_PER_COMMIT} events per commit")
    written = events(commits * EVENTS_PER_COMMIT)
    groups = [written[at : at + EVENTS_PER_COMMIT] for at in range(0, len(written), EVENTS_PER_COMMIT)]
    runs = {"theirs": lambda path: rival.write(path, groups), "ours": lambda path: time_log(path, groups)}
    times = rounds_of(bench, runs, bench.choose(3, 9))
    factor = ratio(times["theirs"], times["ours"])
    for name, words in (("ours", "papertape"), ("theirs", "eventsourcing, Application with its SQLite recorder")):
        result.add(words, f"{len(written) / times[name].median:,.0f} events/s")
    result.add("against eventsourcing", times_as_fast(factor), f">= {TARGET_LIBRARY:g}x", factor >= TARGET_LIBRARY)
    result.notes.append(rival.SETTINGS)
    return result
