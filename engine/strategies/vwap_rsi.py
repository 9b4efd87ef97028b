"""Mean reversion: buy exhausted falls below the volume-weighted mean price, sell exhausted rises above it.

It decides on 5m closes, filtered by the 15m trend. It trades in ranges only, needs a volume spike, and leaves when the
RSI has crossed the middle and the trade is in profit after costs, or when a trend begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Struct, field

from papertape.engine.kernel.codes import (
    FIRST_EXIT_REASON,
    LOW_VOLATILITY,
    NO_REASON,
    RANGING,
    TRENDING_DOWN,
    TRENDING_UP,
)
from papertape.engine.kernel.indicators import (
    Adx,
    Rsi,
    VolumeAverage,
    Vwap,
    is_volume_spike,
    update_adx,
    update_rsi,
    update_volume_average,
    update_vwap,
)
from papertape.engine.kernel.parameters import between, positive
from papertape.engine.kernel.series import REGIME_READY_ROW
from papertape.engine.kernel.strategy import Condition, clip

if TYPE_CHECKING:
    from papertape.engine.kernel.answers import Answer
    from papertape.engine.kernel.view import View

NAME = "vwap_rsi"
SERIES = ("5m", "15m")
EXIT_REASONS = ("rsi_exit", "regime_change")
RSI_EXIT = FIRST_EXIT_REASON
REGIME_CHANGE = FIRST_EXIT_REASON + 1
STRONG_TREND_ADX = 20.0
PLOT = {"vwap": "price", "rsi": "pane"}


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Periods of the indicators, thresholds of the entry, stop and target."""

    trend_adx_threshold: Annotated[float, between(0.0, 100.0, "ADX", "no entry when the 15m ADX is above")] = 25.0
    rsi_long_threshold: Annotated[float, between(0.0, 50.0, "RSI", "long when the RSI is below")] = 30.0
    rsi_short_threshold: Annotated[float, between(50.0, 100.0, "RSI", "short when the RSI is above")] = 70.0
    vwap_deviation_entry: Annotated[float, positive(20.0, "%", "distance of the close from the VWAP")] = 0.3
    volume_spike_multiplier: Annotated[float, positive(20.0, "x", "volume against its mean")] = 2.0
    rsi_period: Annotated[int, between(1, 500, "candles", "period of the RSI")] = 14
    vwap_period: Annotated[int, between(1, 2_048, "candles", "candles of the VWAP")] = 288
    volume_period: Annotated[int, between(1, 2_048, "candles", "candles of the mean volume")] = 20
    adx_period: Annotated[int, between(2, 500, "candles", "period of the 15m ADX")] = 14
    tp_percent: Annotated[float, positive(50.0, "%", "target")] = 0.8
    sl_percent: Annotated[float, positive(50.0, "%", "stop")] = 0.3


class State(Struct):
    """The indicators of the 5m candles, and the trend of 15m."""

    rsi: Rsi = field(default_factory=Rsi)
    vwap: Vwap = field(default_factory=Vwap)
    volume_average: VolumeAverage = field(default_factory=VolumeAverage)
    adx_15m: Adx = field(default_factory=Adx)


class Reading(Struct):
    """The numbers behind a decision."""

    close: float = 0.0
    rsi: float = 0.0
    vwap: float = 0.0
    volume: float = 0.0
    volume_average: float = 0.0
    regime: int = 0
    adx_15m: float = 0.0
    plus_di_15m: float = 0.0
    minus_di_15m: float = 0.0
    profit_usdt: float = 0.0


def needs(params: Parameters) -> tuple[int, int]:
    """Return the 5m candles until the indicators and the regime are known, and the 15m candles of the trend."""
    longest = max(params.vwap_period, params.volume_period, params.rsi_period + 1)
    return max(longest, REGIME_READY_ROW + 1), 2 * params.adx_period


def observe(view: View, params: Parameters) -> None:
    """Update the indicators."""
    state = view.state
    update_rsi(state.rsi, view.m5, params.rsi_period)
    update_vwap(state.vwap, view.m5, params.vwap_period)
    update_volume_average(state.volume_average, view.m5, params.volume_period)
    update_adx(state.adx_15m, view.m15, params.adx_period)


# ---------------------------------------------------------------- the conditions of an entry, each written once


def _is_trendless(adx_15m: float, params: Parameters) -> bool:
    return adx_15m <= params.trend_adx_threshold


def _is_ranging(regime: int) -> bool:
    return regime == RANGING or regime == LOW_VOLATILITY


def _is_exhausted(side: int, rsi: float, params: Parameters) -> bool:
    return rsi < params.rsi_long_threshold if side > 0 else rsi > params.rsi_short_threshold


def _entry_level(side: int, vwap: float, params: Parameters) -> float:
    return vwap * (1.0 - side * (params.vwap_deviation_entry / 100.0))


def _is_far_from_vwap(side: int, close: float, vwap: float, params: Parameters) -> bool:
    return side * (_entry_level(side, vwap, params) - close) > 0.0


def _is_against_trend(side: int, adx_15m: float, plus_di_15m: float, minus_di_15m: float) -> bool:
    return adx_15m > STRONG_TREND_ADX and side * (plus_di_15m - minus_di_15m) < 0.0


def enter(view: View, params: Parameters, answer: Answer) -> int:
    """Enter towards the VWAP when the RSI is exhausted, volume spikes and no trend is in the way."""
    candle, state = view.candle, view.state
    adx, rsi, vwap = state.adx_15m, state.rsi.value, state.vwap.value
    side = 1 if candle.close < vwap else -1
    if not (
        state.vwap.ready == 1
        and _is_trendless(adx.value, params)
        and _is_ranging(candle.regime)
        and _is_exhausted(side, rsi, params)
        and _is_far_from_vwap(side, candle.close, vwap, params)
        and is_volume_spike(candle.volume, state.volume_average.value, params.volume_spike_multiplier)
        and not _is_against_trend(side, adx.value, adx.plus_di, adx.minus_di)
    ):
        return 0
    answer.stop_fraction = params.sl_percent / 100.0
    answer.target_fraction = params.tp_percent / 100.0
    answer.score = _score(side, view, params)
    read(view, params, answer.reading)
    return side


def _score(side: int, view: View, params: Parameters) -> float:
    """Return how far each condition is exceeded, 0 to 1; it is shown and ranked, and decides nothing."""
    candle, state = view.candle, view.state
    adx, rsi, vwap = state.adx_15m, state.rsi.value, state.vwap.value
    exhausted = (30.0 - rsi) / 30.0 if side > 0 else (rsi - 70.0) / 30.0
    away = abs(candle.close - vwap) / vwap / (3.0 * (params.vwap_deviation_entry / 100.0))
    volume = (candle.volume / state.volume_average.value - 1.0) / (2.0 * params.volume_spike_multiplier)
    agrees = adx.value > STRONG_TREND_ADX and side * (adx.plus_di - adx.minus_di) > 0.0
    return 0.35 * clip(exhausted) + 0.25 * clip(away) + 0.20 * clip(volume) + 0.20 * (1.0 if agrees else 0.5)


def read(view: View, params: Parameters, reading: Reading) -> None:
    """Fill in the numbers of this moment; the profit of a trade is known to its exit only."""
    candle, state, adx = view.candle, view.state, view.state.adx_15m
    reading.close = candle.close
    reading.rsi = state.rsi.value
    reading.vwap = state.vwap.value
    reading.volume = candle.volume
    reading.volume_average = state.volume_average.value
    reading.regime = candle.regime
    reading.adx_15m = adx.value
    reading.plus_di_15m = adx.plus_di
    reading.minus_di_15m = adx.minus_di
    reading.profit_usdt = 0.0


def leave(view: View, params: Parameters, answer: Answer) -> int:
    """Leave when the RSI has crossed the middle and the trade pays for its costs, or when a trend began."""
    candle, position, rsi, reason = view.candle, view.position, view.state.rsi, NO_REASON
    is_past_the_middle = rsi.ready == 1 and position.side * (rsi.value - 50.0) > 0.0
    if is_past_the_middle and position.profit_usdt > 0.0:
        reason = RSI_EXIT
    elif candle.regime == TRENDING_UP or candle.regime == TRENDING_DOWN:
        reason = REGIME_CHANGE
    if reason != NO_REASON:
        read(view, params, answer.reading)
        answer.reading.profit_usdt = position.profit_usdt
    return reason


def explain(reading: Reading, params: Parameters, side: int) -> list[Condition]:
    """Return the conditions of an entry on `side`, in the order in which `enter` checks them."""
    close, rsi, vwap, adx = reading.close, reading.rsi, reading.vwap, reading.adx_15m
    volume, mean, multiplier = reading.volume, reading.volume_average, params.volume_spike_multiplier
    rsi_limit = params.rsi_long_threshold if side > 0 else params.rsi_short_threshold
    against = _is_against_trend(side, adx, reading.plus_di_15m, reading.minus_di_15m)
    far, beyond = _is_far_from_vwap(side, close, vwap, params), "<" if side > 0 else ">"
    return [
        Condition("15m ADX", adx, "<=", params.trend_adx_threshold, _is_trendless(adx, params)),
        Condition("5m regime is ranging", reading.regime, "in", RANGING, _is_ranging(reading.regime)),
        Condition("5m RSI", rsi, beyond, rsi_limit, _is_exhausted(side, rsi, params)),
        Condition("close against VWAP", close, beyond, _entry_level(side, vwap, params), far),
        Condition("5m volume", volume, ">", multiplier * mean, is_volume_spike(volume, mean, multiplier)),
        Condition("15m trend against it", adx, "<=", STRONG_TREND_ADX, not against),
    ]


if __name__ == "__main__":
    from papertape.engine.strategy_demo import show_orders

    show_orders()
