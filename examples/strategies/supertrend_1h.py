"""Enter on 5m closes in the direction of a 1h Supertrend, after a pullback; leave when the trend turns."""

from typing import Annotated

from msgspec import Struct, field

from papertape.engine.kernel.answers import Answer
from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON
from papertape.engine.kernel.indicators import Rsi, Supertrend, update_rsi, update_supertrend
from papertape.engine.kernel.parameters import between, positive
from papertape.engine.kernel.view import View

NAME = "supertrend_1h"
SERIES = ("5m", "1h")
NEEDS_BARS = 50
NEEDS_FILTER_BARS = 30
EXIT_REASONS = ("trend_turned",)


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """The trend, and how deep a pullback must be."""

    width: Annotated[float, positive(10.0, "x", "distance of its bands in ATR")] = 3.0
    pullback_rsi: Annotated[float, between(1.0, 50.0, "RSI", "5m RSI of a pullback in a rising trend")] = 35.0
    stop_percent: Annotated[float, positive(20.0, "%", "stop")] = 1.5


class State(Struct):
    """The trend of the hour and the RSI of five minutes."""

    trend: Supertrend = field(default_factory=Supertrend)
    rsi: Rsi = field(default_factory=Rsi)


class Reading(Struct):
    """The numbers behind a decision."""

    trend: float = 0.0
    rsi: float = 0.0


def observe(view: View, params: Parameters) -> None:
    """Update both indicators; each takes only candles of its own series."""
    update_supertrend(view.state.trend, view.h1, 10, params.width)
    update_rsi(view.state.rsi, view.m5, 14)


def enter(view: View, params: Parameters, answer: Answer) -> int:
    """Enter with the trend when the RSI has pulled back against it."""
    trend, rsi = view.state.trend, view.state.rsi.value
    answer.stop_fraction = params.stop_percent / 100.0
    answer.reading.trend = trend.value
    answer.reading.rsi = rsi
    pulled_back = rsi < params.pullback_rsi if trend.side > 0 else rsi > 100.0 - params.pullback_rsi
    return trend.side if trend.ready == 1 and pulled_back else 0


def leave(view: View, params: Parameters, answer: Answer) -> int:
    """Leave when the trend of the hour has turned."""
    return FIRST_EXIT_REASON if view.state.trend.side != view.position.side else NO_REASON
