"""Measure reading sealed history against the same rows in SQLite.

Run `python -m benchmarks.programs.sealed_replay UNSEALED SEALED`: two copies of one log, such as
`benchmarks.programs.aged_log` writes, of which one was sealed by `papertape seal`. It prints a Markdown table for a
quiet window and for the one with the most trades, each as long as a segment. The sides alternate in one process; without
numpy first, because it cannot be unloaded. The figures are processor time.
"""

from __future__ import annotations

import sys
from collections import deque
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Timings, alternate, best_ratio, load, million, one_core, times_as_fast
from papertape.events.facts import CandleClosed, FundingRateSettled, OpenInterestObserved
from papertape.events.segments.order import load_numpy
from papertape.events.sqlite_log import SqliteLogReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from papertape.events.log import Commit, Recorded
    from papertape.events.segments.segment_file import SegmentFile, SegmentInfo

ROUNDS = 7
MARKET = (CandleClosed, FundingRateSettled, OpenInterestObserved)
PRICES = ("open", "high", "low", "close", "volume")


def commits_of(reader: SqliteLogReader, info: SegmentInfo) -> Iterator[Commit]:
    """Yield the commits of a segment's rows, from wherever they are."""
    for commit in reader.commits(info.first_seq - 1):
        yield commit
        if commit.last_seq >= info.last_seq:
            return


def recorded_of(commits: Iterable[Commit]) -> Iterator[Recorded]:
    """Yield the events of commits one by one."""
    return (one for commit in commits for one in commit.recorded())


def consume(read: Callable[[], Iterable[object]]) -> None:
    """Read to the end and keep nothing."""
    deque(read(), 0)


def read_prices(segment: SegmentFile) -> None:
    """Decode prices and volumes of all candles."""
    for block in segment.blocks():
        if (columns := block.columns(CandleClosed)) is not None:
            deque(map(columns.values, PRICES), 0)


def read_columns(segment: SegmentFile) -> None:
    """Decode every field of market facts into columns, in the order of the log, and build the other events."""
    for block in segment.blocks():
        for columns in filter(None, map(block.columns, MARKET)):
            columns.log_order()
            deque(map(columns.values, columns.kind.__struct_fields__), 0)
        block.others(*MARKET)


def sides(plain: SqliteLogReader, segment: SegmentFile) -> dict[str, Callable[[], object]]:
    """Return the ways to read a segment's events, SQLite's first."""
    info = segment.info
    return {
        "SQLite, commits": partial(consume, partial(commits_of, plain, info)),
        "SQLite, events one by one": partial(consume, lambda: recorded_of(commits_of(plain, info))),
        "sealed, commits": partial(consume, segment.commits),
        "sealed, events one by one": partial(consume, lambda: recorded_of(segment.commits())),
        "sealed, stretches": partial(consume, segment.stretches),
        "sealed, all fields as columns, trades as events": partial(read_columns, segment),
        "sealed, prices and volumes as columns": partial(read_prices, segment),
    }


def trades(segment: SegmentFile) -> int:
    """Return how many events of a segment are no market facts."""
    return sum(len(block.others(*MARKET)) for block in segment.blocks())


def table(title: str, times: dict[str, Timings], events: int) -> list[str]:
    """Return the figures as a table in Markdown, each side against SQLite's commits."""
    lines = [
        f"## {title}, load {load()}",
        "",
        "| | ns per event | events per second | against SQLite |",
        "|---|---|---|---|",
    ]
    for name, own in times.items():
        best = min(own.cpu) / events
        factor = times_as_fast(best_ratio(times["SQLite, commits"], own))
        lines.append(f"| {name} | {best * 1e9:,.0f} | {million(1.0 / best)} | {factor} |")
    return [*lines, ""]


def measure(plain: SqliteLogReader, segment: SegmentFile, window: str) -> Iterator[str]:
    """Yield the lines of a window's table."""
    events = segment.info.last_seq - segment.info.first_seq + 1
    with one_core():
        times = alternate(sides(plain, segment), ROUNDS)
    how = "with numpy" if "numpy" in sys.modules else "without numpy"
    yield from table(f"{window}: {events:,} events, {trades(segment):,} of them no market facts, {how}", times, events)


def main(unsealed: Path, sealed: Path) -> None:
    """Print the tables."""
    with closing(SqliteLogReader(unsealed)) as plain, closing(SqliteLogReader(sealed)) as reader:
        counts = {trades(reader.open_segment(one)): one for one in reader.segments()[:-1]}
        windows = {"quietest window": counts[min(counts)], "window with the most trades": counts[max(counts)]}
        for load_first in (lambda: None, load_numpy):
            load_first()
            for name, one in windows.items():
                sys.stdout.write("\n".join(measure(plain, reader.open_segment(one), name)) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
