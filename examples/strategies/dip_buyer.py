"""Buy a dip in a rising market: an example of a strategy of your own. Change it, copy it, or delete it.

`papertape check strategies/dip_buyer.py` checks that it honours the contract; `papertape backtest --strategy dip_buyer`
tries it on recorded candles.
"""

from typing import Annotated

from msgspec import Struct, field

from papertape.engine.kernel.answers import Answer
from papertape.engine.kernel.indicators import Ema, Rsi, update_ema, update_rsi
from papertape.engine.kernel.parameters import between, positive
from papertape.engine.kernel.view import View

NAME = "dip_buyer"
SERIES = ("5m", "15m")
NEEDS_BARS = 20
NEEDS_FILTER_BARS = 20


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """What counts as a dip, and the stop and target. Each has a type, a valid range, a unit and a meaning."""

    rsi_below: Annotated[float, between(1.0, 50.0, "RSI", "5m RSI of a dip")] = 40.0
    trend_period: Annotated[int, between(2, 200, "candles", "15m average that the price must be above")] = 20
    stop_percent: Annotated[float, positive(20.0, "%", "stop")] = 0.6
    target_percent: Annotated[float, positive(20.0, "%", "target")] = 1.2


class State(Struct):
    """What is remembered from candle to candle."""

    trend: Ema = field(default_factory=Ema)
    rsi: Rsi = field(default_factory=Rsi)


class Reading(Struct):
    """The numbers behind a decision: `papertape why` and the pages show them."""

    close: float = 0.0
    trend: float = 0.0
    rsi: float = 0.0


def observe(view: View, params: Parameters) -> None:
    """Take every complete candle."""
    update_ema(view.state.trend, view.m15, params.trend_period)
    update_rsi(view.state.rsi, view.m5, 14)


def enter(view: View, params: Parameters, answer: Answer) -> int:
    """Return 1 to buy at the next open, -1 to sell short, 0 to wait."""
    close, trend, rsi = view.candle.close, view.state.trend.value, view.state.rsi.value
    answer.stop_fraction = params.stop_percent / 100.0
    answer.target_fraction = params.target_percent / 100.0
    answer.reading.close = close
    answer.reading.trend = trend
    answer.reading.rsi = rsi
    return 1 if close > trend and rsi < params.rsi_below else 0
