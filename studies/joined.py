"""Test folds joined into one record: every fold has a fresh account, so their daily returns follow each other."""

from __future__ import annotations

from bisect import bisect_left
from math import fsum
from typing import TYPE_CHECKING

from papertape.events.units import DAY_MS
from papertape.projections.folds.metrics import daily_returns, sharpe
from papertape.projections.studies.document import Yardstick

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from papertape.engine.feeds.files.columns import CandleColumns
    from papertape.engine.research.set_result import TradedSpan
    from papertape.engine.research.tape import Tape

DayReturns = dict[int, float]
"""The return of every day, by the number of the day since 1970, in order."""
DayPart = tuple[int, float, "Sequence[float]"]
"""The first day of an account, its capital, and its equity by end of day."""


def join(parts: Iterable[DayPart]) -> DayReturns:
    """Return the joined daily returns of accounts that each began anew.

    A day that two folds share has both returns, one after the other. A return is never below -1.
    """
    joined: DayReturns = {}
    for first_day, capital_usdt, equities in parts:
        for day, earned in enumerate(daily_returns(capital_usdt, equities), first_day):
            joined[day] = (1.0 + joined.get(day, 0.0)) * (1.0 + max(earned, -1.0)) - 1.0
    return dict(sorted(joined.items()))


def equity_of(joined: DayReturns, capital_usdt: float) -> tuple[tuple[int, float], ...]:
    """Return the equity at the end of every day, for an account that starts with the capital."""
    equity, ends = capital_usdt, []
    for day, earned in joined.items():
        equity *= 1.0 + earned
        ends.append(((day + 1) * DAY_MS, equity))
    return tuple(ends)


def deepest_fall(equities_usdt: Iterable[float], capital_usdt: float) -> float:
    """Return the greatest drawdown at the end of a day, as a fraction of the peak so far."""
    peak, deepest = capital_usdt, 0.0
    for equity in equities_usdt:
        peak = max(peak, equity)
        deepest = max(deepest, (peak - equity) / peak if peak > 0.0 else 0.0)
    return deepest


def yardsticks(
    tape: Tape | None, symbols: Sequence[str], spans: Iterable[TradedSpan], capital_usdt: float
) -> list[Yardstick]:
    """Return what cash and buy & hold would have earned over the same spans.

    Buy & hold puts equal parts of the capital into the symbols at the first open of every span and holds them to its
    end, without leverage, funding or costs.
    """
    cash = Yardstick("cash", 0.0, None, 0.0)
    if tape is None:
        return [cash]
    tables = [table for contract, table in zip(tape.contracts, tape.candles, strict=True) if contract.symbol in symbols]
    joined = join(part for span in spans if (part := _held(tables, span, capital_usdt)) is not None)
    ends = [equity for _, equity in equity_of(joined, capital_usdt)]
    net = ends[-1] - capital_usdt if ends else 0.0
    held = Yardstick("buy & hold", net, sharpe(list(joined.values())), deepest_fall(ends, capital_usdt))
    return [cash, held]


def _held(tables: Sequence[CandleColumns], span: TradedSpan, capital_usdt: float) -> DayPart | None:
    """Return the first day, the capital and the equities by end of day of symbols held over a span."""
    rows = [_rows(table, span) for table in tables]
    traded = [(table, first, end) for table, (first, end) in zip(tables, rows, strict=True) if first < end]
    if not traded:
        return None
    first_day = min(table.open_time_ms[first] for table, first, _ in traded) // DAY_MS
    last_day = max(table.open_time_ms[end - 1] for table, _, end in traded) // DAY_MS
    equities = []
    for day in range(first_day, last_day + 1):
        worth = (_worth(table, first, end, (day + 1) * DAY_MS) for table, first, end in traded)
        equities.append(capital_usdt * fsum(worth) / len(traded))
    return first_day, capital_usdt, equities


def _rows(table: CandleColumns, span: TradedSpan) -> tuple[int, int]:
    """Return the first row of a table that a span trades, and the row after the last."""
    times_ms = table.open_time_ms
    first = 0 if span.start_ms is None else bisect_left(times_ms, span.start_ms)
    return first, len(times_ms) if span.end_ms is None else bisect_left(times_ms, span.end_ms)


def _worth(table: CandleColumns, first: int, end: int, until_ms: int) -> float:
    """Return the last close before a time over the first open of a span; 1 before the first candle."""
    row = min(bisect_left(table.open_time_ms, until_ms), end) - 1
    return table.close[row] / table.open[first] if row >= first else 1.0
