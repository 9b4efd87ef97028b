"""The conditions shown at any moment are those that decide, on every order of a run and between orders."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct
from msgspec.structs import asdict, replace

from papertape.engine.inspect.entry_conditions import (
    EntryBlocker,
    EntryConditions,
    Readiness,
    ask_now,
    entry_conditions,
)
from papertape.engine.reducer.inputs import active_trip_seq
from papertape.engine.reducer.reducer import decide, is_new
from papertape.engine.reducer.snapshot_codec import state_digest
from papertape.engine.research.tape import Tape, fact_event
from papertape.engine.runner_settings import RunnerSettings
from papertape.events.errors import UsageError
from papertape.events.facts import (
    CandleClosed,
    KillSwitchReset,
    KillSwitchTripped,
    MarketFact,
    OrderPlaced,
    OrderRejected,
    RunnerPaused,
    SignalReceived,
    SymbolSuspended,
    Timing,
)
from papertape.events.units import DAY_MS, MINUTE_MS
from tests.build import DAY_0_MS, FIVE_MINUTES_MS, candle, listed
from tests.kernel.scenario import BUY, LEAVE, SELL, Scenario
from tests.reducer.random_market import Recipe, market
from tests.reducer.runs import BUILT_IN, EAGER
from tests.support import NO_LIMITS, STRATEGIES, configured_world, file_tape, needs_data

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from papertape.engine.kernel.state import SymbolState
    from papertape.engine.reducer.state import EngineState

FIRST_FIVE_MS = 1_735_603_200_000
BINANCE = "binance_{}_{}_{}.csv.gz"


class Asked(Struct):
    """What the conditions said before the orders of one candle, and the signals that came: by strategy and symbol."""

    decisions: int = 0
    silences: int = 0
    sides: set[tuple[str, str]] = set()
    wrong: list[str] = []


def fulfilled(one: EntryConditions) -> bool:
    """Nothing stands between the strategy and an entry on this side."""
    ready = all(frame.ready_at_ms == 0 for frame in one.readiness)
    return ready and not one.holds and all(condition.met for condition in one.conditions)


def before_the_order(desk: SymbolState, told: OrderPlaced | OrderRejected | None, entry_placed_ms: int) -> SymbolState:
    """The desk as it stood when the strategy was asked: without the entry that it placed."""
    if not isinstance(told, OrderPlaced):
        return desk
    return replace(desk, order=replace(desk.order, action=0), entry_placed_ms=entry_placed_ms)


def compare(
    world: EngineState, event: CandleClosed, entries: Sequence[object], placed_ms: dict[str, int], seen: Asked
) -> None:
    """Every strategy that was asked on this candle, against what it decided."""
    index = world.symbols[event.symbol]
    for runner in world.runners:
        if runner.series[0].series[index].completed == 0:
            continue
        name, own = runner.strategy.name, runner.desks[index]
        signals = [one for one in entries if isinstance(one, OrderPlaced | OrderRejected) and one.strategy == name]
        told = next((one for one in signals if not isinstance(one, OrderPlaced) or one.action == "entry"), None)
        runner.desks[index] = before_the_order(own, told, placed_ms[name])
        try:
            sides = entry_conditions(world, name, event.symbol)
        finally:
            runner.desks[index] = own
        check(sides, told, seen, f"{name} {event.symbol} {event.at_ms}")
        if told is not None:
            check_readings(world, name, event.symbol, told)


def check(
    sides: tuple[EntryConditions, ...], told: OrderPlaced | OrderRejected | None, seen: Asked, place: str
) -> None:
    """An entry that was decided has everything met on its side; where none was, something was missing on both."""
    for one in sides:
        assert one.explained
        if told is not None and one.side == told.side:
            seen.decisions += 1
            seen.sides.add((told.strategy, one.side))
            crowded = isinstance(told, OrderRejected) and told.reason in ("max_positions", "correlation")
            if not (crowded and one.holds == (EntryBlocker(told.reason),)) and not fulfilled(one):
                seen.wrong.append(f"{place}: decided {one}")
        else:
            seen.silences += 1
            if fulfilled(one):
                seen.wrong.append(f"{place}: nothing decided {one}")


def check_readings(world: EngineState, name: str, symbol: str, told: OrderPlaced | OrderRejected) -> None:
    """The numbers are the very numbers of the decision."""
    strategy, index = STRATEGIES[name], world.symbols[symbol]
    runner = world.runner(name)
    assert strategy.read is not None and strategy.explain is not None
    reading = strategy.reading()
    ask_now(world, runner, index, strategy.read, reading)
    assert asdict(reading) == told.readings


def asked(tape: Tape, settings: Mapping[str, RunnerSettings]) -> Asked:
    """A run over a tape that is asked for its conditions at every candle."""
    world, seen = configured_world(tape.contracts, settings), Asked()
    for seq, event in enumerate(events_of(tape), start=1):
        if not is_new(world, event):
            continue
        index = world.symbols[event.symbol]
        placed_ms = {runner.strategy.name: runner.desks[index].entry_placed_ms for runner in world.runners}
        entries = [entry.event for entry in decide(world, event, seq)]
        if isinstance(event, CandleClosed) and event.timing is Timing.ON_TIME:
            compare(world, event, entries, placed_ms, seen)
    return seen


def events_of(tape: Tape) -> list[MarketFact | SignalReceived]:
    """The facts of a tape as events."""
    return [fact_event(tape, fact) for fact in tape.structs()]


@cache
def random_runs() -> list[Asked]:
    """Some markets in which everybody is eager."""
    eager = {name: RunnerSettings(EAGER[name], risk=NO_LIMITS) for name in BUILT_IN}
    recipes = [Recipe(seed, 3, 450, FIVE_MINUTES_MS, holes=2, late_share=0.01, warm_up=40) for seed in range(3)]
    return [asked(market(recipe), eager) for recipe in recipes]


@pytest.mark.system
def test_conditions_agree_with_every_decision_and_every_silence_of_random_markets() -> None:
    wrong = [line for run in random_runs() for line in run.wrong]
    assert not wrong, "\n".join(wrong[:5])
    assert sum(run.decisions for run in random_runs()) > 200
    assert sum(run.silences for run in random_runs()) > 5_000
    assert set.union(*(run.sides for run in random_runs())) == {
        (name, side) for name in BUILT_IN for side in ("long", "short")
    }


@needs_data
@pytest.mark.slow
def test_conditions_agree_with_every_decision_and_every_silence_of_recorded_weeks() -> None:
    period = "2024-12-31_2025-09-30"
    tape = file_tape(
        [BINANCE.format(symbol, "5m", period) for symbol in ("BTCUSDT", "SOLUSDT")],
        [BINANCE.format(symbol, "funding", period) for symbol in ("BTCUSDT", "SOLUSDT")],
        end_ms=FIRST_FIVE_MS + 60 * DAY_MS,
    )
    seen = asked(tape, {name: RunnerSettings(risk=NO_LIMITS) for name in ("vwap_rsi", "momentum", "funding")})
    assert not seen.wrong, "\n".join(seen.wrong[:5])
    assert seen.decisions > 50


@needs_data
def test_conditions_agree_with_the_liquidation_strategy_on_recorded_open_interest() -> None:
    tape = file_tape(
        ["binance_BTCUSDT_5m_2024-09-13_2024-09-18.csv.gz"],
        open_interest=["binance_BTCUSDT_open_interest_5m_2024-09-13_2024-09-18.csv.gz"],
    )
    eager = RunnerSettings({"oi_change_threshold": 0.3, "zone_buffer_percent": 2.0}, risk=NO_LIMITS)
    seen = asked(tape, {"liquidation": eager})
    assert not seen.wrong, "\n".join(seen.wrong[:5])
    assert seen.decisions > 5


# ---------------------------------------------------------------- by hand


def both(scenario: Scenario) -> tuple[EntryConditions, EntryConditions]:
    """The two sides of the scripted strategy."""
    return entry_conditions(scenario.world, "scripted", "X")


def test_a_strategy_that_does_not_say_its_numbers_is_shown_as_one_that_explains_nothing() -> None:
    scenario = Scenario()
    scenario.candle(100.0)
    for one, side in zip(both(scenario), ("long", "short"), strict=True):
        assert (one.side, one.explained, one.conditions, one.holds) == (side, False, (), ())
        assert one.readiness == (Readiness(MINUTE_MS, 1, 1, 0),)


def test_everything_that_holds_a_strategy_back_is_named() -> None:
    scenario = Scenario([listed("X"), listed("Y")])
    scenario.candle(100.0, BUY)
    assert both(scenario)[0].holds == (EntryBlocker("order", "entry"),)
    scenario.candle(100.0)
    assert both(scenario)[1].holds == (EntryBlocker("position", "long"),)
    scenario.candle(100.0, LEAVE)
    assert both(scenario)[0].holds == (EntryBlocker("position", "long"), EntryBlocker("order", "exit"))
    scenario.candle(100.0)
    assert both(scenario)[0].holds == ()
    scenario.tell(RunnerPaused(DAY_0_MS, "scripted", "anna", "holiday"))
    scenario.tell(SymbolSuspended(DAY_0_MS, "X", "delisted"))
    scenario.tell(KillSwitchTripped(DAY_0_MS, "scripted", "manual", 0.0, 0.0, 0.0, 0.0, "anna", "news"))
    assert both(scenario)[0].holds == (
        EntryBlocker("kill_switch", "manual"),
        EntryBlocker("paused"),
        EntryBlocker("not_tradable"),
    )
    scenario.tell(KillSwitchReset(DAY_0_MS, "scripted", active_trip_seq(scenario.world, "scripted"), "anna", "over"))
    assert both(scenario)[0].holds == (EntryBlocker("paused"), EntryBlocker("not_tradable"))


def test_limits_on_positions_hold_back_the_side_they_would_refuse() -> None:
    risk = replace(NO_LIMITS, max_same_direction=1, max_concurrent_positions=2)
    scenario = Scenario([listed("X"), listed("Y"), listed("Z", group="other")], risk=risk)
    scenario.enter(BUY, symbol="Y")
    long, short = both(scenario)
    assert (long.holds, short.holds) == ((EntryBlocker("correlation"),), ())
    scenario.enter(SELL, symbol="Z")
    assert [one.holds for one in both(scenario)] == [(EntryBlocker("max_positions"),)] * 2


def test_a_symbol_that_a_strategy_does_not_trade_is_reported() -> None:
    contracts = [listed("X", timeframe_ms=FIVE_MINUTES_MS), listed("Y", timeframe_ms=FIVE_MINUTES_MS)]
    world = configured_world(contracts, {"momentum": RunnerSettings(symbols=("X",))})
    assert [one.holds for one in entry_conditions(world, "momentum", "Y")] == [(EntryBlocker("inactive"),)] * 2


def test_a_name_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="no strategy 'nobody' runs; there are: scripted"):
        entry_conditions(Scenario().world, "nobody", "X")
    with pytest.raises(UsageError, match="no symbol 'Z'; there are: X"):
        entry_conditions(Scenario().world, "scripted", "Z")


def momentum(lookback: int = 20) -> EngineState:
    """A world of minutes in which momentum runs: it needs 28 candles of 5 and of 15 minutes, or lookback + 1."""
    return configured_world([listed("X")], {"momentum": RunnerSettings({"breakout_lookback": lookback})})


def frames(world: EngineState) -> list[tuple[int, int, int]]:
    """What it has and needs of each timeframe, and the minutes since the start at which it will have it."""
    ready = entry_conditions(world, "momentum", "X")[0].readiness
    return [(one.candles, one.needed, max(0, one.ready_at_ms - DAY_0_MS) // MINUTE_MS) for one in ready]


def feed_minutes(world: EngineState, first: int, end: int) -> None:
    for number in range(first, end):
        decide(world, candle(number, 100.0 + number % 3, "X"), number + 1)


def test_readiness_counts_complete_candles_and_says_when_the_last_one_closes() -> None:
    world = momentum()
    assert frames(world) == [(0, 28, 140), (0, 28, 420)]
    feed_minutes(world, 0, 7)
    assert frames(world) == [(1, 28, 140), (0, 28, 420)]
    feed_minutes(world, 7, 15)
    assert frames(world) == [(3, 28, 140), (1, 28, 420)]
    feed_minutes(world, 15, 140)
    assert frames(world) == [(28, 28, 0), (9, 28, 420)]
    feed_minutes(world, 140, 419)
    assert frames(world)[1] == (27, 28, 420)
    feed_minutes(world, 419, 420)
    assert frames(world)[1] == (28, 28, 0)


def test_the_moment_it_names_is_the_one_at_which_it_is_ready_also_after_a_hole() -> None:
    world = momentum()
    feed_minutes(world, 0, 33)
    feed_minutes(world, 37, 38)  # The candles of 35 and of 30 minutes are spoilt.
    named = [minute for _, _, minute in frames(world)]
    assert named == [150, 435]
    for number in range(38, 500):
        decide(world, candle(number, 100.0, "X"), number)
        for at, (candles, needed, _) in zip(named, frames(world), strict=True):
            assert (candles >= needed) == (number + 1 >= at)


def test_a_hole_that_resets_everything_starts_the_count_again() -> None:
    world = momentum()
    feed_minutes(world, 0, 425)
    feed_minutes(world, 425 + 300, 425 + 301)
    assert [candles for candles, _, _ in frames(world)] == [0, 0]
    assert [minute for _, _, minute in frames(world)] == [865, 1155]


def test_parameters_that_need_more_candles_are_counted() -> None:
    assert frames(momentum(lookback=60))[0][:2] == (0, 61)
    world = configured_world([listed("X")], {"liquidation": RunnerSettings({"anchor_halflife_minutes": 481})})
    assert entry_conditions(world, "liquidation", "X")[0].readiness[0].needed == 97


def test_asking_changes_nothing() -> None:
    tape = market(Recipe(4, 2, 400, FIVE_MINUTES_MS))
    world = configured_world(tape.contracts, {name: RunnerSettings(EAGER[name]) for name in BUILT_IN})
    for seq, event in enumerate(tape.events(), start=1):
        decide(world, event, seq)
        if seq % 50 == 0:
            before = state_digest(world)
            first = [entry_conditions(world, name, "AAA") for name in BUILT_IN]
            assert [entry_conditions(world, name, "AAA") for name in BUILT_IN] == first
            assert state_digest(world) == before
