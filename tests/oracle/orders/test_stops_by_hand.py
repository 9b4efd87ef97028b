"""A pause, a suspension and a trip by hand cancel entry and adds at once; stop, targets, reduce and exit stay."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from papertape.engine.reducer.inputs import active_trip_seq
from papertape.engine.runner_settings import RunnerSettings
from papertape.events.facts import (
    Event,
    KillSwitchReset,
    KillSwitchTripped,
    OrderCancelled,
    OrderPlaced,
    OrderRejected,
    PositionIncreased,
    PositionOpened,
    RunnerPaused,
    RunnerResumed,
    SymbolResumed,
    SymbolSuspended,
)
from tests.reducer.random_market import Recipe, recipes
from tests.reducer.runs import Run, begin
from tests.support import NO_LIMITS, examples, feed, take

from .engine_runs import dictated_strategies
from .tapes import dictated_market

if TYPE_CHECKING:
    from papertape.engine.reducer.state import EngineState

STOPS = {"pause": "paused", "suspension": "not_tradable", "trip": "kill_switch"}


def stop(what: str, at_ms: int) -> Event:
    """The event that stops openings."""
    if what == "pause":
        return RunnerPaused(at_ms, "dictated", "anna", "lunch")
    if what == "suspension":
        return SymbolSuspended(at_ms, "AAA", "maintenance")
    return KillSwitchTripped(at_ms, "dictated", "manual", 1.0, 1.0, 1.0, 1.0, "anna", "enough")


def release(what: str, at_ms: int, world: EngineState) -> Event:
    """The event that ends it."""
    if what == "pause":
        return RunnerResumed(at_ms, "dictated", "anna", "back")
    if what == "suspension":
        return SymbolResumed(at_ms, "AAA", "normal")
    return KillSwitchReset(at_ms, "dictated", active_trip_seq(world, "dictated"), "anna", "go on")


def resting(events: list[Event]) -> set[tuple[str, int]]:
    """The entries (rung 0) and adds (by rung) that rest after these events."""
    rests: set[tuple[str, int]] = set()
    for event in events:
        if isinstance(event, OrderPlaced) and event.action in ("entry", "add"):
            rests.add((event.action, event.rung))
        elif isinstance(event, PositionOpened):
            rests.discard(("entry", 0))
        elif isinstance(event, PositionIncreased):
            rests.discard(("add", event.rung))
        elif isinstance(event, OrderCancelled):
            rests.discard((event.action, event.rung))
    return rests


def stopped_run(recipe: Recipe, what: str) -> Counter[str]:
    """Stop and release at random; check what is cancelled, and that nothing opens meanwhile. Return what was seen."""
    tape, random, seen = dictated_market(recipe), Random(recipe.seed), Counter[str]()
    run = begin(tape.contracts, {"dictated": RunnerSettings(risk=NO_LIMITS)}, dictated_strategies())
    stopped = False
    for fact in tape.events():
        if random.random() < 0.08:
            act = release(what, fact.at_ms, run.world) if stopped else stop(what, fact.at_ms)
            rests = resting(run.events())
            consequences = take(run.world, run.log, act)
            if not stopped:
                check_cancelled(consequences, rests, STOPS[what])
                seen.update(action for action, _ in rests)
            stopped = not stopped
        known = len(run.log)
        feed(run.world, run.log, [fact])
        if stopped:
            check_nothing_opens(run, known, STOPS[what], seen)
    return seen


def check_cancelled(consequences: list[Event], rests: set[tuple[str, int]], reason: str) -> None:
    """What rested is cancelled at once, with the reason, and nothing else happens."""
    assert all(isinstance(event, OrderCancelled) and event.reason == reason for event in consequences)
    assert {(event.action, event.rung) for event in consequences if isinstance(event, OrderCancelled)} == rests
    assert len(consequences) == len(rests)


def check_nothing_opens(run: Run, known: int, reason: str, seen: Counter[str]) -> None:
    """Only exits, reductions and moves are decided; the adds of a change are dropped with the reason."""
    for event in (item.event for item in run.log[known:]):
        assert not isinstance(event, PositionOpened | PositionIncreased)
        assert not (isinstance(event, OrderPlaced) and event.action in ("entry", "add"))
        if isinstance(event, OrderRejected):
            assert event.action == "change"
            seen["dropped"] += event.reason == reason
        seen[type(event).__name__] += 1


@pytest.mark.parametrize("what", STOPS)
@examples(12)
@given(recipes(candles=200).map(lambda recipe: Recipe(recipe.seed, candles=200, move_percent=0.3)))
def test_what_a_stop_by_hand_cancels(what: str, recipe: Recipe) -> None:
    stopped_run(recipe, what)


@pytest.mark.parametrize("what", STOPS)
def test_those_stops_meet_every_order(what: str) -> None:
    seen: Counter[str] = Counter()
    for seed in range(16):
        seen += stopped_run(Recipe(seed, candles=300, move_percent=0.3), what)
    wanted = {"entry", "add", "dropped", "PositionClosed", "PositionReduced", "StopMoved", "TargetsMoved"}
    assert {name for name in wanted if seen[name] == 0} == set()
