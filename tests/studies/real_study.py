"""A study whose sets are really run, over a market out of a seed, with its results in memory."""

from __future__ import annotations

from array import array
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import asdict

from papertape.engine.feeds.files.columns import CandleColumns
from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.research.set_result import SetResult, TradedSpan
from papertape.engine.research.set_runs import SetRunner
from papertape.engine.research.tape import Tape
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.strategy_registry import load_strategies
from papertape.events.units import DAY_MS, TIMEFRAMES_MS
from papertape.projections.folds.metrics import daily_returns, sharpe
from papertape.projections.studies.document import SpaceView, StudyPlan
from papertape.studies.context import StudyContext
from papertape.studies.folds import Fold
from papertape.studies.real_runs import runs_over
from tests.build import DAY_0_MS, listed
from tests.studies.simulated import Grid

if TYPE_CHECKING:
    from papertape.studies.choice import SetRow

STRATEGIES = load_strategies([Path(__file__).parent / "strategies"])
NAME = "buy_the_fall"
FRAME_MS = TIMEFRAMES_MS["15m"]
RISK = RiskSettings(
    max_risk_per_trade_percent=0.2,
    max_session_loss_percent=20.0,
    taker_fee_percent=0.01,
    slippage_percent=0.005,
)
FALLS, STOPS = (0.6, 0.7, 0.8), (0.6, 0.8)


def market_with_jumps(days: int, reversion: float, seed: int = 0) -> Tape:
    """Return 15m candles in which jumps on a great volume are taken back within some candles, by a share `reversion`.

    With 0, what follows is the same noise as anywhere.
    """
    random, table, close, owed = Random(seed), CandleColumns("jumps", FRAME_MS), 100.0, 0.0
    for row in range(days * DAY_MS // FRAME_MS):
        is_jump = random.random() < 0.12
        opening, wick = close, random.uniform(0.0, 0.0006)
        jump = random.choice([-1.0, 1.0]) * random.uniform(0.006, 0.012)
        change = jump if is_jump else random.gauss(0.0, 0.0015) + owed / 4.0
        owed = -jump * reversion if is_jump else owed * 3.0 / 4.0
        close = opening * (1.0 + change)
        prices = (opening, max(opening, close) * (1.0 + wick), min(opening, close) * (1.0 - wick), close)
        table.open_time_ms.append(DAY_0_MS + row * FRAME_MS)
        for column, price in zip(table.values(), prices, strict=False):
            column.append(round(price, 3))
        table.volume.append(random.uniform(0.8, 1.2) * (8.0 if is_jump else 1.0))
    contract = listed("AAA", tick=(1, 1_000), lot=(1, 1_000), timeframe_ms=FRAME_MS)
    return Tape([contract], [table], [None], [None])


class RealStudy:
    """Six sets of `buy_the_fall` over a tape: the results of every span, as they are asked for."""

    def __init__(self, tape: Tape, engine: str = "python") -> None:
        self.tape = tape
        self.grid = FallGrid()
        self.settings = RunnerSettings(risk=RISK)
        self.runner = SetRunner(tape, STRATEGIES, NAME, self.settings, engine)
        self.engine = engine
        self.spans: dict[TradedSpan, int] = {TradedSpan(): 0}
        self._results: dict[int, list[SetResult]] = {}

    def folds(self, train_days: int, test_days: int) -> list[Fold]:
        """A rolling walk-forward from the second day on."""
        days = (self.tape.candles[0].open_time_ms[-1] - DAY_0_MS) // DAY_MS + 1
        starts = range(1 + train_days, days - test_days + 1, test_days)
        folds = [
            Fold(k, _span(start - train_days, start), _span(start, start + test_days))
            for k, start in enumerate(starts, 1)
        ]
        for fold in folds:
            for span in (fold.train, fold.test):
                self.spans.setdefault(span, len(self.spans))
        return folds

    def results(self, span_id: int) -> list[SetResult]:
        """The results of all sets over a span."""
        if span_id not in self._results:
            sets = [self.grid.values(number) for number in range(self.grid.sets)]
            self._results[span_id] = self.runner.run(sets, list(self.spans)[span_id])
        return self._results[span_id]

    def rows(self, span_id: int) -> list[SetRow]:
        """The figures of every set over a span."""
        return [
            (number, result._replace(day_equities=b""), sharpe(daily_returns(RISK.capital_usdt, _days(result))))
            for number, result in enumerate(self.results(span_id))
        ]

    def days(self, span_id: int) -> tuple[list[int], Any]:
        """The day-end equities of every set over a span."""
        return list(range(self.grid.sets)), np.array([_days(result) for result in self.results(span_id)])

    def context(self, **others: Any) -> StudyContext:
        """What is known beside the results."""
        times_ms = self.tape.candles[0].open_time_ms
        plan = StudyPlan(
            name="real",
            strategy=NAME,
            code_digest="",
            tape_digest="",
            symbols=("AAA",),
            timeframe_ms=FRAME_MS,
            from_ms=times_ms[0],
            until_ms=times_ms[-1] + FRAME_MS,
            candles=len(times_ms),
            space=SpaceView(()),
            parameters={},
            risk=asdict(RISK),
        )
        run = runs_over(self.tape, STRATEGIES, NAME, self.settings, self.engine)
        settled = {"plan": plan, "space": self.grid, "spans": self.spans, "risk": RISK, "run": run, "tape": self.tape}
        return StudyContext(trials=self.grid.sets, **{**settled, **others})

    def with_tape(self, tape: Tape) -> RealStudy:
        """Return the same study, its spans among it, over another tape."""
        other = RealStudy(tape, self.engine)
        other.spans = dict(self.spans)
        return other


class FallGrid(Grid):
    """Three falls and two stops."""

    def __init__(self) -> None:
        super().__init__(len(FALLS), len(STOPS))
        self.sets = len(FALLS) * len(STOPS)

    def values(self, number: int) -> dict[str, int | float]:
        """The parameters of a set."""
        fall, stop = divmod(number, self.columns)
        return {"fall_percent": FALLS[fall], "stop_percent": STOPS[stop]}


def _days(result: SetResult) -> list[float]:
    return array("d", result.day_equities).tolist()


def _span(first_day: int, end_day: int) -> TradedSpan:
    return TradedSpan(DAY_0_MS + first_day * DAY_MS, DAY_0_MS + end_day * DAY_MS)
