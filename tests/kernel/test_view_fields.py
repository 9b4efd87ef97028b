"""What a view shows of a position, an account and a symbol, worked out by hand for long and short."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from msgspec.structs import replace

from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.kernel.sizing import count_positions
from papertape.engine.kernel.state import Position
from papertape.engine.kernel.strategy import WITHOUT_VIEW, ignore_fact, never_leave
from papertape.engine.kernel.view import bind_hook, bind_observing, signal_part
from papertape.engine.reducer.reducer import fold, groups
from papertape.engine.reducer.state import new_state
from papertape.events.facts import RunnerPaused
from papertape.events.units import MINUTE_MS
from tests.build import listed
from tests.kernel.scenario import BUY, LEAVE, NOTHING, SELL, Scenario
from tests.reducer.random_market import market, recipes
from tests.reducer.runs import TWO, begin, eager, players
from tests.support import NO_LIMITS, STRATEGIES, examples, feed

if TYPE_CHECKING:
    from collections.abc import Callable

NO_COSTS = RiskSettings(maker_fee_percent=0.0, taker_fee_percent=0.0, slippage_percent=0.0)


@pytest.mark.parametrize(("told", "side"), [(BUY, 1), (SELL, -1)])
def test_age_extremes_and_units_of_a_position(told: float, side: int) -> None:
    scenario = Scenario(risk=NO_COSTS, stop_percent=5.0, target_percent=9.0)
    scenario.enter(told)
    position = scenario.desk().position
    assert (position.units, position.first_base, position.reduce_fraction) == (1.0, position.quantity_base, 0.0)
    assert position.age_candles == 1, "the candle that filled it closed after its fill"
    scenario.candle((100.0, 103.0, 98.0, 101.0))
    assert position.age_candles == 2
    assert (position.best_usdt, position.worst_usdt) == ((103.0, 98.0) if side > 0 else (98.0, 103.0))


@pytest.mark.parametrize(("told", "side"), [(BUY, 1), (SELL, -1)])
def test_the_result_is_in_multiples_of_the_planned_risk(told: float, side: int) -> None:
    scenario = Scenario(risk=NO_COSTS, stop_percent=2.0, target_percent=9.0)
    scenario.enter(told)
    scenario.candle((100.0, 101.5, 98.5, 101.0))
    assert scenario.desk().position.result_r == pytest.approx(side * 0.5)
    assert scenario.desk().position.profit_usdt == pytest.approx(side * scenario.desk().position.quantity_base)


def test_the_result_counts_fees_funding_and_the_parts_that_are_closed() -> None:
    """result_r = (gross of parts - all fees so far + funding + d*q*(close - E)) / R1."""
    scenario = Scenario(risk=RiskSettings(slippage_percent=0.0), stop_percent=2.0, target_percent=9.0)
    scenario.enter(SELL)
    position = scenario.desk().position
    position.funding_usdt = -3.0
    position.closed.gross_usdt, position.closed.fees_usdt, position.closed.funding_usdt = 40.0, 2.0, 0.5
    scenario.candle((100.0, 100.0, 99.0, 99.0))
    risk_usdt = position.quantity_base * (2.0 + 0.0006 * 100.0 + 0.0006 * 102.0)
    expected = (40.0 - 2.0 - position.fee_usdt - 3.0 + 0.5 + position.quantity_base * 1.0) / risk_usdt
    assert position.result_r == pytest.approx(expected)


def test_nothing_of_a_closed_position_is_left_for_the_next_question() -> None:
    scenario = Scenario()
    scenario.enter()
    scenario.candle(100.5, LEAVE)
    scenario.candle(100.5)
    position = scenario.desk().position
    left = replace(position, targets=Position().targets, adds=Position().adds, closed=Position().closed)
    assert replace(left, targets_left=0.0, reduce_fraction=0.0, adds_due=0) == Position()
    assert position.targets.count == position.adds.count == 0


@pytest.mark.parametrize(("told", "side"), [(BUY, 1), (SELL, -1)])
def test_the_profit_after_costs_has_fees_slippage_and_funding(told: float, side: int) -> None:
    risk = RiskSettings(maker_fee_percent=0.0, taker_fee_percent=0.1, slippage_percent=0.1)
    scenario = Scenario(risk=risk, stop_percent=5.0, target_percent=9.0)
    scenario.enter(told)
    scenario.settle(2, 0.002)
    scenario.candle(100.0 + side)
    position = scenario.desk().position
    q, entry = position.quantity_base, 100.0 + side * 0.1
    left_at = (100.0 + side) * (1.0 - side * 0.001)
    assert position.entry_price_usdt == pytest.approx(entry)
    gross, fees, funding = (
        side * q * (left_at - entry),
        q * 0.001 * (entry + left_at),
        -side * q * (100.0 + side) * 0.002,
    )
    assert position.profit_usdt == pytest.approx(gross - fees + funding)


def test_a_symbol_knows_why_and_how_long_ago_it_left() -> None:
    scenario = Scenario()
    assert scenario.desk().candles_since_exit == -1, "there was no trade yet"
    scenario.enter()
    assert scenario.desk().candles_since_exit == -1
    scenario.candle((100.0, 100.0, 98.0, 98.5))
    assert scenario.desk().last_exit_reason != 0
    assert scenario.desk().candles_since_exit == 0
    scenario.candle(98.5)
    scenario.candle(98.5)
    assert scenario.desk().candles_since_exit == 2


def test_positions_and_pending_entries_use_up_the_free_slots() -> None:
    scenario = Scenario([listed("X"), listed("Y")], RiskSettings(max_concurrent_positions=2))
    assert scenario.account.free_slots == 2
    scenario.candle(100.0, BUY)
    assert scenario.account.free_slots == 1, "a pending entry counts"
    scenario.candle(100.0, NOTHING)
    assert scenario.account.free_slots == 1, "and its position does not count again"
    scenario.candle(100.0, SELL, "Y")
    assert scenario.account.free_slots == 0
    scenario.tell(RunnerPaused(MINUTE_MS, "scripted", "anna", "lunch"))
    assert scenario.account.free_slots == 1, "a pause cancelled the entry"
    scenario.candle((100.0, 100.0, 98.0, 98.5))
    assert scenario.account.free_slots == 2


@examples(15)
@given(recipes(told_of=0.3))
def test_the_free_slots_are_always_those_that_can_be_counted(recipe: object) -> None:
    tape = market(recipe)  # type: ignore[arg-type]
    run = begin(tape.contracts, eager(players(tape), NO_LIMITS), {**STRATEGIES, **TWO})
    for event in tape.events():
        feed(run.world, run.log, [event])
        for runner in run.world.runners:
            assert runner.account.free_slots == runner.rules.positions_max - count_positions(runner.desks)
    followed = new_state({**STRATEGIES, **TWO})
    for group in groups(run.log):
        fold(followed, group)
    assert [one.account.free_slots for one in followed.runners] == [one.account.free_slots for one in run.world.runners]


@pytest.mark.parametrize(("hook", "bind", "answer"), [(ignore_fact, bind_observing, None), (never_leave, bind_hook, 0)])
@pytest.mark.parametrize("references", [(), ("leader",), ("leader", "other")])
def test_a_hook_that_is_missing_builds_no_view(
    hook: Callable[..., Any], bind: Callable[..., Any], answer: int | None, references: tuple[str, ...]
) -> None:
    bound, without = bind(("5m",), references, (), signal_part(()), hook), WITHOUT_VIEW[hook]
    assert len(signature(without).parameters) == len(signature(bound).parameters)
    nothing = [None] * len(signature(without).parameters)
    assert without(*nothing) == answer, "it looks at nothing"
