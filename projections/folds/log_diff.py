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
from papertape.projections.text.causes import ConditionView
from papertape.projections.text.event_lines import event_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from papertape.events.log import Recorded

FIELDS_SHOWN_MAX: Final = 40

Value = str | int | float | bool | None


class FieldDifference(Struct, frozen=True):
    """A field with different values; None if one side does not have it."""

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
    """Why one side decided as it did: the decision's causes, nearest first, and the conditions of an entry.

    `holds` says what else kept the strategy from an entry. Each is empty if there is nothing to report.
    """

    causes: tuple[DescribedEvent, ...] = ()
    conditions: tuple[ConditionView, ...] = ()
    holds: tuple[str, ...] = ()


NO_REASONS: Final = DecisionReasons()


class MarketDifference(Struct, frozen=True):
    """The first market fact of a symbol in which the logs differ; None for a log without a fact at that time."""

    at_ms: int
    a: str | None
    b: str | None


class DecisionDifference(Struct, frozen=True):
    """The first decision in which two logs differ. `number` counts the decisions of its strategy from 1.

    `kind`: both logs decided something different at that time, or only one of them decided anything. `ended` names a
    log that ended before. `fields` are the differences of the decisions, `settings` those of the strategy's
    configurations.
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
    """One strategy in both logs; None for a log that does not contain it.

    `same_decisions` counts the decisions they share from the beginning; `differs_at_ms` is 0 if nothing differs.
    """

    strategy: str
    a: ArenaRow | None
    b: ArenaRow | None
    same_decisions: int
    differs_at_ms: int


class LogExtent(Struct, frozen=True):
    """The extent of one log: its name, its head, the end of its market time and the number of its decisions."""

    name: str
    head_seq: int
    until_ms: int
    decisions: int


class Comparison(Struct, frozen=True):
    """Two logs compared. `equal`: the same strategies made the same decisions, regardless of seqs and clocks."""

    a: LogExtent
    b: LogExtent
    pairs: tuple[StrategyPair, ...]
    difference: DecisionDifference | None
    equal: bool


class ComparedLog:
    """The folds of one log in a comparison."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seq = 0
        self.decisions, self.contracts = Decisions(), Contracts()
        self._portfolio, self._trades = Portfolio(), Trades()
        self._arena = Arena(self._portfolio, self._trades)

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        for fold in (self.decisions, self.contracts, self._portfolio, self._trades):
            fold.apply(recorded)
        self.seq = recorded.seq

    def extent(self) -> LogExtent:
        """Return the log's extent."""
        return LogExtent(self.name, self.seq, self.decisions.until_ms, self.decisions.count)

    def rows(self) -> dict[str, ArenaRow]:
        """Return the arena's rows by strategy."""
        return {row.strategy: row for row in self._arena.rows()}

    def describe_event(self, recorded: Recorded) -> DescribedEvent:
        """Describe an event in words."""
        event = recorded.event
        text = event_line(recorded, self.contracts.by_symbol).text
        return DescribedEvent(recorded.seq, event.at_ms, type_name(event), text)


class Divergence(Struct, frozen=True):
    """The point where the decisions of one strategy diverge: the number shared, and the next decision of each log."""

    scope: str
    shared: int
    a: Recorded | None
    b: Recorded | None

    @property
    def at_ms(self) -> int:
        """The market time of the earlier decision."""
        return min(one.event.at_ms for one in (self.a, self.b) if one is not None)


def find_divergences(a: Decisions, b: Decisions) -> dict[str, Divergence | None]:
    """Return where each strategy's decisions diverge, in the order in which the logs first mention them."""
    scopes = dict.fromkeys([*a.by_scope, *b.by_scope])
    return {scope: _divergence(scope, a.by_scope.get(scope, []), b.by_scope.get(scope, [])) for scope in scopes}


def _divergence(scope: str, a: list[Recorded], b: list[Recorded]) -> Divergence | None:
    for shared, (one, other) in enumerate(zip_longest(a, b)):
        if one is None or other is None or strip_readings(one.event) != strip_readings(other.event):
            return Divergence(scope, shared, one, other)
    return None


def first_divergence(divergences: dict[str, Divergence | None]) -> Divergence | None:
    """Return the earliest divergence in market time; of several, the first."""
    return min((one for one in divergences.values() if one is not None), key=lambda one: one.at_ms, default=None)


def compare_sides(a: ComparedLog, b: ComparedLog) -> Comparison:
    """Compare two logs. A caller that can read the logs again adds the market and the reasons of the difference."""
    divergences = find_divergences(a.decisions, b.decisions)
    first, rows_a, rows_b = first_divergence(divergences), a.rows(), b.rows()
    pairs = [_pair(scope, one, a.decisions, rows_a.get(scope), rows_b.get(scope)) for scope, one in divergences.items()]
    return Comparison(
        a=a.extent(),
        b=b.extent(),
        pairs=tuple(pairs),
        difference=None if first is None else _difference(first, a, b),
        equal=first is None and all(_is_in_both(pair) for pair in pairs),
    )


def _is_in_both(pair: StrategyPair) -> bool:
    return pair.strategy == GLOBAL_SCOPE or (pair.a is not None and pair.b is not None)


def _pair(
    scope: str, divergence: Divergence | None, a: Decisions, row_a: ArenaRow | None, row_b: ArenaRow | None
) -> StrategyPair:
    shared = len(a.by_scope.get(scope, ())) if divergence is None else divergence.shared
    return StrategyPair(scope, row_a, row_b, shared, 0 if divergence is None else divergence.at_ms)


# ---------------------------------------------------------------- the difference


def _difference(divergence: Divergence, a: ComparedLog, b: ComparedLog) -> DecisionDifference:
    kind = _kind(divergence)
    event_a = None if divergence.a is None else a.describe_event(divergence.a)
    event_b = None if divergence.b is None else b.describe_event(divergence.b)
    both = divergence.a is not None and divergence.b is not None and kind == "other"
    return DecisionDifference(
        scope=divergence.scope,
        number=divergence.shared + 1,
        at_ms=divergence.at_ms,
        kind=kind,
        ended=_ended(divergence, a.decisions, b.decisions),
        a=event_a,
        b=event_b,
        fields=field_differences(divergence.a.event, divergence.b.event)
        if both and divergence.a and divergence.b
        else (),
        settings=_settings(divergence, a.decisions, b.decisions),
    )


def _kind(divergence: Divergence) -> Literal["other", "only_a", "only_b"]:
    if divergence.b is None:
        return "only_a"
    if divergence.a is None:
        return "only_b"
    at_a, at_b = divergence.a.event.at_ms, divergence.b.event.at_ms
    return "other" if at_a == at_b else "only_a" if at_a < at_b else "only_b"


def _ended(divergence: Divergence, a: Decisions, b: Decisions) -> Literal["", "a", "b"]:
    """Return the log whose market time ends before the difference."""
    if b.until_ms < divergence.at_ms and divergence.b is None:
        return "b"
    return "a" if a.until_ms < divergence.at_ms and divergence.a is None else ""


def _settings(divergence: Divergence, a: Decisions, b: Decisions) -> tuple[FieldDifference, ...]:
    """Return the differences of the strategy's configurations."""
    of_a, of_b = a.configuration_at(divergence.scope, divergence.a), b.configuration_at(divergence.scope, divergence.b)
    return field_differences(of_a, of_b) if of_a is not None and of_b is not None else ()


def field_differences(a: Event, b: Event) -> tuple[FieldDifference, ...]:
    """Return every leaf in which two events differ, with its path; the event time does not count."""
    flat_a, flat_b = dict(_flat("type", type_name(a))), dict(_flat("type", type_name(b)))
    flat_a |= dict(_leaves(replace(a, at_ms=0)))
    flat_b |= dict(_leaves(replace(b, at_ms=0)))
    names = dict.fromkeys([*flat_a, *flat_b])
    pairs = [FieldDifference(name, flat_a.get(name), flat_b.get(name)) for name in names]
    return tuple(one for one in pairs if one.a != one.b)[:FIELDS_SHOWN_MAX]


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
    """Return the first facts in which two markets differ; None for a log without a fact at that time."""
    for one, other in zip_longest(a, b):
        if one == other:
            continue
        if one is None or other is None or one.at_ms == other.at_ms:
            return one, other
        return (one, None) if one.at_ms < other.at_ms else (None, other)
    return None
