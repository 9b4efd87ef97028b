"""Events made directly from the rows to which a compiled loop wrote its decisions."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.answers import Rung
from papertape.engine.kernel.decision import Decision
from papertape.engine.reducer.decision_events import (
    event_from,
    event_kind,
    readings_of,
    rungs_of,
    sources_of,
    structured_fields,
)
from papertape.engine.research.records import dtype_of, leaf_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from msgspec import Struct

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.research.records import Array
    from papertape.events.facts import Event


@cache
def decision_type(reading: type[Struct]) -> np.dtype[Any]:
    """Return the record type of a strategy's decisions."""
    return dtype_of(Decision, reading=dtype_of(reading))


def events_of(rows: Array, strategy: Strategy, symbols: Sequence[str]) -> list[tuple[int, Event]]:
    """Return the events that rows of decisions become, each with the index of the fact that it answers."""
    heads = zip(*(rows[name].tolist() for name in ("fact", "kind", "reason", "symbol")), strict=True)
    packed, made = rows.tobytes(), []
    for index, (fact, code, reason, symbol) in enumerate(heads):
        kind = event_kind(code, reason)
        widths, take = _field_plan(kind, strategy.reading)
        values = list(take(packed, index))
        for place, name in structured_fields(kind):  # In order, so everything before it has become one value already.
            leaves = values[place : place + widths[name]]
            values[place : place + widths[name]] = [_field_value(name, leaves, strategy.reading)]
        made.append((fact, event_from(kind, values, strategy.name, symbols[symbol], strategy.exit_reasons)))
    return made


def _field_value(name: str, leaves: list[Any], reading: type[Struct]) -> Any:
    """Return a field of an event that is more than one number, given its leaves in a row."""
    if name == "readings":
        return readings_of(reading.__struct_fields__, leaves[: len(reading.__struct_fields__)])
    width = len(Rung.__struct_fields__)
    return rungs_of(name, (tuple(leaves[2 + k * width : 2 + (k + 1) * width]) for k in range(leaves[0])))


@cache
def _field_plan(
    kind: type[Event], reading: type[Struct]
) -> tuple[dict[str, int], Callable[[bytes, int], tuple[Any, ...]]]:
    """Return how many leaves each structured field of an event has in a row, and a getter of all leaves."""
    sources, row = sources_of(kind), decision_type(reading)
    widths = {name: row[sources[place]].itemsize // 8 for place, name in structured_fields(kind)}
    return widths, leaf_reader(row, sources)
