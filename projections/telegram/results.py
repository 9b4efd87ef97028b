"""Results of days, weeks and longer spans: the view Structs behind /profit, /daily and /weekly. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.events.units import DAY_MS
from papertape.projections.alerts.daily import equity_after

if TYPE_CHECKING:
    from papertape.projections.alerts.daily import DayFigures
    from papertape.projections.folds.equity import EquityView
    from papertape.projections.site.views import Views

WEEK_DAYS: Final = 7
MONDAY: Final = 3
"""Days from the Monday before 1970 to its first day."""


class EquityChange(Struct, frozen=True, kw_only=True):
    """The equity at the beginning and at the end of a span of time."""

    begin_usdt: float
    end_usdt: float

    @property
    def result_usdt(self) -> float:
        """The change of equity, open positions included."""
        return self.end_usdt - self.begin_usdt

    @property
    def result_percent(self) -> float:
        """The result in percent of the equity at the beginning, 0 without any."""
        return self.result_usdt / self.begin_usdt * 100.0 if self.begin_usdt > 0.0 else 0.0


class Period(EquityChange, frozen=True, kw_only=True):
    """One UTC day or week that began at `begins_ms`: the equity of all strategies, and the trades closed in it."""

    begins_ms: int
    trades: int
    wins: int


class ProfitRow(EquityChange, frozen=True, kw_only=True):
    """One strategy: its equity at the beginning of the span and now."""

    strategy: str


class ProfitView(Struct, frozen=True):
    """The last `days` UTC days (0: everything), best strategy first. Funding received is positive."""

    days: int
    rows: tuple[ProfitRow, ...]
    trades: int
    wins: int
    net_usdt: float
    fees_usdt: float
    funding_usdt: float

    @property
    def total(self) -> ProfitRow:
        """All strategies together."""
        begin, end = sum(row.begin_usdt for row in self.rows), sum(row.end_usdt for row in self.rows)
        return ProfitRow(strategy="all", begin_usdt=begin, end_usdt=end)


def curves_of(views: Views) -> tuple[EquityView, ...]:
    """Return the equity curves of all strategies, in the configured order."""
    return views.portfolio.equity.views()


def profit(views: Views, days: int) -> ProfitView:
    """Return the result of the last `days` days, or of everything."""
    today = views.days.today
    first_day = today.day - days + 1 if today is not None and days else None
    rows = [
        ProfitRow(
            strategy=one.strategy,
            begin_usdt=one.capital_usdt if first_day is None else equity_after(one, first_day - 1),
            end_usdt=_equity_now(views, one.strategy, one.equity_usdt),
        )
        for one in curves_of(views)
    ]
    ranked = tuple(sorted(rows, key=lambda row: (-row.result_usdt, row.strategy)))
    return _since_inception(views, ranked) if first_day is None else _of_days(views, ranked, days, first_day)


def _equity_now(views: Views, strategy: str, fallback_usdt: float) -> float:
    account = views.portfolio.equity.ledger.accounts.get(strategy)
    if account is None:
        return fallback_usdt
    unrealised, _ = account.marked_usdt(views.portfolio.equity.ledger.closes)
    return account.cash_usdt + unrealised


def _since_inception(views: Views, rows: tuple[ProfitRow, ...]) -> ProfitView:
    closed = views.trades.figures()
    accounts = views.portfolio.equity.ledger.accounts.values()
    return ProfitView(
        days=0,
        rows=rows,
        trades=closed.trades,
        wins=closed.wins,
        net_usdt=closed.net_usdt,
        fees_usdt=sum(account.fees_usdt for account in accounts),
        funding_usdt=sum(account.funding_usdt for account in accounts),
    )


def _of_days(views: Views, rows: tuple[ProfitRow, ...], days: int, first_day: int) -> ProfitView:
    chosen = [one for one in known_days(views) if one.day >= first_day]
    return ProfitView(
        days=days,
        rows=rows,
        trades=sum(one.trades for one in chosen),
        wins=sum(one.wins for one in chosen),
        net_usdt=sum(one.net_usdt for one in chosen),
        fees_usdt=sum(one.fees_usdt for one in chosen),
        funding_usdt=sum(one.funding_usdt for one in chosen),
    )


def known_days(views: Views) -> tuple[DayFigures, ...]:
    """Return the recorded days, oldest first, today included."""
    today = views.days.today
    return views.days.finished_days() if today is None else (*views.days.finished_days(), today)


def daily(views: Views, count: int) -> tuple[Period, ...]:
    """Return the last `count` days with candles, newest first."""
    curves = curves_of(views)
    chosen = known_days(views)[-count:]
    return tuple(_period(curves, [one], one.day, one.day) for one in reversed(chosen))


def weekly(views: Views, count: int) -> tuple[Period, ...]:
    """Return the last `count` weeks with candles, which begin on Monday, newest first."""
    curves = curves_of(views)
    weeks: dict[int, list[DayFigures]] = {}
    for one in known_days(views):
        weeks.setdefault((one.day + MONDAY) // WEEK_DAYS, []).append(one)
    chosen = list(weeks.items())[-count:]
    return tuple(
        _period(curves, days, week * WEEK_DAYS - MONDAY, week * WEEK_DAYS - MONDAY + WEEK_DAYS - 1)
        for week, days in reversed(chosen)
    )


def _period(curves: tuple[EquityView, ...], days: list[DayFigures], first_day: int, last_day: int) -> Period:
    return Period(
        begins_ms=first_day * DAY_MS,
        begin_usdt=sum(equity_after(curve, first_day - 1) for curve in curves),
        end_usdt=sum(equity_after(curve, last_day) for curve in curves),
        trades=sum(one.trades for one in days),
        wins=sum(one.wins for one in days),
    )
