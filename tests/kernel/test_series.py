"""Higher candles exist only when whole, and a long hole takes everything back to not ready."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.engine.kernel.codes import CANDLE
from papertape.engine.kernel.indicators import Donchian, update_donchian
from papertape.engine.kernel.indicators.structs import HISTORY_BARS_MIN
from papertape.engine.kernel.observe import observe_candle
from papertape.engine.kernel.series import observe_series
from papertape.engine.kernel.state import (
    SETTLEMENTS_MAX,
    Bar,
    Fact,
    Market,
    Series,
    Settlement,
)
from papertape.engine.kernel.view import SeriesView
from papertape.engine.reducer.state import GAP_RESET_MS
from papertape.events.units import MINUTE_MS
from tests.build import FIVE_MINUTES_MS
from tests.support import examples, file_tape, needs_data


class Chart:
    """One symbol in 5m, from 1m candles."""

    def __init__(self) -> None:
        self.market = Market(base_ms=MINUTE_MS, gap_reset_ms=GAP_RESET_MS)
        self.series = Series(timeframe_ms=FIVE_MINUTES_MS, base_ms=MINUTE_MS)
        self.bars = [Bar() for _ in range(HISTORY_BARS_MIN)]
        self.settlements = [Settlement() for _ in range(SETTLEMENTS_MAX)]

    def take(
        self, minute: int, o: float = 1.0, h: float = 1.0, low: float = 1.0, c: float = 1.0, v: float = 1.0
    ) -> bool:
        """The candle of a minute; whether it completed a 5m candle."""
        fact = Fact(CANDLE, 0, 0, minute * MINUTE_MS, (minute + 1) * MINUTE_MS, o, h, low, c, v)
        observe_candle(self.market, fact, self.settlements)
        observe_series(self.series, self.bars, fact, self.market.reset)
        return self.series.completed == 1


def test_a_higher_candle_is_first_open_highest_high_lowest_low_last_close_and_all_volume() -> None:
    chart = Chart()
    rows = [
        (10.0, 12.0, 9.0, 11.0),
        (11.0, 11.0, 8.0, 9.0),
        (9.0, 15.0, 9.0, 14.0),
        (14.0, 14.0, 13.0, 13.0),
        (13.0, 13.5, 12.0, 12.5),
    ]
    completed = [chart.take(minute, *row, v=minute + 1.0) for minute, row in enumerate(rows)]
    series = chart.series
    assert completed == [False, False, False, False, True]
    assert (series.open, series.high, series.low, series.close, series.volume) == (10.0, 15.0, 8.0, 12.5, 15.0)


@pytest.mark.parametrize("missing", range(5))
def test_an_interval_with_a_missing_candle_gives_no_higher_candle(missing: int) -> None:
    chart = Chart()
    assert not any(chart.take(minute) for minute in range(5) if minute != missing)
    assert [chart.take(minute) for minute in range(5, 10)][-1], "the next interval is whole again"
    assert chart.series.row == 0


def test_a_history_that_begins_inside_an_interval_waits_for_the_next_one() -> None:
    chart = Chart()
    assert [minute for minute in range(3, 16) if chart.take(minute)] == [9, 14]


@pytest.mark.parametrize(("hole_minutes", "row_after"), [(240, 3), (245, 0)])
def test_only_a_hole_of_more_than_240_minutes_starts_the_indicators_again(hole_minutes: int, row_after: int) -> None:
    chart = Chart()
    for minute in range(15):
        chart.take(minute)
    assert chart.series.row == 2
    for minute in range(15 + hole_minutes, 20 + hole_minutes):
        chart.take(minute)
    assert chart.series.row == row_after


def test_a_reset_leaves_no_number_of_before() -> None:
    used, fresh = Chart(), Chart()
    for minute in range(500):
        used.take(minute, 5.0, 9.0, 2.0, 3.0 + minute % 7, 50.0)
    for minute in range(1_000, 1_005):
        used.take(minute, 3.0, 4.0, 2.0, 3.5, 7.0)
        fresh.take(minute, 3.0, 4.0, 2.0, 3.5, 7.0)
    assert used.series == fresh.series


@needs_data
def test_minutes_sum_to_the_recorded_five_minutes() -> None:
    start_ms, end_ms = 1_746_400_000_000 - 1_746_400_000_000 % FIVE_MINUTES_MS, 1_746_500_000_000
    minutes = file_tape(["binance_ETHUSDT_1m_2025-05-04_2025-06-24.csv.gz"], end_ms=end_ms).structs()
    fives = {f.open_time_ms: f for f in file_tape(["binance_ETHUSDT_5m_2024-12-31_2025-09-30.csv.gz"]).structs()}
    chart, compared = Chart(), 0
    for fact in minutes:
        minute = fact.open_time_ms // MINUTE_MS
        if (
            chart.take(minute, fact.open, fact.high, fact.low, fact.close, fact.volume)
            and fact.open_time_ms >= start_ms
        ):
            five = fives[fact.time_ms - FIVE_MINUTES_MS]
            made = (chart.series.open, chart.series.high, chart.series.low, chart.series.close)
            assert made == (five.open, five.high, five.low, five.close)
            assert chart.series.volume == pytest.approx(five.volume, rel=1e-12)
            compared += 1
    assert compared > 300


class Range:
    """The channel of a series whose candles each have one price."""

    def __init__(self) -> None:
        self.view = SeriesView(Series(completed=1), [Bar() for _ in range(HISTORY_BARS_MIN)])
        self.channel = Donchian()

    def add(self, row: int, price: int) -> None:
        """Complete a candle."""
        self.view.candle.row, self.view.bars[row] = row, Bar(high=price, low=price)  # type: ignore[index]

    def known(self, lookback: int) -> tuple[float, float]:
        """The highest and the lowest price of the candles before the newest one."""
        update_donchian(self.channel, self.view, lookback)
        return self.channel.previous_upper, self.channel.previous_lower


@examples(100)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=60), st.integers(1, 12))
def test_the_rolling_range_is_that_of_the_candles_before(prices: list[int], lookback: int) -> None:
    rolling = Range()
    for row, price in enumerate(prices):
        rolling.add(row, price)
        known = rolling.known(lookback)
        assert rolling.channel.ready == (row >= lookback)
        if row >= lookback:
            window = prices[row - lookback : row]
            assert known == (max(window), min(window))


LONG = st.lists(st.integers(1, 9), min_size=30, max_size=60)


@examples(50)
@given(LONG, st.integers(1, 12), st.integers(1, 12), st.integers(1, 25))
def test_another_lookback_counts_from_the_next_candle_on(prices: list[int], first: int, then: int, change: int) -> None:
    """The owner changes a parameter, or adds a strategy, in the middle of a log."""
    rolling = Range()
    for row, price in enumerate(prices):
        rolling.add(row, price)
        lookback = first if row < change else then
        known = rolling.known(lookback)
        if row >= lookback:
            window = prices[row - lookback : row]
            assert known == (max(window), min(window))


@examples(50)
@given(LONG, st.integers(1, 12), st.integers(1, 12))
def test_a_range_that_is_first_looked_at_late_knows_the_candles_of_before(
    prices: list[int], lookback: int, first: int
) -> None:
    rolling = Range()
    for row, price in enumerate(prices):
        rolling.add(row, price)
        if row >= first:
            known = rolling.known(lookback)
        if row >= max(first, lookback):
            assert known[0] == max(prices[row - lookback : row])
