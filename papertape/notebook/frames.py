"""Folded results as polars frames. Times are UTC; a column's name carries its unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from msgspec.structs import asdict

from papertape.events.facts import OrderPlaced, OrderRejected
from papertape.projections.folds.trades import TradeView

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from papertape.events.facts import Event
    from papertape.projections.folds.performance import Performance

TIME = pl.Datetime("ms", "UTC")
READING_SCHEMA = {
    "time_ms": pl.Int64,
    **dict.fromkeys(("strategy", "symbol", "action", "side", "reason"), pl.String),
    "refused": pl.Boolean,
}
TRADE_COLUMNS = TradeView.__struct_fields__[: TradeView.__struct_fields__.index("seq")]


def trades_frame(trades: Sequence[TradeView]) -> pl.DataFrame:
    """Return closed trades: entry and exit with time and average price, costs, net result and R multiple."""
    columns: dict[str, list[Any]] = {name: [getattr(trade, name) for trade in trades] for name in TRADE_COLUMNS}
    columns["side"] = [str(trade.side) for trade in trades]
    return _with_times(pl.DataFrame(columns), {"entry_time_ms": "entry_time", "exit_time_ms": "exit_time"})


def equity_frame(
    strategy: str, times_ms: Sequence[int] | pl.Series, equities: Sequence[float] | pl.Series, capital_usdt: float
) -> pl.DataFrame:
    """Return an equity curve and, beside it, its drawdown as a fraction of the highest equity so far."""
    peak = pl.max_horizontal(pl.col("equity_usdt").cum_max(), pl.lit(capital_usdt))
    frame = pl.DataFrame(
        {"time": times_ms, "equity_usdt": equities}, schema={"time": pl.Int64, "equity_usdt": pl.Float64}
    )
    return frame.select(
        pl.col("time").cast(TIME),
        pl.lit(strategy).alias("strategy"),
        "equity_usdt",
        (1.0 - pl.col("equity_usdt") / peak).alias("drawdown_fraction"),
    )


def metrics_frame(performances: Mapping[str, Performance]) -> pl.DataFrame:
    """Return one row for each strategy, with every measure of the arena; null where one is not defined."""
    rows = [{"strategy": name, **asdict(measures)} for name, measures in performances.items()]
    return pl.DataFrame(rows, infer_schema_length=None)


def readings_frame(events: Iterable[Event]) -> pl.DataFrame:
    """Return the readings behind every order and every refusal, null where a strategy has no such one."""
    rows = [
        {
            "time_ms": event.at_ms,
            "strategy": event.strategy,
            "symbol": event.symbol,
            "action": event.action,
            "side": str(event.side),
            "reason": event.reason,
            "refused": isinstance(event, OrderRejected),
            **event.readings,
        }
        for event in events
        if isinstance(event, OrderPlaced | OrderRejected)
    ]
    frame = pl.DataFrame(rows, infer_schema_length=None) if rows else pl.DataFrame(schema=READING_SCHEMA)
    return _with_times(frame, {"time_ms": "time"})


def _with_times(frame: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """Return a frame whose milliseconds are times, under names without a unit."""
    times = [pl.col(name).cast(pl.Int64).cast(TIME) for name in names]
    return frame.with_columns(times).rename(dict(names))
