"""95 % confidence intervals: Wilson's for a share, bootstrap or Student's for a mean.

All results are deterministic in every process and Python version: the bootstrap draws from the output stream of a
standard hash with a fixed seed, and sums are exact (`math.fsum` or integers).
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import shake_128
from math import sqrt
from typing import TYPE_CHECKING

from msgspec import Struct, field

from papertape.projections.folds.metrics import ExactSum

if TYPE_CHECKING:
    from collections.abc import Sequence

BOOTSTRAP_RESAMPLES = 10_000
BOOTSTRAP_TRADES_MAX = 60
BOOTSTRAPS_CACHED_MAX = 64
BOOTSTRAP_STEPS = 1_000_000_000_000
BOOTSTRAP_SEED = b"papertape bootstrap 1"
Z_95 = 1.959963984540054


class Interval(Struct, frozen=True):
    """A 95 % confidence interval."""

    low: float
    high: float


def wilson_interval(successes: int, n: int) -> Interval | None:
    """Return Wilson's score interval of a share, or None for n = 0.

    (p + z^2/2n -+ z*sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), E. B. Wilson (1927).
    """
    if n == 0:
        return None
    share, z2 = successes / n, Z_95 * Z_95
    centre = share + z2 / (2 * n)
    reach = Z_95 * sqrt(share * (1.0 - share) / n + z2 / (4 * n * n))
    scale = 1.0 + z2 / n
    return Interval(max((centre - reach) / scale, 0.0), min((centre + reach) / scale, 1.0))


class RunningMean(Struct):
    """The mean of values that arrive one by one, and its 95 % interval; reading them costs the same for any count.

    The mean is exact; the squared deviations are kept as B. P. Welford (1962) showed.
    """

    n: int = 0
    sum: ExactSum = field(default_factory=ExactSum)
    first: list[float] = []
    """The values themselves while the bootstrap needs them; none beyond `BOOTSTRAP_TRADES_MAX`."""
    centre: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Take one more value."""
        self.n += 1
        self.sum.add(value)
        off = value - self.centre
        self.centre += off / self.n
        self.squares += off * (value - self.centre)
        self.first = [*self.first, value] if self.n <= BOOTSTRAP_TRADES_MAX else []

    @property
    def mean(self) -> float | None:
        """The mean; None without values."""
        return self.sum.value / self.n if self.n else None

    def interval(self) -> Interval | None:
        """Return the interval of the mean, or None for fewer than 2 values.

        Up to `BOOTSTRAP_TRADES_MAX` values it is the percentile bootstrap with `BOOTSTRAP_RESAMPLES` resamples; beyond
        that, Student's interval, whose normal approximation is good by then and costs next to nothing.
        """
        if self.n < 2:
            return None
        return bootstrap_interval(self.first) if self.first else self.student_interval()

    def student_interval(self) -> Interval:
        """Return the mean -+ t*s/sqrt(n) with n - 1 degrees of freedom, W. S. Gosset (1908)."""
        mean = self.sum.value / self.n
        reach = student_quantile(self.n - 1) * sqrt(self.squares / (self.n - 1) / self.n)
        return Interval(mean - reach, mean + reach)


def bootstrap_interval(values: Sequence[float]) -> Interval:
    """Return the 2.5 % and 97.5 % points of the means of resamples with replacement, B. Efron (1979).

    Takes 2 to `BOOTSTRAP_TRADES_MAX` values. Recent results are cached: the trades of a strategy are often those of its
    only symbol, and they seldom change.
    """
    return _bootstrapped(tuple(values))


@lru_cache(maxsize=BOOTSTRAPS_CACHED_MAX)
def _bootstrapped(values: tuple[float, ...]) -> Interval:
    n = len(values)
    unit = max(map(abs, values)) / BOOTSTRAP_STEPS
    if unit == 0.0:
        return Interval(0.0, 0.0)
    # Sums of integers are exact and fast; a step is a millionth of a millionth of the largest value.
    steps = [round(value / unit) for value in values]
    draws, step = _draw(n, n * BOOTSTRAP_RESAMPLES), steps.__getitem__
    sums = sorted(sum(map(step, draws[at : at + n])) for at in range(0, n * BOOTSTRAP_RESAMPLES, n))
    tail = BOOTSTRAP_RESAMPLES // 40
    return Interval(sums[tail] * unit / n, sums[-tail - 1] * unit / n)


def _draw(n: int, count: int) -> bytes:
    """Return at least `count` uniform draws from 0 to n - 1, one byte each, for n <= 128."""
    # Bytes from the last incomplete run of n are rejected, or low numbers would be too frequent. The expected
    # share of accepted bytes is known; one percent and a kilobyte more cover an unlucky stream.
    whole = 256 - 256 % n
    stream = shake_128(BOOTSTRAP_SEED).digest(count * 256 // whole * 101 // 100 + 1_024)
    return stream.translate(bytes(i % n for i in range(256)), delete=bytes(range(whole, 256)))


def student_quantile(freedom: int) -> float:
    """Return the 97.5 % point of Student's t by Cornish and Fisher's expansion, within 1e-4 from 20 degrees on."""
    z = Z_95
    first = (z**3 + z) / 4.0
    second = (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0
    third = (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / 384.0
    return z + first / freedom + second / freedom**2 + third / freedom**3
