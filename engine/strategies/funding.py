"""Extreme funding: take the side that is paid when the crowd pays too much for the other one.

Asked on 15m closes. The rate is the last settled one; one entry per settlement, some minutes after it; it
leaves when the rate is normal again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON
from papertape.engine.kernel.strategy import Condition
from papertape.events.units import MINUTE_MS

if TYPE_CHECKING:
    from papertape.engine.kernel.state import Decision, Market, Series, SymbolState

NAME = "funding"
TIMEFRAME_MS = 900_000
EXIT_REASONS = ("funding_normal",)
FUNDING_NORMAL = FIRST_EXIT_REASON
RATE_AGE_MAX_MS = 480 * MINUTE_MS


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """What counts as extreme and as normal, stop and target."""

    extreme_negative_threshold: Annotated[
        float, Meta(ge=-5.0, lt=0.0, description="long at or below this rate", extra={"unit": "%"})
    ] = -0.03
    extreme_positive_threshold: Annotated[
        float, Meta(gt=0.0, le=5.0, description="short at or above this rate", extra={"unit": "%"})
    ] = 0.03
    exit_threshold: Annotated[
        float, Meta(ge=0.0, le=5.0, description="the rate is normal when smaller", extra={"unit": "%"})
    ] = 0.01
    entry_delay_minutes: Annotated[
        float, Meta(ge=0.0, le=480.0, description="wait after the rate became extreme", extra={"unit": "min"})
    ] = 5.0
    tp_percent: Annotated[float, Meta(gt=0.0, le=50.0, description="target", extra={"unit": "%"})] = 0.4
    sl_percent: Annotated[float, Meta(gt=0.0, le=50.0, description="stop", extra={"unit": "%"})] = 0.2


class State(Struct):
    """Since when the rate has been extreme, on which side, and the settlement before."""

    side: int = 0
    since_ms: int = -1
    settled_at_ms: int = -1


class Reading(Struct):
    """The numbers a decision was made on."""

    rate_percent: float = 0.0
    rate_age_minutes: float = 0.0
    extreme_minutes: float = 0.0


def settle(state: State, time_ms: int, rate: float, params: Parameters) -> None:
    """Remember since when the rate has been extreme; a pause or the other side starts anew."""
    side = 0
    if rate <= params.extreme_negative_threshold / 100.0:
        side = 1
    elif rate >= params.extreme_positive_threshold / 100.0:
        side = -1
    if side != state.side or time_ms - state.settled_at_ms > RATE_AGE_MAX_MS:
        state.since_ms = time_ms
    state.side = side
    state.settled_at_ms = time_ms


def enter(
    state: State,
    market: Market,
    main: Series,
    filtered: Series,
    desk: SymbolState,
    params: Parameters,
    decision: Decision,
) -> int:
    """One entry per settlement on the side that is paid, after the delay."""
    now_ms = market.close_time_ms
    if state.side == 0 or now_ms - market.rate_time_ms > RATE_AGE_MAX_MS:
        return 0
    if now_ms - state.since_ms < params.entry_delay_minutes * 60_000.0:
        return 0
    if desk.entry_placed_ms > market.rate_time_ms:
        return 0
    threshold = params.extreme_negative_threshold if state.side > 0 else params.extreme_positive_threshold
    decision.stop_fraction = params.sl_percent / 100.0
    decision.target_fraction = params.tp_percent / 100.0
    decision.score = min(1.0, 0.7 * abs(market.rate) / abs(threshold / 100.0) + 0.3)
    read(state, market, main, filtered, desk, params, decision.reading)
    return state.side


def read(
    state: State,
    market: Market,
    main: Series,
    filtered: Series,
    desk: SymbolState,
    params: Parameters,
    reading: Reading,
) -> None:
    """The numbers of this moment; a rate that is not extreme has not been so for any time."""
    if market.rate_time_ms >= 0:
        _read(state, market, reading)
    if state.side == 0:
        reading.extreme_minutes = 0.0


def _read(state: State, market: Market, reading: Reading) -> None:
    """The rate, its age, and how long ago it became what it is."""
    reading.rate_percent = market.rate * 100.0
    reading.rate_age_minutes = (market.close_time_ms - market.rate_time_ms) / 60_000.0
    reading.extreme_minutes = (market.close_time_ms - state.since_ms) / 60_000.0


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
    """`funding_normal` when the last settled rate is small."""
    if market.rate_time_ms < 0 or market.close_time_ms - market.rate_time_ms > RATE_AGE_MAX_MS:
        return NO_REASON
    if abs(market.rate) >= params.exit_threshold / 100.0:
        return NO_REASON
    _read(state, market, decision.reading)
    return FUNDING_NORMAL


def holds(state: State, market: Market, desk: SymbolState, params: Parameters) -> list[str]:
    """No rate is known yet, or the entry on this settlement was placed already."""
    if market.rate_time_ms < 0:
        return ["no settlement is known yet"]
    return ["one entry a settlement: this one had its own"] if desk.entry_placed_ms > market.rate_time_ms else []


def explain(reading: Reading, params: Parameters, side: int) -> list[Condition]:
    """The conditions of an entry on `side`, in the order they are asked."""
    threshold = params.extreme_negative_threshold if side > 0 else params.extreme_positive_threshold
    relation = "<=" if side > 0 else ">="
    rate, age, extreme = reading.rate_percent, reading.rate_age_minutes, reading.extreme_minutes
    return [
        Condition("last settled rate %", rate, relation, threshold, side * (threshold - rate) >= -1e-12),
        Condition("age of the rate, min", age, "<=", 480.0, age <= 480.0),
        Condition("extreme for, min", extreme, ">=", params.entry_delay_minutes, extreme >= params.entry_delay_minutes),
    ]


if __name__ == "__main__":
    from papertape.engine.strategy_demo import show_orders

    show_orders(NAME)
