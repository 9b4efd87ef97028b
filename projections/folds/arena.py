"""The arena: all strategies side by side, ranked by net return, ties by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.projections.folds import metrics
from papertape.projections.folds.breakdown import BreakdownView, breakdown
from papertape.projections.folds.kill_switches import State
from papertape.projections.folds.performance import Performance, TradeFigures, performance, trade_figures

if TYPE_CHECKING:
    from papertape.projections.folds.portfolio import AccountView, Portfolio
    from papertape.projections.folds.trades import Trades


class ArenaRow(Struct, frozen=True):
    """One strategy's line. None means "not defined"; see `projections.folds.performance` for the measures.

    The interval of the expectancy is 95 %. Fees, funding and slippage include open positions. `few_trades`:
    below 30 show counts, not verdicts. `sparkline` is the equity at evenly spaced times.
    """

    rank: int
    strategy: str
    state: State
    why: str
    net_return_percent: float
    equity_usdt: float
    trades: int
    win_rate_percent: float | None
    profit_factor: float | None
    no_losses: bool
    expectancy_usdt: float | None
    expectancy_low_usdt: float | None
    expectancy_high_usdt: float | None
    sharpe: float | None
    max_drawdown_percent: float
    current_drawdown_percent: float
    fees_usdt: float
    funding_usdt: float
    slippage_usdt: float
    open_positions: int
    few_trades: bool
    sparkline: tuple[float, ...]


class Arena:
    """A view over two folds. What depends on closed trades alone is computed again only after a close."""

    def __init__(self, portfolio: Portfolio, trades: Trades) -> None:
        """Both are folded by their owner; the arena only reads them."""
        self._portfolio = portfolio
        self._trades = trades
        self._figures: dict[str, TradeFigures] = {}
        self._parts: dict[str, BreakdownView] = {}

    def __getstate__(self) -> dict[str, object]:
        """Without the figures: they are made when somebody looks, also while the rest is being saved."""
        return vars(self) | {"_figures": {}, "_parts": {}}

    def rows(self) -> tuple[ArenaRow, ...]:
        """All strategies, the best first."""
        accounts = sorted(self._portfolio.accounts(), key=_standing)
        return tuple(self._row(rank, account) for rank, account in enumerate(accounts, start=1))

    def performance(self, strategy: str) -> Performance:
        """Every measure of one strategy. Raises KeyError for an unknown name."""
        course = self._portfolio.course(strategy)
        return performance(
            self._trades.closed(strategy),
            course.day_equities_usdt,
            course.capital_usdt,
            course.equity_usdt,
            course.max_drawdown_fraction,
            longest_drawdown_ms=course.longest_drawdown_ms,
            from_ms=course.from_ms,
            until_ms=course.until_ms,
            open_since_ms=[position.entry_time_ms for position in self._portfolio.positions(strategy)],
            gross_exposure_fraction=course.gross_exposure_fraction,
            closed=self._closed(strategy),
        )

    def breakdown(self, strategy: str) -> BreakdownView:
        """The closed trades of one strategy taken apart; computed again only after a close."""
        known = self._parts.get(strategy)
        if known is None or known.trades != self._trades.count(strategy):
            known = self._parts[strategy] = breakdown(self._trades.closed(strategy))
        return known

    def _row(self, rank: int, account: AccountView) -> ArenaRow:
        course = self._portfolio.course(account.strategy)
        closed = self._closed(account.strategy)
        return ArenaRow(
            rank=rank,
            strategy=account.strategy,
            state=account.state,
            why=account.why,
            net_return_percent=account.net_return_percent,
            equity_usdt=account.equity_usdt,
            trades=closed.trades,
            win_rate_percent=closed.win_rate_percent,
            profit_factor=closed.profit_factor,
            no_losses=closed.no_losses,
            expectancy_usdt=closed.expectancy_usdt,
            expectancy_low_usdt=closed.expectancy_low_usdt,
            expectancy_high_usdt=closed.expectancy_high_usdt,
            sharpe=metrics.sharpe(metrics.daily_returns(course.capital_usdt, course.day_equities_usdt)),
            max_drawdown_percent=account.max_drawdown_percent,
            current_drawdown_percent=account.drawdown_percent,
            fees_usdt=account.fees_usdt,
            funding_usdt=account.funding_usdt,
            slippage_usdt=account.slippage_usdt,
            open_positions=account.open_positions,
            few_trades=closed.few_trades,
            sparkline=course.sparkline(),
        )

    def _closed(self, strategy: str) -> TradeFigures:
        """Trades are only ever added, so their number tells whether the figures are of today."""
        known = self._figures.get(strategy)
        if known is None or known.trades != self._trades.count(strategy):
            known = self._figures[strategy] = trade_figures(self._trades.closed(strategy))
        return known


def _standing(account: AccountView) -> tuple[float, str]:
    return (-account.net_return_percent, account.strategy)
