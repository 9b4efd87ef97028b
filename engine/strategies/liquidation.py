"""Liquidation-zone hunting: rising open interest marks where leveraged positions were opened.

Asked on 5m closes. The crowd's entry price is the close weighted by each rise of open interest, decaying;
where that crowd would be liquidated, price is expected to run on: a squeeze above, a cascade below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON
from papertape.engine.kernel.state import READINGS_MASK, READINGS_MAX
from papertape.engine.kernel.strategy import Condition, clip

if TYPE_CHECKING:
    from papertape.engine.kernel.state import Bars, Decision, Market, Readings, Series, SymbolState

NAME = "liquidation"
TIMEFRAME_MS = 300_000
NEEDS_BARS = 48
EXIT_REASONS = ("open_interest_fell",)
OPEN_INTEREST_FELL = FIRST_EXIT_REASON
LN_2 = 0.6931471805599453


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """The crowd's assumed leverage and memory, how near a zone must be, stop and target."""

    oi_window_minutes: Annotated[
        int, Meta(ge=5, le=480, description="window of the change of open interest", extra={"unit": "min"})
    ] = 60
    oi_change_threshold: Annotated[
        float, Meta(gt=0.0, le=100.0, description="rise of open interest that is needed", extra={"unit": "%"})
    ] = 1.5
    oi_exit_threshold: Annotated[
        float, Meta(gt=0.0, le=100.0, description="leave when open interest fell by more", extra={"unit": "%"})
    ] = 3.0
    anchor_halflife_minutes: Annotated[
        int, Meta(ge=5, le=10_080, description="half-life of the crowd's entry price", extra={"unit": "min"})
    ] = 240
    leverage_estimate: Annotated[
        float, Meta(ge=1.0, le=200.0, description="leverage of the crowd", extra={"unit": "x"})
    ] = 50.0
    zone_buffer_percent: Annotated[
        float, Meta(gt=0.0, le=50.0, description="distance of the close from a zone", extra={"unit": "%"})
    ] = 0.5
    tp_percent: Annotated[float, Meta(gt=0.0, le=50.0, description="target", extra={"unit": "%"})] = 0.8
    sl_percent: Annotated[float, Meta(gt=0.0, le=50.0, description="stop", extra={"unit": "%"})] = 0.4


class State(Struct):
    """The decaying sums of rises and of rises times close; `base` is the reading the newest is compared with."""

    weight: float = 0.0
    weighted_price: float = 0.0
    base: int = -1
    base_time_ms: int = -1
    base_value: float = 0.0
    newest_value: float = 0.0


class Reading(Struct):
    """The numbers a decision was made on."""

    close: float = 0.0
    oi_change_percent: float = 0.0
    crowd_price: float = 0.0
    long_zone: float = 0.0
    short_zone: float = 0.0
    distance_percent: float = 0.0


def reset(state: State) -> None:
    """Nothing built before a long hole counts after it."""
    state.weight = 0.0
    state.weighted_price = 0.0
    state.base = -1
    state.base_time_ms = -1
    state.newest_value = 0.0


def observe(state: State, main: Series, bars: Bars, params: Parameters) -> None:
    """The crowd's memory decays: a rational form of 0.5 ** (1 / h), right to 3e-7."""
    h = params.anchor_halflife_minutes / 5.0
    factor = (2.0 * h - LN_2) / (2.0 * h + LN_2)
    state.weight = state.weight * factor
    state.weighted_price = state.weighted_price * factor


def measure(state: State, market: Market, main: Series, readings: Readings, params: Parameters) -> None:
    """A rise of open interest adds to the crowd's entry price; then find the reading to compare with."""
    newest = market.readings - 1
    reading = readings[newest & READINGS_MASK]
    window_ms = params.oi_window_minutes * 60_000
    if newest > 0 and main.row >= 0:
        before = readings[(newest - 1) & READINGS_MASK]
        rise = reading.value - before.value
        if rise > 0.0 and reading.time_ms - before.time_ms <= 2 * window_ms:
            state.weight += rise
            state.weighted_price += rise * main.close
    state.newest_value = reading.value
    _advance_base(state, newest, readings, window_ms)


def _advance_base(state: State, newest: int, readings: Readings, window_ms: int) -> None:
    """The base is the newest reading at least a window older than the newest one; it never moves back."""
    limit_ms = readings[newest & READINGS_MASK].time_ms - window_ms
    following = max(state.base + 1, newest - READINGS_MAX + 1)
    while following < newest and readings[following & READINGS_MASK].time_ms <= limit_ms:
        state.base = following
        state.base_time_ms = readings[following & READINGS_MASK].time_ms
        state.base_value = readings[following & READINGS_MASK].value
        following += 1


def _change(state: State, market: Market, params: Parameters) -> float:
    """Change of open interest over the window as a fraction; -2 when it is not known."""
    window_ms = params.oi_window_minutes * 60_000
    if state.base < 0 or state.base_value <= 0.0:
        return -2.0
    if market.reading_time_ms - state.base_time_ms > 2 * window_ms:
        return -2.0
    if market.close_time_ms - market.reading_time_ms > window_ms:
        return -2.0
    return state.newest_value / state.base_value - 1.0


def needs(params: Parameters) -> int:
    """Candles of one half-life."""
    return (params.anchor_halflife_minutes + 4) // 5


def _ready(state: State, main: Series, params: Parameters) -> bool:
    """Enough candles since the start, and a crowd to speak of."""
    return main.row + 1 >= needs(params) and state.weight > 0.0


def enter(
    state: State,
    market: Market,
    main: Series,
    filtered: Series,
    desk: SymbolState,
    params: Parameters,
    decision: Decision,
) -> int:
    """Long near the short-liquidation zone, short near the long-liquidation zone, while open interest rises."""
    if not _ready(state, main, params):
        return 0
    change = _change(state, market, params)
    if change < params.oi_change_threshold / 100.0:
        return 0
    crowd = state.weighted_price / state.weight
    to_long = abs(main.close - crowd * (1.0 - 1.0 / params.leverage_estimate)) / crowd
    to_short = abs(main.close - crowd * (1.0 + 1.0 / params.leverage_estimate)) / crowd
    distance, buffer = min(to_long, to_short), params.zone_buffer_percent / 100.0
    if to_long == to_short or distance > buffer:
        return 0
    decision.stop_fraction = params.sl_percent / 100.0
    decision.target_fraction = params.tp_percent / 100.0
    decision.score = 0.5 * clip(change / (3.0 * (params.oi_change_threshold / 100.0))) + 0.5 * clip(
        1.0 - distance / buffer
    )
    read(state, market, main, filtered, desk, params, decision.reading)
    return 1 if to_short < to_long else -1


def read(
    state: State,
    market: Market,
    main: Series,
    filtered: Series,
    desk: SymbolState,
    params: Parameters,
    reading: Reading,
) -> None:
    """The numbers of this moment; a change of -200 % is one that is not known."""
    crowd = state.weighted_price / state.weight if state.weight > 0.0 else 0.0
    reading.close = main.close
    reading.oi_change_percent = _change(state, market, params) * 100.0
    reading.crowd_price = crowd
    reading.long_zone = crowd * (1.0 - 1.0 / params.leverage_estimate)
    reading.short_zone = crowd * (1.0 + 1.0 / params.leverage_estimate)
    nearest = min(abs(main.close - reading.long_zone), abs(main.close - reading.short_zone))
    reading.distance_percent = nearest / crowd * 100.0 if crowd > 0.0 else 0.0


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
    """`open_interest_fell` when the crowd has left."""
    change = _change(state, market, params)
    if change < -1.0 or change >= -(params.oi_exit_threshold / 100.0):
        return NO_REASON
    read(state, market, main, filtered, desk, params, decision.reading)
    return OPEN_INTEREST_FELL


def holds(state: State, market: Market, desk: SymbolState, params: Parameters) -> list[str]:
    """Nothing can be said of a crowd while the change of open interest is not known."""
    return [] if _change(state, market, params) >= -1.0 else ["the change of open interest is not known"]


def explain(reading: Reading, params: Parameters, side: int) -> list[Condition]:
    """The conditions of an entry on `side`, in the order they are asked."""
    change, distance = reading.oi_change_percent, reading.distance_percent
    zone = reading.short_zone if side > 0 else reading.long_zone
    other = reading.long_zone if side > 0 else reading.short_zone
    nearer = abs(reading.close - zone) < abs(reading.close - other)
    return [
        Condition(
            "open interest change %",
            change,
            ">=",
            params.oi_change_threshold,
            change >= params.oi_change_threshold - 1e-9,
        ),
        Condition(
            "distance to the zone %",
            distance,
            "<=",
            params.zone_buffer_percent,
            distance <= params.zone_buffer_percent + 1e-9,
        ),
        Condition("this zone is the nearer one", abs(reading.close - zone), "<", abs(reading.close - other), nearer),
    ]


if __name__ == "__main__":
    from papertape.engine.strategy_demo import show_orders

    show_orders(NAME)
