"""Break closed trades down by symbol, side, entry hour and exit reason, and count their results in R."""

from __future__ import annotations

from collections import defaultdict
from math import floor
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.units import HOUR_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.projections.folds.trades import TradeView

HOURS = 24
HOUR_NAMES = tuple(f"{hour:02d}:00" for hour in range(HOURS))
BINS_A_R = 2
"""Two bins per R."""
BIN_FROM, BIN_UNTIL = -6, 10
"""From -3 R to +5 R; results beyond are counted in the outermost bins."""


class GroupRow(Struct, frozen=True):
    """The trades of one group. `expectancy_usdt` is their mean net result."""

    name: str
    trades: int
    wins: int
    win_rate_percent: float
    net_usdt: float
    expectancy_usdt: float


class HistogramBin(Struct, frozen=True):
    """How many trades ended with a result in R of at least `from_r` and below `until_r`."""

    from_r: float
    until_r: float
    trades: int


class BreakdownView(Struct, frozen=True):
    """Closed trades by group. `by_hour` is ordered by the UTC hour of the entry, the others by size.

    `net_by_hour_usdt` has one value for each of the 24 hours.
    """

    trades: int
    by_symbol: tuple[GroupRow, ...]
    by_side: tuple[GroupRow, ...]
    by_hour: tuple[GroupRow, ...]
    by_exit_reason: tuple[GroupRow, ...]
    net_by_hour_usdt: tuple[float, ...]
    results_r: tuple[HistogramBin, ...]


def breakdown(trades: Sequence[TradeView]) -> BreakdownView:
    """Break closed trades down."""
    nets = [trade.net_usdt for trade in trades]
    hours = [trade.entry_time_ms // HOUR_MS % HOURS for trade in trades]
    return BreakdownView(
        trades=len(trades),
        by_symbol=_by_size([trade.symbol for trade in trades], nets),
        by_side=_by_size([trade.side for trade in trades], nets),
        by_hour=group_rows([HOUR_NAMES[hour] for hour in hours], nets),
        by_exit_reason=_by_size([trade.reason for trade in trades], nets),
        net_by_hour_usdt=_by_hour(hours, nets),
        results_r=bins([trade.r_multiple for trade in trades]),
    )


def bins(results_r: Sequence[float]) -> tuple[HistogramBin, ...]:
    """Count results in bins of half an R, empty bins included."""
    counts = dict.fromkeys(range(BIN_FROM, BIN_UNTIL), 0)
    for result in results_r:
        counts[min(max(floor(result * BINS_A_R), BIN_FROM), BIN_UNTIL - 1)] += 1
    return tuple(HistogramBin(at / BINS_A_R, (at + 1) / BINS_A_R, count) for at, count in counts.items())


def _by_hour(hours: Sequence[int], nets: Sequence[float]) -> tuple[float, ...]:
    sums = [0.0] * HOURS
    for hour, net in zip(hours, nets, strict=True):
        sums[hour] += net
    return tuple(sums)


def _by_size(names: Sequence[str], nets: Sequence[float]) -> tuple[GroupRow, ...]:
    return tuple(sorted(group_rows(names, nets), key=lambda row: (-row.trades, row.name)))


def group_rows(names: Sequence[str], nets: Sequence[float]) -> tuple[GroupRow, ...]:
    """Return a row for each distinct name, sorted by name."""
    groups: defaultdict[str, list[float]] = defaultdict(list)
    for name, net in zip(names, nets, strict=True):
        groups[name].append(net)
    return tuple(_row(name, groups[name]) for name in sorted(groups))


def _row(name: str, nets: Sequence[float]) -> GroupRow:
    won, net = sum(net > 0.0 for net in nets), sum(nets)
    return GroupRow(name, len(nets), won, won / len(nets) * 100.0, net, net / len(nets))
