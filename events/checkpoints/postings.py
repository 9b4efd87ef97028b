"""Where in a log events of a type, a strategy or a symbol are: the index beside the checkpoints.

For most types, every event is a point. For the steady streams of market data, only the runs in which a symbol had them
are kept. What the index names may match; what it does not name, in the part of the log that it covers, does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from papertape.events.facts import (
    CandleClosed,
    Event,
    FundingRateSettled,
    OpenInterestObserved,
    SignalReceived,
    type_name,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from papertape.events.log import EventStretch

POINTS_MAX: Final = 64
"""How many matches are found at once: about as many as a page of a search needs."""
STEADY: Final[frozenset[type[Event]]] = frozenset(
    {CandleClosed, FundingRateSettled, OpenInterestObserved, SignalReceived}
)
"""The types of market data for which only runs are kept."""
ANY: Final = "*"
"""The symbol of an event that concerns several."""
SETUP: Final = """
CREATE TABLE IF NOT EXISTS points (
    seq INTEGER PRIMARY KEY, type TEXT NOT NULL, strategy TEXT NOT NULL, symbol TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS points_by_type ON points (type, seq);
CREATE INDEX IF NOT EXISTS points_by_strategy ON points (strategy, seq);
CREATE INDEX IF NOT EXISTS points_by_symbol ON points (symbol, seq);
CREATE TABLE IF NOT EXISTS runs (
    type TEXT NOT NULL, symbol TEXT NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS runs_by_end ON runs (type, symbol, last_seq);
"""
_EXTEND: Final = "UPDATE runs SET last_seq = ? WHERE type = ? AND symbol = ? AND last_seq BETWEEN ? AND ?"


class Postings(Struct):
    """The index of a stretch of the log: points as (seq, type, strategy, symbol), and the first and last of each run.

    Runs are by type and symbol.
    """

    points: list[tuple[int, str, str, str]] = field(default_factory=list)
    runs: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def add(self, page: EventStretch) -> None:
        """Add the next events of the log."""
        kinds = list(map(type, page.events))
        for kind in STEADY & set(kinds):
            self._add_runs(kind, [place for place, own in enumerate(kinds) if own is kind], page)
        for place in [place for place, kind in enumerate(kinds) if kind not in STEADY]:
            event = page.events[place]
            symbol = ANY if hasattr(event, "symbols") else getattr(event, "symbol", "")
            strategy = getattr(event, "strategy", "") or getattr(event, "scope", "")
            self.points.append((page.first_seq + place, type_name(event), strategy, symbol))

    def _add_runs(self, kind: type[Event], places: list[int], page: EventStretch) -> None:
        """Extend the runs of a type by the events at some places of a page."""
        symbols: list[str] = [page.events[place].symbol for place in places]  # type: ignore[attr-defined]
        backward = symbols[::-1]
        for symbol in dict.fromkeys(symbols):
            key, last_seq = (type_name(kind), symbol), page.first_seq + places[-1 - backward.index(symbol)]
            first_seq = self.runs[key][0] if key in self.runs else page.first_seq + places[symbols.index(symbol)]
            self.runs[key] = (first_seq, last_seq)


class PostingQuery(Struct, frozen=True):
    """What is searched for, in the events `first_seq` to `last_seq`. None and no types mean everything.

    `with_runs`: the steady streams count too.
    """

    first_seq: int
    last_seq: int
    backward: bool
    types: frozenset[str] = frozenset()
    strategy: str | None = None
    symbol: str | None = None
    with_runs: bool = False


class Candidates(Struct, frozen=True):
    """Stretches of the log that may hold matches, in search order, and how far the index was searched for them."""

    spans: Sequence[tuple[int, int]]
    searched_to_seq: int


def write_postings(connection: sqlite3.Connection, after_seq: int, seq: int, postings: Postings) -> None:
    """Add what lies after `after_seq` up to `seq`. A run goes on if it reached into the stretch before."""
    connection.executemany("INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?)", postings.points)
    back_seq = after_seq - (seq - after_seq)
    for (kind, symbol), (first_seq, last_seq) in postings.runs.items():
        if not connection.execute(_EXTEND, (last_seq, kind, symbol, back_seq, after_seq)).rowcount:
            connection.execute("INSERT INTO runs VALUES (?, ?, ?, ?)", (kind, symbol, first_seq, last_seq))


def all_candidates(query: PostingQuery) -> Candidates:
    """Return all that a query asks for as one stretch: what is not indexed may match anywhere."""
    return Candidates([(query.first_seq, query.last_seq)], query.first_seq if query.backward else query.last_seq)


def find_candidates(connection: sqlite3.Connection, query: PostingQuery) -> Candidates:
    """Return the next stretches that may hold matches."""
    order = "DESC" if query.backward else "ASC"
    condition, values = _condition(query)
    rows = connection.execute(
        f"SELECT seq FROM points WHERE seq BETWEEN ? AND ? {condition} ORDER BY seq {order} LIMIT ?",  # noqa: S608
        (query.first_seq, query.last_seq, *values, POINTS_MAX),
    ).fetchall()
    low, high = query.first_seq, query.last_seq
    if len(rows) == POINTS_MAX:
        low, high = (rows[-1][0], high) if query.backward else (low, rows[-1][0])
    spans = [(seq, seq) for (seq,) in rows]
    if query.with_runs:
        spans += [(max(first, low), min(last, high)) for first, last in _runs(connection, query, low, high)]
    merged = _merged(spans)
    return Candidates(merged[::-1] if query.backward else merged, low if query.backward else high)


def _condition(query: PostingQuery) -> tuple[str, list[str]]:
    """Return the conditions on a point, and their values."""
    conditions, values = "", list[str]()
    if query.types:
        conditions += f" AND type IN ({', '.join('?' * len(query.types))})"
        values += sorted(query.types)
    if query.strategy is not None:
        conditions, values = conditions + " AND strategy = ?", [*values, query.strategy]
    if query.symbol is not None:
        conditions, values = conditions + " AND symbol IN (?, ?)", [*values, query.symbol, ANY]
    return conditions, values


def _runs(connection: sqlite3.Connection, query: PostingQuery, low: int, high: int) -> Iterable[tuple[int, int]]:
    found = connection.execute(
        "SELECT type, symbol, first_seq, last_seq FROM runs WHERE last_seq >= ? AND first_seq <= ?", (low, high)
    )
    for kind, symbol, first_seq, last_seq in found:
        if (not query.types or kind in query.types) and query.symbol in (None, symbol) and not query.strategy:
            yield first_seq, last_seq


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans in order, those that touch each other as one."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged
