"""Events made directly from the rows to which a compiled loop wrote its decisions."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.answers import RUNGS_MAX, Rung
from papertape.engine.kernel.decision import Decision
from papertape.engine.reducer.decision_events import (
    event_from,
    event_kind,
    readings_of,
    rungs_of,
    sources_of,
    structured_fields,
)
from papertape.engine.research.records import dtype_of, leaf_reader, leaves_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.research.records import Array
    from papertape.events.facts import Event

RUNG_LEAVES = len(Rung.__struct_fields__)
LADDER_LEAVES = 2 + RUNGS_MAX * RUNG_LEAVES


def events_of(rows: Array, notes: Array, strategy: Strategy, symbols: Sequence[str]) -> list[tuple[int, Event]]:
    """Return the events that rows of decisions become, each with the index of the fact that it answers.

    `notes` holds the strategy's readings behind the decisions, row by row.
    """
    heads = zip(*(rows[name].tolist() for name in ("fact", "kind", "reason", "symbol")), leaves_of(notes), strict=True)
    packed, names, made = rows.tobytes(), strategy.reading.__struct_fields__, []
    for index, (fact, code, reason, symbol, numbers) in enumerate(heads):
        kind = event_kind(code, reason)
        take = _leaf_reader(kind)
        values = list(take(packed, index))
        for place, name in structured_fields(kind):  # In order, so everything before it has become one value already.
            if name == "readings":
                values.insert(place, readings_of(names, numbers[: len(names)]))
            else:
                leaves = values[place : place + LADDER_LEAVES]
                rungs = (leaves[2 + k * RUNG_LEAVES : 2 + (k + 1) * RUNG_LEAVES] for k in range(leaves[0]))
                values[place : place + LADDER_LEAVES] = [rungs_of(name, map(tuple, rungs))]
        made.append((fact, event_from(kind, values, strategy.name, symbols[symbol], strategy.exit_reasons)))
    return made


@cache
def _leaf_reader(kind: type[Event]) -> Callable[[bytes, int], tuple[Any, ...]]:
    """Return a getter of all numbers that a row of decisions has for an event."""
    return leaf_reader(dtype_of(Decision), [name for name in sources_of(kind) if name != "reading"])
