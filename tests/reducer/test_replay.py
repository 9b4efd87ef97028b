"""What replay promises: the same log gives the same world, and a fact fed twice changes nothing."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from papertape.engine.reducer.inputs import active_trip_seq
from papertape.engine.reducer.reducer import fold, groups, is_decision, is_new
from papertape.engine.reducer.state import new_state
from papertape.events.errors import CommandRefused, EngineFault
from papertape.events.facts import (
    GLOBAL_SCOPE,
    CandleClosed,
    ContractListed,
    Event,
    FundingRateSettled,
    GapFound,
    KillSwitchReset,
    KillSwitchTripped,
    OpenInterestObserved,
    OrderPlaced,
    PositionOpened,
    RunnerConfigured,
)
from papertape.events.log import Recorded
from papertape.events.units import MINUTE_MS
from tests.build import DAY_0_MS, FIVE_MINUTES_MS, observed
from tests.kernel.scenario import Scenario
from tests.reducer.random_market import Recipe, market, recipes
from tests.reducer.runs import BUILT_IN, TWO, Run, begin, eager, played, players
from tests.support import NO_LIMITS, STRATEGIES, examples, feed, state_of, take

TIGHT = replace(
    NO_LIMITS,
    max_risk_per_trade_percent=20.0,
    max_session_loss_percent=1.0,
    max_daily_loss_percent=2.0,
    global_max_loss_percent=1.2,
    global_window_hours=1,
)
INPUTS = (CandleClosed, FundingRateSettled, OpenInterestObserved)


def with_resets(recipe: Recipe) -> Run:
    """A market under tiny limits, with resets at random moments, half of them naming the wrong trip."""
    tape, random = market(recipe), Random(recipe.seed)
    run = begin(tape.contracts, eager(players(tape), TIGHT), {**STRATEGIES, **TWO})
    for event in tape.events():
        feed(run.world, run.log, [event])
        if random.random() < 0.02:
            scope = random.choice([*(runner.strategy.name for runner in run.world.runners), GLOBAL_SCOPE])
            try_reset(run, scope, active_trip_seq(run.world, scope) + random.choice([0, 0, 1]))
    return run


def try_reset(run: Run, scope: str, trip_seq: int) -> None:
    """A reset, which is refused without a trace unless it names the trip that stands."""
    fits = trip_seq != 0 and trip_seq == active_trip_seq(run.world, scope)
    command, before = KillSwitchReset(DAY_0_MS, scope, trip_seq, "anna", "go on"), state_of(run.world)
    if fits:
        take(run.world, run.log, command)
        return
    with pytest.raises(CommandRefused):
        take(run.world, run.log, command)
    assert state_of(run.world) == before


def check_nothing_opens_between_trip_and_reset(log: list[Recorded]) -> int:
    """The promise of the kill switches, read from the log alone; the number of trips."""
    tripped: dict[str, int] = {}
    count = 0
    for item in log:
        event = item.event
        if isinstance(event, KillSwitchTripped):
            assert event.scope not in tripped, "one trip is recorded, the first reason wins"
            tripped[event.scope] = item.seq
            count += 1
        elif isinstance(event, KillSwitchReset):
            assert tripped.pop(event.scope) == event.trip_seq
        elif isinstance(event, PositionOpened) or (isinstance(event, OrderPlaced) and event.action == "entry"):
            assert event.strategy not in tripped
            assert GLOBAL_SCOPE not in tripped
    return count


@examples(25)
@given(recipes(told_of=0.3))
def test_no_position_opens_between_a_trip_and_its_reset(recipe: Recipe) -> None:
    check_nothing_opens_between_trip_and_reset(with_resets(recipe).log)


def test_the_markets_of_that_property_trip_every_switch() -> None:
    scopes: set[str] = set()
    for seed in range(6):
        run = with_resets(Recipe(seed, symbols=2, told_of=0.3, move_percent=1.0))
        assert check_nothing_opens_between_trip_and_reset(run.log) > 1
        scopes |= {event.scope for event in run.events() if isinstance(event, KillSwitchTripped)}
    assert scopes == {"scripted", "second", GLOBAL_SCOPE}


# ---------------------------------------------------------------- replay


def replayed(log: list[Recorded]) -> bytes:
    """The state of a world that only followed the log."""
    world = new_state({**STRATEGIES, **TWO})
    fold(world, log)
    return state_of(world)


@examples(25)
@given(recipes(told_of=0.3))
def test_following_the_log_ends_in_the_same_world(recipe: Recipe) -> None:
    run = with_resets(recipe)
    assert replayed(run.log) == state_of(run.world)


@examples(5)
@given(recipes(FIVE_MINUTES_MS, candles=420))
def test_following_the_log_of_the_built_in_strategies_ends_in_the_same_world(recipe: Recipe) -> None:
    run = with_resets(recipe)
    assert replayed(run.log) == state_of(run.world)


def test_a_replay_begins_anew_after_a_long_hole_in_the_middle_of_a_higher_candle() -> None:
    tape = market(Recipe(seed=2, candles=900, long_holes=2))
    run, world = begin(tape.contracts, eager(BUILT_IN), STRATEGIES), new_state(STRATEGIES)
    fold(world, run.log)
    anew = 0
    for fact in tape.events():
        followed = len(run.log)
        feed(run.world, run.log, [fact])
        fold(world, run.log[followed:])
        if run.world.markets[0].reset:
            assert run.world.runners[0].series[0].series[0].completed == 0
            assert state_of(world) == state_of(run.world)
            anew += 1
    assert anew >= 2
    assert state_of(world) == state_of(run.world)


@examples(10)
@given(recipes(told_of=0.3), st.integers(0, 10_000))
def test_a_world_rebuilt_from_any_point_of_the_log_goes_on_as_if_nothing_happened(recipe: Recipe, cut: int) -> None:
    tape = market(recipe)
    whole, facts = played(tape), tape.events()
    first = begin(tape.contracts, eager(players(tape)), {**STRATEGIES, **TWO})
    feed(first.world, first.log, facts[: cut % len(facts)])
    second = Run(new_state({**STRATEGIES, **TWO}), list(first.log))
    fold(second.world, first.log)
    feed(second.world, second.log, facts)
    assert second.log == whole.log
    assert state_of(second.world) == state_of(whole.world)


def test_replay_decides_nothing() -> None:
    """It goes on after a strategy was changed: the log alone says what was decided."""
    run = played(market(Recipe(seed=5, symbols=2, told_of=0.2)))
    changed = {
        name: replace(one, hooks=STRATEGIES["funding"].hooks, state=STRATEGIES["funding"].state)
        for name, one in TWO.items()
    }
    world = new_state(changed)
    for runner_name in ("scripted", "second"):
        assert changed[runner_name].hooks is not TWO[runner_name].hooks
    fold(world, [item for item in run.log if isinstance(item.event, ContractListed | RunnerConfigured)])
    for runner in world.runners:
        runner.update_strategy = run.world.runners[0].update_strategy
    rest = [item for item in run.log if not isinstance(item.event, ContractListed | RunnerConfigured)]
    fold(world, rest)
    assert [runner.account for runner in world.runners] == [runner.account for runner in run.world.runners]


def test_a_stretch_of_the_log_that_begins_with_a_decision_is_refused() -> None:
    run = played(market(Recipe(seed=5, told_of=0.2)))
    decision = next(item for item in run.log if is_decision(item.event))
    with pytest.raises(EngineFault, match=f"seq {decision.seq}"):
        fold(new_state({**STRATEGIES, **TWO}), [decision])


def test_a_group_is_an_input_and_its_consequences() -> None:
    run = played(market(Recipe(seed=5, symbols=3, candles=200, told_of=0.2, holes=3)))
    for group in groups(run.log):
        assert not is_decision(group[0].event)
        assert all(is_decision(item.event) for item in group[1:])
        assert all(0 < item.cause < item.seq for item in group[1:])


# ---------------------------------------------------------------- the same fact twice


@examples(25)
@given(recipes(told_of=0.3), st.integers(0, 10_000))
def test_feeding_any_suffix_of_the_input_again_changes_nothing(recipe: Recipe, cut: int) -> None:
    tape = market(recipe)
    run, facts = played(tape), tape.events()
    before, length = state_of(run.world), len(run.log)
    feed(run.world, run.log, facts[cut % len(facts) :])
    assert (state_of(run.world), len(run.log)) == (before, length)


def test_a_reading_of_before_a_long_hole_is_no_news_after_it() -> None:
    scenario = Scenario()
    scenario.candle(100.0)
    scenario.observe(1, 5_000.0)
    scenario.skip(500)
    scenario.candle(100.0)
    assert not is_new(scenario.world, observed(MINUTE_MS, 5_000.0, "X"))
    assert is_new(scenario.world, observed(503 * MINUTE_MS, 5_000.0, "X"))


def test_a_fact_of_an_unknown_symbol_is_no_news() -> None:
    assert not is_new(Scenario().world, observed(0, 1.0, "Y"))


def test_a_hole_is_told_once_with_the_first_candle_after_it() -> None:
    scenario = Scenario()
    scenario.candle(100.0)
    scenario.skip(7)
    scenario.candle(100.0)
    scenario.candle(100.0)
    (gap,) = [item.event for item in scenario.log if isinstance(item.event, GapFound)]
    assert (gap.missing_candles, gap.until_ms - gap.from_ms) == (7, 7 * MINUTE_MS)


def inputs(events: list[Event]) -> list[Event]:
    """The market facts of a log."""
    return [event for event in events if isinstance(event, INPUTS)]


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_strategy_trades_alone_as_it_does_among_others(name: str) -> None:
    """Accounts are isolated: who else runs changes nothing for a strategy."""
    tape = market(Recipe(seed=3, symbols=2, candles=420, timeframe_ms=FIVE_MINUTES_MS))
    among, alone = played(tape), begin(tape.contracts, eager([name]), STRATEGIES)
    feed(alone.world, alone.log, tape.events())
    own = [event for event in among.events() if getattr(event, "strategy", "") == name]
    assert own == [event for event in alone.events() if getattr(event, "strategy", "") == name]
    assert len(own) > 3
    assert inputs(among.events()) == inputs(alone.events())
