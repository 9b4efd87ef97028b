"""Breakout with the trend: follow the price out of its range when volume and the 15m trend confirm it.

It decides on 5m closes. Stop and target follow the ATR but are never wider than their percentages; it leaves when the
5m trend has faded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Struct, field

from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON
from papertape.engine.kernel.indicators import (
    Adx,
    Atr,
    Donchian,
    VolumeAverage,
    is_volume_spike,
    update_adx,
    update_atr,
    update_donchian,
    update_volume_average,
)
from papertape.engine.kernel.parameters import between, positive
from papertape.engine.kernel.strategy import Condition, clip

if TYPE_CHECKING:
    from papertape.engine.kernel.answers import Answer
    from papertape.engine.kernel.view import View

NAME = "momentum"
SERIES = ("5m", "15m")
EXIT_REASONS = ("momentum_lost",)
MOMENTUM_LOST = FIRST_EXIT_REASON
PLOT = {"highest": "price", "lowest": "price", "adx_5m": "pane:ADX", "adx_15m": "pane:ADX"}


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds of the trend and the breakout, stop and target."""

    breakout_lookback: Annotated[int, between(1, 2_048, "candles", "candles whose range must be broken")] = 20
    adx_period: Annotated[int, between(2, 500, "candles", "period of the ADX, 5m and 15m")] = 14
    atr_period: Annotated[int, between(1, 500, "candles", "period of the ATR")] = 14
    volume_period: Annotated[int, between(1, 2_048, "candles", "candles of the mean volume")] = 20
    trend_adx_threshold: Annotated[float, between(0.0, 100.0, "ADX", "least 15m ADX of an entry")] = 25.0
    exit_adx_threshold: Annotated[float, between(0.0, 100.0, "ADX", "5m ADX below which the trend is over")] = 20.0
    volume_confirmation_multiplier: Annotated[float, positive(20.0, "x", "volume against its mean")] = 2.0
    atr_multiplier_tp: Annotated[float, positive(50.0, "x", "target in ATR")] = 2.0
    atr_multiplier_sl: Annotated[float, positive(50.0, "x", "stop in ATR")] = 1.0
    tp_percent: Annotated[float, positive(50.0, "%", "widest target")] = 0.6
    sl_percent: Annotated[float, positive(50.0, "%", "widest stop")] = 0.3


class State(Struct):
    """The range of the 5m candles, their volatility and volume, and the trend of both timeframes."""

    channel: Donchian = field(default_factory=Donchian)
    atr: Atr = field(default_factory=Atr)
    volume_average: VolumeAverage = field(default_factory=VolumeAverage)
    adx_5m: Adx = field(default_factory=Adx)
    adx_15m: Adx = field(default_factory=Adx)


class Reading(Struct):
    """The numbers behind a decision."""

    close: float = 0.0
    highest: float = 0.0
    lowest: float = 0.0
    atr: float = 0.0
    adx_5m: float = 0.0
    volume: float = 0.0
    volume_average: float = 0.0
    adx_15m: float = 0.0
    plus_di_15m: float = 0.0
    minus_di_15m: float = 0.0


def needs(params: Parameters) -> tuple[int, int]:
    """Return the 5m candles until everything is known and the range is complete, and the 15m candles of the trend."""
    trend, others = 2 * params.adx_period, max(params.breakout_lookback, params.atr_period, params.volume_period)
    return max(trend, others + 1), trend


def observe(view: View, params: Parameters) -> None:
    """Update the indicators."""
    state = view.state
    update_donchian(state.channel, view.m5, params.breakout_lookback)
    update_atr(state.atr, view.m5, params.atr_period)
    update_volume_average(state.volume_average, view.m5, params.volume_period)
    update_adx(state.adx_5m, view.m5, params.adx_period)
    update_adx(state.adx_15m, view.m15, params.adx_period)


# ---------------------------------------------------------------- the conditions of an entry, each written once


def _is_trend(adx_15m: float, params: Parameters) -> bool:
    return adx_15m >= params.trend_adx_threshold


def _is_trending_still(adx_5m: float, params: Parameters) -> bool:
    return adx_5m >= params.exit_adx_threshold


def _is_breakout(side: int, close: float, highest: float, lowest: float) -> bool:
    return close > highest if side > 0 else close < lowest


def _is_with_trend(side: int, plus_di_15m: float, minus_di_15m: float) -> bool:
    return side * (plus_di_15m - minus_di_15m) > 0.0


def enter(view: View, params: Parameters, answer: Answer) -> int:
    """Enter on the side of the 15m trend when the close leaves the range there on high volume."""
    candle, state = view.candle, view.state
    adx, atr, channel = state.adx_15m, state.atr.value, state.channel
    side = 1 if adx.plus_di > adx.minus_di else -1
    if not (
        _is_trend(adx.value, params)
        and _is_trending_still(state.adx_5m.value, params)
        and _is_breakout(side, candle.close, channel.previous_upper, channel.previous_lower)
        and _is_with_trend(side, adx.plus_di, adx.minus_di)
        and is_volume_spike(candle.volume, state.volume_average.value, params.volume_confirmation_multiplier)
        and atr > 0.0
    ):
        return 0
    answer.target_fraction = min(atr * params.atr_multiplier_tp / candle.close, params.tp_percent / 100.0)
    answer.stop_fraction = min(atr * params.atr_multiplier_sl / candle.close, params.sl_percent / 100.0)
    answer.score = _score(side, view, params)
    read(view, params, answer.reading)
    return side


def _score(side: int, view: View, params: Parameters) -> float:
    """Return how clear breakout, volume and trend are, 0 to 1; it is shown and ranked, and decides nothing."""
    candle, state, channel = view.candle, view.state, view.state.channel
    beyond = candle.close - channel.previous_upper if side > 0 else channel.previous_lower - candle.close
    volume = (candle.volume / state.volume_average.value - 1.0) / (2.0 * params.volume_confirmation_multiplier)
    return 0.4 * clip(beyond / state.atr.value) + 0.3 * clip(volume) + 0.3 * clip(state.adx_15m.value / 40.0)


def read(view: View, params: Parameters, reading: Reading) -> None:
    """Fill in the numbers of this moment."""
    candle, state, adx = view.candle, view.state, view.state.adx_15m
    reading.close = candle.close
    reading.highest = state.channel.previous_upper
    reading.lowest = state.channel.previous_lower
    reading.atr = state.atr.value
    reading.adx_5m = state.adx_5m.value
    reading.volume = candle.volume
    reading.volume_average = state.volume_average.value
    reading.adx_15m = adx.value
    reading.plus_di_15m = adx.plus_di
    reading.minus_di_15m = adx.minus_di


def leave(view: View, params: Parameters, answer: Answer) -> int:
    """Leave when the 5m ADX fell below its threshold."""
    adx = view.state.adx_5m
    if adx.ready == 0 or _is_trending_still(adx.value, params):
        return NO_REASON
    read(view, params, answer.reading)
    return MOMENTUM_LOST


def explain(reading: Reading, params: Parameters, side: int) -> list[Condition]:
    """Return the conditions of an entry on `side`, in the order in which `enter` checks them."""
    close, highest, lowest = reading.close, reading.highest, reading.lowest
    adx_5m, adx_15m, plus, minus = reading.adx_5m, reading.adx_15m, reading.plus_di_15m, reading.minus_di_15m
    volume, mean, multiplier = reading.volume, reading.volume_average, params.volume_confirmation_multiplier
    level, beyond = (highest, ">") if side > 0 else (lowest, "<")
    own, other = (plus, minus) if side > 0 else (minus, plus)
    return [
        Condition("15m ADX", adx_15m, ">=", params.trend_adx_threshold, _is_trend(adx_15m, params)),
        Condition("5m ADX", adx_5m, ">=", params.exit_adx_threshold, _is_trending_still(adx_5m, params)),
        Condition("close outside the range", close, beyond, level, _is_breakout(side, close, highest, lowest)),
        Condition("15m DI on its side", own, ">", other, _is_with_trend(side, plus, minus)),
        Condition("5m volume", volume, ">", multiplier * mean, is_volume_spike(volume, mean, multiplier)),
    ]


if __name__ == "__main__":
    from papertape.engine.strategy_demo import show_orders

    show_orders()
