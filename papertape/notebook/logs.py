"""`pt.open_log`: everything that happened in an event log, also one that an engine is writing."""

from __future__ import annotations

from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import polars as pl

from papertape.events.facts import CandleClosed, FundingRateSettled, OpenInterestObserved, OrderPlaced, OrderRejected
from papertape.events.sqlite_log import SqliteLogReader
from papertape.notebook.frames import TIME, equity_frame, metrics_frame, readings_frame, trades_frame
from papertape.notebook.market import CANDLE_COLUMNS
from papertape.notebook.results import Results
from papertape.projections.folds.arena import Arena
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.trades import Trades

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papertape.events.log import Recorded

T = TypeVar("T", CandleClosed, FundingRateSettled, OpenInterestObserved)


class LogResults(Results):
    """A log as it was when it was opened; `seq` is its last event then. `read` yields the events themselves."""

    def __init__(self, path: Path, seq: int | None = None) -> None:
        with closing(SqliteLogReader(path)) as reader:
            head = reader.head().seq
        self.path, self.seq = path, head if seq is None else min(seq, head)
        self.title = f"{path.name} up to event {self.seq:,}"
        self._portfolio, self._closed = Portfolio(), Trades()
        self._asked: list[OrderPlaced | OrderRejected] = []
        for recorded in self.read():
            self._portfolio.apply(recorded)
            self._closed.apply(recorded)
            if isinstance(recorded.event, OrderPlaced | OrderRejected):
                self._asked.append(recorded.event)
        self._arena = Arena(self._portfolio, self._closed)
        self._names = [account.strategy for account in self._portfolio.accounts()]

    def read(self) -> Iterator[Recorded]:
        """Yield every event, oldest first, with its seq, the time of its recording and its cause."""
        with closing(SqliteLogReader(self.path)) as reader:
            for commit in reader.commits(0):
                for recorded in commit.recorded():
                    if recorded.seq > self.seq:
                        return
                    yield recorded

    @cached_property
    def trades(self) -> pl.DataFrame:
        """The closed trades, oldest first."""
        return trades_frame(self._closed.closed())

    @cached_property
    def equity(self) -> pl.DataFrame:
        """The equity of every strategy at the points of the dashboard's curve, the last of each minute or longer."""
        curves = [self._portfolio.equity_curve(name) for name in self._names]
        frames = [
            equity_frame(
                curve.strategy,
                [point.at_ms for point in curve.curve],
                [point.equity_usdt for point in curve.curve],
                curve.capital_usdt,
            )
            for curve in curves
        ]
        return pl.concat(frames) if frames else equity_frame("", [], [], 0.0)

    @cached_property
    def readings(self) -> pl.DataFrame:
        """The strategies' readings behind every order and every refusal."""
        return readings_frame(self._asked)

    @cached_property
    def metrics(self) -> pl.DataFrame:
        """One row for each strategy, with every measure of the arena."""
        return metrics_frame({name: self._arena.performance(name) for name in self._names})

    def candles(self, symbol: str) -> pl.DataFrame:
        """Return the recorded candles of a symbol, as `pt.candles` does those of a file."""
        rows = [
            (event.open_time_ms, *(getattr(event, name) for name in CANDLE_COLUMNS))
            for event in self._of(CandleClosed, symbol)
        ]
        schema = {"time": pl.Int64, **dict.fromkeys(CANDLE_COLUMNS, pl.Float64)}
        return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("time").cast(TIME))

    def funding(self, symbol: str) -> pl.DataFrame:
        """Return the recorded funding settlements of a symbol: `time` and `rate`, a fraction."""
        rows = [(event.at_ms, event.rate) for event in self._of(FundingRateSettled, symbol)]
        return _series(rows, "rate")

    def open_interest(self, symbol: str) -> pl.DataFrame:
        """Return the recorded readings of a symbol's open interest: `time` and `open_interest`, in coins."""
        rows = [(event.at_ms, event.open_interest_base) for event in self._of(OpenInterestObserved, symbol)]
        return _series(rows, "open_interest")

    def _of(self, kind: type[T], symbol: str) -> Iterator[T]:
        return (one.event for one in self.read() if isinstance(one.event, kind) and one.event.symbol == symbol)


def _series(rows: list[tuple[int, float]], name: str) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema={"time": pl.Int64, name: pl.Float64}, orient="row")
    return frame.with_columns(pl.col("time").cast(TIME))


def open_log(path: str | Path, seq: int | None = None) -> LogResults:
    """Open a log, also one that an engine is writing, as of its newest event or of an earlier one.

    Raise LogMissing, LogForeign or LogDamaged.
    """
    return LogResults(Path(path), seq)
