"""Reading market files and joining them (strategies.md section 2)."""

from __future__ import annotations

import csv
import gzip
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from .rounding import Contract, contract_of_rows

Row = tuple[Any, ...]
ALLOWED_BASES = (60_000, 300_000, 900_000, 3_600_000)


class Candle(NamedTuple):
    """A base candle; it covers [open_time, open_time + base)."""

    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    late: bool = False


def symbol_of(path: str | Path) -> str:
    """ "File names are `exchange_SYMBOL_kind_...`" """
    return Path(path).name.split("_")[1]


def text_rows(path: str | Path) -> list[tuple[str, ...]]:
    """All rows below the header, as written."""
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8", newline="") as handle:
        reader = csv.reader(handle)
        next(reader)
        return [tuple(row) for row in reader if row]


def load_csv(path: str | Path) -> list[Row]:
    """Rows of a .csv or .csv.gz as (time in ms, float, ...)."""
    return [(int(row[0]), *(float(cell) for cell in row[1:])) for row in text_rows(path)]


def rows_of(source: Any) -> list[Row]:
    """Rows as they are, or read as text from a path, or from several paths one after the other."""
    if isinstance(source, (str, Path)):
        return list(text_rows(source))
    items = list(source)
    if items and isinstance(items[0], (str, Path)):
        return [row for path in items for row in text_rows(path)]
    return [tuple(row) for row in items]


def as_candle(row: Row) -> Candle:
    """One row with six columns, or seven with the mark `late`."""
    late = bool(row[6]) if len(row) > 6 else False
    o, high, low, close, volume = (float(cell) for cell in row[1:6])
    return Candle(int(row[0]), o, high, low, close, volume, late)


def join_candles(sources: list[tuple[str, object]]) -> tuple[dict[str, list[Candle]], dict[str, Contract]]:
    """ "Several candle files of one symbol are joined by time; a repeated open time is refused." """
    raw: dict[str, list[Row]] = {}
    for symbol, source in sources:
        raw.setdefault(symbol, []).extend(rows_of(source))
    candles: dict[str, list[Candle]] = {}
    contracts: dict[str, Contract] = {}
    for symbol, rows in raw.items():
        rows.sort(key=lambda row: int(row[0]))
        candles[symbol] = [as_candle(row) for row in rows]
        contracts[symbol] = contract_of_rows(rows)
        for before, after in pairwise(candles[symbol]):
            if before.open_time == after.open_time:
                raise ValueError(f"{symbol}: open time {after.open_time} is repeated")
    return candles, contracts


def pairs_of(source: object, to_the_minute: bool) -> list[tuple[int, float]]:
    """Settlements (model 4: "the given time cut to the minute") or open-interest readings, in order of time.
    "A repeated settlement or reading with equal values is ignored." """
    kept: dict[int, float] = {}
    for row in rows_of(source):
        time, value = int(row[0]), float(row[1])
        if to_the_minute:
            time = time - time % 60_000
        if kept.setdefault(time, value) != value:
            raise ValueError(f"two different values at {time}")
    return sorted(kept.items())


def base_of(candles: dict[str, list[Candle]]) -> int:
    """ "the smallest difference of neighbouring open times in the first 1,000 rows" - the same for every symbol."""
    found = set()
    for rows in candles.values():
        first = rows[:1000]
        if len(first) > 1:
            found.add(min(b.open_time - a.open_time for a, b in pairwise(first)))
    if len(found) != 1:
        raise ValueError(f"symbols with different base timeframes: {sorted(found)}")
    return found.pop()


def check_base(candles: dict[str, list[Candle]], base: int) -> None:
    """ "Allowed: 1m 5m 15m 1h"; every open time lies on the grid of the base."""
    if base not in ALLOWED_BASES:
        raise ValueError(f"base timeframe {base} ms is not allowed")
    for symbol, rows in candles.items():
        for candle in rows:
            if candle.open_time % base:
                raise ValueError(f"{symbol}: open time {candle.open_time} is off the grid")
