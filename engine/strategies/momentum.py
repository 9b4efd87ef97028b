"""Breakout with the trend: follow the price out of its range when volume and the 15m trend confirm it.

It decides on 5m closes. Stop and target follow the ATR but are never wider than their percentages; it leaves when the
5m trend has faded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Struct, field

from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON
from papertape.engine.kernel.indicators import ADX_READY_ROW, is_volume_spike, roll_highest, roll_lowest
from papertape.engine.kernel.parameters import between, positive
from papertape.engine.kernel.state import Extreme, VolumeAverage
from papertape.engine.kernel.strategy import Condition, clip

if TYPE_CHECKING:
    from papertape.engine.kernel.answers import Answer
    from papertape.engine.kernel.view import View

NAME = "momentum"
SERIES = ("5m", "15m")
NEEDS_BARS = ADX_READY_ROW + 1
NEEDS_FILTER_BARS = ADX_READY_ROW + 1
EXIT_REASONS = ("momentum_lost",)
MOMENTUM_LOST = FIRST_EXIT_REASON


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds of the trend and the breakout, stop and target."""

    breakout_lookback: Annotated[int, between(1, 500, "candles", "candles whose range must be broken")] = 20
    trend_adx_threshold: Annotated[float, between(0.0, 100.0, "ADX", "least 15m ADX of an entry")] = 25.0
    exit_adx_threshold: Annotated[float, between(0.0, 100.0, "ADX", "5m ADX below which the trend is over")] = 20.0
    volume_confirmation_multiplier: Annotated[float, positive(20.0, "x", "volume against its mean of 20 candles")] = 2.0
    atr_multiplier_tp: Annotated[float, positive(50.0, "x", "target in ATR")] = 2.0
    atr_multiplier_sl: Annotated[float, positive(50.0, "x", "stop in ATR")] = 1.0
    tp_percent: Annotated[float, positive(50.0, "%", "widest target")] = 0.6
    sl_percent: Annotated[float, positive(50.0, "%", "widest stop")] = 0.3


class State(Struct):
    """The range of the candles before the last one."""

    highest: Extreme = field(default_factory=Extreme)
    lowest: Extreme = field(default_factory=Extreme)


class Reading(Struct):
    """The numbers behind a answer."""

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


def needs(params: Parameters) -> int:
    """Return the candles until the trend is known and the range is complete."""
    return max(ADX_READY_ROW, params.breakout_lookback) + 1


def observe(view: View, params: Parameters) -> None:
    """Track the range of the candles before this one."""
    roll_highest(view.state.highest, view.m5.bars, view.candle.row, params.breakout_lookback)
    roll_lowest(view.state.lowest, view.m5.bars, view.candle.row, params.breakout_lookback)


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
    candle, adx, state = view.candle, view.m15.candle.adx, view.state
    side = 1 if adx.plus_di > adx.minus_di else -1
    if not (
        _is_trend(adx.value, params)
        and _is_trending_still(candle.adx.value, params)
        and _is_breakout(side, candle.close, state.highest.value, state.lowest.value)
        and _is_with_trend(side, adx.plus_di, adx.minus_di)
        and is_volume_spike(candle.volume, candle.volume_average, params.volume_confirmation_multiplier)
        and candle.atr.value > 0.0
    ):
        return 0
    atr_fraction = candle.atr.value * params.atr_multiplier_tp / candle.close
    answer.target_fraction = min(atr_fraction, params.tp_percent / 100.0)
    answer.stop_fraction = min(candle.atr.value * params.atr_multiplier_sl / candle.close, params.sl_percent / 100.0)
    answer.score = _score(side, view, params)
    read(view, params, answer.reading)
    return side


def _score(side: int, view: View, params: Parameters) -> float:
    """Return how clear breakout, volume and trend are, 0 to 1; it is shown and ranked, and decides nothing."""
    candle, state = view.candle, view.state
    beyond = candle.close - state.highest.value if side > 0 else state.lowest.value - candle.close
    volume = (candle.volume / candle.volume_average.value - 1.0) / (2.0 * params.volume_confirmation_multiplier)
    return 0.4 * clip(beyond / candle.atr.value) + 0.3 * clip(volume) + 0.3 * clip(view.m15.candle.adx.value / 40.0)


def read(view: View, params: Parameters, reading: Reading) -> None:
    """Fill in the numbers of this moment."""
    candle, adx = view.candle, view.m15.candle.adx
    reading.close = candle.close
    reading.highest = view.state.highest.value
    reading.lowest = view.state.lowest.value
    reading.atr = candle.atr.value
    reading.adx_5m = candle.adx.value
    reading.volume = candle.volume
    reading.volume_average = candle.volume_average.value
    reading.adx_15m = adx.value
    reading.plus_di_15m = adx.plus_di
    reading.minus_di_15m = adx.minus_di


def leave(view: View, params: Parameters, answer: Answer) -> int:
    """Leave when the 5m ADX fell below its threshold."""
    if view.candle.row < ADX_READY_ROW or _is_trending_still(view.candle.adx.value, params):
        return NO_REASON
    read(view, params, answer.reading)
    return MOMENTUM_LOST


def explain(reading: Reading, params: Parameters, side: int) -> list[Condition]:
    """Return the conditions of an entry on `side`, in the order in which `enter` checks them."""
    close, highest, lowest = reading.close, reading.highest, reading.lowest
    adx_5m, adx_15m, plus, minus = reading.adx_5m, reading.adx_15m, reading.plus_di_15m, reading.minus_di_15m
    volume, average, multiplier = (
        reading.volume,
        VolumeAverage(value=reading.volume_average),
        params.volume_confirmation_multiplier,
    )
    level, beyond = (highest, ">") if side > 0 else (lowest, "<")
    own, other = (plus, minus) if side > 0 else (minus, plus)
    return [
        Condition("15m ADX", adx_15m, ">=", params.trend_adx_threshold, _is_trend(adx_15m, params)),
        Condition("5m ADX", adx_5m, ">=", params.exit_adx_threshold, _is_trending_still(adx_5m, params)),
        Condition("close outside the range", close, beyond, level, _is_breakout(side, close, highest, lowest)),
        Condition("15m DI on its side", own, ">", other, _is_with_trend(side, plus, minus)),
        Condition("5m volume", volume, ">", multiplier * average.value, is_volume_spike(volume, average, multiplier)),
    ]


if __name__ == "__main__":
    from papertape.engine.strategy_demo import show_orders

    show_orders()
