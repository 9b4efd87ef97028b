"""The turtles' breakout: up to four units, each farther by half an ATR, with a stop two ATR behind the close."""

from typing import Annotated

from msgspec import Struct, field

from papertape.engine.kernel.answers import Answer, add_stop, move_stop
from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON
from papertape.engine.kernel.indicators import Atr, Donchian, update_atr, update_donchian
from papertape.engine.kernel.parameters import between
from papertape.engine.kernel.view import View

NAME = "turtle"
SERIES = ("1h",)
EXIT_REASONS = ("channel_broken",)
UNITS_MAX = 4


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """The channels of entry and exit."""

    entry_period: Annotated[int, between(5, 500, "candles", "channel to break for an entry")] = 55
    exit_period: Annotated[int, between(2, 500, "candles", "channel to break for an exit")] = 20


class Reading(Struct):
    """It shows no numbers."""


class State(Struct):
    """Both channels and the ATR."""

    entry: Donchian = field(default_factory=Donchian)
    exit: Donchian = field(default_factory=Donchian)
    atr: Atr = field(default_factory=Atr)


def observe(view: View, params: Parameters) -> None:
    update_donchian(view.state.entry, view.h1, params.entry_period)
    update_donchian(view.state.exit, view.h1, params.exit_period)
    update_atr(view.state.atr, view.h1, 20)


def enter(view: View, params: Parameters, answer: Answer) -> int:
    channel, close, atr = view.state.entry, view.candle.close, view.state.atr.value
    side = 1 if close > channel.previous_upper else -1 if close < channel.previous_lower else 0
    answer.stop_price_usdt = close - side * 2.0 * atr
    for unit in range(1, UNITS_MAX):
        add_stop(answer, close + side * (0.5 * unit * atr + 0.002 * close))
    return side if channel.ready == 1 else 0


def manage(view: View, params: Parameters, answer: Answer) -> None:
    move_stop(answer, view.candle.close - view.position.side * 2.0 * view.state.atr.value)


def leave(view: View, params: Parameters, answer: Answer) -> int:
    channel, side = view.state.exit, view.position.side
    level = channel.previous_lower if side > 0 else channel.previous_upper
    return FIRST_EXIT_REASON if side * (view.candle.close - level) < 0.0 else NO_REASON
