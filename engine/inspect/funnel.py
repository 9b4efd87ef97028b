"""The funnel of entries over a span of a log: questions, conditions, signals, refusals, fills and trades.

It folds the recorded facts and decides nothing. At every candle on whose close a strategy was asked for an entry, it
reads the strategy's numbers and conditions as `entry_conditions` does; signals and what became of them are the log's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from papertape.engine.inspect.entry_conditions import conditions_of, is_ready, missing_signals, reading_of
from papertape.engine.kernel.codes import LONG, NO_ORDER, SHORT
from papertape.engine.reducer.decision_events import SIDE_NAMES
from papertape.engine.reducer.reducer import apply, groups
from papertape.events.facts import (
    GLOBAL_SCOPE,
    CandleClosed,
    Closing,
    KillSwitchTripped,
    OrderCancelled,
    OrderPlaced,
    OrderRejected,
    PositionOpened,
    Timing,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from papertape.engine.reducer.state import EngineState, Runner
    from papertape.events.facts import Event
    from papertape.events.log import Recorded

SIDES: Final = (LONG, SHORT)
Key = tuple[str, str, str]
"""Strategy, symbol and side."""


class ConditionCount(Struct):
    """How often one condition held, and how often it and all conditions before it held together."""

    name: str
    held: int = 0
    passed: int = 0


class SideFunnel(Struct):
    """One side of a funnel. `met` counts the questions at which every condition held, `placed` the accepted signals.

    `waiting` orders and `open` positions of the span had not ended by its end. Orders and positions from before the
    span are not counted.
    """

    side: str
    conditions: list[ConditionCount] = field(default_factory=list)
    met: int = 0
    signals: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    placed: int = 0
    filled: int = 0
    cancelled: dict[str, int] = field(default_factory=dict)
    waiting: int = 0
    trades: int = 0
    won: int = 0
    net_usdt: float = 0.0
    open: int = 0


class StrategyFunnel(Struct):
    """One strategy on one symbol: the candles of its timeframe that were completed, and at how many it was asked.

    `not_asked` counts the others by reason: `not_ready`, `no_signal`, `late`, `kill_switch`, `parked`, `paused`,
    `not_tradable`, `position`, `order`. `explained` is False for a strategy that states no conditions.
    """

    strategy: str
    symbol: str
    candles: int = 0
    asked: int = 0
    not_asked: dict[str, int] = field(default_factory=dict)
    explained: bool = True
    long: SideFunnel = field(default_factory=lambda: SideFunnel(SIDE_NAMES[LONG]))
    short: SideFunnel = field(default_factory=lambda: SideFunnel(SIDE_NAMES[SHORT]))

    def side(self, name: str) -> SideFunnel:
        """Return one side by its name."""
        return self.long if name == self.long.side else self.short


class FunnelReport(Struct):
    """The funnels of a span in market time, by strategy and symbol; `events` were read within it."""

    from_ms: int
    until_ms: int
    events: int
    funnels: list[StrategyFunnel]


class FunnelFold:
    """Follows a state through the log and counts what happens on candles that close after `from_ms`, up to `until_ms`.

    `strategy` and `symbol` narrow it; None means all.
    """

    def __init__(self, from_ms: int, until_ms: int, strategy: str | None = None, symbol: str | None = None) -> None:
        self._from_ms, self._until_ms, self._strategy, self._symbol = from_ms, until_ms, strategy, symbol
        self._funnels: dict[tuple[str, str], StrategyFunnel] = {}
        self._waiting: set[Key] = set()
        self._open: set[Key] = set()
        self._events, self._has_begun = 0, False

    def fold(self, state: EngineState, recorded: Iterable[Recorded]) -> Iterator[int]:
        """Apply a stretch of the log up to the end of the span, and yield each seq that is reached."""
        for group in groups(recorded):
            event = group[0].event
            if isinstance(event, CandleClosed) and event.at_ms > self._until_ms:
                return
            apply(state, group)
            if isinstance(event, CandleClosed) and event.at_ms > self._from_ms:
                self._take_candle(state, event, [item.event for item in group[1:]])
                self._has_begun = True
            elif self._has_begun:
                self._take_decisions([item.event for item in group])
            self._events += len(group) if self._has_begun else 0
            yield group[-1].seq

    def report(self) -> FunnelReport:
        """Return the funnels so far."""
        for funnel in self._funnels.values():
            for side in (funnel.long, funnel.short):
                key = (funnel.strategy, funnel.symbol, side.side)
                side.waiting, side.open = int(key in self._waiting), int(key in self._open)
        return FunnelReport(self._from_ms, self._until_ms, self._events, list(self._funnels.values()))

    # ------------------------------------------------------------ one candle

    def _take_candle(self, state: EngineState, candle: CandleClosed, decisions: Sequence[Event]) -> None:
        """Count the questions of one candle, then what was decided on it."""
        if self._symbol in (None, candle.symbol):
            index = state.symbols[candle.symbol]
            for runner in state.runners:
                if self._strategy in (None, runner.strategy.name) and runner.active[index]:
                    self._take_question(state, runner, index, candle, decisions)
        self._take_decisions(decisions)

    def _take_question(
        self, state: EngineState, runner: Runner, index: int, candle: CandleClosed, decisions: Sequence[Event]
    ) -> None:
        if runner.series[0].views[index].candle.completed != 1 or candle.timing is Timing.WARM_UP:
            return
        name = runner.strategy.name
        funnel = self._funnels.get((name, candle.symbol))
        if funnel is None:
            funnel = self._funnels[name, candle.symbol] = StrategyFunnel(name, candle.symbol)
        funnel.candles += 1
        answered = any(_is_signal(event) and event.strategy == name for event in decisions)  # type: ignore[attr-defined]
        why = "" if answered else reason_not_asked(state, runner, index, candle, decisions)
        if why:
            _count(funnel.not_asked, why)
            return
        funnel.asked += 1
        reading = reading_of(state, runner, index)
        if reading is None:
            funnel.explained = False
            return
        for side, counted in zip(SIDES, (funnel.long, funnel.short), strict=True):
            _count_conditions(counted, runner, index, side, reading)

    # ------------------------------------------------------------ signals and what became of them

    def _take_decisions(self, decisions: Iterable[Event]) -> None:
        for event in decisions:
            if not isinstance(event, OrderPlaced | OrderRejected | OrderCancelled | PositionOpened | Closing):
                continue
            funnel = self._funnels.get((event.strategy, event.symbol))
            if funnel is not None:
                self._take_decision(funnel.side(event.side), (event.strategy, event.symbol, event.side), event)

    def _take_decision(self, side: SideFunnel, key: Key, event: Event) -> None:
        match event:
            case OrderPlaced() if _is_signal(event):
                side.signals += 1
                side.placed += 1
                self._waiting.add(key)
            case OrderRejected() if _is_signal(event):
                side.signals += 1
                _count(side.refused, event.reason)
            case OrderCancelled() if _is_entry(event) and key in self._waiting:
                self._waiting.discard(key)
                _count(side.cancelled, event.reason)
            case PositionOpened() if key in self._waiting:
                self._waiting.discard(key)
                self._open.add(key)
                side.filled += 1
            case Closing() if key in self._open:
                self._open.discard(key)
                side.trades += 1
                side.won += int(event.net_usdt > 0.0)
                side.net_usdt += event.net_usdt
            case _:
                pass


def reason_not_asked(
    state: EngineState, runner: Runner, index: int, candle: CandleClosed, decisions: Sequence[Event]
) -> str:
    """Return why a strategy was not asked for an entry on a candle without a signal of it; empty if it was.

    The state is the one behind the candle's decisions. Of these only a trip of the global switch comes after the
    question, with the entries that it cancels.
    """
    account, desk = runner.account, runner.desks[index]
    tripped_now = any(isinstance(one, KillSwitchTripped) and one.scope == GLOBAL_SCOPE for one in decisions)
    cancelled_now = tripped_now and any(
        isinstance(one, OrderCancelled)
        and (one.strategy, one.symbol, one.reason) == (runner.strategy.name, candle.symbol, "kill_switch")
        for one in decisions
    )
    if candle.timing is not Timing.ON_TIME:
        return "late"
    if desk.position.side != 0:
        return "position"
    if desk.order.action != NO_ORDER or cancelled_now:
        return "order"
    if account.tripped and not (tripped_now and runner.trip_seq == state.guard_trip_seq):
        return "kill_switch"
    if runner.failure is not None:
        return "parked"
    if account.paused:
        return "paused"
    if state.markets[index].suspended:
        return "not_tradable"
    if not is_ready(state, runner, index):
        return "not_ready"
    return "no_signal" if missing_signals(runner, index) else ""


def _is_signal(event: Event) -> bool:
    """Return whether an event answers the question for an entry."""
    return isinstance(event, OrderPlaced | OrderRejected) and _is_entry(event)


def _is_entry(event: OrderPlaced | OrderRejected | OrderCancelled) -> bool:
    return getattr(event, "action", "entry") == "entry"


def _count_conditions(counted: SideFunnel, runner: Runner, index: int, side: int, reading: object) -> None:
    """Count which of the conditions of one side hold."""
    conditions = conditions_of(runner, index, side, reading) or ()
    passed = True
    for place, condition in enumerate(conditions):
        if place >= len(counted.conditions):
            counted.conditions.append(ConditionCount(condition.name))
        count = counted.conditions[place]
        passed = passed and condition.met
        count.held += int(condition.met)
        count.passed += int(passed)
    counted.met += int(passed and bool(conditions))


def _count(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1
