"""Reasons given to people are the reasons decided on: `explain` agrees with `enter` on every order of a tape."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import msgspec
import pytest

from papertape.engine.research.cpython_kernel import PlainEngine
from papertape.engine.research.guarded import run_tape
from papertape.engine.runner_settings import RunnerSettings
from papertape.events.facts import OrderPlaced, OrderRejected
from papertape.events.units import DAY_MS
from tests.build import FIVE_MINUTES_MS
from tests.reducer.random_market import Recipe, market
from tests.reducer.runs import BUILT_IN, EAGER, eager
from tests.support import NO_LIMITS, STRATEGIES, configured_world, file_tape, needs_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.engine.kernel.strategy import Condition
    from papertape.engine.research.tape import Tape

FIRST_FIVE_MS = 1_735_603_200_000
Signal = OrderPlaced | OrderRejected


def signals(tape: Tape, settings: Mapping[str, RunnerSettings]) -> list[Signal]:
    """Every signal of a run, whether it became an order or was refused."""
    world = configured_world(tape.contracts, settings)
    events = [item.event for item in run_tape(world, PlainEngine(world, tape)).decided]
    entries = [event for event in events if isinstance(event, OrderPlaced) and event.action == "entry"]
    return [*entries, *(event for event in events if isinstance(event, OrderRejected))]


def conditions(event: Signal, parameters: Mapping[str, int | float], side: int) -> list[Condition]:
    """The conditions of an entry on one side, with the numbers of an event."""
    strategy = STRATEGIES[event.strategy]
    assert strategy.explain is not None
    reading = msgspec.convert(event.readings, strategy.reading, strict=False)
    return strategy.explain(reading, msgspec.convert(dict(parameters), strategy.parameters), side)


def agrees(event: Signal, parameters: Mapping[str, int | float]) -> bool:
    """All conditions of the side that was taken are met, and not all of the other."""
    side = 1 if event.side == "long" else -1
    own, other = conditions(event, parameters, side), conditions(event, parameters, -side)
    return all(one.met for one in own) and not all(one.met for one in other)


@cache
def random_signals() -> list[Signal]:
    """Some hundred signals of all four."""
    found: list[Signal] = []
    for seed in range(3):
        found += signals(market(Recipe(seed, 3, 500, FIVE_MINUTES_MS)), eager(BUILT_IN))
    return found


@pytest.mark.parametrize("name", BUILT_IN)
def test_explain_agrees_with_enter_on_every_signal_of_random_markets(name: str) -> None:
    own = [event for event in random_signals() if event.strategy == name]
    assert len(own) > 8
    assert {event.side for event in own} == {"long", "short"}
    assert [event for event in own if not agrees(event, EAGER[name])] == []


@pytest.mark.system
@needs_data
def test_explain_agrees_with_enter_on_every_signal_of_recorded_months() -> None:
    name = "binance_SOLUSDT_{}_2024-12-31_2025-09-30.csv.gz"
    tape = file_tape([name.format("5m")], [name.format("funding")], end_ms=FIRST_FIVE_MS + 60 * DAY_MS)
    found = signals(tape, {strategy: RunnerSettings(risk=NO_LIMITS) for strategy in BUILT_IN})
    assert len({event.strategy for event in found}) > 1
    assert len(found) > 50
    assert [event for event in found if not agrees(event, {})] == []


def test_every_score_lies_between_nothing_and_one() -> None:
    scores = [event.score for event in random_signals()]
    assert min(scores) >= 0.0
    assert max(scores) <= 1.0
    assert len(set(scores)) > 50, "the score says something"


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_condition_that_is_not_met_is_shown_as_not_met(name: str) -> None:
    """One threshold moved out of reach turns exactly its condition."""
    moved = {
        "vwap_rsi": {"volume_spike_multiplier": 20.0},
        "momentum": {"volume_confirmation_multiplier": 20.0},
        "funding": {"entry_delay_minutes": 480.0},
        "liquidation": {"oi_change_threshold": 100.0},
    }[name]
    event = next(event for event in random_signals() if event.strategy == name)
    side = 1 if event.side == "long" else -1
    assert sum(not one.met for one in conditions(event, {**EAGER[name], **moved}, side)) == 1
