"""The funnel counts what the strategies are really asked and really answer, as an ear inside `enter` hears it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from papertape.engine.inspect.funnel import FunnelFold, FunnelReport
from papertape.engine.inspect.funnel_reader import FunnelQuery, read_funnel
from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.reducer.snapshot_codec import encode, state_digest
from papertape.engine.reducer.state import new_state
from papertape.engine.strategy_registry import code_digest
from papertape.events.errors import UsageError
from papertape.events.facts import (
    CandleClosed,
    Closing,
    KillSwitchTripped,
    OrderCancelled,
    OrderPlaced,
    OrderRejected,
    PositionOpened,
    RunnerPaused,
    RunnerResumed,
    StrategyFailed,
    Timing,
)
from papertape.events.log import Entry
from papertape.events.memory_log import MemoryEventLog
from papertape.events.snapshots import SnapshotStore
from tests.build import FIVE_MINUTES_MS
from tests.events.loop import clock_ms, in_loop
from tests.reducer.random_market import Recipe, market
from tests.reducer.runs import BUILT_IN, Run, begin, eager
from tests.support import NO_LIMITS, STRATEGIES, feed, take

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from papertape.engine.kernel.strategy import Strategy
    from papertape.events.log import Recorded

FOREVER = 1 << 60
TIGHT = RiskSettings(max_session_loss_percent=1.0, max_daily_loss_percent=0.7, global_max_loss_percent=0.9)
CROWDED = replace(NO_LIMITS, max_concurrent_positions=1)


class Ear:
    """Counts, inside `enter` itself, the questions, the conditions that hold, and the sides that are answered."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.held: Counter[tuple[str, int, int]] = Counter()
        self.passed: Counter[tuple[str, int, int]] = Counter()
        self.answers: Counter[tuple[str, int]] = Counter()

    def strategies(self) -> dict[str, Strategy]:
        """The built-in strategies, listened to."""
        return {name: self._listening(STRATEGIES[name]) for name in BUILT_IN}

    def _listening(self, strategy: Strategy) -> Strategy:
        enter = strategy.hooks.enter

        def heard(*given: Any) -> int:
            self._count(strategy, given)
            side = enter(*given)
            if side:
                self.answers[strategy.name, side] += 1
            return side

        return replace(strategy, hooks=replace(strategy.hooks, enter=heard))

    def _count(self, strategy: Strategy, given: tuple[Any, ...]) -> None:
        self.asked[strategy.name] += 1
        assert strategy.read is not None
        assert strategy.explain is not None
        reading = strategy.reading()
        strategy.read(*given[:-1], reading)  # They share all arguments but the last one.
        for side in (1, -1):
            passed = True
            for place, condition in enumerate(strategy.explain(reading, given[-2], side)):
                passed = passed and condition.met
                self.held[strategy.name, side, place] += condition.met
                self.passed[strategy.name, side, place] += passed


def traded(ear: Ear, risk: RiskSettings = NO_LIMITS, seed: int = 5) -> Run:
    """A market in which a lot happens: late candles, holes, a pause, and everybody trades."""
    recipe = Recipe(seed, 2, 900, FIVE_MINUTES_MS, late_share=0.02, holes=2, long_holes=1, warm_up=30)
    tape = market(recipe)
    run, facts = begin(tape.contracts, eager(BUILT_IN, risk), ear.strategies()), list(tape.events())
    feed(run.world, run.log, facts[:600])
    take(run.world, run.log, RunnerPaused(facts[600].at_ms, "momentum", "anna", "lunch"))
    feed(run.world, run.log, facts[600:700])
    take(run.world, run.log, RunnerResumed(facts[700].at_ms, "momentum", "anna", "back"))
    feed(run.world, run.log, facts[700:])
    return run


def funnel_of(log: list[Recorded], **given: Any) -> FunnelReport:
    """The funnel of a log without its strategies' ears."""
    fold = FunnelFold(given.pop("from_ms", 0), given.pop("until_ms", FOREVER), **given)
    state = new_state(STRATEGIES)
    for _ in fold.fold(state, log):
        pass
    return fold.report()


@pytest.mark.system
@pytest.mark.parametrize("risk", [NO_LIMITS, TIGHT, CROWDED], ids=["no limits", "kill switches", "one position"])
@pytest.mark.parametrize("seed", [5, 6])
def test_questions_conditions_and_signals_are_those_inside_enter(seed: int, risk: RiskSettings) -> None:
    ear = Ear()
    run = traded(ear, risk, seed)
    report = funnel_of(run.log)
    assert sum(ear.answers.values()) > 3
    for name in BUILT_IN:
        own = [one for one in report.funnels if one.strategy == name]
        assert sum(one.asked for one in own) == ear.asked[name]
        assert sum(one.candles for one in own) == ear.asked[name] + sum(
            count for one in own for count in one.not_asked.values()
        )
        for side, code in (("long", 1), ("short", -1)):
            sides = [one.side(side) for one in own]
            counts = [(place, count) for one in sides for place, count in enumerate(one.conditions)]
            for place in range(max(place for place, _ in counts) + 1):
                here = [count for at, count in counts if at == place]
                assert sum(count.held for count in here) == ear.held[name, code, place]
                assert sum(count.passed for count in here) == ear.passed[name, code, place]
            assert sum(one.signals for one in sides) == ear.answers[name, code]


def counted(log: list[Recorded], kind: type, key: Callable[[Any], object]) -> Counter[object]:
    return Counter(key(item.event) for item in log if isinstance(item.event, kind))


def of_report(report: FunnelReport, key: Callable[[Any], Mapping[str, int] | int]) -> Counter[object]:
    """A number of each side, or numbers by reason."""
    found: Counter[object] = Counter()
    for one in report.funnels:
        for side in (one.long, one.short):
            value = key(side)
            counts = {"": value} if isinstance(value, int) else value
            for reason, count in counts.items():
                found[one.strategy, one.symbol, side.side, reason] += count
    return +found


def test_what_became_of_the_signals_is_what_the_log_says() -> None:
    run = traded(Ear(), CROWDED)
    report = funnel_of(run.log)

    def place(event: Any, reason: str = "") -> tuple[str, str, str, str]:
        return event.strategy, event.symbol, event.side, reason

    entries = [item for item in run.log if getattr(item.event, "action", "entry") == "entry"]
    assert of_report(report, lambda side: side.placed) == counted(entries, OrderPlaced, place)
    assert of_report(report, lambda side: side.filled) == counted(run.log, PositionOpened, place)
    assert of_report(report, lambda side: side.trades) == counted(run.log, Closing, place)
    refused = counted(run.log, OrderRejected, lambda event: place(event, event.reason))
    assert of_report(report, lambda side: side.refused) == refused
    assert "max_positions" in str(refused)
    cancelled = counted(run.log, OrderCancelled, lambda event: place(event, event.reason))
    assert of_report(report, lambda side: side.cancelled) == cancelled
    assert cancelled
    for one in report.funnels:
        for side in (one.long, one.short):
            assert side.placed == side.filled + sum(side.cancelled.values()) + side.waiting
            assert side.filled == side.trades + side.open
            assert side.signals == side.placed + sum(side.refused.values())


def test_a_candle_without_a_question_is_counted_with_its_reason() -> None:
    run = traded(Ear(), TIGHT)
    assert any(isinstance(item.event, KillSwitchTripped) for item in run.log)
    reasons = Counter[str]()
    for one in funnel_of(run.log).funnels:
        reasons.update(one.not_asked)
    assert set(reasons) >= {"not_ready", "late", "kill_switch", "position"}
    run = traded(Ear())
    paused = funnel_of(run.log, strategy="momentum")
    candles = [item.event for item in run.log if isinstance(item.event, CandleClosed)]
    closed = Counter(candle.symbol for candle in candles if candle.timing is not Timing.WARM_UP)
    assert {one.symbol: one.candles for one in paused.funnels} == closed, "those before the start are not counted"
    assert sum(one.not_asked.get("paused", 0) for one in paused.funnels) > 10
    assert {one.strategy for one in paused.funnels} == {"momentum"}


def test_a_parked_strategy_counts_as_not_asked() -> None:
    tape = market(Recipe(5, 2, 300, FIVE_MINUTES_MS))
    run, facts = begin(tape.contracts, eager(BUILT_IN, NO_LIMITS), STRATEGIES), list(tape.events())
    feed(run.world, run.log, facts[:400])
    take(run.world, run.log, StrategyFailed(facts[400].at_ms, "momentum", "leave", "grid.py:31", "KeyError", "A"))
    feed(run.world, run.log, facts[400:])
    after = funnel_of(run.log, strategy="momentum", from_ms=facts[401].at_ms + FIVE_MINUTES_MS).funnels
    assert sum(one.not_asked["parked"] for one in after) > 10
    assert {one.asked for one in after} == {0}


@pytest.mark.system
def test_two_halves_add_up_to_the_whole_span() -> None:
    run = traded(Ear())
    whole = funnel_of(run.log)
    middle_ms = next(item.event.at_ms for item in run.log[len(run.log) // 2 :] if isinstance(item.event, CandleClosed))
    halves = [funnel_of(run.log, until_ms=middle_ms), funnel_of(run.log, from_ms=middle_ms)]
    for name in ("candles", "asked"):
        parts = sum(getattr(one, name) for half in halves for one in half.funnels)
        assert parts == sum(getattr(one, name) for one in whole.funnels)
    assert sum((of_report(half, lambda side: side.signals) for half in halves), Counter()) == of_report(
        whole, lambda side: side.signals
    )


def test_reading_a_funnel_changes_nothing() -> None:
    run = traded(Ear())
    state = new_state(STRATEGIES)
    for _ in FunnelFold(0, FOREVER).fold(state, run.log):
        pass
    assert state_digest(state) == state_digest(run.world)


@pytest.mark.system
@in_loop
async def test_a_span_begins_at_the_newest_snapshot_before_it(tmp_path: Path) -> None:
    run = traded(Ear())
    log = MemoryEventLog(clock_ms=clock_ms)
    for item in run.log:
        await log.append(log.head.seq, [Entry(item.event, item.cause)])
    newest_ms = max(item.event.at_ms for item in run.log if isinstance(item.event, CandleClosed))
    from_ms = newest_ms - 100 * FIVE_MINUTES_MS
    query = FunnelQuery(from_ms=from_ms)
    whole = read_funnel(log.reader(), None, STRATEGIES, query)
    assert (whole.from_ms, whole.until_ms) == (from_ms, newest_ms)
    # A snapshot from before the span is used, one from within it is not.
    warnings: list[str] = []
    store = SnapshotStore(tmp_path, warnings.append)
    for until_ms in (from_ms - FIVE_MINUTES_MS, from_ms + 10 * FIVE_MINUTES_MS):
        state = new_state(STRATEGIES)
        seq = list(FunnelFold(0, until_ms).fold(state, run.log))[-1]
        row_hash = log.reader().hash_at(seq)
        assert row_hash is not None
        store.save(seq, row_hash, code_digest(STRATEGIES.values()), encode(state))
    assert read_funnel(log.reader(), store, STRATEGIES, query) == whole
    assert warnings == []
    for wrong in (FunnelQuery(strategy="momentun"), FunnelQuery(symbol="NOSUCH"), FunnelQuery(from_ms=newest_ms + 1)):
        with pytest.raises(UsageError):
            read_funnel(log.reader(), store, STRATEGIES, wrong)
