"""A study without candles: the trades of a grid of sets are drawn, neighbours much alike, with or without an edge."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct
from msgspec.structs import asdict

from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.research.set_result import SetResult, TradedSpan
from papertape.events.units import DAY_MS, HOUR_MS
from papertape.projections.folds.metrics import daily_returns, sharpe
from papertape.projections.studies.document import SpaceView, StudyPlan
from papertape.studies.context import StudyContext
from papertape.studies.folds import Fold, Windows
from papertape.studies.real_runs import RealRun, RealTrade

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.studies.choice import SetRow

START_MS = 20_089 * DAY_MS
"""2025-01-01 00:00 UTC."""
RISK = RiskSettings(max_risk_per_trade_percent=0.1)
RISK_USDT = 10.0


class Recipe(Struct, frozen=True):
    """What a simulated study is made of. `edge_r` is what the best set's trades earn on average before costs, in R.

    The sets at the border of the grid have about the share `floor` of it. `alike` is the correlation of neighbours.
    """

    seed: int
    edge_r: float = 0.0
    cost_r: float = 0.02
    rows: int = 6
    columns: int = 8
    days: int = 365
    trades_a_day: int = 2
    spread_r: float = 1.2
    alike: float = 0.9
    floor: float = 0.5


class Grid:
    """The sets of two parameters, numbered row by row."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns

    def values(self, number: int) -> dict[str, int | float]:
        """The two parameters of a set."""
        return {"a": number // self.columns, "b": number % self.columns}

    def neighbours(self, number: int) -> list[int]:
        """The sets one step away."""
        row, column = divmod(number, self.columns)
        steps = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
        return [i * self.columns + j for i, j in steps if 0 <= i < self.rows and 0 <= j < self.columns]


class SimulatedStudy:
    """The results of a grid of sets whose trades are drawn: an array of R before costs by day, trade and set.

    Where the array holds no number, there was no trade.
    """

    def __init__(self, recipe: Recipe, results_r: Any = None) -> None:
        self.recipe = recipe
        self.grid = Grid(recipe.rows, recipe.columns)
        self.results_r = drawn_results(recipe) if results_r is None else results_r
        self.spans: dict[TradedSpan, int] = {TradedSpan(): 0}
        self._rows: dict[int, list[SetRow]] = {}

    @property
    def sets(self) -> int:
        """How many sets there are."""
        return int(self.results_r.shape[2])

    def rows(self, span_id: int) -> list[SetRow]:
        """The figures of every set over a span, as far as conclusions read them."""
        if span_id not in self._rows:
            first, end = self._days(list(self.spans)[span_id])
            trades = (~np.isnan(self.results_r[first:end])).sum(axis=(0, 1)).tolist()
            equities = self.days(span_id)[1].tolist()
            self._rows[span_id] = [_row(*one) for one in zip(range(self.sets), trades, equities, strict=True)]
        return self._rows[span_id]

    def days(self, span_id: int) -> tuple[list[int], Any]:
        """The day-end equities of every set over a span."""
        first, end = self._days(list(self.spans)[span_id])
        nets = np.nan_to_num(self.results_r[first:end] - self.recipe.cost_r).sum(axis=1) * RISK_USDT
        return list(range(self.sets)), np.ascontiguousarray((RISK.capital_usdt + nets.cumsum(axis=0)).T)

    def run(self, values: Mapping[str, int | float], span: TradedSpan, risk: RiskSettings) -> RealRun:
        """The trades of one set over a span, with other costs if given."""
        number = int(values["a"]) * self.recipe.columns + int(values["b"])
        first, end = self._days(span)
        days = [results[~np.isnan(results)] for results in self.results_r[first:end, :, number]]
        fees_r = 0.6 * self.recipe.cost_r * risk.taker_fee_percent / RISK.taker_fee_percent
        slippage_r = 0.4 * self.recipe.cost_r * risk.slippage_percent / RISK.slippage_percent
        trades = [
            _trade(START_MS + (first + day) * DAY_MS + HOUR_MS * at, float(result), fees_r, slippage_r)
            for day, results in enumerate(days)
            for at, result in enumerate(results)
        ]
        nets = [float((results - fees_r - slippage_r).sum()) * RISK_USDT for results in days]
        equities = list(accumulate(nets, initial=risk.capital_usdt))[1:]
        return RealRun(START_MS + first * DAY_MS, equities[-1], equities, trades)

    def folds(self, train_days: int = 90, test_days: int = 30, embargo_days: int = 1) -> list[Fold]:
        """A rolling walk-forward; its spans become known."""
        folds = []
        for number, start in enumerate(
            range(train_days + embargo_days, self.recipe.days - test_days + 1, test_days), 1
        ):
            train = _span(start - embargo_days - train_days, start - embargo_days)
            folds.append(Fold(number, train, _span(start, start + test_days)))
            for span in (train, folds[-1].test):
                self.spans.setdefault(span, len(self.spans))
        return folds

    def context(self, trials: int = 0, **others: Any) -> StudyContext:
        """What is known beside the results."""
        plan = StudyPlan(
            name="simulated",
            strategy="simulated",
            code_digest="",
            tape_digest="",
            symbols=("BTCUSDT",),
            timeframe_ms=DAY_MS,
            from_ms=START_MS,
            until_ms=START_MS + self.recipe.days * DAY_MS,
            candles=self.recipe.days,
            space=SpaceView(()),
            parameters={},
            risk=asdict(RISK),
        )
        windows = Windows(90 * DAY_MS, 30 * DAY_MS, DAY_MS)
        settled = {"plan": plan, "space": self.grid, "spans": self.spans, "risk": RISK, "run": self.run, **others}
        return StudyContext(trials=trials or self.sets, windows=windows, **settled)

    def _days(self, span: TradedSpan) -> tuple[int, int]:
        first = 0 if span.start_ms is None else (span.start_ms - START_MS) // DAY_MS
        end = self.recipe.days if span.end_ms is None else (span.end_ms - START_MS) // DAY_MS
        return first, end


def _row(number: int, trades: int, equities: list[float]) -> SetRow:
    end_usdt = equities[-1]
    money = (end_usdt, end_usdt, max(equities), 0.0, 0, 0.0, 0.0, 0.0, 0.0)
    result = SetResult(*money, trades, 0, 0, HOUR_MS if trades else 0, HOUR_MS * trades, 2 * trades, 0, b"")
    return number, result, sharpe(daily_returns(RISK.capital_usdt, equities))


def drawn_results(recipe: Recipe) -> Any:
    """Return the results in R before costs by day, trade and set; the noise of sets falls off with their distance."""
    random = np.random.default_rng(recipe.seed)
    rows, columns = np.divmod(np.arange(recipe.rows * recipe.columns), recipe.columns)
    distance = np.hypot(rows[:, None] - rows, columns[:, None] - columns)
    shape = np.linalg.cholesky(recipe.alike**distance)
    noise = random.standard_normal((recipe.days, recipe.trades_a_day, len(rows))) @ shape.T
    middle = np.hypot(rows - (recipe.rows - 1) / 2, columns - (recipe.columns - 1) / 2)
    edge = recipe.edge_r * (recipe.floor + (1.0 - recipe.floor) * np.exp(-((middle / 2.5) ** 2)))
    return recipe.spread_r * noise + edge


def _trade(at_ms: int, result_r: float, fees_r: float, slippage_r: float) -> RealTrade:
    net_r = result_r - fees_r - slippage_r
    return RealTrade(
        closed_at_ms=at_ms,
        gross_usdt=result_r * RISK_USDT,
        fees_usdt=fees_r * RISK_USDT,
        slippage_usdt=slippage_r * RISK_USDT,
        funding_usdt=0.0,
        net_usdt=net_r * RISK_USDT,
        r_multiple=net_r,
        stop_usdt=RISK_USDT,
    )


def _span(first_day: int, end_day: int) -> TradedSpan:
    return TradedSpan(START_MS + first_day * DAY_MS, START_MS + end_day * DAY_MS)
