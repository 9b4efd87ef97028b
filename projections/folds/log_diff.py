"""Two logs side by side: their arenas, and the first decision in which they differ."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct
from msgspec.structs import asdict, replace

from papertape.events.facts import GLOBAL_SCOPE, Event, type_name
from papertape.projections.folds.arena import Arena, ArenaRow
from papertape.projections.folds.contracts import Contracts
from papertape.projections.folds.decisions import Decisions, strip_readings, strip_seqs
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.trades import Trades
from papertape.projections.text.event_lines import event_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from papertape.events.log import Recorded
    from papertape.projections.text.causes import ConditionView

FIELDS_SHOWN_MAX: Final = 40

Value = str | int | float | bool | None


class FieldDifference(Struct, frozen=True):
    """One number or word that differs; None where a side has none."""

    name: str
    a: Value
    b: Value


class DescribedEvent(Struct, frozen=True):
    """One event of one log, in words."""

    seq: int
    at_ms: int
    type: str
    text: str


class DecisionReasons(Struct, frozen=True):
    """Why one side decided as it did: the causes of its decision, nearest first, and the conditions of an entry.

    `holds` says what else stood between the strategy and an entry. All are empty where there is nothing to say.
    """

    causes: tuple[DescribedEvent, ...] = ()
    conditions: tuple[ConditionView, ...] = ()
    holds: tuple[str, ...] = ()


NO_REASONS: Final = DecisionReasons()


class MarketDifference(Struct, frozen=True):
    """The first fact of a symbol's market that the logs do not share; None where a log has none of that time."""

    at_ms: int
    a: str | None
    b: str | None


class DecisionDifference(Struct, frozen=True):
    """The first decision in which two logs differ. `number` counts the decisions of its strategy from 1.

    `kind`: both decided something then and it differs, or only one of them decided anything. A log that ended before
    has nothing to say (`ended`). `fields` are the numbers that differ, `settings` those the strategy ran under.
    """

    scope: str
    number: int
    at_ms: int
    kind: Literal["other", "only_a", "only_b"]
    ended: Literal["", "a", "b"]
    a: DescribedEvent | None
    b: DescribedEvent | None
    fields: tuple[FieldDifference, ...]
    settings: tuple[FieldDifference, ...]
    market: MarketDifference | None = None
    reasons_a: DecisionReasons = NO_REASONS
    reasons_b: DecisionReasons = NO_REASONS


class StrategyPair(Struct, frozen=True):
    """One strategy in both logs; None where a log does not know it.

    `same_decisions` is how many they share from the beginning; `differs_at_ms` is 0 where nothing differs.
    """

    strategy: str
    a: ArenaRow | None
    b: ArenaRow | None
    same_decisions: int
    differs_at_ms: int


class LogExtent(Struct, frozen=True):
    """One of the two logs: its name, its head, how far its market goes, how much was decided."""

    name: str
    head_seq: int
    until_ms: int
    decisions: int


class Comparison(Struct, frozen=True):
    """Two logs. `equal`: the same strategies made the same decisions, wherever and whenever they were written down."""

    a: LogExtent
    b: LogExtent
    pairs: tuple[StrategyPair, ...]
    difference: DecisionDifference | None
    equal: bool


class ComparedLog:
    """The folds of one log that a comparison stands on."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seq = 0
        self.decisions, self.contracts = Decisions(), Contracts()
        self._portfolio, self._trades = Portfolio(), Trades()
        self._arena = Arena(self._portfolio, self._trades)

    def apply(self, recorded: Recorded) -> None:
        """Take one event."""
        for fold in (self.decisions, self.contracts, self._portfolio, self._trades):
            fold.apply(recorded)
        self.seq = recorded.seq

    def extent(self) -> LogExtent:
        """What it covers."""
        return LogExtent(self.name, self.seq, self.decisions.until_ms, self.decisions.count)

    def rows(self) -> dict[str, ArenaRow]:
        """Its arena by strategy."""
        return {row.strategy: row for row in self._arena.rows()}

    def describe_event(self, recorded: Recorded) -> DescribedEvent:
        """An event in words."""
        event = recorded.event
        text = event_line(recorded, self.contracts.by_symbol).text
        return DescribedEvent(recorded.seq, event.at_ms, type_name(event), text)


class Divergence(Struct, frozen=True):
    """Where the decisions of one strategy part: how many are shared, and the next one of each log."""

    scope: str
    shared: int
    a: Recorded | None
    b: Recorded | None

    @property
    def at_ms(self) -> int:
        """Market time of the earlier one."""
        return min(one.event.at_ms for one in (self.a, self.b) if one is not None)


def find_divergences(a: Decisions, b: Decisions) -> dict[str, Divergence | None]:
    """By strategy where it parts, in the order in which the first log, then the second one, knows them."""
    scopes = dict.fromkeys([*a.by_scope, *b.by_scope])
    return {scope: _parting(scope, a.by_scope.get(scope, []), b.by_scope.get(scope, [])) for scope in scopes}


def _parting(scope: str, a: list[Recorded], b: list[Recorded]) -> Divergence | None:
    for shared, (one, other) in enumerate(zip_longest(a, b)):
        if one is None or other is None or strip_readings(one.event) != strip_readings(other.event):
            return Divergence(scope, shared, one, other)
    return None


def first_divergence(found: dict[str, Divergence | None]) -> Divergence | None:
    """The earliest in market time; of equals the one that is known first."""
    return min((one for one in found.values() if one is not None), key=lambda one: one.at_ms, default=None)


def compare_sides(a: ComparedLog, b: ComparedLog) -> Comparison:
    """The two logs side by side; market and reasons of the difference are added by who can read the logs again."""
    found = find_divergences(a.decisions, b.decisions)
    first, rows_a, rows_b = first_divergence(found), a.rows(), b.rows()
    pairs = [
        _pair(scope, parting, a.decisions, rows_a.get(scope), rows_b.get(scope)) for scope, parting in found.items()
    ]
    return Comparison(
        a=a.extent(),
        b=b.extent(),
        pairs=tuple(pairs),
        difference=None if first is None else _difference(first, a, b),
        equal=first is None and all(_known_to_both(pair) for pair in pairs),
    )


def _known_to_both(pair: StrategyPair) -> bool:
    return pair.strategy == GLOBAL_SCOPE or (pair.a is not None and pair.b is not None)


def _pair(
    scope: str, parting: Divergence | None, a: Decisions, row_a: ArenaRow | None, row_b: ArenaRow | None
) -> StrategyPair:
    shared = len(a.by_scope.get(scope, ())) if parting is None else parting.shared
    return StrategyPair(scope, row_a, row_b, shared, 0 if parting is None else parting.at_ms)


# ---------------------------------------------------------------- the difference


def _difference(parting: Divergence, a: ComparedLog, b: ComparedLog) -> DecisionDifference:
    kind = _kind(parting)
    told_a = None if parting.a is None else a.describe_event(parting.a)
    told_b = None if parting.b is None else b.describe_event(parting.b)
    both = parting.a is not None and parting.b is not None and kind == "other"
    return DecisionDifference(
        scope=parting.scope,
        number=parting.shared + 1,
        at_ms=parting.at_ms,
        kind=kind,
        ended=_ended(parting, a.decisions, b.decisions),
        a=told_a,
        b=told_b,
        fields=_fields(parting.a.event, parting.b.event) if both and parting.a and parting.b else (),
        settings=_settings(parting, a.decisions, b.decisions),
    )


def _kind(parting: Divergence) -> Literal["other", "only_a", "only_b"]:
    if parting.b is None:
        return "only_a"
    if parting.a is None:
        return "only_b"
    at_a, at_b = parting.a.event.at_ms, parting.b.event.at_ms
    return "other" if at_a == at_b else "only_a" if at_a < at_b else "only_b"


def _ended(parting: Divergence, a: Decisions, b: Decisions) -> Literal["", "a", "b"]:
    """The log whose market does not reach the difference."""
    if b.until_ms < parting.at_ms and parting.b is None:
        return "b"
    return "a" if a.until_ms < parting.at_ms and parting.a is None else ""


def _settings(parting: Divergence, a: Decisions, b: Decisions) -> tuple[FieldDifference, ...]:
    """What the strategy ran under, where it differs."""
    of_a, of_b = a.configuration_at(parting.scope, parting.a), b.configuration_at(parting.scope, parting.b)
    return _fields(of_a, of_b) if of_a is not None and of_b is not None else ()


def _fields(a: Event, b: Event) -> tuple[FieldDifference, ...]:
    """Every leaf in which two events differ, under its path; their time is that of the market."""
    flat_a, flat_b = dict(_flat("type", type_name(a))), dict(_flat("type", type_name(b)))
    flat_a |= dict(_leaves(replace(a, at_ms=0)))
    flat_b |= dict(_leaves(replace(b, at_ms=0)))
    names = dict.fromkeys([*flat_a, *flat_b])
    found = [FieldDifference(name, flat_a.get(name), flat_b.get(name)) for name in names]
    return tuple(one for one in found if one.a != one.b)[:FIELDS_SHOWN_MAX]


def _leaves(event: Event) -> Iterator[tuple[str, Value]]:
    for name, value in asdict(strip_seqs(event)).items():
        yield from _flat(name, value)


def _flat(name: str, value: object) -> Iterator[tuple[str, Value]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    elif value is None or isinstance(value, str | int | float):
        yield name, value
    else:
        yield name, str(value)


def market_difference(a: Iterable[Event], b: Iterable[Event]) -> tuple[Event | None, Event | None] | None:
    """The first facts of two markets that differ; one of them is None where its log has none of that time."""
    for one, other in zip_longest(a, b):
        if one == other:
            continue
        if one is None or other is None or one.at_ms == other.at_ms:
            return one, other
        return (one, None) if one.at_ms < other.at_ms else (None, other)
    return None
