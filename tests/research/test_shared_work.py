"""What sets of parameters have in common is worked out once, and only where the source shows that it is common."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from papertape.engine.kernel.state import Market, Series
from papertape.engine.research.set_result import TradedSpan
from papertape.engine.research.set_runs import FEW_SETS, SetRunner
from papertape.engine.research.sets.plan import plan_of
from papertape.engine.research.sets.sift import sift_hook
from papertape.engine.runner_settings import RunnerSettings
from tests.reducer.runs import EAGER
from tests.research.test_set_runs import STRATEGIES, assert_equal, drawn_tape
from tests.support import NO_LIMITS

if TYPE_CHECKING:
    from papertape.engine.kernel.strategy import Strategy


def test_conditions_of_an_entry_name_the_parameters_that_they_read() -> None:
    assert plan_of(STRATEGIES["momentum"]).sifting == (
        ("trend_adx_threshold",),
        ("exit_adx_threshold",),
        (),
        (),
        ("volume_confirmation_multiplier",),
        (),
    )


def test_an_exit_depends_on_the_periods_of_the_indicators_that_it_looks_at() -> None:
    """And on those of a state that is not built up indicator by indicator, on all of them."""
    assert plan_of(STRATEGIES["momentum"]).leaving_state == ("adx_period",)
    assert plan_of(STRATEGIES["turtle"]).leaving_state == ("exit_period",)
    funding = plan_of(STRATEGIES["funding"])
    assert funding.leaving_state == funding.observing


def test_a_condition_whose_bit_is_set_is_not_asked() -> None:
    strategy = STRATEGIES["liquidation"]
    may_enter, [names] = sift_hook(strategy), plan_of(strategy).sifting
    assert set(names) <= set(strategy.parameters.__struct_fields__)
    view = SimpleNamespace(state=strategy.state(), now_ms=0, market=Market(), candle=Series())
    assert not may_enter(view, strategy.parameters(), 0)
    assert may_enter(view, strategy.parameters(), 1)


@pytest.mark.parametrize("name", ["vwap_rsi", "momentum"])
def test_sets_that_share_all_conditions_but_one_trade_as_alone(name: str) -> None:
    random = Random(f"shared {name}")
    varied = {"vwap_rsi": "volume_spike_multiplier", "momentum": "volume_confirmation_multiplier"}[name]
    periods = {"vwap_period": 20} if name == "vwap_rsi" else {}
    sets = [{**EAGER[name], **periods, varied: 1.75 - 0.25 * k} for k in range(6)]
    found = assert_equal(drawn_tape(random, STRATEGIES[name]), name, RunnerSettings(risk=NO_LIMITS), sets, TradedSpan())
    assert len({one.trades for one in found}) > 1, "sets that all trade alike would prove nothing"


def test_sets_that_differ_in_a_period_of_the_exit_do_not_share_it() -> None:
    tape = drawn_tape(Random(5), STRATEGIES["momentum"])
    wide = {
        **EAGER["momentum"],
        "sl_percent": 5.0,
        "tp_percent": 5.0,
        "atr_multiplier_sl": 50.0,
        "atr_multiplier_tp": 50.0,
    }
    sets = [{**EAGER["momentum"], **wide, "adx_period": period, "exit_adx_threshold": 20.0} for period in (2, 7, 14, 2)]
    found = assert_equal(tape, "momentum", RunnerSettings(risk=NO_LIMITS), sets, TradedSpan())
    assert found[0] == found[3] != found[1]


def test_what_was_found_serves_another_span() -> None:
    tape = drawn_tape(Random(7), STRATEGIES["momentum"])
    sets = [{**EAGER["momentum"], "sl_percent": 0.2 + 0.1 * k} for k in range(3)]
    runner = SetRunner(tape, STRATEGIES, "momentum", RunnerSettings(risk=NO_LIMITS), "python")
    opens_ms = tape.candles[0].open_time_ms
    spans = TradedSpan(), TradedSpan(opens_ms[len(opens_ms) // 2]), TradedSpan()
    first, half, again = (runner.run(sets, span) for span in spans)
    assert first == again != half


class _Compiled(SetRunner):
    """A runner whose loop would be compiled already."""

    def _is_loop_ready(self, strategy: Strategy) -> bool:
        return strategy.name == "momentum"


def test_few_sets_are_run_fact_by_fact_where_nothing_must_be_compiled() -> None:
    """Their results are those of the passes, which later runs take."""
    tape = drawn_tape(Random(3), STRATEGIES["momentum"])
    runner = _Compiled(tape, STRATEGIES, "momentum", RunnerSettings(risk=NO_LIMITS))
    early = [runner.run([{}], TradedSpan()) for _ in range(FEW_SETS)]
    assert runner._markets == {}
    late = runner.run([{}], TradedSpan())
    assert runner._markets
    assert [*early, late] == [late] * (FEW_SETS + 1)
    assert not runner.long_way
