"""Tables in memory as columns of plain arrays (8 bytes a value, no objects), and how files are joined."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field

from papertape.engine.feeds.candle_row import JUMP_FACTOR_MAX, is_price_jump
from papertape.engine.feeds.files.containers import broken_file_error
from papertape.engine.ports.feed import RefusalLog, RefusalReason
from papertape.events.errors import MarketDataError


def _integers() -> array[int]:
    return array("q")


def _floats() -> array[float]:
    return array("d")


class CandleColumns(Struct):
    """The valid candles of one file (or of several, joined), in time order. Prices in USDT, volume in coins.

    `line` is the line in the file. `price_decimals` is the most decimals written in any price, -1 while not counted.
    `notes` describe how a file of another program was read, `warnings` what is doubtful about it.
    """

    source: str
    timeframe_ms: int
    open_time_ms: array[int] = field(default_factory=_integers)
    open: array[float] = field(default_factory=_floats)
    high: array[float] = field(default_factory=_floats)
    low: array[float] = field(default_factory=_floats)
    close: array[float] = field(default_factory=_floats)
    volume: array[float] = field(default_factory=_floats)
    line: array[int] = field(default_factory=_integers)
    price_decimals: int = -1
    refusals: RefusalLog = field(default_factory=RefusalLog)
    notes: list[str] = []
    warnings: list[str] = []

    def values(self) -> tuple[array[float], array[float], array[float], array[float], array[float]]:
        """Return open, high, low, close and volume."""
        return self.open, self.high, self.low, self.close, self.volume


class SeriesColumns(Struct):
    """Settlements (rates) or readings (open interest in coins) of one file or of several, in time order.

    `notes` describe how the files were read, `warnings` why their values are doubtful.
    """

    source: str
    time_ms: array[int] = field(default_factory=_integers)
    value: array[float] = field(default_factory=_floats)
    line: array[int] = field(default_factory=_integers)
    refusals: RefusalLog = field(default_factory=RefusalLog)
    notes: list[str] = []
    warnings: list[str] = []


def row_at(time_ms: int, times: array[int]) -> int:
    """Return the row with exactly this time in a rising column, or -1."""
    row = bisect_left(times, time_ms)
    return row if row < len(times) and times[row] == time_ms else -1


def join_candles(parts: Sequence[CandleColumns]) -> CandleColumns:
    """Join files of one symbol by time. A repeated open time is refused: the file that starts first counts.

    Raise `MarketDataError` if the files differ in their timeframe or their prices do not meet.
    """
    joined, *others = sorted(parts, key=lambda part: part.open_time_ms[0])
    for part in others:
        if part.timeframe_ms != joined.timeframe_ms:
            raise broken_file_error(
                part.source, f"timeframe {part.timeframe_ms} ms, but {joined.source} has {joined.timeframe_ms}"
            )
        _add_candles(joined, part)
    return joined


def join_series(parts: Sequence[SeriesColumns]) -> SeriesColumns:
    """Join files of one symbol by time. A repetition is ignored if it is equal, and refused otherwise."""
    joined, *others = sorted(parts, key=lambda part: part.time_ms[0])
    for part in others:
        joined.refusals.extend(part.refusals)
        joined.notes += part.notes
        joined.warnings += part.warnings
        for time_ms, value, line in zip(part.time_ms, part.value, part.line, strict=True):
            _add_reading(joined, part.source, time_ms, value, line)
    return joined


def _add_candles(joined: CandleColumns, part: CandleColumns) -> None:
    joined.refusals.extend(part.refusals)
    joined.notes += part.notes
    joined.warnings += part.warnings
    fresh = [row for row, time_ms in enumerate(part.open_time_ms) if row_at(time_ms, joined.open_time_ms) < 0]
    for row in sorted(set(range(len(part.line))).difference(fresh)):
        text = f"open_time_ms {part.open_time_ms[row]} is in {joined.source} already"
        joined.refusals.refuse(part.source, part.line[row], RefusalReason.DUPLICATE, text)
    _check_seams(joined, part)
    appended = not fresh or part.open_time_ms[fresh[0]] > joined.open_time_ms[-1]
    for into, added in zip(_all_columns(joined), _all_columns(part), strict=True):
        into.extend(_pick(added, fresh))
    joined.price_decimals = max(joined.price_decimals, part.price_decimals)
    if not appended:
        _sort_rows(joined)


def _check_seams(joined: CandleColumns, part: CandleColumns) -> None:
    """Raise `MarketDataError` if the prices of two files are too far apart where they meet."""
    overlaps = part.open_time_ms[0] <= joined.open_time_ms[-1]
    for row in range(len(part.line)) if overlaps else (0,):
        time_ms = part.open_time_ms[row]
        after = bisect_left(joined.open_time_ms, time_ms)
        is_seam = row == 0 or part.open_time_ms[row - 1] < joined.open_time_ms[after - 1]
        if after and is_seam and is_price_jump(part.open[row], joined.close[after - 1]):
            raise _two_coins(part, joined, joined.close[after - 1], part.open[row])
        last_before = row + 1 == len(part.line) or (
            after < len(joined.line) and joined.open_time_ms[after] <= part.open_time_ms[row + 1]
        )
        if after < len(joined.line) and last_before and is_price_jump(joined.open[after], part.close[row]):
            raise _two_coins(part, joined, joined.open[after], part.close[row])


def _two_coins(part: CandleColumns, joined: CandleColumns, known_usdt: float, price_usdt: float) -> MarketDataError:
    return broken_file_error(
        part.source,
        f"its price {price_usdt:g} differs from {known_usdt:g} by more than a factor of {JUMP_FACTOR_MAX:g} where "
        f"{joined.source} meets it: two coins or two units? Give each file its own symbol, as SYMBOL=path",
    )


def _sort_rows(joined: CandleColumns) -> None:
    order = sorted(range(len(joined.open_time_ms)), key=joined.open_time_ms.__getitem__)
    for column in _all_columns(joined):
        column[:] = _pick(column, order)


def _pick(column: array[Any], rows: Sequence[int]) -> array[Any]:
    return array(column.typecode, [column[row] for row in rows])


def _all_columns(columns: CandleColumns) -> tuple[array[int] | array[float], ...]:
    return columns.open_time_ms, *columns.values(), columns.line


def _add_reading(joined: SeriesColumns, source: str, time_ms: int, value: float, line: int) -> None:
    row = row_at(time_ms, joined.time_ms)
    if row < 0:
        row = bisect_left(joined.time_ms, time_ms)
        joined.time_ms.insert(row, time_ms)
        joined.value.insert(row, value)
        joined.line.insert(row, line)
    elif joined.value[row] != value:
        text = f"time_ms {time_ms} with {value}, but {joined.value[row]} in {joined.source}"
        joined.refusals.refuse(source, line, RefusalReason.DUPLICATE, text)
