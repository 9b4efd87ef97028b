"""Buy below the lower Bollinger band, sell half at the middle and the rest at the upper band; mirrored for short."""

from typing import Annotated

from msgspec import Struct, field

from papertape.engine.kernel.answers import Answer, add_target
from papertape.engine.kernel.indicators import Bollinger, update_bollinger
from papertape.engine.kernel.parameters import between, positive
from papertape.engine.kernel.view import View

NAME = "bollinger_steps"
SERIES = ("15m",)
NEEDS_BARS = 100
PLOT = {"lower": "price", "upper": "price"}


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """The bands, and the stop."""

    period: Annotated[int, between(5, 500, "candles", "mean and deviation")] = 20
    width: Annotated[float, positive(5.0, "x", "distance of the bands in standard deviations")] = 2.0
    stop_percent: Annotated[float, positive(20.0, "%", "stop")] = 1.0


class State(Struct):
    """The bands."""

    bands: Bollinger = field(default_factory=Bollinger)


class Reading(Struct):
    """The numbers behind a decision."""

    close: float = 0.0
    lower: float = 0.0
    upper: float = 0.0


def observe(view: View, params: Parameters) -> None:
    """Update the bands."""
    update_bollinger(view.state.bands, view.m15, params.period, params.width)


def read(view: View, params: Parameters, reading: Reading) -> None:
    """Fill in the numbers of this moment."""
    reading.close, reading.lower, reading.upper = view.candle.close, view.state.bands.lower, view.state.bands.upper


def enter(view: View, params: Parameters, answer: Answer) -> int:
    """Enter against a close beyond a band; both targets are prices."""
    bands, close = view.state.bands, view.candle.close
    read(view, params, answer.reading)
    side = 0
    if bands.ready == 1 and (close < bands.lower or close > bands.upper):
        side = 1 if close < bands.lower else -1
        answer.stop_fraction = params.stop_percent / 100.0
        add_target(answer, bands.middle, 0.5)
        add_target(answer, bands.upper if side > 0 else bands.lower, 0.5)
    return side
