"""The figures of a backtest, as tables and JSON show them."""

from __future__ import annotations

from msgspec import Struct

from papertape.projections.folds.coverage import CoverageView, DataView
from papertape.projections.folds.pending_orders import OrderView
from papertape.projections.folds.performance import Performance, TradeFigures
from papertape.projections.folds.portfolio import PositionView


class StrategyResult(Struct, frozen=True):
    """One strategy: its figures, those of its closed trades by symbol, and what stopped it, if anything did.

    Open positions are marked at their symbols' last close. Seqs are 0, because there is no log.
    """

    strategy: str
    stopped: str
    coverage: CoverageView
    performance: Performance
    by_symbol: dict[str, TradeFigures]
    open_positions: tuple[PositionView, ...]
    pending_orders: tuple[OrderView, ...]
    sparkline: tuple[float, ...]


class BacktestResult(Struct, frozen=True):
    """The figures of a backtest. A requested limit is None if the files' own range applies.

    `resets` counts the trips that `--after-trip continue` reset, including global ones.
    """

    engine: str
    facts: int
    seconds: float
    symbols: tuple[str, ...]
    refused_rows: int
    requested_from_ms: int | None
    requested_until_ms: int | None
    data: tuple[DataView, ...]
    resets: int
    strategies: tuple[StrategyResult, ...]
