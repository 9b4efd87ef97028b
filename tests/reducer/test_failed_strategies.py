"""A strategy whose hook fails is parked: the others go on, and live, replay and restart are equal to the bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import asdict, replace

from papertape.engine.kernel.codes import NO_ORDER
from papertape.engine.reducer.parking import warm_up_ms
from papertape.engine.reducer.reducer import decide, fold, groups, is_decision
from papertape.engine.reducer.snapshot_codec import decode, encode, state_digest
from papertape.engine.reducer.state import new_state
from papertape.engine.research.cpython_kernel import PlainEngine
from papertape.engine.research.guarded import run_tape
from papertape.engine.runner_settings import RunnerSettings
from papertape.events.facts import (
    CandleClosed,
    CloseRequested,
    GapFound,
    OrderCancelled,
    OrderPlaced,
    PositionClosed,
    RunnerConfigured,
    RunnerPaused,
    RunnerResumed,
    StrategyFailed,
)
from papertape.events.upcast import RunnerConfigured1, without_names
from tests.build import BTC, DAY_0_MS, GALA
from tests.kernel.fragile import fragile
from tests.kernel.scripted.scripted import SELL
from tests.reducer.fragile_runs import ABSENT, BOTH, CALM, FILE, FRAGILE, failed, refolded, running, told
from tests.reducer.random_market import Recipe, market
from tests.reducer.runs import Run, begin
from tests.support import NO_LIMITS, feed, state_of, take

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.engine.kernel.answers import Answer
    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.kernel.view import View
    from papertape.events.facts import Event


@pytest.mark.parametrize(
    ("volume", "hook", "error"),
    [
        (fragile.FAIL_OBSERVING, "observe", "IndexError: list index out of range"),
        (
            fragile.FAIL_ENTERING,
            "enter",
            "AttributeError: 'Series' object has no attribute 'volme'; did you mean 'volume'?",
        ),
        (fragile.RECURSE, "enter", "RecursionError: maximum recursion depth exceeded"),
        (fragile.TEXT, "enter", "TypeError: target_fraction = '0.02' must be a number"),
    ],
)
def test_a_failing_hook_is_recorded_with_its_candle_and_not_called_again(volume: float, hook: str, error: str) -> None:
    run = running()
    failure = failed(told(run, 3, volume))
    assert (failure.strategy, failure.hook, failure.symbol) == ("fragile", hook, BTC)
    assert failure.error.startswith(error)
    assert failure.place.startswith("fragile.py:")
    source = FILE.read_text().splitlines()[int(failure.place.partition(":")[2]) - 1]
    assert hook != "observe" or source.strip() == "view.m1.bars[100_000].close = 0.0"
    assert failure.at_ms == DAY_0_MS + 4 * 60_000
    assert told(run, 4, fragile.BUY)[0] == replace(told_alone(run), strategy="scripted")
    assert [asdict(state) for state in run.world.runner("fragile").states] == [asdict(fragile.State())] * 2
    assert refolded(run) == state_of(run.world)


def told_alone(run: Run) -> OrderPlaced:
    """Return the newest order of the log."""
    return [item.event for item in run.log if isinstance(item.event, OrderPlaced)][-1]


def test_its_stop_lives_on_and_its_pending_entry_is_cancelled() -> None:
    run = running()
    told(run, 3, fragile.BUY)
    told(run, 4, CALM)
    told(run, 4, fragile.BUY, GALA)
    events = told(run, 5, fragile.FAIL_LEAVING)
    assert failed(events).error == "ZeroDivisionError: integer division or modulo by zero"
    (cancelled,) = [event for event in events if isinstance(event, OrderCancelled)]
    assert (cancelled.symbol, cancelled.reason) == (GALA, "strategy_failed")
    cause = next(item.cause for item in run.log if item.event is cancelled)
    assert isinstance(run.log[cause - 1].event, StrategyFailed)
    assert [type(event) for event in told(run, 6, CALM, price=98.0) if event.strategy == "fragile"] == [PositionClosed]
    assert refolded(run) == state_of(run.world)


def test_half_of_a_change_is_not_taken() -> None:
    run = running()
    told(run, 3, fragile.BUY)
    moved = [type(event).__name__ for event in told(run, 4, fragile.MOVE_STOP) if event.strategy == "fragile"]
    assert moved == ["PositionOpened", "StopMoved"]
    assert [type(event) for event in told(run, 5, fragile.FAIL_MANAGING)] == [StrategyFailed]
    assert refolded(run) == state_of(run.world)


def test_a_position_of_a_parked_strategy_can_be_closed_by_hand() -> None:
    run = running()
    told(run, 3, fragile.BUY)
    told(run, 4, fragile.FAIL_LEAVING)
    take(run.world, run.log, CloseRequested(DAY_0_MS, "fragile", BTC, "anna", "enough"))
    closed = [event for event in told(run, 5, CALM) if isinstance(event, PositionClosed)]
    assert [(event.strategy, event.reason) for event in closed] == [("fragile", "manual")]
    assert refolded(run) == state_of(run.world)


def test_it_resumes_with_a_fresh_state_and_waits_until_that_is_warm() -> None:
    run = running()
    told(run, 3, fragile.FAIL_OBSERVING)
    told(run, 4, CALM)
    take(run.world, run.log, RunnerResumed(DAY_0_MS + 5 * 60_000, "fragile", "anna", "mended"))
    for number in (5, 6):
        assert "fragile" not in {event.strategy for event in told(run, number, fragile.BUY)}
        assert run.world.runner("fragile").states[0].seen == number - 4
        assert refolded(run) == state_of(run.world)
    assert "fragile" in {event.strategy for event in told(run, 7, fragile.BUY)}
    assert refolded(run) == state_of(run.world)


def test_it_is_parked_again_with_one_more_event_if_it_still_fails() -> None:
    run = running()
    told(run, 3, fragile.FAIL_OBSERVING)
    take(run.world, run.log, RunnerResumed(DAY_0_MS + 4 * 60_000, "fragile", "anna", "mended"))
    failed(told(run, 4, fragile.FAIL_OBSERVING))
    assert sum(isinstance(item.event, StrategyFailed) for item in run.log) == 2
    assert refolded(run) == state_of(run.world)


def test_a_configuration_does_not_let_it_go_on() -> None:
    run = running()
    told(run, 3, fragile.FAIL_OBSERVING)
    take(run.world, run.log, RunnerResumed(DAY_0_MS + 4 * 60_000, "fragile", "configuration", "named again"))
    assert run.world.runner("fragile").failure is not None


def test_a_pause_by_hand_outlives_the_warm_up() -> None:
    run = running()
    told(run, 3, fragile.FAIL_OBSERVING)
    take(run.world, run.log, RunnerResumed(DAY_0_MS + 4 * 60_000, "fragile", "anna", "mended"))
    take(run.world, run.log, RunnerPaused(DAY_0_MS + 4 * 60_000, "fragile", "anna", "lunch"))
    for number in range(4, 10):
        assert "fragile" not in {event.strategy for event in told(run, number, fragile.BUY)}
    assert refolded(run) == state_of(run.world)


def test_a_state_is_warm_after_the_candles_that_each_of_its_series_needs() -> None:
    both = replace(FRAGILE, series=("1m", "5m"), needs_filter_bars=7)
    assert warm_up_ms(running({**BOTH, "fragile": both}).world.runner("fragile")) == 7 * 5 * 60_000
    assert warm_up_ms(running().world.runner("fragile")) == fragile.NEEDS_BARS * 60_000
    assert warm_up_ms(running().world.runner("scripted")) == 0, "it keeps no state"


def test_a_file_that_cannot_be_used_cancels_what_it_ordered() -> None:
    run = running()
    told(run, 3, fragile.BUY)
    gone = StrategyFailed(DAY_0_MS + 4 * 60_000, "fragile", "", "fragile.py", "there is no such file")
    (cancelled,) = take(run.world, run.log, gone)
    assert isinstance(cancelled, OrderCancelled)
    assert (cancelled.strategy, cancelled.action, cancelled.reason) == ("fragile", "entry", "strategy_failed")
    assert refolded(run) == state_of(run.world)


def test_a_hook_that_is_recorded_to_have_failed_is_not_called_again() -> None:
    run, heard = running(), list[float]()
    told(run, 3, fragile.FAIL_OBSERVING)

    def observe(view: View, _params: fragile.Parameters) -> None:
        heard.append(view.candle.volume)

    mended = replace(FRAGILE, hooks=replace(FRAGILE.hooks, observe=observe))
    world = new_state({**BOTH, "fragile": mended})
    for group in groups(run.log):
        decide(world, group[0].event, group[0].seq, group[1:])
    assert heard == [CALM] * 6


def test_a_snapshot_of_a_parked_strategy_restores_it() -> None:
    run = running()
    told(run, 3, fragile.BUY)
    told(run, 4, fragile.FAIL_LEAVING)
    restored = decode(encode(run.world), BOTH)
    assert state_digest(restored) == state_digest(run.world)
    again = Run(restored, list(run.log))
    for one in (run, again):
        told(one, 5, fragile.FAIL_LEAVING, price=98.0)
    assert encode(run.world) == encode(again.world)


def eventful() -> Run:
    """A run in which the strategy trades, is parked, and resumes."""
    run = running()
    told(run, 3, fragile.BUY)
    told(run, 4, fragile.LEAVE)
    told(run, 5, fragile.BUY)
    told(run, 6, fragile.FAIL_LEAVING)
    told(run, 7, CALM, price=98.0)
    take(run.world, run.log, RunnerResumed(DAY_0_MS + 8 * 60_000, "fragile", "anna", "mended"))
    for number in range(8, 12):
        told(run, number, CALM)
    told(run, 12, fragile.BUY)
    told(run, 13, fragile.LEAVE)
    return run


def test_a_log_is_folded_without_the_file_of_a_strategy() -> None:
    run, world = eventful(), new_state(ABSENT)
    fold(world, run.log)
    mine, without = run.world.runner("fragile"), world.runner("fragile")
    assert without.strategy.fault == "its file is missing"
    assert (without.account, without.desks, without.order_seq) == (mine.account, mine.desks, mine.order_seq)
    assert without.desks[0].order.reason == 100
    assert world.runner("scripted").account == run.world.runner("scripted").account


def test_a_pending_exit_is_filled_under_its_name_without_the_file() -> None:
    run, world = eventful(), new_state(ABSENT)
    fold(world, run.log)
    both = Run(run.world, list(run.log)), Run(world, list(run.log))
    events = [told(one, 14, CALM) for one in both]
    assert events[0] == events[1]
    assert {event.reason for event in events[1] if event.strategy == "fragile"} == {"told"}


def test_a_log_that_recorded_no_names_is_folded_without_the_file_too() -> None:
    run, world = eventful(), new_state(ABSENT)
    old = [replace(item, event=forgotten(item.event)) for item in run.log]
    fold(world, old)
    assert world.runner("fragile").account == run.world.runner("fragile").account
    events = told(Run(world, list(run.log)), 14, CALM)
    assert {event.reason for event in events if event.strategy == "fragile"} == {"told"}


def forgotten(event: Event) -> Event:
    """Return a configuration as older versions recorded it."""
    if not isinstance(event, RunnerConfigured):
        return event
    names = RunnerConfigured1.__struct_fields__
    return without_names(RunnerConfigured1(**{name: getattr(event, name) for name in names}))


@pytest.mark.parametrize("strategies", [BOTH, ABSENT], ids=["with its file", "without its file"])
def test_every_decision_is_repeated_with_the_recorded_failure(strategies: Mapping[str, Strategy]) -> None:
    run, world = eventful(), new_state(strategies)
    for group in groups(run.log):
        entries = decide(world, group[0].event, group[0].seq, group[1:])
        assert [(entry.event, entry.cause) for entry in entries] == [(item.event, item.cause) for item in group]
    folded = new_state(strategies)
    fold(folded, run.log)
    assert state_of(folded) == state_of(world)


def forgetful(view: View, params: fragile.Parameters) -> None:  # noqa: ARG001 - a hook has its whole signature.
    """Fail where the recorded strategy did not."""
    view.state.sen += 1


def test_a_log_whose_strategy_fails_only_now_is_folded() -> None:
    run = running()
    told(run, 3, fragile.BUY)
    told(run, 4, CALM)
    strategy = replace(FRAGILE, hooks=replace(FRAGILE.hooks, observe=forgetful))
    world = new_state({**BOTH, "fragile": strategy})
    fold(world, run.log)
    assert world.runner("fragile").guard.failure is not None
    assert world.runner("fragile").desks == run.world.runner("fragile").desks


def test_candles_go_on_after_a_failure() -> None:
    run = running()
    told(run, 3, fragile.FAIL_ENTERING)
    assert isinstance(run.log[-1].event, CandleClosed | StrategyFailed)
    assert run.world.runner("fragile").desks[0].order.action == NO_ORDER


def falling(view: View, params: fragile.Parameters, answer: Answer) -> int:
    """Buy as told until a sale is asked for late in the market."""
    if view.candle.volume == SELL and view.state.seen > 100:
        return int(view.candle.volme)  # type: ignore[attr-defined]
    return fragile.enter(view, params, answer)


def test_a_backtest_parks_it_where_a_live_run_does() -> None:
    tape = market(Recipe(seed=11, symbols=2, candles=300, told_of=0.3))
    strategies = {**BOTH, "fragile": replace(FRAGILE, hooks=replace(FRAGILE.hooks, enter=falling))}
    settings = {name: RunnerSettings(risk=NO_LIMITS) for name in BOTH}
    live = begin(tape.contracts, settings, strategies)
    feed(live.world, live.log, tape.events())
    run = begin(tape.contracts, settings, strategies)
    decided: list[Any] = [item.event for item in run_tape(run.world, PlainEngine(run.world, tape)).decided]
    failure = failed(decided)
    assert (failure.hook, failure.error.partition(";")[0]) == (
        "enter",
        "AttributeError: 'Series' object has no attribute 'volme'",
    )
    assert decided == [event for event in live.events() if is_decision(event) and not isinstance(event, GapFound)]
    assert [event.strategy for event in decided[decided.index(failure) :]].count("scripted") > 10
    assert state_digest(run.world) == state_digest(live.world)
