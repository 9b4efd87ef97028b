"""Breakout with the trend: each condition at its boundary, one at a time."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from papertape.engine.kernel.answers import Answer
from papertape.engine.kernel.decide import is_ready
from papertape.engine.kernel.indicators import ADX_READY_ROW
from papertape.engine.kernel.state import Adx, Atr, Extreme, Needs, Series, VolumeAverage
from papertape.engine.kernel.view import SeriesView
from papertape.engine.strategies.momentum import MOMENTUM_LOST, Parameters, Reading, State, enter, leave
from tests.build import view_of
from tests.support import STRATEGIES

LONG: dict[str, Any] = {"row": 40, "close": 101.0, "atr": 0.2, "adx": 20.0, "volume": 2.1}
SHORT: dict[str, Any] = LONG | {"close": 89.0}


def five(changes: dict[str, Any]) -> Series:
    """A 5m series that broke out above 100."""
    chosen = LONG | changes
    return Series(
        row=chosen["row"],
        close=chosen["close"],
        volume=chosen["volume"],
        atr=Atr(value=chosen["atr"]),
        adx=Adx(value=chosen["adx"]),
        volume_average=VolumeAverage(value=1.0),
    )


def fifteen(adx: float = 25.0, plus: float = 20.0, minus: float = 10.0, row: int = ADX_READY_ROW) -> Series:
    """A 15m series with a trend upwards."""
    return Series(row=row, adx=Adx(value=adx, plus_di=plus, minus_di=minus))


def ask(main: Series, filtered: Series, parameters: Parameters = Parameters()) -> tuple[int, Answer]:  # noqa: B008
    """The side that is entered, over a range of 90 to 100, and its numbers."""
    decision, state = Answer(reading=Reading()), State(Extreme(100.0, 39), Extreme(90.0, 39))
    series = SeriesView(main, ()), SeriesView(filtered, ())
    if not is_ready(series, Needs(*STRATEGIES["momentum"].candles_needed(parameters))):
        return 0, decision
    return enter(view_of({"5m": main, "15m": filtered}, state), parameters, decision), decision


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
def test_each_condition(changes: dict[str, Any], filtered: Series, side: int) -> None:
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
    assert leave(view_of({"5m": five(changes), "15m": fifteen()}, State()), Parameters(), decision) == reason
