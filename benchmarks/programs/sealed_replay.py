"""Measure reading sealed history against the same rows in SQLite.

Run `python -m benchmarks.programs.sealed_replay UNSEALED SEALED`: two copies of one log, such as
`benchmarks.programs.aged_log` writes, of which one was sealed by `papertape seal`. It prints a Markdown table for a
quiet window and for the one with the most trades. The sides alternate in one process, first
without numpy, which cannot be unloaded. The figures are the processor time of the best rounds.
"""

from __future__ import annotations

import sys
from collections import deque
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Timings, alternate, best_ratio, load, million, one_core, times_as_fast
from papertape.events.facts import CandleClosed, FundingRateSettled, OpenInterestObserved
from papertape.events.segments.order import load_numpy
from papertape.events.sqlite_log import SqliteLogReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from papertape.events.facts import Event
    from papertape.events.log import Commit, Recorded
    from papertape.events.segments.catalogue import Sealed
    from papertape.events.segments.segment_file import SegmentFile

ROUNDS = 40
BLOCKS = 4
"""A round reads these first blocks of a segment: the shorter a round is, the likelier one of them is undisturbed."""
MARKET: tuple[type[Event], ...] = (CandleClosed, FundingRateSettled, OpenInterestObserved)
PRICES = ("open", "high", "low", "close", "volume")


def commits_until(commits: Iterable[Commit], last_seq: int) -> Iterator[Commit]:
    """Yield commits up to the one that ends with an event."""
    for commit in commits:
        yield commit
        if commit.last_seq >= last_seq:
            return


def recorded_of(read: Callable[[], Iterable[Commit]]) -> Iterator[Recorded]:
    """Yield the events of commits one by one."""
    return (one for commit in read() for one in commit.recorded())


def consume(read: Callable[[], Iterable[object]]) -> None:
    """Read to the end and keep nothing."""
    deque(read(), 0)


def read_prices(segment: SegmentFile) -> None:
    """Decode prices and volumes of all candles."""
    for block in islice(segment.blocks(), BLOCKS):
        if (columns := block.columns(CandleClosed)) is not None:
            deque(map(columns.values, PRICES), 0)


def read_columns(segment: SegmentFile) -> None:
    """Decode every field of market facts into columns, with their order in the log, and build the other events."""
    for block in islice(segment.blocks(), BLOCKS):
        for kind in MARKET:
            if (columns := block.columns(kind)) is None:
                continue
            columns.log_order()
            deque(map(columns.values, columns.kind.__struct_fields__), 0)
        block.others(*MARKET)


def candle_builder(segment: SegmentFile) -> Callable[[], Iterator[Event]]:
    """Return a function that yields the candles of the first blocks: no decoder that builds them can be faster."""
    fields: dict[str, list[object]] = {field: [] for field in CandleClosed.__struct_fields__}
    for block in islice(segment.blocks(), BLOCKS):
        if (columns := block.columns(CandleClosed)) is not None:
            for field in fields:
                fields[field] += columns.values(field)
    return lambda: map(CandleClosed, *fields.values())


def ways(plain: SqliteLogReader, segment: SegmentFile, last_seq: int) -> dict[str, Callable[[], object]]:
    """Return the ways to read a segment's first blocks, SQLite's first."""
    logs: dict[str, Callable[[], Iterator[Commit]]] = {
        "SQLite": lambda: commits_until(plain.commits(segment.info.first_seq - 1), last_seq),
        "sealed": lambda: commits_until(segment.commits(), last_seq),
    }
    sides: dict[str, Callable[[], object]] = {}
    for name, read in logs.items():
        sides[f"{name}, commits"] = partial(consume, read)
        sides[f"{name}, events one by one"] = partial(consume, partial(recorded_of, read))
    sides["sealed, stretches"] = partial(consume, lambda: islice(segment.stretches(), BLOCKS))
    sides["sealed, all fields as columns, trades as events"] = partial(read_columns, segment)
    sides["sealed, prices and volumes as columns"] = partial(read_prices, segment)
    sides["only building the candles, of fields that are ready"] = partial(consume, candle_builder(segment))
    return sides


def trades(log: Path, sealed: Sealed) -> int:
    """Return how many events in the first blocks of a segment are not market data."""
    with closing(SqliteLogReader(log)) as reader:  # One that reads more segments loads numpy.
        return sum(len(block.others(*MARKET)) for block in islice(reader.open_segment(sealed).blocks(), BLOCKS))


def table(title: str, times: dict[str, Timings], events: int) -> list[str]:
    """Return the figures as a table in Markdown, each side against SQLite's commits."""
    lines = [f"### {title}, load {load()}", "", "| | ns per event | events per second | against SQLite |"]
    lines.append("|---|---|---|---|")
    for name, own in times.items():
        best = min(own.cpu) / events
        factor = times_as_fast(best_ratio(times["SQLite, commits"], own))
        lines.append(f"| {name} | {best * 1e9:,.0f} | {million(1.0 / best)} | {factor} |")
    return [*lines, ""]


def main(unsealed: Path, sealed: Path) -> None:
    """Print the tables."""
    with closing(SqliteLogReader(sealed)) as reader:
        counts = {trades(sealed, one): one for one in reader.segments()}
    for count in (min(counts), max(counts)) * 2:
        with closing(SqliteLogReader(unsealed)) as plain, closing(SqliteLogReader(sealed)) as reader, one_core():
            segment = reader.open_segment(counts[count])
            events = sum(map(len, islice(segment.stretches(), BLOCKS)))
            times = alternate(ways(plain, segment, segment.info.first_seq + events - 1), ROUNDS)
        how = "with numpy" if "numpy" in sys.modules else "without numpy"
        title = f"{events:,} events, {events - count:,} of them market facts, {how}"
        sys.stdout.write("\n".join(table(title, times, events)) + "\n")
        if count == max(counts):
            load_numpy()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
