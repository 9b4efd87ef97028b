"""Events made directly from the rows to which a compiled loop wrote its decisions."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.state import Decision
from papertape.engine.reducer.decision_events import event_from, event_kind, readings_of, sources_of
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
        plain, names, take = _field_plan(kind, strategy.reading)
        values = list(take(packed, index))
        if plain < len(values):
            values[plain:] = [readings_of(names, values[plain : plain + len(names)])]
        made.append((fact, event_from(kind, values, strategy.name, symbols[symbol], strategy.exit_reasons)))
    return made


@cache
def _field_plan(
    kind: type[Event], reading: type[Struct]
) -> tuple[int, tuple[str, ...], Callable[[bytes, int], tuple[Any, ...]]]:
    """Return an event's number of plain fields in a row, the names of the readings after them, and a getter of all."""
    sources = sources_of(kind)
    names = reading.__struct_fields__ if "reading" in sources else ()
    return len(sources) - ("reading" in sources), names, leaf_reader(decision_type(reading), sources)
