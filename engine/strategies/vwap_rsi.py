"""Mean reversion: buy exhausted falls below the volume-weighted mean price, sell exhausted rises above it.

Asked on 5m closes, filtered by the 15m trend. It trades ranges only, wants a volume spike, and leaves when
the RSI is back in the middle and the trade is in profit after costs, or when a trend begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from papertape.engine.kernel.codes import (
    FIRST_EXIT_REASON,
    LOW_VOLATILITY,
    NO_REASON,
    RANGING,
    TRENDING_DOWN,
    TRENDING_UP,
)
from papertape.engine.kernel.indicators import ADX_READY_ROW, RSI_READY_ROW, VWAP_READY_ROW, is_volume_spike
from papertape.engine.kernel.strategy import Condition, clip

if TYPE_CHECKING:
    from papertape.engine.kernel.state import Decision, Market, Series, SymbolState
    from papertape.engine.kernel.strategy import NoState

NAME = "vwap_rsi"
TIMEFRAME_MS = 300_000
FILTER_TIMEFRAME_MS = 900_000
NEEDS_BARS = VWAP_READY_ROW + 1
NEEDS_FILTER_BARS = ADX_READY_ROW + 1
EXIT_REASONS = ("rsi_exit", "regime_change")
RSI_EXIT = FIRST_EXIT_REASON
REGIME_CHANGE = FIRST_EXIT_REASON + 1


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds of entry, stop and target."""

    trend_adx_threshold: Annotated[
        float, Meta(ge=0.0, le=100.0, description="no entry when the 15m ADX is above", extra={"unit": "ADX"})
    ] = 25.0
    rsi_long_threshold: Annotated[
        float, Meta(ge=0.0, le=50.0, description="long when the RSI is below", extra={"unit": "RSI"})
    ] = 30.0
    rsi_short_threshold: Annotated[
        float, Meta(ge=50.0, le=100.0, description="short when the RSI is above", extra={"unit": "RSI"})
    ] = 70.0
    vwap_deviation_entry: Annotated[
        float, Meta(gt=0.0, le=20.0, description="distance of the close from the VWAP", extra={"unit": "%"})
    ] = 0.3
    volume_spike_multiplier: Annotated[
        float, Meta(gt=0.0, le=20.0, description="volume against its mean of 20 candles", extra={"unit": "x"})
    ] = 2.0
    tp_percent: Annotated[float, Meta(gt=0.0, le=50.0, description="target", extra={"unit": "%"})] = 0.8
    sl_percent: Annotated[float, Meta(gt=0.0, le=50.0, description="stop", extra={"unit": "%"})] = 0.3


class Reading(Struct):
    """The numbers a decision was made on."""

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


def enter(
    state: NoState,
    market: Market,
    main: Series,
    filtered: Series,
    desk: SymbolState,
    params: Parameters,
    decision: Decision,
) -> int:
    """Long below, short above the VWAP when the RSI is exhausted, volume spikes and no trend stands against it."""
    if main.row < VWAP_READY_ROW or main.vwap.traded == 0 or filtered.row < ADX_READY_ROW:
        return 0
    if main.regime != RANGING and main.regime != LOW_VOLATILITY:
        return 0
    adx, vwap, deviation = filtered.adx, main.vwap.value, params.vwap_deviation_entry / 100.0
    if adx.value > params.trend_adx_threshold:
        return 0
    side = 0
    if main.rsi.value < params.rsi_long_threshold and main.close < vwap * (1.0 - deviation):
        side = 1
    elif main.rsi.value > params.rsi_short_threshold and main.close > vwap * (1.0 + deviation):
        side = -1
    if side == 0 or not is_volume_spike(main.volume, main.volume_average, params.volume_spike_multiplier):
        return 0
    if adx.value > 20.0 and side * (adx.plus_di - adx.minus_di) < 0.0:
        return 0
    decision.stop_fraction = params.sl_percent / 100.0
    decision.target_fraction = params.tp_percent / 100.0
    decision.score = _score(side, main, filtered, params)
    read(state, market, main, filtered, desk, params, decision.reading)
    return side


def _score(side: int, main: Series, filtered: Series, params: Parameters) -> float:
    """How much of each condition there was, 0 to 1; shown and ranked, it decides nothing."""
    adx, vwap = filtered.adx, main.vwap.value
    exhausted = (30.0 - main.rsi.value) / 30.0 if side > 0 else (main.rsi.value - 70.0) / 30.0
    away = abs(main.close - vwap) / vwap / (3.0 * (params.vwap_deviation_entry / 100.0))
    volume = (main.volume / main.volume_average.value - 1.0) / (2.0 * params.volume_spike_multiplier)
    agrees = adx.value > 20.0 and side * (adx.plus_di - adx.minus_di) > 0.0
    return 0.35 * clip(exhausted) + 0.25 * clip(away) + 0.20 * clip(volume) + 0.20 * (1.0 if agrees else 0.5)


def read(
    state: NoState,
    market: Market,
    main: Series,
    filtered: Series,
    desk: SymbolState,
    params: Parameters,
    reading: Reading,
) -> None:
    """The numbers of this moment; what a trade would bring is known to an exit only."""
    reading.close = main.close
    reading.rsi = main.rsi.value
    reading.vwap = main.vwap.value
    reading.volume = main.volume
    reading.volume_average = main.volume_average.value
    reading.regime = main.regime
    reading.adx_15m = filtered.adx.value
    reading.plus_di_15m = filtered.adx.plus_di
    reading.minus_di_15m = filtered.adx.minus_di
    reading.profit_usdt = 0.0


def leave(
    state: NoState,
    market: Market,
    main: Series,
    filtered: Series,
    desk: SymbolState,
    profit_usdt: float,
    params: Parameters,
    decision: Decision,
) -> int:
    """`rsi_exit` when the RSI is back and the trade pays for its costs; `regime_change` when a trend began."""
    reason = NO_REASON
    if main.row >= RSI_READY_ROW and desk.position.side * (main.rsi.value - 50.0) > 0.0 and profit_usdt > 0.0:
        reason = RSI_EXIT
    elif main.regime == TRENDING_UP or main.regime == TRENDING_DOWN:
        reason = REGIME_CHANGE
    if reason != NO_REASON:
        read(state, market, main, filtered, desk, params, decision.reading)
        decision.reading.profit_usdt = profit_usdt
    return reason


def explain(reading: Reading, params: Parameters, side: int) -> list[Condition]:
    """The conditions of an entry on `side`, in the order they are asked."""
    threshold = params.rsi_long_threshold if side > 0 else params.rsi_short_threshold
    level = reading.vwap * (1.0 - side * (params.vwap_deviation_entry / 100.0))
    spike_at = params.volume_spike_multiplier * reading.volume_average
    against = side * (reading.plus_di_15m - reading.minus_di_15m) < 0.0
    below = "<" if side > 0 else ">"
    return [
        Condition(
            "15m ADX", reading.adx_15m, "<=", params.trend_adx_threshold, reading.adx_15m <= params.trend_adx_threshold
        ),
        Condition("5m regime is ranging", reading.regime, "in", RANGING, reading.regime in (RANGING, LOW_VOLATILITY)),
        Condition("5m RSI", reading.rsi, below, threshold, side * (threshold - reading.rsi) > 0.0),
        Condition("close against VWAP", reading.close, below, level, side * (level - reading.close) > 0.0),
        Condition("5m volume", reading.volume, ">", spike_at, reading.volume > spike_at),
        Condition("15m trend against it", reading.adx_15m, "<=", 20.0, not (against and reading.adx_15m > 20.0)),
    ]


if __name__ == "__main__":
    from papertape.engine.strategy_demo import show_orders

    show_orders(NAME)
