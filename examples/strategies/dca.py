"""Average down: buy an oversold market, buy four times more below, and sell everything at one target."""

from typing import Annotated

from msgspec import Struct, field

from papertape.engine.kernel.answers import Answer, add_limit, add_target, drop_targets
from papertape.engine.kernel.indicators import Rsi, update_rsi
from papertape.engine.kernel.parameters import between, positive
from papertape.engine.kernel.view import View

NAME = "dca"
SERIES = ("15m",)
NEEDS_BARS = 50
UNITS_MAX = 5
ORDERS = 4


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """When to begin, how far apart the safety orders are, and what to earn."""

    rsi_below: Annotated[float, between(1.0, 50.0, "RSI", "RSI below which to begin")] = 30.0
    step_percent: Annotated[float, positive(10.0, "%", "distance from one safety order to the next")] = 1.0
    target_percent: Annotated[float, positive(20.0, "%", "target above the average price")] = 1.0


class State(Struct):
    """The RSI."""

    rsi: Rsi = field(default_factory=Rsi)


class Reading(Struct):
    """The number behind a decision."""

    rsi: float = 0.0


def observe(view: View, params: Parameters) -> None:
    """Update the RSI."""
    update_rsi(view.state.rsi, view.m15, 14)


def enter(view: View, params: Parameters, answer: Answer) -> int:
    """Buy, with four limit orders below and a stop under the last of them."""
    close, step, rsi = view.candle.close, params.step_percent / 100.0, view.state.rsi
    answer.reading.rsi = rsi.value
    for order in range(1, ORDERS + 1):
        add_limit(answer, close * (1.0 - order * step))
    answer.stop_price_usdt = close * (1.0 - (ORDERS + 2) * step)
    answer.target_fraction = params.target_percent / 100.0
    return 1 if rsi.ready == 1 and rsi.value < params.rsi_below else 0


def manage(view: View, params: Parameters, answer: Answer) -> None:
    """Keep the target at its distance from the average price, unless the market is above that already."""
    target = view.position.entry_price_usdt * (1.0 + params.target_percent / 100.0)
    if target > view.candle.close * 1.0005:
        drop_targets(answer)
        add_target(answer, target, 1.0)
