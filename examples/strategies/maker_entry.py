"""Enter by a limit order below a falling candle and pay the maker's fee; quote anew when it has expired."""

from typing import Annotated

from msgspec import Struct, field

from papertape.engine.kernel.answers import Answer, enter_limit
from papertape.engine.kernel.indicators import Atr, Ema, update_atr, update_ema
from papertape.engine.kernel.parameters import between, positive
from papertape.engine.kernel.view import View

NAME = "maker_entry"
SERIES = ("5m",)
NEEDS_BARS = 250


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """The trend, and where the orders rest."""

    trend_period: Annotated[int, between(2, 1_000, "candles", "average that tells the trend")] = 200
    offset_atr: Annotated[float, positive(10.0, "x", "distance of the limit order in ATR")] = 0.5
    expires_candles: Annotated[int, between(1, 288, "candles", "life of the limit order")] = 3
    stop_percent: Annotated[float, positive(20.0, "%", "stop")] = 0.6
    target_percent: Annotated[float, positive(20.0, "%", "target")] = 0.9


class State(Struct):
    """The trend and the range of the market."""

    trend: Ema = field(default_factory=Ema)
    atr: Atr = field(default_factory=Atr)


class Reading(Struct):
    """The numbers behind a decision."""

    trend: float = 0.0
    atr: float = 0.0


def observe(view: View, params: Parameters) -> None:
    """Update the indicators."""
    update_ema(view.state.trend, view.m5, params.trend_period)
    update_atr(view.state.atr, view.m5, 14)


def enter(view: View, params: Parameters, answer: Answer) -> int:
    """Rest an order on the side of the trend after a candle against it."""
    candle, trend, atr = view.candle, view.state.trend.value, view.state.atr.value
    side = 1 if candle.close > trend else -1
    enter_limit(answer, candle.close - side * params.offset_atr * atr, params.expires_candles)
    answer.stop_fraction = params.stop_percent / 100.0
    answer.target_fraction = params.target_percent / 100.0
    answer.reading.trend = trend
    answer.reading.atr = atr
    return side if side * (candle.open - candle.close) > 0.0 else 0
