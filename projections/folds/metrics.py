"""The measures of performance, each a small pure function (exchange model, section 9), and a sum that is kept.

None always means "not defined", never 0 and never infinite. Returns and drawdowns are plain fractions here. The market
never closes, so a year has 365 daily returns. The measures of closed trades are those of `performance.TradeSums`.
"""

from __future__ import annotations

from math import fsum, sqrt
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.units import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

YEAR_DAYS = 365.0
# A spread of returns this small relative to their mean is rounding noise, not risk.
NOISE = 1e-12


class ExactSum(Struct):
    """A running sum without rounding error: its value equals `fsum` of everything added, J. R. Shewchuk (1997)."""

    partials: list[float] = []
    """Numbers of rising size that do not overlap; their exact sum is that of everything added."""

    @property
    def value(self) -> float:
        """The sum, rounded once."""
        return fsum(self.partials)

    def add(self, value: float) -> None:
        """Add a finite number."""
        kept = 0
        for partial in self.partials:
            large, small = (value, partial) if abs(value) >= abs(partial) else (partial, value)
            value = large + small
            rest = small - (value - large)
            if rest:
                self.partials[kept] = rest
                kept += 1
        self.partials[kept:] = [value]


def mean(values: Sequence[float]) -> float | None:
    """Return sum/n; None without values."""
    return fsum(values) / len(values) if values else None


def share(part: float, n: int) -> float | None:
    """Return part/n; None for n = 0."""
    return part / n if n else None


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
