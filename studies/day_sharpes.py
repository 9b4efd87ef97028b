"""The Sharpe ratios of many sets at once, equal to `projections.folds.metrics` to the bit."""

from __future__ import annotations

from array import array
from math import sqrt
from typing import TYPE_CHECKING, Any, Final

from papertape.projections.folds.metrics import NOISE, YEAR_DAYS, daily_returns, sharpe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ARRAYS_FROM: Final = 32
"""From this many sets on, arrays are faster than floats."""


def day_sharpes(capital_usdt: float, equities: Sequence[bytes]) -> list[float | None]:
    """Return the annualised Sharpe ratio of the daily returns of each set, None where it is not defined.

    `equities` are day ends as float64, of the same days for all sets.
    """
    days = len(equities[0]) // 8 if equities else 0
    if len(equities) >= ARRAYS_FROM and days >= 2 and all(len(one) == days * 8 for one in equities):
        try:
            return _by_arrays(capital_usdt, equities, days)
        except ImportError:
            pass  # numpy belongs to an extra.
    return [sharpe(daily_returns(capital_usdt, array("d", one))) for one in equities]


def _by_arrays(capital_usdt: float, equities: Sequence[bytes], days: int) -> list[float | None]:
    """Return the ratios from a matrix with a row a day, so that every step treats all sets alike."""
    import numpy as np  # noqa: PLC0415 - belongs to an extra

    ends = np.ascontiguousarray(np.frombuffer(b"".join(equities)).reshape(len(equities), days).T)
    starts = np.vstack([np.full(len(equities), capital_usdt), ends[:-1]])
    returns = np.zeros_like(starts)
    np.divide(ends, starts, out=returns, where=starts > 0.0)
    np.subtract(returns, 1.0, out=returns, where=starts > 0.0)
    averages = _exact_sums(returns) / days
    distances = returns - averages
    spreads = np.sqrt(_exact_sums(distances * distances) / (days - 1))
    defined = spreads > NOISE * np.abs(averages)
    return [
        average / spread * sqrt(YEAR_DAYS) if one else None
        for average, spread, one in zip(averages.tolist(), spreads.tolist(), defined.tolist(), strict=True)
    ]


def _exact_sums(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the sum of every column, rounded once like `math.fsum` (Knuth's TwoSum; the errors are summed too)."""
    total, error = rows[0] * 0.0, rows[0] * 0.0
    for row in rows:
        summed = total + row
        back = summed - total
        error += (total - (summed - back)) + (row - back)
        total = summed
    exact: NDArray[Any] = total + error
    return exact
