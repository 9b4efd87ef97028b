"""Mean reversion: each condition at its boundary, one at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from papertape.engine.kernel.answers import Answer
from papertape.engine.kernel.codes import REASON_CODES, REGIME_NAMES
from papertape.engine.kernel.indicators import Adx, Rsi, VolumeAverage, Vwap
from papertape.engine.kernel.risk_settings import RiskSettings, rules_of
from papertape.engine.kernel.series import is_ready
from papertape.engine.kernel.state import Needs, Position, Series, SymbolState
from papertape.engine.kernel.trailing import profit_after_costs
from papertape.engine.kernel.view import SeriesView
from papertape.engine.strategies.vwap_rsi import REGIME_CHANGE, RSI_EXIT, Parameters, Reading, State, enter, leave
from tests.build import view_of
from tests.support import STRATEGIES

ADX_READY_ROW, RSI_READY_ROW, VWAP_READY_ROW = 27, 14, 287


class Fifteen(NamedTuple):
    """A 15m series and its trend."""

    candle: Series
    adx: Adx


class Five(NamedTuple):
    """A 5m series and what the strategy knows of it."""

    candle: Series
    state: State


def five(**changes: Any) -> Five:
    """A 5m series on which a long is due: RSI 29, close far below the VWAP, volume 2.1 times its mean."""
    chosen: dict[str, Any] = {
        "row": VWAP_READY_ROW,
        "rsi": 29.0,
        "close": 99.0,
        "vwap": 100.0,
        "traded": 288,
        "volume": 2.1,
        "regime": "ranging",
    }
    chosen |= changes
    regime = REGIME_NAMES.index(chosen["regime"])
    state = State(
        rsi=Rsi(ready=int(chosen["row"] >= RSI_READY_ROW), value=chosen["rsi"]),
        vwap=Vwap(ready=int(chosen["traded"] > 0), value=chosen["vwap"], traded=chosen["traded"]),
        volume_average=VolumeAverage(ready=1, value=1.0),
    )
    return Five(Series(row=chosen["row"], close=chosen["close"], volume=chosen["volume"], regime=regime), state)


def fifteen(adx: float = 15.0, plus: float = 10.0, minus: float = 10.0, row: int = ADX_READY_ROW) -> Fifteen:
    """A 15m series without a trend."""
    return Fifteen(Series(row=row), Adx(ready=1, value=adx, plus_di=plus, minus_di=minus))


def seen(main: Five, filtered: Fifteen, **rest: Any) -> Any:
    """The view of both."""
    state = replace(main.state, adx_15m=filtered.adx)
    return view_of({"5m": main.candle, "15m": filtered.candle}, state, **rest)


def asked(main: Five, filtered: Fifteen | None = None, parameters: Parameters = Parameters()) -> int:  # noqa: B008
    """The side that is entered."""
    filtered, decision = filtered or fifteen(), Answer(reading=Reading())
    series = SeriesView(main.candle, ()), SeriesView(filtered.candle, ())
    if not is_ready(series, Needs(*STRATEGIES["vwap_rsi"].candles_needed(parameters))):
        return 0
    return enter(seen(main, filtered), parameters, decision)


BELOW_AT, ABOVE_AT = 100.0 * (1.0 - 0.3 / 100.0), 100.0 * (1.0 + 0.3 / 100.0)
"""A close exactly here is not beyond the deviation."""
SHORT: dict[str, Any] = {"rsi": 71.0, "close": 101.0}


@pytest.mark.parametrize(
    ("changes", "side"),
    [
        ({}, 1),
        ({"rsi": 30.0}, 0),
        ({"rsi": 29.999}, 1),
        ({"close": BELOW_AT}, 0),
        ({"close": 99.699}, 1),
        ({"volume": 2.0}, 0),
        ({"volume": 2.001}, 1),
        ({"regime": "low_volatility"}, 1),
        ({"regime": "high_volatility"}, 0),
        ({"regime": "trending_up"}, 0),
        ({"regime": "trending_down"}, 0),
        ({"regime": "unknown"}, 0),
        ({"row": VWAP_READY_ROW - 1}, 0),
        ({"traded": 0}, 0),
        (SHORT, -1),
        (SHORT | {"rsi": 70.0}, 0),
        (SHORT | {"close": ABOVE_AT}, 0),
        (SHORT | {"close": 100.301}, -1),
        ({"rsi": 29.0, "close": 101.0}, 0),
        ({"rsi": 71.0, "close": 99.0}, 0),
    ],
)
def test_each_condition_of_the_five_minutes(changes: dict[str, Any], side: int) -> None:
    assert asked(five(**changes)) == side


@pytest.mark.parametrize(
    ("changes", "filtered", "side"),
    [
        ({}, fifteen(adx=25.0, plus=20.0), 1),
        ({}, fifteen(adx=25.001, plus=20.0), 0),
        ({}, fifteen(adx=20.0, minus=20.0), 1),
        ({}, fifteen(adx=20.001, minus=20.0), 0),
        ({}, fifteen(adx=20.001), 1),
        ({}, fifteen(row=ADX_READY_ROW - 1), 0),
        (SHORT, fifteen(adx=20.001, plus=20.0), 0),
        (SHORT, fifteen(adx=20.001, minus=20.0), -1),
        (SHORT, fifteen(adx=20.0, plus=20.0), -1),
    ],
)
def test_each_condition_of_the_fifteen_minutes(changes: dict[str, Any], filtered: Fifteen, side: int) -> None:
    assert asked(five(**changes), filtered) == side


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rsi_long_threshold", 29.0),
        ("vwap_deviation_entry", 1.0),
        ("volume_spike_multiplier", 2.1),
        ("trend_adx_threshold", 14.9),
    ],
)
def test_each_parameter_moves_its_condition(name: str, value: float) -> None:
    assert asked(five()) == 1
    assert asked(five(), parameters=replace(Parameters(), **{name: value})) == 0


def test_the_score_weighs_exhaustion_distance_volume_and_trend() -> None:
    decision = Answer(reading=Reading())
    with_trend = seen(five(rsi=15.0), fifteen(21.0, plus=20.0))
    assert enter(with_trend, Parameters(), decision) == 1
    assert decision.score == pytest.approx(0.35 * 0.5 + 0.25 * 1.0 + 0.20 * (1.1 / 4.0) + 0.20)
    enter(seen(five(rsi=15.0), fifteen()), Parameters(), decision)
    assert decision.score == pytest.approx(0.35 * 0.5 + 0.25 * 1.0 + 0.20 * (1.1 / 4.0) + 0.10)
    assert (decision.stop_fraction, decision.target_fraction) == (0.003, 0.008)


@pytest.mark.parametrize(
    ("side", "rsi", "profit", "regime", "row", "reason"),
    [
        (1, 50.001, 0.01, "ranging", RSI_READY_ROW, RSI_EXIT),
        (1, 50.0, 0.01, "ranging", RSI_READY_ROW, 0),
        (1, 60.0, 0.0, "ranging", RSI_READY_ROW, 0),
        (1, 60.0, 0.01, "ranging", RSI_READY_ROW - 1, 0),
        (-1, 49.999, 0.01, "ranging", RSI_READY_ROW, RSI_EXIT),
        (-1, 60.0, 0.01, "ranging", RSI_READY_ROW, 0),
        (1, 60.0, 0.01, "trending_up", RSI_READY_ROW, RSI_EXIT),
        (1, 40.0, -5.0, "trending_up", RSI_READY_ROW, REGIME_CHANGE),
        (-1, 60.0, -5.0, "trending_down", RSI_READY_ROW, REGIME_CHANGE),
        (1, 40.0, 5.0, "high_volatility", RSI_READY_ROW, 0),
    ],
)
def test_it_leaves_in_this_order(side: int, rsi: float, profit: float, regime: str, row: int, reason: int) -> None:
    desk, main = SymbolState(position=Position(side=side)), five(rsi=rsi, regime=regime, row=row)
    decision = Answer(reading=Reading())
    view = seen(main, fifteen(), symbol=desk, profit_usdt=profit)
    assert leave(view, Parameters(), decision) == reason


def test_the_profit_it_asks_for_is_after_all_costs_of_the_trade() -> None:
    """q*d*(X - E) - open fee + funding - q*X*t, where X is slipped and not rounded."""
    position = Position(side=1, quantity_base=2.0, entry_price_usdt=100.0, fee_usdt=0.12, funding_usdt=-0.5)
    got = profit_after_costs(position, 101.0, 0.001, rules_of(RiskSettings()))
    left_at = 101.0 * 0.999
    assert got == pytest.approx(2.0 * (left_at - 100.0) - 0.12 - 0.5 - 2.0 * left_at * 0.0006, abs=1e-12)


def test_the_exit_reasons_are_its_own_names() -> None:
    assert STRATEGIES["vwap_rsi"].exit_reasons == ("rsi_exit", "regime_change")
    assert not set(STRATEGIES["vwap_rsi"].exit_reasons) & set(REASON_CODES)


def test_the_periods_determine_the_candles_it_needs() -> None:
    vwap_rsi = STRATEGIES["vwap_rsi"]
    assert vwap_rsi.candles_needed(Parameters()) == (288, 28)
    assert vwap_rsi.candles_needed(Parameters(vwap_period=2_048, adx_period=30)) == (2_048, 60)
    assert vwap_rsi.candles_needed(Parameters(vwap_period=10, volume_period=10)) == (34, 28), "the regime is fixed"
    assert vwap_rsi.candles_needed(Parameters(vwap_period=10, rsi_period=50)) == (51, 28)
