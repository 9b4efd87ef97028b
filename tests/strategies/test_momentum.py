"""Breakout with the trend: each condition at its boundary, one at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from papertape.engine.kernel.answers import Answer
from papertape.engine.kernel.indicators import Adx, Atr, Donchian, VolumeAverage
from papertape.engine.kernel.series import is_ready
from papertape.engine.kernel.state import Needs, Series
from papertape.engine.kernel.view import SeriesView
from papertape.engine.strategies.momentum import MOMENTUM_LOST, Parameters, Reading, State, enter, leave
from tests.build import view_of
from tests.support import STRATEGIES

ADX_READY_ROW = 27
LONG: dict[str, Any] = {"row": 40, "close": 101.0, "atr": 0.2, "adx": 20.0, "volume": 2.1}
SHORT: dict[str, Any] = LONG | {"close": 89.0}


class Fifteen(NamedTuple):
    """A 15m series and its trend."""

    candle: Series
    adx: Adx


class Five(NamedTuple):
    """A 5m series and what the strategy knows of it."""

    candle: Series
    state: State


def five(changes: dict[str, Any]) -> Five:
    """A 5m series that broke out of its range of 90 to 100 above."""
    chosen = LONG | changes
    state = State(
        channel=Donchian(ready=1, previous_upper=100.0, previous_lower=90.0),
        atr=Atr(ready=1, value=chosen["atr"]),
        volume_average=VolumeAverage(ready=1, value=1.0),
        adx_5m=Adx(ready=int(chosen["row"] >= ADX_READY_ROW), value=chosen["adx"]),
    )
    return Five(Series(row=chosen["row"], close=chosen["close"], volume=chosen["volume"]), state)


def fifteen(adx: float = 25.0, plus: float = 20.0, minus: float = 10.0, row: int = ADX_READY_ROW) -> Fifteen:
    """A 15m series with a trend upwards."""
    return Fifteen(Series(row=row), Adx(ready=1, value=adx, plus_di=plus, minus_di=minus))


def seen(main: Five, filtered: Fifteen) -> Any:
    """The view of both."""
    state = replace(main.state, adx_15m=filtered.adx)
    return view_of({"5m": main.candle, "15m": filtered.candle}, state)


def ask(main: Five, filtered: Fifteen, parameters: Parameters = Parameters()) -> tuple[int, Answer]:  # noqa: B008
    """The side that is entered, and its numbers."""
    decision = Answer(reading=Reading())
    series = SeriesView(main.candle, ()), SeriesView(filtered.candle, ())
    if not is_ready(series, Needs(*STRATEGIES["momentum"].candles_needed(parameters))):
        return 0, decision
    return enter(seen(main, filtered), parameters, decision), decision


DOWN = fifteen(plus=10.0, minus=20.0)


@pytest.mark.parametrize(
    ("changes", "filtered", "side"),
    [
        ({}, fifteen(), 1),
        ({"close": 100.0}, fifteen(), 0),
        ({"close": 100.001}, fifteen(), 1),
        ({}, fifteen(adx=24.999), 0),
        ({"adx": 19.999}, fifteen(), 0),
        ({}, fifteen(plus=10.0, minus=10.0), 0),
        ({}, DOWN, 0),
        ({"volume": 2.0}, fifteen(), 0),
        ({"atr": 0.0}, fifteen(), 0),
        ({"row": ADX_READY_ROW - 1}, fifteen(), 0),
        ({"row": ADX_READY_ROW}, fifteen(), 1),
        ({}, fifteen(row=ADX_READY_ROW - 1), 0),
        (SHORT, DOWN, -1),
        (SHORT | {"close": 90.0}, DOWN, 0),
        (SHORT, fifteen(), 0),
        (SHORT, fifteen(plus=10.0, minus=10.0), 0),
    ],
)
def test_each_condition(changes: dict[str, Any], filtered: Fifteen, side: int) -> None:
    assert ask(five(changes), filtered)[0] == side


def test_the_range_is_ready_when_its_candles_are_there() -> None:
    wide = replace(Parameters(), breakout_lookback=41)
    assert ask(five({"row": 40}), fifteen(), wide)[0] == 0
    assert ask(five({"row": 41}), fifteen(), wide)[0] == 1


def test_stop_and_target_follow_the_atr_up_to_their_percentages() -> None:
    _, narrow = ask(five({"atr": 0.101}), fifteen())
    assert [narrow.stop_fraction, narrow.target_fraction] == pytest.approx([0.001, 0.002])
    _, wide = ask(five({"atr": 5.0}), fifteen())
    assert (wide.stop_fraction, wide.target_fraction) == (0.003, 0.006)


def test_the_score_weighs_distance_volume_and_trend() -> None:
    _, decision = ask(five({"atr": 2.0}), fifteen(adx=30.0))
    assert decision.score == pytest.approx(0.4 * 0.5 + 0.3 * (1.1 / 4.0) + 0.3 * 0.75)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"adx": 20.0}, 0), ({"adx": 19.999}, MOMENTUM_LOST), ({"adx": 0.0, "row": ADX_READY_ROW - 1}, 0)],
)
def test_it_leaves_when_the_trend_has_faded(changes: dict[str, Any], reason: int) -> None:
    decision = Answer(reading=Reading())
    assert leave(seen(five(changes), fifteen()), Parameters(), decision) == reason


def test_the_periods_determine_the_candles_it_needs() -> None:
    momentum = STRATEGIES["momentum"]
    assert momentum.candles_needed(Parameters()) == (28, 28)
    assert momentum.candles_needed(Parameters(adx_period=20)) == (40, 40)
    assert momentum.candles_needed(Parameters(breakout_lookback=2_048)) == (2_049, 28)
    assert momentum.candles_needed(Parameters(volume_period=100, atr_period=60)) == (101, 28)
