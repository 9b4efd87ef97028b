"""A strategy's performance: every measure of `projections.folds.metrics` in one frozen Struct.

The inputs are closed trades and an equity curve from any source: a log's projections or a compiled backtest's arrays.
"""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from papertape.projections.folds import metrics
from papertape.projections.folds.intervals import Interval, mean_interval, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.projections.folds.trades import TradeView

FEW_TRADES = 30
FEW_DAYS = 30
EXTRAPOLATED_DAYS = 90.0


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


def trade_figures(trades: Sequence[TradeView]) -> TradeFigures:
    """Return the measures of closed trades alone."""
    nets = [trade.net_usdt for trade in trades]
    multiples = [trade.r_multiple for trade in trades]
    n, won = len(trades), len(metrics.wins(nets))
    share, usdt, r = wilson_interval(won, n), mean_interval(nets), mean_interval(multiples)
    return TradeFigures(
        trades=n,
        wins=won,
        losses=len(metrics.losses(nets)),
        few_trades=n < FEW_TRADES,
        win_rate_percent=_percent(metrics.win_rate(nets)),
        win_rate_low_percent=_percent(_low(share)),
        win_rate_high_percent=_percent(_high(share)),
        profit_factor=metrics.profit_factor(nets),
        no_losses=metrics.no_losses(nets),
        average_win_usdt=metrics.average_win(nets),
        average_loss_usdt=metrics.average_loss(nets),
        payoff=metrics.payoff(nets),
        net_usdt=fsum(nets),
        expectancy_usdt=metrics.expectancy(nets),
        expectancy_low_usdt=_low(usdt),
        expectancy_high_usdt=_high(usdt),
        expectancy_r=metrics.expectancy(multiples),
        expectancy_low_r=_low(r),
        expectancy_high_r=_high(r),
        fees_usdt=fsum(trade.fees_usdt for trade in trades),
        funding_usdt=fsum(trade.funding_usdt for trade in trades),
        slippage_usdt=fsum(trade.slippage_usdt for trade in trades),
        notional_usdt=fsum(trade.turnover_usdt for trade in trades),
        mean_holding_ms=metrics.mean([trade.holding_ms for trade in trades]),
        longest_loss_run=metrics.longest_loss_run(nets),
        best_usdt=max(nets, default=None),
        worst_usdt=min(nets, default=None),
        ambiguous_percent=_percent(metrics.share(sum(trade.ambiguous for trade in trades), n)),
    )


def performance(
    trades: Sequence[TradeView],
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
