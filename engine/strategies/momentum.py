"""Breakout with the trend: follow the price out of its range when volume and the 15m trend confirm it.

Asked on 5m closes. Stop and target follow the ATR but are never wider than their percentages; it leaves when
the 5m trend has faded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct, field

from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON
from papertape.engine.kernel.indicators import ADX_READY_ROW, is_volume_spike, roll_highest, roll_lowest
from papertape.engine.kernel.state import Extreme
from papertape.engine.kernel.strategy import Condition, clip

if TYPE_CHECKING:
    from papertape.engine.kernel.state import Bars, Decision, Market, Series, SymbolState

NAME = "momentum"
TIMEFRAME_MS = 300_000
FILTER_TIMEFRAME_MS = 900_000
NEEDS_BARS = ADX_READY_ROW + 1
NEEDS_FILTER_BARS = ADX_READY_ROW + 1
EXIT_REASONS = ("momentum_lost",)
MOMENTUM_LOST = FIRST_EXIT_REASON


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds of the trend, the breakout, stop and target."""

    breakout_lookback: Annotated[
        int, Meta(ge=1, le=500, description="candles whose range must be broken", extra={"unit": "candles"})
    ] = 20
    trend_adx_threshold: Annotated[
        float, Meta(ge=0.0, le=100.0, description="least 15m ADX of an entry", extra={"unit": "ADX"})
    ] = 25.0
    exit_adx_threshold: Annotated[
        float, Meta(ge=0.0, le=100.0, description="5m ADX below which the trend is over", extra={"unit": "ADX"})
    ] = 20.0
    volume_confirmation_multiplier: Annotated[
        float, Meta(gt=0.0, le=20.0, description="volume against its mean of 20 candles", extra={"unit": "x"})
    ] = 2.0
    atr_multiplier_tp: Annotated[float, Meta(gt=0.0, le=50.0, description="target in ATR", extra={"unit": "x"})] = 2.0
    atr_multiplier_sl: Annotated[float, Meta(gt=0.0, le=50.0, description="stop in ATR", extra={"unit": "x"})] = 1.0
    tp_percent: Annotated[float, Meta(gt=0.0, le=50.0, description="widest target", extra={"unit": "%"})] = 0.6
    sl_percent: Annotated[float, Meta(gt=0.0, le=50.0, description="widest stop", extra={"unit": "%"})] = 0.3


class State(Struct):
    """The range of the candles before the last one."""

    highest: Extreme = field(default_factory=Extreme)
    lowest: Extreme = field(default_factory=Extreme)


class Reading(Struct):
    """The numbers a decision was made on."""

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


def observe(state: State, main: Series, bars: Bars, params: Parameters) -> None:
    """Keep the range of the candles before this one."""
    roll_highest(state.highest, bars, main.row, params.breakout_lookback)
    roll_lowest(state.lowest, bars, main.row, params.breakout_lookback)


def needs(params: Parameters) -> int:
    """Candles until the trend is known, and one beyond the range."""
    return max(ADX_READY_ROW, params.breakout_lookback) + 1


def enter(
    state: State,
    market: Market,
    main: Series,
    filtered: Series,
    desk: SymbolState,
    params: Parameters,
    decision: Decision,
) -> int:
    """Long above the highest high, short below the lowest low, with trend and volume."""
    if main.row + 1 < needs(params) or filtered.row < ADX_READY_ROW:
        return 0
    adx = filtered.adx
    if adx.value < params.trend_adx_threshold or main.adx.value < params.exit_adx_threshold:
        return 0
    side = 0
    if main.close > state.highest.value and adx.plus_di > adx.minus_di:
        side = 1
    elif main.close < state.lowest.value and adx.minus_di > adx.plus_di:
        side = -1
    if side == 0 or main.atr.value == 0.0:
        return 0
    if not is_volume_spike(main.volume, main.volume_average, params.volume_confirmation_multiplier):
        return 0
    atr_fraction = main.atr.value * params.atr_multiplier_tp / main.close
    decision.target_fraction = min(atr_fraction, params.tp_percent / 100.0)
    decision.stop_fraction = min(main.atr.value * params.atr_multiplier_sl / main.close, params.sl_percent / 100.0)
    decision.score = _score(side, state, main, filtered, params)
    read(state, market, main, filtered, desk, params, decision.reading)
    return side


def _score(side: int, state: State, main: Series, filtered: Series, params: Parameters) -> float:
    """How far beyond the range, how much volume, how strong the trend, 0 to 1; it decides nothing."""
    beyond = main.close - state.highest.value if side > 0 else state.lowest.value - main.close
    volume = (main.volume / main.volume_average.value - 1.0) / (2.0 * params.volume_confirmation_multiplier)
    return 0.4 * clip(beyond / main.atr.value) + 0.3 * clip(volume) + 0.3 * clip(filtered.adx.value / 40.0)


def read(
    state: State,
    market: Market,
    main: Series,
    filtered: Series,
    desk: SymbolState,
    params: Parameters,
    reading: Reading,
) -> None:
    """The numbers of this moment."""
    reading.close = main.close
    reading.highest = state.highest.value
    reading.lowest = state.lowest.value
    reading.atr = main.atr.value
    reading.adx_5m = main.adx.value
    reading.volume = main.volume
    reading.volume_average = main.volume_average.value
    reading.adx_15m = filtered.adx.value
    reading.plus_di_15m = filtered.adx.plus_di
    reading.minus_di_15m = filtered.adx.minus_di


def leave(
    state: State,
    market: Market,
    main: Series,
    filtered: Series,
    desk: SymbolState,
    profit_usdt: float,
    params: Parameters,
    decision: Decision,
) -> int:
    """`momentum_lost` when the 5m ADX fell below its threshold."""
    if main.row < ADX_READY_ROW or main.adx.value >= params.exit_adx_threshold:
        return NO_REASON
    read(state, market, main, filtered, desk, params, decision.reading)
    return MOMENTUM_LOST


def explain(reading: Reading, params: Parameters, side: int) -> list[Condition]:
    """The conditions of an entry on `side`, in the order they are asked."""
    level = reading.highest if side > 0 else reading.lowest
    relation = ">" if side > 0 else "<"
    spike_at = params.volume_confirmation_multiplier * reading.volume_average
    with_it, against = reading.plus_di_15m, reading.minus_di_15m
    if side < 0:
        with_it, against = against, with_it
    return [
        Condition(
            "15m ADX", reading.adx_15m, ">=", params.trend_adx_threshold, reading.adx_15m >= params.trend_adx_threshold
        ),
        Condition(
            "5m ADX", reading.adx_5m, ">=", params.exit_adx_threshold, reading.adx_5m >= params.exit_adx_threshold
        ),
        Condition("close against the range", reading.close, relation, level, side * (reading.close - level) > 0.0),
        Condition("15m DI with it", with_it, ">", against, with_it > against),
        Condition("5m volume", reading.volume, ">", spike_at, reading.volume > spike_at),
    ]


if __name__ == "__main__":
    from papertape.engine.strategy_demo import show_orders

    show_orders(NAME)
