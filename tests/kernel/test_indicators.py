"""Indicators against reference tables, and the regime of a series, folded row by row as the engine does it."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pytest

from papertape.engine.kernel.codes import CANDLE, REGIME_NAMES
from papertape.engine.kernel.indicators import (
    Adx,
    Atr,
    Rsi,
    SessionVwap,
    VolumeAverage,
    Vwap,
    is_volume_spike,
    true_range,
    update_adx,
    update_atr,
    update_rsi,
    update_session_vwap,
    update_volume_average,
    update_vwap,
)
from papertape.engine.kernel.indicators.structs import HISTORY_BARS_MIN
from papertape.engine.kernel.indicators.wilder import fold_adx
from papertape.engine.kernel.series import REGIME_READY_ROW, classify_regime, observe_series
from papertape.engine.kernel.state import Bar, Fact, Series
from papertape.engine.kernel.view import SeriesView
from papertape.events.units import DAY_MS, MINUTE_MS
from tests.support import indicator_table, needs_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Column = list[float | None]
Table = dict[str, list[Any]]
TALIB = [
    "talib_BTCUSDT_5m_2025-02-02.csv.gz",
    "talib_ETHUSDT_1m_2025-06-12.csv.gz",
    "talib_BTCUSDT_1h_2024-07-15.csv.gz",
]
NO_VOLUME = 0.0


def fold(table: Table) -> Iterator[SeriesView]:
    """The series after each row."""
    close = table["close"]
    high, low, volume = table.get("high", close), table.get("low", close), table.get("volume", [NO_VOLUME] * len(close))
    view = SeriesView(Series(timeframe_ms=MINUTE_MS, base_ms=MINUTE_MS), [Bar() for _ in range(HISTORY_BARS_MIN)])
    for row, (h, low_, c, v) in enumerate(zip(high, low, close, volume, strict=True)):
        fact = Fact(CANDLE, 0, 0, row * MINUTE_MS, (row + 1) * MINUTE_MS, c, h, low_, c, v)
        observe_series(view.candle, view.bars, fact, 0)
        yield view


def folded(table: Table, indicator: Any, update: Callable[..., None], period: int, result: str = "value") -> Column:
    """One indicator's column, None before it is ready."""
    column: Column = []
    is_ready, value = attrgetter("di_ready" if result.endswith("di") else "ready"), attrgetter(result)
    for view in fold(table):
        update(indicator, view, period)
        column.append(value(indicator) if is_ready(indicator) else None)
    return column


def assert_equal(got: Column, wanted: Column, tolerance: float = 1e-8) -> None:
    """Equal where the table has a value, and ready from the same row on."""
    assert [value is None for value in got] == [value is None for value in wanted]
    for row, (mine, theirs) in enumerate(zip(got, wanted, strict=True)):
        if mine is not None:
            assert mine == pytest.approx(theirs, rel=tolerance, abs=tolerance), f"row {row}"


@needs_data
@pytest.mark.parametrize("name", TALIB)
def test_rsi_atr_and_adx_equal_talib(name: str) -> None:
    table = indicator_table(name)
    assert_equal(folded(table, Rsi(), update_rsi, 14), table["rsi_14"])
    assert_equal(folded(table, Atr(), update_atr, 14), table["atr_14"])
    assert_equal(folded(table, Adx(), update_adx, 14, "plus_di"), table["plus_di_14"])
    assert_equal(folded(table, Adx(), update_adx, 14, "minus_di"), table["minus_di_14"])
    assert_equal(folded(table, Adx(), update_adx, 14), table["adx_14"])


@needs_data
@pytest.mark.parametrize("name", TALIB)
def test_a_series_has_the_true_range_and_movement_of_14_candles(name: str) -> None:
    table = indicator_table(name)
    atr, adx = Atr(), Adx()
    for view in fold(table):
        update_atr(atr, view, 14)
        update_adx(adx, view, 14)
        own = view.candle
        assert (own.atr.ready, own.atr.value) == (atr.ready, atr.value)
        assert (own.adx.ready, own.adx.value, own.adx.plus_di, own.adx.minus_di) == (
            adx.ready,
            adx.value,
            adx.plus_di,
            adx.minus_di,
        )


@needs_data
@pytest.mark.parametrize("name", TALIB)
def test_the_mean_of_volume_equals_the_reference_of_a_simple_mean(name: str) -> None:
    table = indicator_table(name)
    closes_as_volume = {**table, "volume": table["close"]}
    assert_equal(folded(closes_as_volume, VolumeAverage(), update_volume_average, 20), table["sma_20"])


@needs_data
@pytest.mark.parametrize("name", TALIB)
def test_true_range_equals_the_reference(name: str) -> None:
    table = indicator_table(name)
    rows = zip(table["high"][1:], table["low"][1:], table["close"], strict=False)
    assert [true_range(*row) for row in rows] == pytest.approx(table["tr"][1:], abs=1e-6)


@needs_data
def test_the_session_vwap_equals_the_day_anchored_reference() -> None:
    table = indicator_table(TALIB[0])
    day = {name: column[:288] for name, column in table.items()}
    assert_equal(folded(day, SessionVwap(), update_session_vwap, DAY_MS), day["vwap_utc_day"])


@needs_data
def test_vwap_forgets_what_left_its_window() -> None:
    sheet = indicator_table("vwap_rolling_14.csv")
    got = folded(sheet, Vwap(), update_vwap, 14)
    assert got[:13] == [None] * 13
    assert got[13:] == pytest.approx(sheet["vwap_rolling_14"][13:], rel=1e-8)


@needs_data
def test_rsi_equals_the_stockcharts_sheet() -> None:
    table = indicator_table("stockcharts_rsi.csv")
    assert_equal(folded(table, Rsi(), update_rsi, 14), table["rsi_14_wilder"])


@needs_data
def test_atr_leaves_out_the_first_bar_and_approaches_the_stockcharts_sheet() -> None:
    table = indicator_table("stockcharts_atr.csv")
    got = folded(table, Atr(), update_atr, 14)
    assert_equal(got, table["atr_14_talib"])
    assert table["atr_14_sheet"][13] is not None, "the sheet counts the first bar's high - low"
    assert abs((got[-1] or 0.0) - table["atr_14_sheet"][-1]) == pytest.approx(0.008, abs=5e-4)


@needs_data
def test_adx_starts_its_sums_as_talib_and_meets_the_stockcharts_sheet_in_the_end() -> None:
    table = indicator_table("stockcharts_adx.csv")
    got = folded(table, Adx(), update_adx, 14)
    assert_equal(got, table["adx_14_talib"])
    assert_equal(folded(table, Adx(), update_adx, 14, "plus_di"), table["plus_di_14_talib"])
    assert_equal(folded(table, Adx(), update_adx, 14, "minus_di"), table["minus_di_14_talib"])
    apart = [abs(mine - sheet) for mine, sheet in zip(got, table["adx_14_sheet"], strict=True) if mine and sheet]
    assert max(apart) == pytest.approx(0.744, abs=1e-3)
    assert apart[-1] < 1e-7


def test_prices_that_stand_still_have_defined_indicators() -> None:
    *_, view = fold({name: [5.0] * 40 for name in ("high", "low", "close")})
    series = view.candle
    assert (series.atr.value, series.adx.value, series.adx.plus_di) == (0.0, 0.0, 0.0)
    assert REGIME_NAMES[series.regime] == "ranging"


def test_a_bar_that_reaches_as_far_up_as_down_moves_in_no_direction() -> None:
    adx = Adx()
    fold_adx(adx, 1, 1.0, 1.0, 3.0, 14)
    assert (adx.plus_sum, adx.minus_sum, adx.range_sum) == (0.0, 0.0, 3.0)


def test_adx_keeps_its_value_while_nothing_moves() -> None:
    rising = [float(row) for row in range(1, 41)]
    flat_after = [*rising, *[40.0] * 3]
    values = [view.candle.adx.value for view in fold({"close": flat_after})]
    assert values[-1] == values[39] == 100.0


@pytest.mark.parametrize(
    ("row", "atr", "sma", "adx", "plus", "minus", "regime"),
    [
        (REGIME_READY_ROW - 1, 3.0, 1.0, 30.0, 2.0, 1.0, "unknown"),
        (REGIME_READY_ROW, 2.1, 1.0, 30.0, 2.0, 1.0, "high_volatility"),
        (REGIME_READY_ROW, 2.0, 1.0, 30.0, 2.0, 1.0, "trending_up"),
        (REGIME_READY_ROW, 0.4, 1.0, 30.0, 2.0, 1.0, "low_volatility"),
        (REGIME_READY_ROW, 0.5, 1.0, 30.0, 1.0, 2.0, "trending_down"),
        (REGIME_READY_ROW, 1.0, 1.0, 25.0, 2.0, 1.0, "ranging"),
        (REGIME_READY_ROW, 1.0, 1.0, 30.0, 2.0, 2.0, "ranging"),
    ],
)
def test_the_regime_is_the_first_match(
    row: int, atr: float, sma: float, adx: float, plus: float, minus: float, regime: str
) -> None:
    series = Series(row=row, atr=Atr(value=atr), atr_mean=sma, adx=Adx(value=adx, plus_di=plus, minus_di=minus))
    assert REGIME_NAMES[classify_regime(series)] == regime


@pytest.mark.parametrize(("volume", "mean", "stands_out"), [(2.01, 1.0, True), (2.0, 1.0, False), (0.0, 0.0, False)])
def test_a_spike_is_more_than_the_multiple_of_the_mean_and_more_than_nothing(
    volume: float, mean: float, stands_out: bool
) -> None:
    assert is_volume_spike(volume, mean, 2.0) is stands_out
