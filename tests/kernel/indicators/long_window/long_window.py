"""A strategy whose windows are as long as a history holds: it buys below its long mean and sells above it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Struct, field

from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON
from papertape.engine.kernel.indicators import (
    Donchian,
    Percentile,
    ZScore,
    update_donchian,
    update_percentile,
    update_z_score,
)
from papertape.engine.kernel.parameters import between

if TYPE_CHECKING:
    from papertape.engine.kernel.answers import Answer
    from papertape.engine.kernel.view import View

NAME = "long_window"
SERIES = ("1m",)
EXIT_REASONS = ("turned",)


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """The window."""

    window: Annotated[int, between(1, 4_000, "candles", "candles of every window")] = 2_048


class State(Struct):
    """The indicators, all over the same window."""

    score: ZScore = field(default_factory=ZScore)
    channel: Donchian = field(default_factory=Donchian)
    median: Percentile = field(default_factory=Percentile)


class Reading(Struct):
    """The numbers behind a decision."""

    score: float = 0.0
    median: float = 0.0
    upper: float = 0.0
    lower: float = 0.0


def needs(params: Parameters) -> int:
    """Return the candles of the window and the one before it."""
    return params.window + 1


def observe(view: View, params: Parameters) -> None:
    """Update the indicators."""
    update_z_score(view.state.score, view.m1, params.window)
    update_donchian(view.state.channel, view.m1, params.window)
    update_percentile(view.state.median, view.m1, params.window, 50.0)


def enter(view: View, params: Parameters, answer: Answer) -> int:
    """Enter towards the mean when the close is half a deviation away from it."""
    score = view.state.score.value
    if view.state.channel.ready == 0 or -0.5 < score < 0.5:
        return 0
    answer.stop_fraction = 0.02
    answer.target_fraction = 0.02
    read(view, params, answer.reading)
    return 1 if score < 0.0 else -1


def leave(view: View, params: Parameters, answer: Answer) -> int:
    """Leave when the close is on the other side of the median."""
    if view.position.side * (view.candle.close - view.state.median.value) < 0.0:
        return NO_REASON
    read(view, params, answer.reading)
    return FIRST_EXIT_REASON


def read(view: View, params: Parameters, reading: Reading) -> None:  # noqa: ARG001 - a hook has its whole signature
    """Fill in the numbers of this moment."""
    reading.score = view.state.score.value
    reading.median = view.state.median.value
    reading.upper = view.state.channel.upper
    reading.lower = view.state.channel.lower
