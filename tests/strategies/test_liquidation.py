"""Liquidation zones: the crowd's entry price, the reading that open interest is compared with, and the nearer zone."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from papertape.engine.kernel.answers import Answer
from papertape.engine.kernel.observe import observe_open_interest
from papertape.engine.kernel.series import is_ready
from papertape.engine.kernel.state import (
    READINGS_MAX,
    Fact,
    Market,
    Needs,
    OpenInterest,
    Series,
)
from papertape.engine.kernel.view import SeriesView
from papertape.engine.strategies.liquidation import (
    OPEN_INTEREST_FELL,
    Parameters,
    Reading,
    State,
    enter,
    leave,
    observe,
    on_gap,
    on_open_interest,
)
from papertape.events.units import MINUTE_MS
from tests.build import view_of
from tests.support import STRATEGIES


class Crowd:
    """One symbol's open interest."""

    def __init__(self, close: float = 100.0, row: int = 47) -> None:
        self.market = Market()
        self.readings = [OpenInterest() for _ in range(READINGS_MAX)]
        self.main = Series(row=row, close=close)
        self.state = State()

    def read(self, minute: int, value: float) -> None:
        """A reading, when its turn comes."""
        fact = Fact(2, 0, 0, minute * MINUTE_MS, minute * MINUTE_MS, close=value)
        observe_open_interest(self.market, fact, self.readings)
        on_open_interest(self.view(), Parameters())

    def view(self) -> Any:
        """What the strategy sees."""
        return view_of({"5m": self.main}, self.state, self.market, self.readings)

    def ask(self, minute: int, close: float, parameters: Parameters = Parameters()) -> int:  # noqa: B008 - frozen
        """The side entered on a close."""
        self.market.close_time_ms, self.main.close = minute * MINUTE_MS, close
        decision = Answer(reading=Reading())
        if not is_ready((SeriesView(self.main, ()),), Needs(*STRATEGIES["liquidation"].candles_needed(parameters))):
            return 0
        return enter(self.view(), parameters, decision)

    def leaving(self, minute: int, parameters: Parameters = Parameters()) -> int:  # noqa: B008 - frozen
        """The reason it leaves for."""
        self.market.close_time_ms = minute * MINUTE_MS
        decision = Answer(reading=Reading())
        return leave(self.view(), parameters, decision)


def risen(percent: float = 2.0) -> Crowd:
    """A crowd that entered at 100; its zones are 98 and 102."""
    crowd = Crowd()
    crowd.read(0, 1_000_000.0)
    crowd.read(60, 1_000_000.0 + 10_000.0 * percent)
    return crowd


@pytest.mark.parametrize(
    ("close", "side"),
    [(102.0, 1), (102.5, 1), (102.51, 0), (101.5, 1), (101.49, 0), (98.0, -1), (97.5, -1), (97.49, 0), (100.0, 0)],
)
def test_near_a_zone_it_expects_the_run_to_go_on(close: float, side: int) -> None:
    assert risen().ask(60, close) == side


def test_between_two_zones_equally_near_there_is_none() -> None:
    assert risen().ask(60, 100.0, replace(Parameters(), zone_buffer_percent=10.0)) == 0


@pytest.mark.parametrize(("percent", "side"), [(50.0, 1), (49.999, 0)])
def test_open_interest_must_have_risen(percent: float, side: int) -> None:
    assert risen(percent).ask(60, 102.0, replace(Parameters(), oi_change_threshold=50.0)) == side


@pytest.mark.parametrize(("row", "side"), [(47, 1), (46, 0)])
def test_it_needs_a_halflife_of_candles(row: int, side: int) -> None:
    crowd = risen()
    crowd.main.row = row
    assert crowd.ask(60, 102.0) == side


@pytest.mark.parametrize(("minute", "side"), [(120, 1), (121, 0)])
def test_the_newest_reading_must_not_be_older_than_the_window(minute: int, side: int) -> None:
    assert risen().ask(minute, 102.0) == side


@pytest.mark.parametrize(
    ("times", "base_minute"),
    [
        ([0, 59], None),
        ([0, 60], 0),
        ([0, 1, 60], 0),
        ([0, 5, 65], 5),
        ([0, 5, 10, 69], 5),
        ([0, 120], 0),
        ([0, 30, 60, 90], 30),
    ],
)
def test_the_base_is_the_newest_reading_at_least_a_window_older(times: list[int], base_minute: int | None) -> None:
    crowd = Crowd()
    for minute in times:
        crowd.read(minute, 1_000.0 + minute)
    expected = -1 if base_minute is None else base_minute * MINUTE_MS
    assert crowd.state.base_time_ms == expected


@pytest.mark.parametrize(("newest", "side"), [(120, 1), (121, 0)])
def test_a_base_more_than_two_windows_older_is_none(newest: int, side: int) -> None:
    crowd = Crowd()
    crowd.read(0, 1_000_000.0)
    crowd.state.weight, crowd.state.weighted_price = 1.0, 100.0
    crowd.read(newest, 1_000_000.0)
    crowd.readings[1].value = crowd.state.newest_value = 1_020_000.0
    assert crowd.ask(newest, 102.0) == side


@pytest.mark.parametrize(("apart", "counts"), [(120, True), (121, False)])
def test_a_rise_counts_only_against_a_reading_of_at_most_two_windows_before(apart: int, counts: bool) -> None:
    crowd = Crowd()
    crowd.read(0, 1_000.0)
    crowd.read(apart, 1_500.0)
    assert (crowd.state.weight, crowd.state.weighted_price) == ((500.0, 50_000.0) if counts else (0.0, 0.0))


def test_a_fall_and_the_first_reading_and_one_before_any_candle_add_nothing() -> None:
    crowd = Crowd()
    crowd.read(0, 1_000.0)
    crowd.read(5, 900.0)
    assert crowd.state.weight == 0.0
    early = Crowd(row=-1)
    early.read(0, 1_000.0)
    early.read(5, 2_000.0)
    assert early.state.weight == 0.0


def test_the_crowds_memory_halves_in_a_halflife() -> None:
    state = State(weight=1.0, weighted_price=100.0)
    for _ in range(48):
        observe(view_of({"5m": Series()}, state), Parameters())
    assert state.weight == pytest.approx(0.5, rel=1e-4)
    assert state.weighted_price / state.weight == pytest.approx(100.0)


def test_its_decay_is_the_rational_form() -> None:
    state = State(weight=1.0)
    observe(view_of({"5m": Series()}, state), Parameters())
    ln_2 = 0.6931471805599453
    assert state.weight == (96.0 - ln_2) / (96.0 + ln_2)
    assert state.weight == pytest.approx(0.5 ** (1.0 / 48.0), rel=3e-7)


@pytest.mark.parametrize(("value", "reason"), [(970_001.0, 0), (969_999.0, OPEN_INTEREST_FELL), (1_100_000.0, 0)])
def test_it_leaves_when_open_interest_fell(value: float, reason: int) -> None:
    crowd = Crowd()
    crowd.read(0, 1_000_000.0)
    crowd.read(60, value)
    assert crowd.leaving(60) == reason


@pytest.mark.parametrize(("value", "reason"), [(500_000.0, 0), (499_999.0, OPEN_INTEREST_FELL)])
def test_a_fall_by_exactly_the_threshold_is_not_enough(value: float, reason: int) -> None:
    crowd = Crowd()
    crowd.read(0, 1_000_000.0)
    crowd.read(60, value)
    assert crowd.leaving(60, replace(Parameters(), oi_exit_threshold=50.0)) == reason


def test_it_does_not_leave_when_the_change_is_not_known() -> None:
    crowd = Crowd()
    crowd.read(0, 1_000_000.0)
    crowd.read(60, 100.0)
    assert crowd.leaving(121) == 0


def test_a_long_hole_forgets_the_crowd_and_the_base() -> None:
    crowd = risen()
    on_gap(crowd.view(), Parameters())
    crowd.market.readings = 0
    assert crowd.ask(60, 102.0) == 0
    crowd.read(500, 1_000_000.0)
    crowd.read(560, 1_100_000.0)
    assert crowd.state.base_time_ms == 500 * MINUTE_MS
    assert crowd.state.weight == 100_000.0


def test_the_base_survives_a_ring_that_ran_around() -> None:
    crowd = Crowd()
    for minute in range(READINGS_MAX + 500):
        crowd.read(minute, 1_000_000.0 + minute)
    assert crowd.state.base_time_ms == (READINGS_MAX + 500 - 61) * MINUTE_MS
