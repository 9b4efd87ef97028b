"""A strategy's report: its figures, its months, and its trades in groups. Everything comes from a log's folds."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.events.units import DAY_MS
from papertape.projections.folds.breakdown import GroupRow, breakdown, group_rows
from papertape.projections.folds.total import drawdowns
from papertape.projections.site.equity_curves import curve_with_start
from papertape.projections.site.report_pictures import FanPicture, LinePicture, line_picture
from papertape.projections.studies.document import Costs
from papertape.projections.studies.pictures import CostBar, cost_bar
from papertape.projections.text.formats import utc
from papertape.projections.text.reasons import reason_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from papertape.projections.folds.arena import Arena
    from papertape.projections.folds.epochs import EpochView
    from papertape.projections.folds.equity import EquityView
    from papertape.projections.folds.performance import Performance
    from papertape.projections.folds.portfolio import AccountView
    from papertape.projections.folds.trades import TradeView

TRADES_MAX: Final = 2_000
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
EPOCH_WEEKDAY: Final = 3
"""1970 began on a Thursday."""
UNKNOWN: Final = "unknown"


class YearRow(Struct, frozen=True):
    """The returns of a year in percent: by month, None for a month without a candle, and the whole of it."""

    year: int
    months: tuple[float | None, ...]
    whole: float


class BarRow(Struct, frozen=True):
    """A group of trades, and the bar of its net result: where it lies in percent of the width, around a zero line."""

    group: GroupRow
    x: float
    width: float


class GroupTable(Struct, frozen=True):
    """Closed trades by one property; `zero_at` is where the bars begin, in percent of the width."""

    title: str
    rows: tuple[BarRow, ...]
    zero_at: float


class LuckReport(Struct, frozen=True):
    """What luck could have made of the same trades and days, drawn `draws` times from `seed`.

    Drawdowns are fractions that 95 % of the draws stay below, None without trades or days. Yearly returns are the 5, 50
    and 95 % quantiles, as fractions, of years made of blocks of days, `block_days` long on average. `redrawn` are the
    same quantiles of the net result in USDT over `redraws` markets with redrawn candles, and `beaten_share` is the
    share of them with a smaller result than the recorded market. `why` says why there is nothing.
    """

    seed: int
    draws: int
    shuffled_drawdown: float | None = None
    fan: FanPicture | None = None
    block_days: float = 0.0
    yearly: tuple[float, float, float] | None = None
    losing_share: float | None = None
    block_drawdown: float | None = None
    redraws: int = 0
    redrawn: tuple[float, float, float] | None = None
    beaten_share: float | None = None
    why: str = ""


class StrategyReport(Struct, frozen=True):
    """Everything that a report says about one strategy. `trades` are the newest closed ones, with their regimes."""

    account: AccountView
    parameters: dict[str, int | float]
    symbols: tuple[str, ...]
    performance: Performance
    from_ms: int
    until_ms: int
    costs: Costs
    bar: CostBar
    equity: LinePicture | None
    drawdown: LinePicture | None
    years: tuple[YearRow, ...]
    groups: tuple[GroupTable, ...]
    trades: tuple[tuple[TradeView, str], ...]
    trades_left_out: int
    luck: LuckReport
    epochs: tuple[EpochView, ...] = ()


def strategy_report(
    arena: Arena,
    account: AccountView,
    curve: EquityView,
    closed: Sequence[TradeView],
    regimes: Mapping[int, str],
    luck: LuckReport,
    parameters: Mapping[str, int | float],
    symbols: Sequence[str],
    epochs: tuple[EpochView, ...] = (),
) -> StrategyReport:
    """Return the report of one strategy. `regimes` has the regime at an entry by the seq of its order."""
    known = [regimes.get(trade.order_seq, UNKNOWN) for trade in closed]
    points = curve_with_start(curve.curve, curve.capital_usdt, curve.from_ms)
    costs = costs_of(closed)
    return StrategyReport(
        account=account,
        parameters=dict(parameters),
        symbols=tuple(symbols),
        performance=arena.performance(account.strategy),
        from_ms=curve.from_ms,
        until_ms=curve.until_ms,
        costs=costs,
        bar=cost_bar(costs),
        equity=line_picture([(point.at_ms, point.equity_usdt) for point in points], curve.capital_usdt),
        drawdown=line_picture([(one.at_ms, -one.drawdown_percent) for one in drawdowns(tuple(points))], 0.0),
        years=year_rows(curve.from_ms, curve.capital_usdt, curve.day_equities_usdt),
        groups=group_tables(closed, known),
        trades=tuple(zip(closed, known, strict=True))[-TRADES_MAX:][::-1],
        trades_left_out=max(0, len(closed) - TRADES_MAX),
        luck=luck,
        epochs=epochs,
    )


def costs_of(trades: Sequence[TradeView]) -> Costs:
    """Return what closed trades earned before costs, and what the costs took."""
    slippage = fsum(trade.slippage_usdt for trade in trades)
    return Costs(
        gross_usdt=fsum(trade.gross_usdt for trade in trades) + slippage,
        fees_usdt=fsum(trade.fees_usdt for trade in trades),
        slippage_usdt=slippage,
        funding_usdt=fsum(trade.funding_usdt for trade in trades),
        net_usdt=fsum(trade.net_usdt for trade in trades),
        trades=len(trades),
    )


def year_rows(from_ms: int, capital_usdt: float, day_equities_usdt: Sequence[float]) -> tuple[YearRow, ...]:
    """Return the returns by year and month from the equity at the end of each day; a month is measured from the last.

    A month that begins with nothing has a return of 0.
    """
    ends: dict[int, dict[int, float]] = {}
    for place, equity in enumerate(day_equities_usdt):
        year_text, month_text, _ = utc(from_ms + place * DAY_MS)[:10].split("-")
        ends.setdefault(int(year_text), {})[int(month_text)] = equity
    rows, before = [], capital_usdt
    for year, months in ends.items():
        start, cells = before, []
        for month in range(1, 13):
            cells.append(_percent(before, months[month]) if month in months else None)
            before = months.get(month, before)
        rows.append(YearRow(year, tuple(cells), _percent(start, before)))
    return tuple(rows)


def _percent(before: float, after: float) -> float:
    return (after / before - 1.0) * 100.0 if before > 0.0 else 0.0


def group_tables(closed: Sequence[TradeView], regimes: Sequence[str]) -> tuple[GroupTable, ...]:
    """Return closed trades by regime, symbol, side, exit reason, weekday and hour of entry; none without trades."""
    if not closed:
        return ()
    parts, nets = breakdown(closed), [trade.net_usdt for trade in closed]
    names = [WEEKDAYS[(trade.entry_time_ms // DAY_MS + EPOCH_WEEKDAY) % 7] for trade in closed]
    weekdays = sorted(group_rows(names, nets), key=lambda row: WEEKDAYS.index(row.name))
    by_regime = sorted(group_rows(regimes, nets), key=lambda row: (-row.trades, row.name))
    return (
        group_table("Regime at entry", [_named(row, row.name.replace("_", " ")) for row in by_regime]),
        group_table("Symbol", parts.by_symbol),
        group_table("Side", parts.by_side),
        group_table("Exit reason", [_named(row, reason_words(row.name)) for row in parts.by_exit_reason]),
        group_table("Weekday of entry", weekdays),
        group_table("Hour of entry, UTC", parts.by_hour),
    )


def _named(row: GroupRow, name: str) -> GroupRow:
    return GroupRow(name, row.trades, row.wins, row.win_rate_percent, row.net_usdt, row.expectancy_usdt)


def group_table(title: str, rows: Sequence[GroupRow]) -> GroupTable:
    """Return groups with the bars of their net results on one scale."""
    low, high = min(0.0, *(row.net_usdt for row in rows)), max(0.0, *(row.net_usdt for row in rows))
    unit = 100.0 / (high - low) if high > low else 0.0
    zero = -low * unit
    bars = (
        BarRow(row, round(min(zero, zero + row.net_usdt * unit), 2), round(abs(row.net_usdt) * unit, 2)) for row in rows
    )
    return GroupTable(title, tuple(bars), round(zero, 2))
