"""What a study concludes, as the commands, the page and the API show it.

A study computes a `Document` once, when its results are complete; whoever shows it does no arithmetic.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Outcome = Literal["BET", "BET SMALL", "CANNOT SAY", "NO"]


class Axis(Struct, frozen=True):
    """One varied parameter and its values, in order."""

    name: str
    values: tuple[int | float, ...]
    unit: str = ""


class SpaceView(Struct, frozen=True):
    """The sets of a study. Set `n` has the values of `number_to_values`; links and conditions as they were typed."""

    axes: tuple[Axis, ...]
    links: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    sets: int = 0
    drawn: int | None = None
    seed: int = 0


class StudyPlan(Struct, frozen=True):
    """Everything that determines the results of a study. Its digest is the study's key.

    `from_ms` to `until_ms` are the candles that are traded, `start_ms` and `end_ms` the period as it was asked for, if
    it was. `name`, `warnings` and `files`, where the data came from, do not belong to the key.
    """

    name: str
    strategy: str
    code_digest: str
    tape_digest: str
    symbols: tuple[str, ...]
    timeframe_ms: int
    from_ms: int
    until_ms: int
    candles: int
    space: SpaceView
    parameters: dict[str, int | float]
    risk: dict[str, int | float]
    warnings: tuple[str, ...] = ()
    of: str = ""
    references: dict[str, str] = {}
    symbol_parameters: dict[str, dict[str, int | float]] = {}
    traded_symbols: tuple[str, ...] = ()
    start_ms: int | None = None
    end_ms: int | None = None
    files: tuple[str, ...] = ()


class GateResult(Struct, frozen=True):
    """One gate: its number and its limit in `unit` (shares in percent), and what would change the result.

    A gate that could not be judged is `skipped`.
    """

    name: str
    title: str
    state: Literal["passed", "failed", "skipped"]
    outcome: Outcome
    number: float | None
    limit: float | None
    unit: str
    text: str
    change: str


class Verdict(Struct, frozen=True):
    """The answer, with the gates in order. `first_failed` is the name of the gate that decided, empty for BET."""

    outcome: Outcome
    headline: str
    first_failed: str
    gates: tuple[GateResult, ...]
    chosen_set: int | None
    parameters: dict[str, int | float]
    trials: int
    effective_trials: float | None = None
    survivors: tuple[int, ...] = ()


class Costs(Struct, frozen=True):
    """What was earned before costs, and what fees, slippage and funding took, out of sample, in USDT."""

    gross_usdt: float
    fees_usdt: float
    slippage_usdt: float
    funding_usdt: float
    net_usdt: float
    trades: int


class FoldResult(Struct, frozen=True):
    """One fold of the walk-forward: the set chosen in training, and what it did afterwards."""

    number: int
    train_from_ms: int
    train_until_ms: int
    test_from_ms: int
    test_until_ms: int
    chosen_set: int | None
    parameters: dict[str, int | float]
    train_sharpe: float | None
    test_sharpe: float | None
    test_net_usdt: float
    test_trades: int


class MatrixCell(Struct, frozen=True):
    """A walk-forward with other window lengths."""

    train_ms: int
    test_ms: int
    folds: int
    profitable_folds: int
    net_usdt: float
    sharpe: float | None
    trades: int


class Yardstick(Struct, frozen=True):
    """What money would have done without the strategy over the same days: cash, or buy & hold."""

    name: str
    net_usdt: float
    sharpe: float | None
    max_drawdown_fraction: float


class Pair(Struct, frozen=True, array_like=True):
    """The daily Sharpe ratios, annualised, of one set in and out of sample."""

    number: int
    inside: float
    outside: float


class PromisedResult(Struct, frozen=True):
    """What the chosen set promises, from its out-of-sample trades.

    `bands_r` has, for trade 1, 2, ..., the 5, 25, 50, 75 and 95 % quantiles of the cumulative result in R over
    sequences drawn from the trades, and `lowest_r` the 1 % quantiles. `cost_per_trade_r` is fees and slippage of a
    trade in R.
    """

    trades_per_day: float
    win_rate: float
    mean_r: float
    cost_per_trade_r: float
    drawdown_95_fraction: float
    bands_r: tuple[tuple[float, float, float, float, float], ...]
    lowest_r: tuple[float, ...] = ()


class Document(Struct, frozen=True):
    """The conclusions of a study; `joined` is the equity of the test folds one after the other, by the end of a day.

    `warnings` are those of the plan: what makes the results doubtful whatever the verdict.
    """

    verdict: Verdict
    costs: Costs
    folds: tuple[FoldResult, ...] = ()
    matrix: tuple[MatrixCell, ...] = ()
    joined: tuple[tuple[int, float], ...] = ()
    yardsticks: tuple[Yardstick, ...] = ()
    pairs: tuple[Pair, ...] = ()
    slope: float | None = None
    statistics: dict[str, float | None] = {}
    promise: PromisedResult | None = None
    trials: int = 0
    whole_span: int = 0
    long_way: dict[str, int] = {}
    digest: str = ""
    train_ms: int = 0
    test_ms: int = 0
    embargo_ms: int = 0
    anchored: bool = False
    warnings: tuple[str, ...] = ()
