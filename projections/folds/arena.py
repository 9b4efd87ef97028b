"""The arena: all strategies side by side, ranked by net return, ties by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, UnsetType

from papertape.projections.folds import metrics
from papertape.projections.folds.breakdown import BreakdownView, breakdown
from papertape.projections.folds.kill_switches import State
from papertape.projections.folds.performance import Performance, performance
from papertape.projections.folds.promised import PromiseView

if TYPE_CHECKING:
    from papertape.projections.folds.portfolio import AccountView, Portfolio
    from papertape.projections.folds.promised import Promised
    from papertape.projections.folds.trades import Trades


class ArenaRow(Struct, frozen=True):
    """One strategy's row. None means "not defined"; see `projections.folds.performance` for the measures.

    The expectancy has a 95 % interval. Fees, funding and slippage include open positions. `few_trades` marks fewer than
    30 trades: show counts then, not verdicts. `sparkline` is the equity at evenly spaced times. `of` is the strategy
    whose file it runs, empty if it has its own. `promise` is that of the study it follows; without one it is absent.
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
    of: str = ""
    promise: PromiseView | UnsetType = UNSET


class Arena:
    """A view over three folds. A breakdown reads all closed trades, so it is recomputed only after a close."""

    def __init__(self, portfolio: Portfolio, trades: Trades, promised: Promised | None = None) -> None:
        """Read folds that their owner folds; without `promised` no row has a promise."""
        self._portfolio = portfolio
        self._trades = trades
        self._promised = promised
        self._parts: dict[str, BreakdownView] = {}

    def __getstate__(self) -> dict[str, object]:
        """Return the state without the cached breakdowns, which readers fill even while the state is being saved."""
        return vars(self) | {"_parts": {}}

    def rows(self) -> tuple[ArenaRow, ...]:
        """Return all strategies, best first."""
        accounts = sorted(self._portfolio.accounts(), key=_standing)
        return tuple(self._row(rank, account) for rank, account in enumerate(accounts, start=1))

    def performance(self, strategy: str) -> Performance:
        """Return every measure of one strategy. Raises KeyError for an uncached name."""
        curve = self._portfolio.equity_curve(strategy)
        return performance(
            self._trades.closed(strategy),
            curve.day_equities_usdt,
            curve.capital_usdt,
            curve.equity_usdt,
            curve.max_drawdown_fraction,
            longest_drawdown_ms=curve.longest_drawdown_ms,
            from_ms=curve.from_ms,
            until_ms=curve.until_ms,
            open_since_ms=[position.entry_time_ms for position in self._portfolio.positions(strategy)],
            gross_exposure_fraction=curve.gross_exposure_fraction,
            closed=self._trades.figures(strategy),
        )

    def breakdown(self, strategy: str) -> BreakdownView:
        """Return the breakdown of one strategy's closed trades; it is recomputed only after a close."""
        cached = self._parts.get(strategy)
        if cached is None or cached.trades != self._trades.count(strategy):
            cached = self._parts[strategy] = breakdown(self._trades.closed(strategy))
        return cached

    def _row(self, rank: int, account: AccountView) -> ArenaRow:
        curve = self._portfolio.equity_curve(account.strategy)
        closed = self._trades.figures(account.strategy)
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
            sharpe=metrics.sharpe(metrics.daily_returns(curve.capital_usdt, curve.day_equities_usdt)),
            max_drawdown_percent=account.max_drawdown_percent,
            current_drawdown_percent=account.drawdown_percent,
            fees_usdt=account.fees_usdt,
            funding_usdt=account.funding_usdt,
            slippage_usdt=account.slippage_usdt,
            open_positions=account.open_positions,
            few_trades=closed.few_trades,
            sparkline=curve.sparkline(),
            of=account.of,
            promise=(self._promised and self._promised.of(account.strategy)) or UNSET,
        )


def _standing(account: AccountView) -> tuple[float, str]:
    return (-account.net_return_percent, account.strategy)
