"""Events made directly from the rows to which a compiled loop wrote its decisions.

They are made column by column, because a run makes thousands and reading a row number by number takes longer than
deciding it.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.answers import RUNGS_MAX, Ladder
from papertape.engine.reducer.decision_events import (
    LADDERS,
    event_kind,
    names_of,
    readings_of,
    rungs_of,
    sources_of,
)
from papertape.engine.research.records import leaves_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.research.records import Array
    from papertape.events.facts import Event

RUNGS = Ladder.__struct_fields__[-RUNGS_MAX:]


def events_of(rows: Array, notes: Array, strategy: Strategy, symbols: Sequence[str]) -> list[tuple[int, Event]]:
    """Return the events that rows of decisions become, each with the index of the fact that it answers.

    `notes` holds the strategy's readings behind the decisions, row by row.
    """
    groups: dict[type[Event], list[int]] = {}
    for index, (code, reason) in enumerate(zip(rows["kind"].tolist(), rows["reason"].tolist(), strict=True)):
        groups.setdefault(event_kind(code, reason), []).append(index)
    made: list[Any] = [None] * len(rows)
    for kind, indices in groups.items():
        some, noted = _take_rows(rows, indices), _take_rows(notes, indices)
        events = map(kind, *_columns(kind, some, noted, strategy, symbols))
        for index, item in zip(indices, zip(some["fact"].tolist(), events, strict=True), strict=True):
            made[index] = item
    return made


def _take_rows(rows: Array, indices: list[int]) -> Array:
    """Return rows by their indices, copied as plain numbers: numpy would copy them field by field."""
    return rows.view("i8").reshape(len(rows), -1).take(indices, 0).view(rows.dtype)[:, 0]


def _columns(
    kind: type[Event], rows: Array, notes: Array, strategy: Strategy, symbols: Sequence[str]
) -> Iterator[Iterable[Any]]:
    """Yield the values of each field of events of one kind, with names in place of numbers."""
    named = names_of(kind, strategy.exit_reasons)
    for place, (field, source) in enumerate(zip(kind.__struct_fields__, sources_of(kind), strict=False)):
        if field in ("strategy", "scope"):
            yield repeat(strategy.name)
        elif field == "symbol":
            yield map(symbols.__getitem__, rows[source].tolist())
        elif field == "readings":
            yield _readings(notes, strategy.reading.__struct_fields__)
        elif field in LADDERS:
            yield _ladders(field, rows)
        elif place in named:
            yield map(named[place].__getitem__, rows[source].tolist())
        else:
            yield rows[source].tolist()


def _readings(notes: Array, names: tuple[str, ...]) -> Iterator[dict[str, float]]:
    """Return the numbers behind each decision by name."""
    numbers = zip(*(notes[name].tolist() for name in names), strict=True) if names else repeat((), len(notes))
    return map(readings_of, repeat(names), numbers)


def _ladders(name: str, rows: Array) -> list[tuple[Any, ...]]:
    """Return the rungs of each row's ladder as an event holds them; most have none."""
    counts = rows[name]["count"].tolist()
    made: list[tuple[Any, ...]] = [()] * len(counts)
    if any(counts):
        held = [index for index, count in enumerate(counts) if count]
        ladders = _take_rows(rows, held)[name]
        rungs = [list(leaves_of(ladders[rung])) for rung in RUNGS[: max(counts)]]
        for place, index in enumerate(held):
            made[index] = rungs_of(name, [rung[place] for rung in rungs[: counts[index]]])
    return made
