"""Durable appends: our log against SQLite bare, and against the library `eventsourcing`."""

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
from papertape.events.sqlite_file import LAY_OUT
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
EVENTS_A_COMMIT = 100
BARE_SCHEMA = """
CREATE TABLE commits (seq INTEGER PRIMARY KEY, count INTEGER NOT NULL, recorded_at_ms INTEGER NOT NULL,
                      events BLOB NOT NULL, hash BLOB NOT NULL) STRICT
"""


def events(count: int) -> list[Event]:
    """Candles to write."""
    found: list[Event] = []
    for facts in minutes([SYMBOL]):
        found += [fact for fact in facts if isinstance(fact, CandleClosed)]
        if len(found) >= count:
            break
    return found


def rows(written: Sequence[Event]) -> list[Row]:
    """The very rows our log writes for these events, one event a commit."""
    head, made = Head(), []
    for event in written:
        row = next_row(head, [Entry(event)], 0, CODEC)
        made.append(row)
        head = Head(row[0], row[4])
    return made


def time_sqlite(path: Path, written: Sequence[Row], prepared: str = "") -> float:
    """Seconds in which SQLite inserts the rows, each in its own commit, after a script of preparation."""
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
    """Seconds in which our log appends them, a row a commit, with the hash chain and its head file."""

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
    """Alternate, each time on fresh files."""
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
    """One event a commit, against bare SQLite."""
    commits = bench.choose(200, 1_000)
    result = Result("append", "durable append, one event a commit, hash chain on")
    written = events(commits)
    made, single = rows(written), [[event] for event in written]
    runs = {
        "bare": lambda path: time_sqlite(path, made),
        "long": lambda path: time_sqlite(path, made, LAY_OUT),
        "ours": lambda path: time_log(path, single),
    }
    times = rounds_of(bench, runs, bench.choose(5, 11))
    factor = ratio(times["bare"], times["ours"])
    for name, words in (
        ("ours", "papertape"),
        ("bare", "sqlite3, the same rows in autocommit"),
        ("long", "sqlite3 with a -wal laid out as ours is"),
    ):
        result.add(words, f"{commits / times[name].median:,.0f} commits/s")
    result.add("against SQLite with such a -wal", f"{100.0 * ratio(times['long'], times['ours']):.0f} %")
    result.add("against bare SQLite", f"{100.0 * factor:.0f} %", f">= {100.0 * TARGET_BARE:g} %", factor >= TARGET_BARE)
    result.notes.append(
        "Both with journal_mode WAL and synchronous FULL: each commit waits for the disk. Bare SQLite is given "
        "finished rows and has no triggers; our side encodes, checks, chains, hands over to the writing thread and "
        "keeps the head. Opening our log gives the -wal the length of a checkpoint, so that no commit has to make "
        "it longer; a bare one has grown to it after a thousand commits, and is as quick as the laid-out one then."
    )
    return result


def append_many(bench: Bench) -> Result:
    """A hundred events a commit, against the library `eventsourcing`."""
    from benchmarks import rival_eventsourcing as rival  # noqa: PLC0415 - belongs to an extra

    commits = bench.choose(20, 100)
    result = Result("eventsourcing", f"durable append, {EVENTS_A_COMMIT} events a commit")
    written = events(commits * EVENTS_A_COMMIT)
    groups = [written[at : at + EVENTS_A_COMMIT] for at in range(0, len(written), EVENTS_A_COMMIT)]
    runs = {"theirs": lambda path: rival.write(path, groups), "ours": lambda path: time_log(path, groups)}
    times = rounds_of(bench, runs, bench.choose(3, 9))
    factor = ratio(times["theirs"], times["ours"])
    for name, words in (("ours", "papertape"), ("theirs", "eventsourcing, Application with its SQLite recorder")):
        result.add(words, f"{len(written) / times[name].median:,.0f} events/s")
    result.add("against eventsourcing", times_as_fast(factor), f">= {TARGET_LIBRARY:g}x", factor >= TARGET_LIBRARY)
    result.notes.append(rival.SETTINGS)
    return result
