"""A strategy's performance: every measure of `projections.folds.metrics` in one frozen Struct.

The inputs are closed trades and an equity curve from any source: a log's projections or a compiled backtest's arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field, structs

from papertape.projections.folds import metrics
from papertape.projections.folds.intervals import Interval, RunningMean, wilson_interval
from papertape.projections.folds.metrics import ExactSum

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FEW_TRADES = 30
FEW_DAYS = 30
EXTRAPOLATED_DAYS = 90.0


class TradeResult(Protocol):
    """The part of a closed trade that the measures need, as in `projections.folds.trades.TradeView`."""

    @property
    def net_usdt(self) -> float:
        """Gross less fees plus funding."""

    @property
    def r_multiple(self) -> float:
        """Net over the risk taken."""

    @property
    def fees_usdt(self) -> float:
        """The fees of all its fills."""

    @property
    def funding_usdt(self) -> float:
        """The funding, positive when received."""

    @property
    def slippage_usdt(self) -> float:
        """The slippage, which gross includes."""

    @property
    def turnover_usdt(self) -> float:
        """The notional of all its fills."""

    @property
    def entry_time_ms(self) -> int:
        """When it was opened."""

    @property
    def exit_time_ms(self) -> int:
        """When it was closed."""

    @property
    def ambiguous(self) -> bool:
        """Whether the order of its fills within a candle is unknown."""


class TradeFigures(Struct, frozen=True):
    """The measures of closed trades alone. None means "not defined"; `_percent` is percent, `_ms` milliseconds.

    Intervals are 95 %. `few_trades` marks fewer than 30 trades: show counts then, not verdicts. `no_losses` explains a
    missing profit factor although there are trades. Best, worst and averages are net results in USDT.
    """

    trades: int
    wins: int
    losses: int
    few_trades: bool
    win_rate_percent: float | None
    win_rate_low_percent: float | None
    win_rate_high_percent: float | None
    profit_factor: float | None
    no_losses: bool
    average_win_usdt: float | None
    average_loss_usdt: float | None
    payoff: float | None
    net_usdt: float
    expectancy_usdt: float | None
    expectancy_low_usdt: float | None
    expectancy_high_usdt: float | None
    expectancy_r: float | None
    expectancy_low_r: float | None
    expectancy_high_r: float | None
    fees_usdt: float
    funding_usdt: float
    slippage_usdt: float
    notional_usdt: float
    mean_holding_ms: float | None
    longest_loss_run: int
    best_usdt: float | None
    worst_usdt: float | None
    ambiguous_percent: float | None


class Performance(TradeFigures, frozen=True):
    """All measures of one strategy over one span of time.

    Drawdown is sampled after every candle, Sharpe and Sortino on the daily equities. `few_days`: fewer than 30 daily
    returns. `extrapolated`: the CAGR extrapolates less than 90 days to a year. `exposure_percent` is the time in the
    market, `gross_exposure_percent` the mean of notional / equity (None if it was not sampled). Fees, funding and
    slippage are those of closed trades.
    """

    capital_usdt: float
    end_equity_usdt: float
    net_return_percent: float
    days: float
    few_days: bool
    sharpe: float | None
    sortino: float | None
    max_drawdown_percent: float
    longest_drawdown_ms: int
    cagr_percent: float | None
    extrapolated: bool
    calmar: float | None
    exposure_percent: float
    gross_exposure_percent: float | None
    turnover: float | None


class TradeSums(Struct):
    """What the measures of closed trades are made of, brought up to date by each trade, in the order of closing.

    A flat trade is neither a win nor a loss, but it counts and it ends a run of losses.
    """

    wins: int = 0
    losses: int = 0
    ambiguous: int = 0
    holding_ms: int = 0
    loss_run: int = 0
    longest_loss_run: int = 0
    best_usdt: float | None = None
    worst_usdt: float | None = None
    net_usdt: RunningMean = field(default_factory=RunningMean)
    multiple_r: RunningMean = field(default_factory=RunningMean)
    won_usdt: ExactSum = field(default_factory=ExactSum)
    lost_usdt: ExactSum = field(default_factory=ExactSum)
    fees_usdt: ExactSum = field(default_factory=ExactSum)
    funding_usdt: ExactSum = field(default_factory=ExactSum)
    slippage_usdt: ExactSum = field(default_factory=ExactSum)
    notional_usdt: ExactSum = field(default_factory=ExactSum)

    def add(self, trade: TradeResult) -> None:
        """Take one more trade."""
        net_usdt = trade.net_usdt
        self.net_usdt.add(net_usdt)
        self.multiple_r.add(trade.r_multiple)
        if net_usdt > 0.0:
            self.wins += 1
            self.won_usdt.add(net_usdt)
        elif net_usdt < 0.0:
            self.losses += 1
            self.lost_usdt.add(net_usdt)
        self.loss_run = self.loss_run + 1 if net_usdt < 0.0 else 0
        self.longest_loss_run = max(self.longest_loss_run, self.loss_run)
        self.best_usdt = net_usdt if self.best_usdt is None else max(self.best_usdt, net_usdt)
        self.worst_usdt = net_usdt if self.worst_usdt is None else min(self.worst_usdt, net_usdt)
        self.fees_usdt.add(trade.fees_usdt)
        self.funding_usdt.add(trade.funding_usdt)
        self.slippage_usdt.add(trade.slippage_usdt)
        self.notional_usdt.add(trade.turnover_usdt)
        self.holding_ms += trade.exit_time_ms - trade.entry_time_ms
        self.ambiguous += trade.ambiguous

    def figures(self) -> TradeFigures:
        """Return the measures of the trades so far."""
        n, won_usdt, lost_usdt = self.net_usdt.n, self.won_usdt.value, self.lost_usdt.value
        average_win, average_loss = metrics.share(won_usdt, self.wins), metrics.share(lost_usdt, self.losses)
        share, usdt, r = wilson_interval(self.wins, n), self.net_usdt.interval(), self.multiple_r.interval()
        return TradeFigures(
            trades=n,
            wins=self.wins,
            losses=self.losses,
            few_trades=n < FEW_TRADES,
            win_rate_percent=_percent(metrics.share(self.wins, n)),
            win_rate_low_percent=_percent(_low(share)),
            win_rate_high_percent=_percent(_high(share)),
            profit_factor=won_usdt / abs(lost_usdt) if self.losses else None,
            no_losses=n > 0 and self.losses == 0,
            average_win_usdt=average_win,
            average_loss_usdt=average_loss,
            payoff=None if average_win is None or average_loss is None else average_win / abs(average_loss),
            net_usdt=self.net_usdt.sum.value,
            expectancy_usdt=self.net_usdt.mean,
            expectancy_low_usdt=_low(usdt),
            expectancy_high_usdt=_high(usdt),
            expectancy_r=self.multiple_r.mean,
            expectancy_low_r=_low(r),
            expectancy_high_r=_high(r),
            fees_usdt=self.fees_usdt.value,
            funding_usdt=self.funding_usdt.value,
            slippage_usdt=self.slippage_usdt.value,
            notional_usdt=self.notional_usdt.value,
            mean_holding_ms=metrics.share(self.holding_ms, n),
            longest_loss_run=self.longest_loss_run,
            best_usdt=self.best_usdt,
            worst_usdt=self.worst_usdt,
            ambiguous_percent=_percent(metrics.share(self.ambiguous, n)),
        )


def trade_figures(trades: Iterable[TradeResult]) -> TradeFigures:
    """Return the measures of closed trades alone."""
    sums = TradeSums()
    for trade in trades:
        sums.add(trade)
    return sums.figures()


def performance(
    trades: Sequence[TradeResult],
    day_equities_usdt: Sequence[float],
    capital_usdt: float,
    end_equity_usdt: float,
    max_drawdown_fraction: float,
    *,
    longest_drawdown_ms: int,
    from_ms: int,
    until_ms: int,
    open_since_ms: Sequence[int] = (),
    gross_exposure_fraction: float | None = None,
    closed: TradeFigures | None = None,
) -> Performance:
    """Return all measures. `from_ms` is the first candle's open, `until_ms` the last one's close.

    `day_equities_usdt` has one value per calendar day; `open_since_ms` are the entry times of open positions, which
    count as exposure until the end. `closed` may pass the known `trade_figures` of the trades.
    """
    days = metrics.days_between(from_ms, until_ms)
    returns = metrics.daily_returns(capital_usdt, day_equities_usdt)
    growth = metrics.cagr(capital_usdt, end_equity_usdt, days)
    closed = trade_figures(trades) if closed is None else closed
    spans = [(trade.entry_time_ms, trade.exit_time_ms) for trade in trades]
    spans += [(since_ms, until_ms) for since_ms in open_since_ms]
    return Performance(
        **structs.asdict(closed),
        capital_usdt=capital_usdt,
        end_equity_usdt=end_equity_usdt,
        net_return_percent=metrics.net_return(capital_usdt, end_equity_usdt) * 100.0,
        days=days,
        few_days=len(returns) < FEW_DAYS,
        sharpe=metrics.sharpe(returns),
        sortino=metrics.sortino(returns),
        max_drawdown_percent=max_drawdown_fraction * 100.0,
        longest_drawdown_ms=longest_drawdown_ms,
        cagr_percent=_percent(growth),
        extrapolated=growth is not None and days < EXTRAPOLATED_DAYS,
        calmar=metrics.calmar(growth, max_drawdown_fraction),
        exposure_percent=metrics.exposure(spans, from_ms, until_ms) * 100.0,
        gross_exposure_percent=_percent(gross_exposure_fraction),
        turnover=metrics.turnover(closed.notional_usdt, day_equities_usdt),
    )


def _percent(fraction: float | None) -> float | None:
    return fraction * 100.0 if fraction is not None else None


def _low(interval: Interval | None) -> float | None:
    return interval.low if interval is not None else None


def _high(interval: Interval | None) -> float | None:
    return interval.high if interval is not None else None
