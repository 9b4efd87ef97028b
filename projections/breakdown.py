"""Closed trades taken apart: by symbol, side, hour of the entry and reason of the exit; how their results spread."""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING

from msgspec import Struct

from projections import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projections.trades import TradeView

HOUR_MS = 3_600_000
HOURS = 24
BINS_A_R = 2
"""Results are counted in bins of half an R."""
BIN_FROM, BIN_UNTIL = -6, 10
"""From -3 R to +5 R; what lies beyond is counted in the outermost bins."""


class GroupRow(Struct, frozen=True):
    """The trades that share a name. `expectancy_usdt` is their mean net result."""

    name: str
    trades: int
    wins: int
    win_rate_percent: float
    net_usdt: float
    expectancy_usdt: float


class Bin(Struct, frozen=True):
    """How many trades ended with a result in R of at least `from_r` and below `until_r`."""

    from_r: float
    until_r: float
    trades: int


class BreakdownView(Struct, frozen=True):
    """Closed trades taken apart. `by_hour` goes by the UTC hour of the entry; the other groups by their size.

    `net_by_hour_usdt` has one value for each of the 24 hours.
    """

    trades: int
    by_symbol: tuple[GroupRow, ...]
    by_side: tuple[GroupRow, ...]
    by_hour: tuple[GroupRow, ...]
    by_exit_reason: tuple[GroupRow, ...]
    net_by_hour_usdt: tuple[float, ...]
    results_r: tuple[Bin, ...]


def breakdown(trades: Sequence[TradeView]) -> BreakdownView:
    """Take closed trades apart."""
    return BreakdownView(
        trades=len(trades),
        by_symbol=_by_size(trades, lambda trade: trade.symbol),
        by_side=_by_size(trades, lambda trade: trade.side),
        by_hour=_groups(trades, _hour_of),
        by_exit_reason=_by_size(trades, lambda trade: trade.reason),
        net_by_hour_usdt=_by_hour(trades),
        results_r=bins([trade.r_multiple for trade in trades]),
    )


def bins(results_r: Sequence[float]) -> tuple[Bin, ...]:
    """The results counted in bins of half an R, empty bins between included."""
    counts = dict.fromkeys(range(BIN_FROM, BIN_UNTIL), 0)
    for result in results_r:
        counts[min(max(floor(result * BINS_A_R), BIN_FROM), BIN_UNTIL - 1)] += 1
    return tuple(Bin(at / BINS_A_R, (at + 1) / BINS_A_R, count) for at, count in counts.items())


def _by_hour(trades: Sequence[TradeView]) -> tuple[float, ...]:
    nets = [0.0] * HOURS
    for trade in trades:
        nets[trade.entry_time_ms // HOUR_MS % HOURS] += trade.net_usdt
    return tuple(nets)


def _hour_of(trade: TradeView) -> str:
    return f"{trade.entry_time_ms // HOUR_MS % HOURS:02d}:00"


def _by_size(trades: Sequence[TradeView], name_of: Callable[[TradeView], str]) -> tuple[GroupRow, ...]:
    """The largest group first."""
    return tuple(sorted(_groups(trades, name_of), key=lambda row: (-row.trades, row.name)))


def _groups(trades: Sequence[TradeView], name_of: Callable[[TradeView], str]) -> tuple[GroupRow, ...]:
    """A row for every name there is, by name."""
    nets: dict[str, list[float]] = {}
    for trade in trades:
        nets.setdefault(name_of(trade), []).append(trade.net_usdt)
    return tuple(_row(name, nets[name]) for name in sorted(nets))


def _row(name: str, nets: Sequence[float]) -> GroupRow:
    won, net = len(metrics.wins(nets)), sum(nets)
    return GroupRow(name, len(nets), won, won / len(nets) * 100.0, net, net / len(nets))
