"""Add up all that it is shown of two other symbols and of its own, and trade by the sum: whatever differs shows."""

from typing import Annotated, Any

from msgspec import Struct, field

from papertape.engine.kernel.answers import Answer
from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON
from papertape.engine.kernel.indicators import Ema, update_ema
from papertape.engine.kernel.parameters import between, positive

NAME = "two_leaders"
SERIES = ("5m", "15m")
REFERENCES = {"leader": "AAA", "other": "BBB"}
NEEDS_BARS = 5
NEEDS_FILTER_BARS = 2
EXIT_REASONS = ("turned",)


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """How it adds up, when it enters, and where its stop is."""

    period: Annotated[int, between(2, 500, "candles", "average of the leader")] = 5
    beyond: Annotated[float, positive(1.0, "", "how seldom it enters")] = 0.7
    stop_percent: Annotated[float, positive(20.0, "%", "stop")] = 1.0


class State(Struct):
    """An average of the leader, with its history, and a number between 0 and 1 made of all that was seen."""

    average: Ema = field(default_factory=Ema)
    mixed: float = 0.5


class Reading(Struct):
    """The number behind a decision."""

    mixed: float = 0.0


def mix(state: State, number: float) -> None:
    """Take a number into the sum, of which the fraction is kept."""
    mixed = (state.mixed + abs(number)) * 1.618
    state.mixed = mixed - int(mixed)


def observe(view: Any, params: Parameters) -> None:
    """Take in what is complete, how old the others are, and an old close of the leader."""
    state = view.state
    update_ema(state.average, view.leader.m5, params.period)
    mix(state, state.average.value + float(view.now_ms - view.leader.close_ms) / 7.0e5)
    mix(state, float(view.now_ms - view.other.close_ms) / 9.0e5)
    if view.m5.candle.completed == 1:
        mix(state, view.m5.candle.close)
    if view.leader.m5.candle.completed == 1:
        mix(state, view.leader.m5.candle.close + view.leader.m5.bars[(view.leader.m5.candle.row - 3) & 63].close)
    if view.leader.m15.candle.completed == 1:
        mix(state, view.leader.m15.candle.high)
    if view.other.m5.candle.completed == 1:
        mix(state, view.other.m5.candle.low)
    if view.other.m15.candle.completed == 1:
        mix(state, view.other.m15.candle.volume)


def on_gap(view: Any, params: Parameters) -> None:  # noqa: ARG001 - a hook has its whole signature
    """Take in a hole of its own symbol."""
    mix(view.state, view.other.m5.candle.close)


def enter(view: Any, params: Parameters, answer: Answer) -> int:
    """By the sum and by what the others completed."""
    answer.stop_fraction = params.stop_percent / 100.0
    answer.reading.mixed = view.state.mixed
    if view.state.mixed < params.beyond:
        return 0
    both = view.leader.m5.candle.completed + view.other.m15.candle.completed
    return 1 if view.leader.m5.candle.close + float(both) > view.other.m5.candle.close else -1


def leave(view: Any, params: Parameters, answer: Answer) -> int:  # noqa: ARG001 - likewise
    """By the sum and by the age of a reference."""
    late = view.now_ms - view.other.close_ms > 0
    return FIRST_EXIT_REASON if (view.state.mixed > 0.9) != late else NO_REASON
