"""Liquidation-zone hunting: rising open interest marks where leveraged positions were opened.

It decides on 5m closes. The crowd's entry price is the mean of the closes, weighted by each rise of open interest and
decaying; where that crowd would be liquidated, price is expected to run on: a squeeze above, a cascade below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Struct

from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON
from papertape.engine.kernel.parameters import between, positive
from papertape.engine.kernel.state import READINGS_MASK, READINGS_MAX
from papertape.engine.kernel.strategy import Condition, clip

if TYPE_CHECKING:
    from papertape.engine.kernel.answers import Answer
    from papertape.engine.kernel.state import Readings
    from papertape.engine.kernel.view import View

NAME = "liquidation"
SERIES = ("5m",)
NEEDS_BARS = 48
EXIT_REASONS = ("open_interest_fell",)
OPEN_INTEREST_FELL = FIRST_EXIT_REASON
PLOT = {"crowd_price": "price", "long_zone": "price", "short_zone": "price", "distance_percent": "pane"}
LN_2 = 0.6931471805599453
UNKNOWN_CHANGE = -2.0
"""Open interest cannot fall by more than 1, so no change is this one."""


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """The crowd's assumed leverage and memory, how near a zone must be, stop and target."""

    oi_window_minutes: Annotated[int, between(5, 480, "min", "window of the change of open interest")] = 60
    oi_change_threshold: Annotated[float, positive(100.0, "%", "rise of open interest that is needed")] = 1.5
    oi_exit_threshold: Annotated[float, positive(100.0, "%", "leave when open interest fell by more")] = 3.0
    anchor_halflife_minutes: Annotated[int, between(5, 10_080, "min", "half-life of the crowd's entry price")] = 240
    leverage_estimate: Annotated[float, between(1.0, 200.0, "x", "leverage of the crowd")] = 50.0
    zone_buffer_percent: Annotated[float, positive(50.0, "%", "distance of the close from a zone")] = 0.5
    tp_percent: Annotated[float, positive(50.0, "%", "target")] = 0.8
    sl_percent: Annotated[float, positive(50.0, "%", "stop")] = 0.4


class State(Struct):
    """The decaying sums of rises and of rises times close; `base` is the reading the newest is compared with."""

    weight: float = 0.0
    weighted_price: float = 0.0
    base: int = -1
    base_time_ms: int = -1
    base_value: float = 0.0
    newest_value: float = 0.0


class Reading(Struct):
    """The numbers behind a decision."""

    close: float = 0.0
    oi_change_percent: float = 0.0
    crowd_price: float = 0.0
    long_zone: float = 0.0
    short_zone: float = 0.0
    distance_percent: float = 0.0


def on_gap(view: View, params: Parameters) -> None:
    """Forget everything from before a long hole."""
    state = view.state
    state.weight = 0.0
    state.weighted_price = 0.0
    state.base = -1
    state.base_time_ms = -1
    state.newest_value = 0.0


def observe(view: View, params: Parameters) -> None:
    """Let the crowd's memory decay by 0.5 ** (1 / h), in a rational form with an error below 3e-7."""
    state = view.state
    h = params.anchor_halflife_minutes / 5.0
    factor = (2.0 * h - LN_2) / (2.0 * h + LN_2)
    state.weight = state.weight * factor
    state.weighted_price = state.weighted_price * factor


def on_open_interest(view: View, params: Parameters) -> None:
    """Add a rise of open interest to the crowd's entry price, and find the reading to compare with."""
    state, readings, newest = view.state, view.readings, view.market.readings - 1
    reading = readings[newest & READINGS_MASK]
    window_ms = params.oi_window_minutes * 60_000
    if newest > 0 and view.candle.row >= 0:
        before = readings[(newest - 1) & READINGS_MASK]
        rise = reading.value - before.value
        if rise > 0.0 and reading.time_ms - before.time_ms <= 2 * window_ms:
            state.weight += rise
            state.weighted_price += rise * view.candle.close
    state.newest_value = reading.value
    _advance_base(state, newest, readings, window_ms)


def _advance_base(state: State, newest: int, readings: Readings, window_ms: int) -> None:
    """Move the base to the newest reading that is at least a window older than this one; it never moves back."""
    limit_ms = readings[newest & READINGS_MASK].time_ms - window_ms
    following = max(state.base + 1, newest - READINGS_MAX + 1)
    while following < newest and readings[following & READINGS_MASK].time_ms <= limit_ms:
        state.base = following
        state.base_time_ms = readings[following & READINGS_MASK].time_ms
        state.base_value = readings[following & READINGS_MASK].value
        following += 1


def needs(params: Parameters) -> int:
    """Return the candles of one half-life."""
    return (params.anchor_halflife_minutes + 4) // 5


# ---------------------------------------------------------------- the conditions of an entry, each written once


def _change(view: View, params: Parameters) -> float:
    """Return the change of open interest over the window as a fraction, or UNKNOWN_CHANGE."""
    state, reading_ms, window_ms = view.state, view.market.reading_time_ms, params.oi_window_minutes * 60_000
    if state.base < 0 or state.base_value <= 0.0:
        return UNKNOWN_CHANGE
    if reading_ms - state.base_time_ms > 2 * window_ms:
        return UNKNOWN_CHANGE
    if view.now_ms - reading_ms > window_ms:
        return UNKNOWN_CHANGE
    change: float = state.newest_value / state.base_value - 1.0
    return change


def _zone(side: int, crowd_price: float, params: Parameters) -> float:
    """Return where the crowd on the other side is liquidated: shorts above its entry price, longs below."""
    return crowd_price * (1.0 + side / params.leverage_estimate)


def _distance(price: float, zone: float, crowd_price: float) -> float:
    return abs(price - zone) / crowd_price


def _is_rising(change: float, params: Parameters) -> bool:
    return change >= params.oi_change_threshold / 100.0


def _is_near(distance: float, params: Parameters) -> bool:
    return distance <= params.zone_buffer_percent / 100.0


def _is_nearer(distance: float, other_distance: float) -> bool:
    return distance < other_distance


def enter(view: View, params: Parameters, answer: Answer) -> int:
    """Enter long near the short-liquidation zone, short near the long one, while open interest rises."""
    state, close, change = view.state, view.candle.close, _change(view, params)
    if state.weight <= 0.0 or not _is_rising(change, params):
        return 0
    crowd = state.weighted_price / state.weight
    to_long = _distance(close, _zone(-1, crowd, params), crowd)
    to_short = _distance(close, _zone(1, crowd, params), crowd)
    distance, other, side = (to_short, to_long, 1) if to_short < to_long else (to_long, to_short, -1)
    if not (_is_near(distance, params) and _is_nearer(distance, other)):
        return 0
    answer.stop_fraction = params.sl_percent / 100.0
    answer.target_fraction = params.tp_percent / 100.0
    answer.score = _score(change, distance, params)
    read(view, params, answer.reading)
    return side


def _score(change: float, distance: float, params: Parameters) -> float:
    """Return how much open interest rose and how near the zone is, 0 to 1; it decides nothing."""
    rise = change / (3.0 * (params.oi_change_threshold / 100.0))
    return 0.5 * clip(rise) + 0.5 * clip(1.0 - distance / (params.zone_buffer_percent / 100.0))


def read(view: View, params: Parameters, reading: Reading) -> None:
    """Fill in the numbers of this moment; a change of -200 % is unknown."""
    state, close = view.state, view.candle.close
    crowd = state.weighted_price / state.weight if state.weight > 0.0 else 0.0
    reading.close = close
    reading.oi_change_percent = _change(view, params) * 100.0
    reading.crowd_price = crowd
    reading.long_zone = _zone(-1, crowd, params)
    reading.short_zone = _zone(1, crowd, params)
    nearest = min(abs(close - reading.long_zone), abs(close - reading.short_zone))
    reading.distance_percent = nearest / crowd * 100.0 if crowd > 0.0 else 0.0


def leave(view: View, params: Parameters, answer: Answer) -> int:
    """Leave when open interest fell: the crowd has left."""
    change = _change(view, params)
    if change < -1.0 or change >= -(params.oi_exit_threshold / 100.0):
        return NO_REASON
    read(view, params, answer.reading)
    return OPEN_INTEREST_FELL


def holds(view: View, params: Parameters) -> list[str]:
    """Return what else prevents an entry: the change of open interest is unknown."""
    return [] if _change(view, params) >= -1.0 else ["the change of open interest is not known"]


def explain(reading: Reading, params: Parameters, side: int) -> list[Condition]:
    """Return the conditions of an entry on `side`, in the order in which `enter` checks them."""
    change, least, buffer = reading.oi_change_percent, params.oi_change_threshold, params.zone_buffer_percent
    zone, other = (reading.short_zone, reading.long_zone) if side > 0 else (reading.long_zone, reading.short_zone)
    away, other_away = abs(reading.close - zone), abs(reading.close - other)
    near = _is_near(reading.distance_percent / 100.0, params)
    return [
        Condition("open interest change %", change, ">=", least, _is_rising(change / 100.0, params)),
        Condition("distance to the zone %", reading.distance_percent, "<=", buffer, near),
        Condition("this zone is the nearer one", away, "<", other_away, _is_nearer(away, other_away)),
    ]


if __name__ == "__main__":
    from papertape.engine.strategy_demo import show_orders

    show_orders()
