"""What the gates of a verdict look at: the numbers of a study, None where they are not known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from papertape.studies.statistics.plateau import Plateau
    from papertape.studies.statistics.sharpe import SharpeRatio


class OutOfSample(Struct, frozen=True):
    """What the sets chosen in training did in the tests, joined. Means are those of a trade, in USDT.

    `gross_usdt` is before all costs. `cost_to_stop` is the median of fees and slippage over the loss at the stop, and
    `lower` and `upper` bound the mean daily return with 90 %; `why` says why they are not known.
    """

    trades: int
    days: int
    until_ms: int
    net_usdt: float
    sharpe: SharpeRatio | None = None
    chosen_folds: int = 0
    cost_to_stop: float | None = None
    gross_usdt: float = 0.0
    cost_usdt: float = 0.0
    lower: float | None = None
    upper: float | None = None
    why: str = ""


class Trials(Struct, frozen=True):
    """The ratio of the chosen set over all days, the variance of all sets' ratios, and how many were ever tried."""

    sharpe: SharpeRatio | None
    variance: float
    count: int


class Family(Struct, frozen=True):
    """The results of the tests over all sets: overfitting with its slope, and the best set against cash."""

    sets: int
    overfitting: float | None = None
    splits: int = 0
    overfitting_why: str = ""
    slope: float | None = None
    p_value: float | None = None
    survivors: int = 0
    family_why: str = ""


class Stress(Struct, frozen=True):
    """The net result with higher costs, the drawdown that 95 % of the shuffles stay below, and its limit."""

    net_usdt: float | None
    drawdown_95: float | None
    session_loss: float
    risk_percent: float
    why: str = ""


class Evidence(Struct, frozen=True):
    """What the gates look at; None where it is not known."""

    outside: OutOfSample | None
    trials: Trials
    family: Family
    plateau: Plateau | None
    stress: Stress | None
