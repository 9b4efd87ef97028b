"""Follow the trend when a fast average crosses a slow one; the stop trails behind the best price by some ATR."""

from typing import Annotated

from msgspec import Struct, field

from papertape.engine.kernel.answers import Answer, trail
from papertape.engine.kernel.indicators import Atr, Cross, Ema, update_atr, update_cross, update_ema
from papertape.engine.kernel.parameters import between, positive
from papertape.engine.kernel.view import View

NAME = "ema_cross"
SERIES = ("15m",)
NEEDS_BARS = 200


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Periods of the averages, and the distance of the trailing stop."""

    fast_period: Annotated[int, between(2, 500, "candles", "fast average")] = 20
    slow_period: Annotated[int, between(3, 1_000, "candles", "slow average")] = 50
    trail_atr: Annotated[float, positive(20.0, "x", "distance of the trailing stop in ATR")] = 3.0


class State(Struct):
    """Both averages, their crossing, and the range of the market."""

    fast: Ema = field(default_factory=Ema)
    slow: Ema = field(default_factory=Ema)
    cross: Cross = field(default_factory=Cross)
    atr: Atr = field(default_factory=Atr)


class Reading(Struct):
    """The numbers behind a decision."""

    fast: float = 0.0
    slow: float = 0.0


def observe(view: View, params: Parameters) -> None:
    """Update the indicators."""
    state = view.state
    update_ema(state.fast, view.m15, params.fast_period)
    update_ema(state.slow, view.m15, params.slow_period)
    update_atr(state.atr, view.m15, 14)
    if state.slow.ready == 1:
        update_cross(state.cross, view.m15, state.fast.value, state.slow.value)


def enter(view: View, params: Parameters, answer: Answer) -> int:
    """Enter in the direction of a crossing."""
    state = view.state
    distance = state.atr.value * params.trail_atr / view.candle.close
    answer.stop_fraction = distance
    trail(answer, distance)
    answer.reading.fast = state.fast.value
    answer.reading.slow = state.slow.value
    return state.cross.value
