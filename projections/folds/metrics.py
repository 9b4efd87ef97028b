"""The measures of performance, each a small pure function (exchange model, section 9).

`nets` are the net results of closed trades in USDT, in the order of closing. None always means "not defined", never 0
and never infinite. Returns and drawdowns are plain fractions here. The market never closes, so a year has 365 daily
returns.
"""

from __future__ import annotations

from math import fsum, sqrt
from typing import TYPE_CHECKING

from papertape.events.units import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

YEAR_DAYS = 365.0
# A spread of returns this small relative to their mean is rounding noise, not risk.
NOISE = 1e-12


# ---------------------------------------------------------------- trades


def mean(values: Sequence[float]) -> float | None:
    """Return sum/n; None without values."""
    return fsum(values) / len(values) if values else None


def wins(nets: Sequence[float]) -> list[float]:
    """Return the results above zero; a flat trade is neither a win nor a loss."""
    return [net for net in nets if net > 0.0]


def losses(nets: Sequence[float]) -> list[float]:
    """Return the results below zero."""
    return [net for net in nets if net < 0.0]


def win_rate(nets: Sequence[float]) -> float | None:
    """Return wins/n, a fraction; None for n = 0; flat trades count in n."""
    return len(wins(nets)) / len(nets) if nets else None


def profit_factor(nets: Sequence[float]) -> float | None:
    """Return sum(p > 0)/abs(sum(p < 0)); None without trades or without losses (see `no_losses`)."""
    lost = losses(nets)
    return fsum(wins(nets)) / abs(fsum(lost)) if lost else None


def no_losses(nets: Sequence[float]) -> bool:
    """Return whether the profit factor is undefined because there are trades but no losses."""
    return bool(nets) and not losses(nets)


def average_win(nets: Sequence[float]) -> float | None:
    """Return mean(p > 0) in USDT; None without wins."""
    return mean(wins(nets))


def average_loss(nets: Sequence[float]) -> float | None:
    """Return mean(p < 0) in USDT, a negative number; None without losses."""
    return mean(losses(nets))


def payoff(nets: Sequence[float]) -> float | None:
    """Return mean(p > 0)/abs(mean(p < 0)); None if either side is empty."""
    won, lost = average_win(nets), average_loss(nets)
    return won / abs(lost) if won is not None and lost is not None else None


def expectancy(results: Sequence[float]) -> float | None:
    """Return the mean result of a trade, in the unit of `results` (USDT or R); None for n = 0."""
    return mean(results)


def longest_loss_run(nets: Sequence[float]) -> int:
    """Return the length of the longest run of losses; a flat trade ends a run."""
    longest = run = 0
    for net in nets:
        run = run + 1 if net < 0.0 else 0
        longest = max(longest, run)
    return longest


def share(count: int, n: int) -> float | None:
    """Return count/n; None for n = 0."""
    return count / n if n else None


# ---------------------------------------------------------------- equity


def net_return(capital_usdt: float, end_equity_usdt: float) -> float:
    """Return Q_end/capital - 1 with open positions marked; 0 without capital."""
    return end_equity_usdt / capital_usdt - 1.0 if capital_usdt > 0.0 else 0.0


def daily_returns(capital_usdt: float, day_equities_usdt: Sequence[float]) -> list[float]:
    """Return x_j = Q_j/Q_(j-1) - 1, the first day from the capital; 0 after a day that ended at 0 or below."""
    starts = (capital_usdt, *day_equities_usdt)
    return [end / start - 1.0 if start > 0.0 else 0.0 for start, end in zip(starts, day_equities_usdt, strict=False)]


def sharpe(returns: Sequence[float], risk_free: float = 0.0) -> float | None:
    """Return (mean(x) - rf/365)/std(x, ddof = 1)*sqrt(365); None for fewer than 2 returns or no spread."""
    n = len(returns)
    if n < 2:
        return None
    average = fsum(returns) / n
    spread = sqrt(fsum((x - average) * (x - average) for x in returns) / (n - 1))
    if spread <= NOISE * abs(average):
        return None
    return (average - risk_free / YEAR_DAYS) / spread * sqrt(YEAR_DAYS)


def sortino(returns: Sequence[float], minimum: float = 0.0) -> float | None:
    """Return (mean(x) - MAR/365)/sqrt(mean(min(x - MAR/365, 0)^2))*sqrt(365); None if no day is below MAR.

    The divisor averages over all days, not only over losing days.
    """
    if not returns:
        return None
    n, target = len(returns), minimum / YEAR_DAYS
    downside = sqrt(fsum(min(x - target, 0.0) ** 2 for x in returns) / n)
    if downside == 0.0:
        return None
    return (fsum(returns) / n - target) / downside * sqrt(YEAR_DAYS)


def cagr(capital_usdt: float, end_equity_usdt: float, days: float) -> float | None:
    """Return (Q_end/Q_0)^(365/days) - 1, with real-valued days; -1 for Q_end <= 0; None for days < 1.

    Returns None also if the result exceeds float64.
    """
    if days < 1.0 or capital_usdt <= 0.0:
        return None
    if end_equity_usdt <= 0.0:
        return -1.0
    try:
        return float((end_equity_usdt / capital_usdt) ** (YEAR_DAYS / days)) - 1.0
    except OverflowError:
        return None


def calmar(growth: float | None, max_drawdown_fraction: float) -> float | None:
    """Return CAGR/MDD; None without CAGR or for MDD = 0."""
    return growth / max_drawdown_fraction if growth is not None and max_drawdown_fraction > 0.0 else None


# ---------------------------------------------------------------- time and size


def exposure(spans_ms: Iterable[tuple[int, int]], from_ms: int, until_ms: int) -> float:
    """Return the union of all positions' (entry, exit) times over the total time; 0 without trades or time."""
    if until_ms <= from_ms:
        return 0.0
    covered, reach = 0, from_ms
    for entry, exit_ in sorted(spans_ms):
        start, end = max(entry, reach), min(exit_, until_ms)
        if end > start:
            covered += end - start
            reach = end
    return covered / (until_ms - from_ms)


def turnover(notional_usdt: float, day_equities_usdt: Sequence[float]) -> float | None:
    """Return sum(N)/mean(Q), all fills' notional over the mean daily equity; None without days or equity."""
    average = mean(day_equities_usdt)
    return notional_usdt / average if average is not None and average > 0.0 else None


def days_between(from_ms: int, until_ms: int) -> float:
    """Return the length of a span in days, a real number."""
    return (until_ms - from_ms) / DAY_MS
