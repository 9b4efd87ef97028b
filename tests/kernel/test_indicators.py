"""Indicators against reference tables, folded row by row through a series as the engine does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from papertape.engine.kernel.codes import CANDLE, REGIME_NAMES
from papertape.engine.kernel.indicators import (
    ADX_READY_ROW,
    ATR_READY_ROW,
    DI_READY_ROW,
    REGIME_READY_ROW,
    RSI_READY_ROW,
    VOLUME_READY_ROW,
    VWAP_READY_ROW,
    classify_regime,
    is_volume_spike,
    true_range,
    update_adx,
)
from papertape.engine.kernel.series import observe_series
from papertape.engine.kernel.state import HISTORY_BARS_MAX, Adx, Atr, Bar, Fact, Series, VolumeAverage
from papertape.events.units import MINUTE_MS
from tests.support import indicator_table, needs_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Column = list[float | None]
TALIB = [
    "talib_BTCUSDT_5m_2025-02-02.csv.gz",
    "talib_ETHUSDT_1m_2025-06-12.csv.gz",
    "talib_BTCUSDT_1h_2024-07-15.csv.gz",
]
NO_VOLUME = 0.0


def fold(
    high: Sequence[float], low: Sequence[float], close: Sequence[float], volume: Sequence[float]
) -> Iterator[Series]:
    """The series after each row."""
    series = Series(timeframe_ms=MINUTE_MS, base_ms=MINUTE_MS)
    bars = [Bar() for _ in range(HISTORY_BARS_MAX)]
    for row, (h, low_, c, v) in enumerate(zip(high, low, close, volume, strict=True)):
        observe_series(series, bars, Fact(CANDLE, 0, 0, row * MINUTE_MS, (row + 1) * MINUTE_MS, c, h, low_, c, v), 0)
        yield series


def folded(table: dict[str, list[float]], value: Callable[[Series], float], ready_row: int) -> Column:
    """One indicator's column, None before it is ready."""
    close = table["close"]
    high, low, volume = table.get("high", close), table.get("low", close), table.get("volume", [NO_VOLUME] * len(close))
    every = fold(high, low, close, volume)
    return [value(series) if series.row >= ready_row else None for series in every]


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
    assert_equal(folded(table, lambda series: series.rsi.value, RSI_READY_ROW), table["rsi_14"])
    assert_equal(folded(table, lambda series: series.atr.value, ATR_READY_ROW), table["atr_14"])
    assert_equal(folded(table, lambda series: series.adx.plus_di, DI_READY_ROW), table["plus_di_14"])
    assert_equal(folded(table, lambda series: series.adx.minus_di, DI_READY_ROW), table["minus_di_14"])
    assert_equal(folded(table, lambda series: series.adx.value, ADX_READY_ROW), table["adx_14"])


@needs_data
@pytest.mark.parametrize("name", TALIB)
def test_the_mean_of_volume_equals_the_reference_of_a_simple_mean(name: str) -> None:
    table = indicator_table(name)
    closes_as_volume = {**table, "volume": table["close"]}
    assert_equal(
        folded(closes_as_volume, lambda series: series.volume_average.value, VOLUME_READY_ROW), table["sma_20"]
    )


@needs_data
@pytest.mark.parametrize("name", TALIB)
def test_true_range_equals_the_reference(name: str) -> None:
    table = indicator_table(name)
    rows = zip(table["high"][1:], table["low"][1:], table["close"], strict=False)
    assert [true_range(*row) for row in rows] == pytest.approx(table["tr"][1:], abs=1e-6)


@needs_data
def test_vwap_equals_the_day_anchored_reference_until_its_window_is_full() -> None:
    table = indicator_table(TALIB[0])
    got = folded(table, lambda series: series.vwap.value, 0)
    assert_equal(got[: VWAP_READY_ROW + 1], table["vwap_utc_day"][: VWAP_READY_ROW + 1])


@needs_data
def test_vwap_forgets_what_left_its_window() -> None:
    """Fourteen rows of the sheet, each followed by 20 candles without volume, fill the window of 288 candles."""
    sheet = indicator_table("vwap_rolling_14.csv")
    spread: dict[str, list[float]] = {name: [] for name in ("high", "low", "close", "volume")}
    for row in range(len(sheet["close"])):
        for name, column in spread.items():
            filler = NO_VOLUME if name == "volume" else 1.0
            column += [sheet[name][row], *[filler] * 20]
    got = folded(spread, lambda series: series.vwap.value, 0)
    assert_equal(got[::21], sheet["vwap_rolling_14"])


@needs_data
def test_rsi_equals_the_stockcharts_sheet() -> None:
    table = indicator_table("stockcharts_rsi.csv")
    assert_equal(folded(table, lambda series: series.rsi.value, RSI_READY_ROW), table["rsi_14_wilder"])


@needs_data
def test_atr_leaves_out_the_first_bar_and_approaches_the_stockcharts_sheet() -> None:
    table = indicator_table("stockcharts_atr.csv")
    got = folded(table, lambda series: series.atr.value, ATR_READY_ROW)
    assert_equal(got, table["atr_14_talib"])
    assert table["atr_14_sheet"][ATR_READY_ROW - 1] is not None, "the sheet counts the first bar's high - low"
    assert abs((got[-1] or 0.0) - table["atr_14_sheet"][-1]) == pytest.approx(0.008, abs=5e-4)


@needs_data
def test_adx_starts_its_sums_as_talib_and_meets_the_stockcharts_sheet_in_the_end() -> None:
    table = indicator_table("stockcharts_adx.csv")
    got = folded(table, lambda series: series.adx.value, ADX_READY_ROW)
    assert_equal(got, table["adx_14_talib"])
    assert_equal(folded(table, lambda series: series.adx.plus_di, DI_READY_ROW), table["plus_di_14_talib"])
    assert_equal(folded(table, lambda series: series.adx.minus_di, DI_READY_ROW), table["minus_di_14_talib"])
    apart = [abs(mine - sheet) for mine, sheet in zip(got, table["adx_14_sheet"], strict=True) if mine and sheet]
    assert max(apart) == pytest.approx(0.744, abs=1e-3)
    assert apart[-1] < 1e-7


def test_prices_that_stand_still_have_defined_indicators() -> None:
    *_, series = fold([5.0] * 40, [5.0] * 40, [5.0] * 40, [NO_VOLUME] * 40)
    assert (series.rsi.value, series.atr.value, series.adx.value) == (50.0, 0.0, 0.0)
    assert (series.adx.plus_di, series.vwap.value, series.volume_average.value) == (0.0, 0.0, 0.0)


def test_a_bar_that_reaches_as_far_up_as_down_moves_in_no_direction() -> None:
    adx = Adx()
    update_adx(adx, 1, 1.0, 1.0, 3.0)
    assert (adx.plus_sum, adx.minus_sum, adx.range_sum) == (0.0, 0.0, 3.0)


def test_adx_keeps_its_value_while_nothing_moves() -> None:
    rising = [float(row) for row in range(1, 41)]
    flat_after = [*rising, *[40.0] * 3]
    values = [series.adx.value for series in fold(flat_after, flat_after, flat_after, [1.0] * 43)]
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
    series = Series(row=row, atr=Atr(value=atr, sma=sma), adx=Adx(value=adx, plus_di=plus, minus_di=minus))
    assert REGIME_NAMES[classify_regime(series)] == regime


@pytest.mark.parametrize(("volume", "mean", "stands_out"), [(2.01, 1.0, True), (2.0, 1.0, False), (0.0, 0.0, False)])
def test_a_spike_is_more_than_the_multiple_of_the_mean_and_more_than_nothing(
    volume: float, mean: float, stands_out: bool
) -> None:
    assert is_volume_spike(volume, VolumeAverage(value=mean), 2.0) is stands_out
