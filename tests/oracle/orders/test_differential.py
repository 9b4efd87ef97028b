"""The engine and the second implementation, which share no line, fill the same orders to the last bit."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from msgspec.structs import replace

from papertape.events.units import SERIES_MS
from tests.build import FIVE_MINUTES_MS
from tests.reducer.random_market import Recipe, recipes
from tests.support import NO_LIMITS, examples

from .comparison import check_alike
from .engine_runs import engine_events
from .tapes import at_closes_of, dictated_market, oracle_run

if TYPE_CHECKING:
    from papertape.engine.kernel.risk_settings import RiskSettings
    from tests.reducer.random_market import RandomTape

    from .simulate import Outcome

RISKS = {
    "no limits": NO_LIMITS,
    "high leverage, all margin": replace(NO_LIMITS, leverage=20.0, free_margin_percent=0.0, max_same_direction=3),
    "switches that trip": replace(NO_LIMITS, max_session_loss_percent=0.2, max_daily_loss_percent=0.2),
    "dear stops": replace(NO_LIMITS, max_cost_to_stop=0.5),
    "liquidations": replace(NO_LIMITS, leverage=75.0, max_risk_per_trade_percent=100.0, liquidation_distance_min=1.0),
    "one position, all of it": replace(
        NO_LIMITS,
        max_concurrent_positions=1,
        free_margin_percent=0.0,
        max_risk_per_trade_percent=100.0,
    ),
    "little money, and a rebate": replace(NO_LIMITS, capital_usdt=60.0, maker_fee_percent=-0.02),
}


def check_same(tape: RandomTape, risk: RiskSettings = NO_LIMITS, engine: str = "python", series: str = "1m") -> Outcome:
    """Compare the engine's run of a tape with the oracle's."""
    outcome = oracle_run(tape, risk=risk, timeframe_ms=SERIES_MS[series])
    check_alike(outcome, *engine_events(tape, risk, engine, series))
    return outcome


def busy(seed: int) -> RandomTape:
    """A market of one to three symbols, calm or wild, with holes and late candles."""
    recipe = Recipe(
        seed,
        symbols=1 + seed % 3,
        candles=200,
        move_percent=(0.1, 0.3, 3.0)[seed % 3],
        holes=seed % 3,
        late_share=(0.0, 0.02)[seed % 2],
        funding_minutes=30,
    )
    return dictated_market(recipe, (0.5, 0.2, 0.8)[seed % 3])


@examples(20)
@given(recipes(candles=200))
def test_every_kind_of_order_fills_alike(recipe: Recipe) -> None:
    check_same(dictated_market(recipe))


@pytest.mark.parametrize("name", RISKS)
def test_under_every_kind_of_risk(name: str) -> None:
    for seed in range(3):
        check_same(busy(seed), RISKS[name])


@pytest.mark.parametrize("seed", range(3))
def test_orders_expire_by_the_strategy_s_own_timeframe(seed: int) -> None:
    """A strategy of 5m on candles of 1m: asked every fifth minute, filled in every one."""
    recipe = Recipe(seed, 2, candles=600, holes=2, late_share=0.01, funding_minutes=30, move_percent=0.2)
    outcome = check_same(at_closes_of(dictated_market(recipe, 0.9), FIVE_MINUTES_MS), series="5m")
    assert len(outcome.log.fills) > 30


@pytest.mark.system
def test_the_dictated_markets_leave_nothing_out() -> None:
    """Markets in which some order never fills, or nothing is refused, would prove less than they seem to."""
    seen: Counter[tuple[str, str]] = Counter()
    for risk, seed in product(RISKS.values(), range(9)):
        log = oracle_run(busy(seed), risk=risk).log
        seen.update((fill["action"], fill["reason"]) for fill in log.fills)
        seen.update(("refused", refusal["reason"]) for refusal in log.refusals)
        seen.update((f"{c['action']} cancelled", c["reason"]) for c in log.cancellations)
    assert {what for what in EXPECTED if seen[what] == 0} == set()


EXPECTED = {
    *(("open", kind) for kind in ("market", "limit", "stop")),
    *(("increase", kind) for kind in ("market", "limit", "stop")),
    *(("reduce", reason) for reason in ("reduced", "target", "target_1", "target_2", "target_3")),
    *(("close", reason) for reason in ("reduced", "target", "target_4", "stop", "trailing_stop", "breakeven_stop")),
    *(("close", reason) for reason in ("told", "liquidation")),
    *(("refused", reason) for reason in ("not_a_number", "stop_wrong_side", "target_wrong_side", "ladder", "units")),
    *(("refused", reason) for reason in ("limit_beyond_market", "stop_behind_market", "max_positions", "correlation")),
    *(("refused", reason) for reason in ("stop_beyond_liquidation", "cost_to_stop", "below_minimum", "kill_switch")),
    *(("refused", reason) for reason in ("stop_through_market", "target_through_market")),
    *(("entry cancelled", reason) for reason in ("expired", "late_candle", "next_candle_missing", "kill_switch")),
    *(("add cancelled", reason) for reason in ("expired", "replaced", "position_closed", "late_candle")),
    *(("add cancelled", reason) for reason in ("below_minimum", "margin", "stop_beyond_liquidation")),
    ("target cancelled", "below_minimum"),
    ("reduce cancelled", "below_minimum"),
    ("reduce cancelled", "position_closed"),
}


@pytest.mark.system
def test_compiled_to_the_last_bit() -> None:
    pytest.importorskip("numba", reason="the extra `research` is not installed")
    for number, risk in enumerate(RISKS.values()):
        check_same(busy(number), risk, "compiled")
