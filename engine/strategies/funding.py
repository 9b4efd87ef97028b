"""Extreme funding: take the side that is paid when the crowd pays too much for the other one.

It decides on 15m closes. The rate is the last settled one; there is one entry per settlement, some minutes after it; it
leaves when the rate is normal again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Struct

from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON
from papertape.engine.kernel.parameters import between, negative, positive
from papertape.engine.kernel.strategy import Condition
from papertape.events.units import MINUTE_MS

if TYPE_CHECKING:
    from papertape.engine.kernel.answers import Answer
    from papertape.engine.kernel.view import View

NAME = "funding"
SERIES = ("15m",)
EXIT_REASONS = ("funding_normal",)
FUNDING_NORMAL = FIRST_EXIT_REASON
PLOT = {"rate_percent": "pane"}
RATE_AGE_MAX_MINUTES = 480.0
RATE_AGE_MAX_MS = 480 * MINUTE_MS


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """What counts as extreme and as normal, stop and target."""

    extreme_negative_threshold: Annotated[float, negative(-5.0, "%", "long at or below this rate")] = -0.03
    extreme_positive_threshold: Annotated[float, positive(5.0, "%", "short at or above this rate")] = 0.03
    exit_threshold: Annotated[float, between(0.0, 5.0, "%", "the rate is normal when smaller")] = 0.01
    entry_delay_minutes: Annotated[float, between(0.0, 480.0, "min", "wait after the rate became extreme")] = 5.0
    tp_percent: Annotated[float, positive(50.0, "%", "target")] = 0.4
    sl_percent: Annotated[float, positive(50.0, "%", "stop")] = 0.2


class State(Struct):
    """The side that an extreme rate pays and since when, and the time of the last settlement."""

    side: int = 0
    since_ms: int = -1
    settled_at_ms: int = -1


class Reading(Struct):
    """The numbers behind a decision."""

    rate_percent: float = 0.0
    rate_age_minutes: float = 0.0
    extreme_minutes: float = 0.0


# ---------------------------------------------------------------- the conditions of an entry, each written once


def _paid_side(rate: float, params: Parameters) -> int:
    if rate <= params.extreme_negative_threshold / 100.0:
        return 1
    return -1 if rate >= params.extreme_positive_threshold / 100.0 else 0


def _is_fresh(rate_age_ms: float) -> bool:
    return rate_age_ms <= RATE_AGE_MAX_MS


def _is_delay_over(extreme_ms: float, params: Parameters) -> bool:
    return extreme_ms >= params.entry_delay_minutes * 60_000.0


def _threshold(side: int, params: Parameters) -> float:
    return params.extreme_negative_threshold if side > 0 else params.extreme_positive_threshold


def on_funding(view: View, params: Parameters) -> None:
    """Track since when the rate has been extreme; a missing settlement or the other side starts over."""
    state, time_ms = view.state, view.market.rate_time_ms
    side = _paid_side(view.market.rate, params)
    if side != state.side or not _is_fresh(time_ms - state.settled_at_ms):
        state.since_ms = time_ms
    state.side = side
    state.settled_at_ms = time_ms


def enter(view: View, params: Parameters, answer: Answer) -> int:
    """Enter the side that is paid, once per settlement, after the delay."""
    state, market = view.state, view.market
    if not (
        state.side != 0
        and _is_fresh(view.now_ms - market.rate_time_ms)
        and _is_delay_over(view.now_ms - state.since_ms, params)
        and view.symbol.entry_placed_ms <= market.rate_time_ms
    ):
        return 0
    answer.stop_fraction = params.sl_percent / 100.0
    answer.target_fraction = params.tp_percent / 100.0
    answer.score = min(1.0, 0.7 * abs(market.rate) / abs(_threshold(state.side, params) / 100.0) + 0.3)
    read(view, params, answer.reading)
    side: int = state.side
    return side


def read(view: View, params: Parameters, reading: Reading) -> None:
    """Fill in the numbers of this moment; a rate that is not extreme has been so for 0 minutes."""
    if view.market.rate_time_ms >= 0:
        _read_rate(view, reading)
    if view.state.side == 0:
        reading.extreme_minutes = 0.0


def _read_rate(view: View, reading: Reading) -> None:
    """Fill in the rate, its age, and how long ago it became what it is."""
    reading.rate_percent = view.market.rate * 100.0
    reading.rate_age_minutes = (view.now_ms - view.market.rate_time_ms) / 60_000.0
    reading.extreme_minutes = (view.now_ms - view.state.since_ms) / 60_000.0


def leave(view: View, params: Parameters, answer: Answer) -> int:
    """Leave when the last settled rate is small."""
    market = view.market
    if market.rate_time_ms < 0 or not _is_fresh(view.now_ms - market.rate_time_ms):
        return NO_REASON
    if abs(market.rate) >= params.exit_threshold / 100.0:
        return NO_REASON
    _read_rate(view, answer.reading)
    return FUNDING_NORMAL


def holds(view: View, params: Parameters) -> list[str]:
    """Return what else prevents an entry: no known rate, or an entry on this settlement already."""
    if view.market.rate_time_ms < 0:
        return ["no settlement is known yet"]
    had_entry = view.symbol.entry_placed_ms > view.market.rate_time_ms
    return ["one entry per settlement: this one has had its entry"] if had_entry else []


def explain(reading: Reading, params: Parameters, side: int) -> list[Condition]:
    """Return the conditions of an entry on `side`, in the order in which `enter` checks them."""
    rate, age, extreme = reading.rate_percent, reading.rate_age_minutes, reading.extreme_minutes
    relation, delay = "<=" if side > 0 else ">=", params.entry_delay_minutes
    paid = _paid_side(rate / 100.0, params) == side
    return [
        Condition("last settled rate %", rate, relation, _threshold(side, params), paid),
        Condition("age of the rate, min", age, "<=", RATE_AGE_MAX_MINUTES, _is_fresh(age * 60_000.0)),
        Condition("extreme for, min", extreme, ">=", delay, _is_delay_over(extreme * 60_000.0, params)),
    ]


if __name__ == "__main__":
    from papertape.engine.strategy_demo import show_orders

    show_orders()
