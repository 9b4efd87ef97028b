"""The differences between expected decisions and those that were made again: each with its cause and its consequences.

A difference is *direct* if the strategy decides differently even from the expected account and positions; its cause is
then a changed parameter, limit or file. All others follow from an earlier one: the account is different.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct, field

from papertape.events.facts import (
    GLOBAL_SCOPE,
    CandleClosed,
    FundingRateSettled,
    GapFound,
    KillSwitchTripped,
    OpenInterestObserved,
)
from papertape.projections.folds.contracts import Contracts
from papertape.projections.folds.decisions import strip_readings
from papertape.projections.folds.equity import Equity
from papertape.projections.folds.log_diff import FieldDifference, field_differences
from papertape.projections.folds.trades import Trades
from papertape.projections.text.event_lines import line
from papertape.projections.text.event_views import strategy_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from papertape.engine.redecision import Redecision
    from papertape.engine.reducer.state import EngineState, Runner
    from papertape.events.facts import Event, RunnerConfigured
    from papertape.events.log import Recorded

DIFFERENCES_MAX: Final = 100_000
"""How many differences are kept in detail; the others are counted."""
UNKNOWN: Final = "unknown: code and settings are the same by their digests"

CauseKind = Literal["parameter", "limit", "setting", "code", "runner", "unknown"]
SETTINGS: Final[dict[str, CauseKind]] = {
    "parameters": "parameter",
    "symbol_parameters": "parameter",
    "risk": "limit",
    "symbols": "setting",
    "references": "setting",
}
"""The kinds of cause that the settings of a strategy can be, by their section in `RunnerConfigured`."""


class DifferenceCause(Struct, frozen=True):
    """Why a strategy decides differently, in words: `momentum.sl_percent: 0.5 -> 0.8`."""

    kind: CauseKind
    text: str


class DecidedDifference(Struct, frozen=True):
    """One decision that differs; None for a side without it. `seq` is that of the recorded input."""

    seq: int
    at_ms: int
    strategy: str
    symbol: str
    expected: str | None
    decided: str | None
    fields: tuple[FieldDifference, ...] = ()


class DirectDifference(Struct):
    """What a strategy decided differently by itself on one input, and what followed from it until the next one.

    `omitted` counts consequences that are not kept in detail.
    """

    seq: int
    at_ms: int
    strategy: str
    causes: tuple[DifferenceCause, ...]
    differences: tuple[DecidedDifference, ...]
    consequences: list[DecidedDifference] = field(default_factory=list)
    omitted: int = 0


class StrategyOutcome(Struct, frozen=True):
    """The result of a strategy, or of all together: closed trades, the change of the equity, its greatest fall."""

    trades: int
    net_usdt: float
    max_drawdown_percent: float


class OutcomePair(Struct, frozen=True):
    """The results of one strategy on both sides; None for a side on which it does not run."""

    strategy: str
    expected: StrategyOutcome | None
    decided: StrategyOutcome | None
    differences: int = 0


class Outcomes:
    """Fold of the results of all strategies."""

    def __init__(self) -> None:
        self._equity, self._trades = Equity(), Trades()

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        self._equity.apply(recorded)
        self._trades.apply(recorded)

    def by_strategy(self) -> dict[str, StrategyOutcome]:
        """Return the results by strategy, and under an empty name those of all together."""
        found, capital_usdt = dict[str, StrategyOutcome](), 0.0
        for name in self._equity.ledger.accounts:
            view = self._equity.view(name)
            capital_usdt += view.capital_usdt
            net_usdt, drawdown = view.equity_usdt - view.capital_usdt, view.max_drawdown_fraction * 100.0
            found[name] = StrategyOutcome(self._trades.count(name), net_usdt, drawdown)
        total = self._equity.total()
        trades = sum(one.trades for one in found.values())
        return found | {
            "": StrategyOutcome(trades, total.equity_usdt - capital_usdt, total.max_drawdown_fraction * 100.0)
        }


def outcome_pairs(expected: Outcomes, decided: Outcomes, differences: dict[str, int]) -> tuple[OutcomePair, ...]:
    """Return the results of both sides side by side, those of all strategies together last, under an empty name."""
    a, b = expected.by_strategy(), decided.by_strategy()
    names = [name for name in dict.fromkeys([*a, *b]) if name]
    counts = {**differences, "": sum(differences.values())}
    return tuple(OutcomePair(name, a.get(name), b.get(name), counts.get(name, 0)) for name in [*names, ""])


class DifferenceFinder:
    """Collects the differences of a log, input by input.

    `held` returns the state that the expected decisions led to, before the present input; `code_causes` what is known
    to differ in the code of a strategy.
    """

    def __init__(
        self,
        redecision: Redecision,
        held: Callable[[], EngineState],
        code_causes: Callable[[Runner], list[DifferenceCause]],
    ) -> None:
        self.roots: list[DirectDifference] = []
        self.by_strategy: dict[str, int] = {}
        self.omitted = 0
        self.contracts = Contracts()
        self._redecision, self._held, self._code_causes = redecision, held, code_causes
        self._kept = 0
        self._last: dict[tuple[str, str], DirectDifference] = {}
        self._apart: set[tuple[str, str]] = set()
        self._touched: set[tuple[str, str]] = set()

    def compare(self, head: Recorded, expected: Sequence[Event], decided: Sequence[Event]) -> None:
        """Compare the decisions on one input, before `held` follows it. Readings and scores do not count."""
        if list(expected) == list(decided):
            return
        for scope, *sides in sorted(_by_scope(expected, decided), key=lambda one: one[0] != GLOBAL_SCOPE):
            pairs = _differing(*sides)
            if pairs:
                own = [self._described(head, scope, pair) for pair in pairs]
                trips = any(isinstance(event, KillSwitchTripped) for event in decided)
                self._add(head, scope, own, _before_global_trip(sides[0], expected), trips=trips)

    def note_positions(self) -> None:
        """Note where the positions and orders of both sides are apart, once both have followed a differing input."""
        for scope, symbol in self._touched:
            runners = self._runners(scope)
            if symbol and runners is not None:
                held, decided = (
                    _resting(runner, state.symbols[symbol])
                    for runner, state in zip(runners, self._states(), strict=True)
                )
                (self._apart.discard if held == decided else self._apart.add)((scope, symbol))
        self._touched.clear()

    def words_of(self, event: Event) -> str:
        """Return an event in words."""
        return line(event, self.contracts.by_symbol).text

    def _add(self, head: Recorded, scope: str, own: list[DecidedDifference], mine: list[Event], *, trips: bool) -> None:
        """Add what differs in one scope on one input, as a direct difference or as a consequence."""
        self.by_strategy[scope] = self.by_strategy.get(scope, 0) + len(own)
        self._redecision.unlike.add(scope)
        self._touched |= {(scope, one.symbol) for one in own}
        causes = self._causes(head, scope, own, mine, trips=trips)
        if not causes:
            self._add_consequences(scope, own)
            return
        root = DirectDifference(head.seq, head.event.at_ms, scope, causes, tuple(own))
        self._kept += len(own)
        if self._kept <= DIFFERENCES_MAX or not self.roots:
            self.roots.append(root)
        else:
            self.omitted += 1
        self._last |= {(scope, one.symbol): root for one in own} | {(scope, ""): root, ("", ""): root}

    def _add_consequences(self, scope: str, own: list[DecidedDifference]) -> None:
        """Add differences to the direct one that they follow from: of the symbol, else the strategy, else the last."""
        for one in own:
            root = self._last.get((scope, one.symbol)) or self._last.get((scope, "")) or self._last["", ""]
            self._last[scope, one.symbol] = root
            self._kept += 1
            if self._kept <= DIFFERENCES_MAX:
                root.consequences.append(one)
            else:
                root.omitted += 1

    def _causes(
        self, head: Recorded, scope: str, own: list[DecidedDifference], mine: list[Event], *, trips: bool
    ) -> tuple[DifferenceCause, ...]:
        """Return the causes of a direct difference, nothing for one that follows from an earlier difference.

        A difference is direct if the strategy decides differently from the expected account too, unless its positions
        are apart already, or it was stopped on one side before the input (`trips`: a switch trips on it). Of changed
        settings and code, the code is no cause where it decides as expected under the settings of before.
        """
        runners = self._runners(scope)
        if scope == GLOBAL_SCOPE:
            return self._global_causes()
        if runners is None:
            one_sided = DifferenceCause("runner", f"{scope} runs on one side only")
            return () if (scope, "") in self._last else (one_sided,)
        fact = head.event if isinstance(head.event, CandleClosed | FundingRateSettled | OpenInterestObserved) else None
        if self._last and (
            fact is None
            or (not trips and (runners[0].account.tripped == 0) != (runners[1].account.tripped == 0))
            or any((scope, one.symbol) in self._apart for one in own)
            or _same(self._redecision.decide_from(runners[0], fact), mine)
        ):
            return ()
        settings = setting_causes(*(one.configured for one in runners))
        code = self._code_causes(runners[0])
        if settings and code and fact and _same(self._redecision.decide_from(runners[0], fact, as_held=True), mine):
            code = []
        return (*settings, *code) or (DifferenceCause("unknown", UNKNOWN),)

    def _global_causes(self) -> tuple[DifferenceCause, ...]:
        """Return the causes of a different global trip; nothing if it follows from the results of the strategies."""
        pairs = zip(*(state.runners for state in self._states()), strict=False)
        found = [cause for pair in pairs for cause in setting_causes(*(one.configured for one in pair))]
        limits = tuple(cause for cause in found if f".risk.{GLOBAL_SCOPE}_" in cause.text)
        return limits or (() if self._last else tuple(found) or (DifferenceCause("unknown", UNKNOWN),))

    def _states(self) -> tuple[EngineState, EngineState]:
        return self._held(), self._redecision.state

    def _runners(self, scope: str) -> tuple[Runner, Runner] | None:
        """Return the runner of a strategy on both sides, None if one of them does not have it."""
        found = [next((one for one in state.runners if one.strategy.name == scope), None) for state in self._states()]
        return None if found[0] is None or found[1] is None else (found[0], found[1])

    def _described(self, head: Recorded, scope: str, pair: tuple[Event | None, Event | None]) -> DecidedDifference:
        one, other = pair
        symbol = getattr(one or other, "symbol", "")
        texts = (None if side is None else self.words_of(side) for side in pair)
        fields = field_differences(one, other) if one is not None and type(one) is type(other) else ()
        return DecidedDifference(head.seq, head.event.at_ms, scope, symbol, next(texts), next(texts), fields)


def _same(decided: Sequence[Event], expected: Sequence[Event]) -> bool:
    return list(map(strip_readings, decided)) == list(map(strip_readings, expected))


def _resting(runner: Runner, symbol: int) -> list[object]:
    """Return a runner's position and order on a symbol, None for each that it does not have."""
    desk = runner.desks[symbol]
    return [desk.position if desk.position.side else None, desk.order if desk.order.action else None]


def setting_causes(before: RunnerConfigured, after: RunnerConfigured) -> list[DifferenceCause]:
    """Return the differences between two configurations of a strategy, in words."""
    causes = []
    for one in field_differences(before, after):
        section, _, key = one.name.partition(".")
        if section in SETTINGS:
            name = f"{after.strategy}.{key if section == 'parameters' else one.name}"
            causes.append(DifferenceCause(SETTINGS[section], f"{name}: {_words(one.a)} -> {_words(one.b)}"))
    return causes


def _words(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else "nothing" if value is None else str(value)


def _by_scope(expected: Sequence[Event], decided: Sequence[Event]) -> Iterable[tuple[str, list[Event], list[Event]]]:
    """Yield the strategies, or the global scope, and the decisions of both sides on it."""
    sides = [[event for event in side if not isinstance(event, GapFound)] for side in (expected, decided)]
    for scope in dict.fromkeys(strategy_of(event) for side in sides for event in side):
        one, other = ([event for event in side if strategy_of(event) == scope] for side in sides)
        yield scope, one, other


def _differing(one: list[Event], other: list[Event]) -> list[tuple[Event | None, Event | None]]:
    """Return the decisions without an equal one on the other side, in pairs about the same symbol."""
    left, right = (list(map(strip_readings, side)) for side in (one, other))
    for event in tuple(left):
        if event in right:
            left.remove(event)
            right.remove(event)
    pairs: list[tuple[Event | None, Event | None]] = []
    for event in left:
        twins = [twin for twin in right if getattr(twin, "symbol", "") == getattr(event, "symbol", "")]
        match = min(twins, key=lambda twin: type(twin) is not type(event), default=None)
        if match is not None:
            right.remove(match)
        pairs.append((event, match))
    return [*pairs, *((None, event) for event in right)]


def _before_global_trip(mine: list[Event], expected: Sequence[Event]) -> list[Event]:
    """Return a strategy's own decisions: those behind a global trip were not decided by it."""
    trips = [k for k, one in enumerate(expected) if isinstance(one, KillSwitchTripped) and one.scope == GLOBAL_SCOPE]
    return [event for event in mine if not trips or expected.index(event) < trips[0]]
