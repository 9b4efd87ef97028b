"""What a study holds as polars frames, each with the same columns and types whether it has rows or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from msgspec.structs import asdict

from papertape.events.units import DAY_MS
from papertape.notebook.frames import TIME
from papertape.projections.studies.document import GateResult
from papertape.projections.studies.reader import SetFigures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from papertape.projections.studies.document import Axis, FoldResult

TYPES = {"int": pl.Int64(), "float": pl.Float64(), "bool": pl.Boolean()}
FOLD_FIGURES = {
    "train_sharpe": pl.Float64(),
    "test_sharpe": pl.Float64(),
    "test_net_usdt": pl.Float64(),
    "test_trades": pl.Int64(),
}
FOLD_TIMES = ("train_from", "train_until", "test_from", "test_until")


def gates_frame(gates: Sequence[GateResult]) -> pl.DataFrame:
    """Return the gates in order; number and limit are null where a gate has none."""
    schema = {
        name: pl.Float64() if name in ("number", "limit") else pl.String() for name in GateResult.__struct_fields__
    }
    return pl.DataFrame([asdict(gate) for gate in gates], schema=schema)


def sets_frame(axes: Sequence[Axis], sets: Sequence[SetFigures]) -> pl.DataFrame:
    """Return a row for each set: its number, its varied parameters, its figures in USDT and fractions."""
    figures = {
        name: TYPES[str(kind).partition(" ")[0]]
        for name, kind in SetFigures.__annotations__.items()
        if name not in ("number", "values")
    }
    schema = {"number": pl.Int64(), **_axis_types(axes), **figures}
    rows = [[one.number, *_values(axes, one.values), *(getattr(one, name) for name in figures)] for one in sets]
    return pl.DataFrame(rows, schema=schema, orient="row")


def folds_frame(axes: Sequence[Axis], folds: Sequence[FoldResult]) -> pl.DataFrame:
    """Return a row for each fold: its windows, the set that was chosen, and how that did in training and test."""
    schema = {
        "number": pl.Int64(),
        **dict.fromkeys(FOLD_TIMES, pl.Int64()),
        "chosen_set": pl.Int64(),
        **_axis_types(axes),
        **FOLD_FIGURES,
    }
    rows = [
        [
            fold.number,
            *(getattr(fold, f"{name}_ms") for name in FOLD_TIMES),
            fold.chosen_set,
            *_values(axes, fold.parameters),
            *(getattr(fold, name) for name in FOLD_FIGURES),
        ]
        for fold in folds
    ]
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col(*FOLD_TIMES).cast(TIME))


def days_frame(from_ms: int, equities_usdt: Sequence[float]) -> pl.DataFrame:
    """Return the equity at the end of every UTC day, beginning with the day of a time."""
    first = from_ms // DAY_MS
    dates = pl.Series("date", range(first, first + len(equities_usdt)), dtype=pl.Int32).cast(pl.Date)
    return pl.DataFrame([dates, pl.Series("equity_usdt", list(equities_usdt), dtype=pl.Float64)])


def _axis_types(axes: Sequence[Axis]) -> dict[str, Any]:
    return {
        axis.name: pl.Int64() if all(isinstance(value, int) for value in axis.values) else pl.Float64() for axis in axes
    }


def _values(axes: Sequence[Axis], values: Mapping[str, int | float]) -> list[int | float | None]:
    return [values.get(axis.name) for axis in axes]
