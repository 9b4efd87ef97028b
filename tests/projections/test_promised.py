"""Given a promise and closed trades, then what has drifted."""

from __future__ import annotations

from math import exp, factorial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from papertape.events.facts import RunnerPaused, RunnerResumed, Timing
from papertape.events.units import HOUR_MS, MINUTE_MS
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.promised import Promised, PromiseView, band_at, poisson_tail
from papertape.projections.host import fold
from tests.build import DAY_0_MS, candle, closed, configured, increased, opened, recorded, tripped
from tests.promises import BANDS, promoted, traded

if TYPE_CHECKING:
    from papertape.events.facts import Event

RUNS = (promoted(), configured())


def promised(*events: Event) -> Promised:
    portfolio = Portfolio()
    promises = Promised(portfolio)
    fold([portfolio, promises], recorded(events))
    return promises


def view(*events: Event) -> PromiseView:
    found = promised(*RUNS, *events).of("momentum")
    assert found is not None
    return found


def hours(first: int, last: int, timing: Timing = Timing.ON_TIME) -> list[Event]:
    return [candle(number, 100.0, timing=timing, timeframe_ms=HOUR_MS) for number in range(first, last)]


def kinds(*events: Event) -> list[str]:
    return [drift.kind for drift in view(*events).drifts]


def kinds_at_pace(*trades: Event) -> list[str]:
    """The drifts if as many trades were closed as were promised."""
    return kinds(*hours(0, 6 * len(trades)), *trades)


def test_results_wins_and_costs_of_the_trades_since_are_counted() -> None:
    one = view(*traded([2.0, -1.0, 3.0]))
    assert one.trades == 3
    assert one.win_rate == pytest.approx(2 / 3)
    assert one.result_r == pytest.approx(2.0)
    assert one.cost_per_trade_r == pytest.approx(0.06)
    assert one.words == "+1.50 / +2.00 R"


def test_without_a_trade_nothing_is_claimed() -> None:
    one = view()
    assert (one.win_rate, one.mean_r, one.cost_per_trade_r, one.trades_per_day, one.promised_result_r) == (None,) * 5
    assert (one.words, one.drifts) == ("no trade yet", ())


@pytest.mark.parametrize(
    ("result_r", "drifts"),
    [
        (-2.9, []),
        (-3.1, ["result_below_promise"]),
        (-4.9, ["result_below_promise"]),
        (-5.1, ["result_far_below_promise", "result_below_promise"]),
    ],
)
def test_the_bands_after_eleven_trades_set_the_limits(result_r: float, drifts: list[str]) -> None:
    assert kinds_at_pace(*traded([result_r * 2.0 / 11.0] * 11)) == drifts


def test_nine_bad_trades_are_too_few_to_judge_and_a_recovery_ends_the_drift() -> None:
    assert kinds_at_pace(*traded([-3.0] * 9)) == []
    assert kinds_at_pace(*traded([-3.0] * 11)) != []
    assert kinds_at_pace(*traded([-3.0] * 11), *traded([9.0] * 4)) == []


def test_beyond_the_last_band_no_result_is_judged() -> None:
    assert kinds_at_pace(*traded([-3.0] * 22)) == []
    assert view(*traded([1.0] * 22)).words == "none / +11.00 R"


def test_too_few_trades_are_noticed_without_a_single_one() -> None:
    assert kinds(*hours(0, 63)) == []  # P(0 | 5.25) = 0.52 %
    assert kinds(*hours(0, 64)) == ["trades_off_promise"]  # P(0 | 5.33) = 0.48 %


def test_too_many_trades_are_noticed_from_the_tenth_on() -> None:
    assert kinds(*hours(0, 12), *traded([0.1] * 9)) == []
    assert kinds(*hours(0, 12), *traded([0.1] * 10)) == ["trades_off_promise"]


def test_a_pause_a_trip_a_gap_and_late_candles_make_nobody_late() -> None:
    paused = RunnerPaused(DAY_0_MS, "momentum", "anna", "holiday")
    resumed = RunnerResumed(DAY_0_MS, "momentum", "anna", "back")
    assert view(paused, *hours(0, 240), resumed, *hours(240, 264)).days == 1.0
    assert view(*hours(0, 24), tripped("momentum"), *hours(24, 240)).days == 1.0
    assert view(*hours(0, 12), *hours(228, 240)).days == 1.0
    assert view(*hours(0, 216, Timing.LATE), *hours(216, 240)).days == 1.0


def test_two_symbols_pass_the_same_time_once() -> None:
    both = [candle(number, 100.0, symbol) for number in range(120) for symbol in ("BTCUSDT", "GALAUSDT")]
    assert view(*both).days * 24.0 == pytest.approx(2.0)
    assert view(*both).since_ms == DAY_0_MS


def test_costs_half_again_as_high_are_noticed_from_the_tenth_trade_on() -> None:
    dear = [replace(event, slippage_usdt=0.17) for event in traded([1.0] * 10)[1::2]]
    trades: list[Event] = [event for closing in dear for event in (opened(), closing)]
    assert kinds_at_pace(*trades[:18]) == []
    assert kinds_at_pace(*trades) == ["costs_above_promise"]  # (0.02 + 0.17) / 2 = 0.095 > 1.5 x 0.06
    assert "0.095 R a trade after 10 trades of set 4,711 of momentum-btc; 0.060 R" in view(*trades).drifts[-1].text


def test_the_costs_of_a_position_with_adds_are_over_all_that_it_put_at_risk() -> None:
    add = increased((1.0, 100.0), 1.0, 99.0)
    assert view(opened(), add, closed(1.0, fee_usdt=0.01)).cost_per_trade_r == pytest.approx(0.12 / 3.5)


def test_a_trade_that_was_open_before_the_promise_does_not_count() -> None:
    found = promised(configured(), opened(), promoted(), configured(), closed(-9.0)).of("momentum")
    assert found is not None
    assert found.trades == 0


def test_a_new_promise_begins_anew_and_other_parameters_end_it() -> None:
    again = promised(*RUNS, *traded([1.0]), promoted(study="second"), *traded([2.0]))
    assert [(one.study, one.trades) for one in again.views().values()] == [("second", 1)]
    same = promised(*RUNS, replace(configured(), risk={"capital_usdt": 10_000.0, "leverage": 2.0}))
    assert list(same.views()) == ["momentum"]
    other = promised(*RUNS, replace(configured(), parameters={"breakout_lookback": 30}), *traded([1.0]))
    assert other.views() == {}


def test_a_set_without_bands_is_judged_by_its_trades_alone() -> None:
    bare = replace(promoted(), bands=(), mean_r=None, cost_per_trade_r=None, drawdown_95_fraction=None)
    found = promised(bare, configured(), *hours(0, 120), *traded([-3.0] * 11)).of("momentum")
    assert found is not None
    assert (found.words, found.drifts) == ("none / -16.50 R", ())


def test_strategies_have_promises_of_their_own() -> None:
    both = promised(*RUNS, promoted("funding"), configured("funding"), *traded([1.0]))
    assert [(name, one.trades) for name, one in both.views().items()] == [("momentum", 1), ("funding", 0)]


def test_a_band_lies_on_the_line_between_its_neighbours() -> None:
    middle = band_at(BANDS, 11)
    assert middle is not None
    assert (middle.percent_1_r, middle.percent_5_r, middle.percent_50_r) == (-5.0, -3.0, 5.5)
    assert band_at(BANDS, 21) == BANDS[-1]
    assert (band_at(BANDS, 0), band_at(BANDS, 22), band_at((), 3)) == (None, None, None)


@given(st.integers(0, 60), st.floats(0.01, 40.0))
def test_a_poisson_tail_is_the_sum_of_its_terms(count: int, expected: float) -> None:
    terms = [exp(-expected) * expected**number / factorial(number) for number in range(150)]
    tail = sum(terms[: count + 1]) if count < expected else sum(terms[count:])
    assert poisson_tail(count, expected) == pytest.approx(tail, rel=1e-9, abs=1e-300)


def test_poisson_tails_as_they_are_printed_in_tables() -> None:
    assert poisson_tail(2, 10.0) == pytest.approx(0.0027694, abs=1e-7)
    assert poisson_tail(20, 10.0) == pytest.approx(0.0034543, abs=1e-7)
    assert (poisson_tail(0, 0.0), poisson_tail(1, 0.0)) == (1.0, 0.0)
    assert poisson_tail(10_000, 10_000.0) == pytest.approx(0.5, abs=0.01)
    assert poisson_tail(0, 10_000.0) == 0.0


def test_a_minute_of_market_time_is_a_minute() -> None:
    assert view(candle(0, 100.0)).days == MINUTE_MS / (24 * HOUR_MS)
