"""Follow a signal from outside while it is fresh and strong: its sign is the side; leave when it turns or grows old."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from papertape.engine.kernel.answers import Answer
from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON
from papertape.engine.kernel.parameters import between, positive
from papertape.engine.kernel.view import View

NAME = "follow_signals"
SERIES = ("5m",)
SIGNALS = ("trend",)
EXIT_REASONS = ("signal_turned", "signal_old")
PLOT = {"trend": "pane"}
TURNED = FIRST_EXIT_REASON
OLD = FIRST_EXIT_REASON + 1


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """When the signal counts, and stop and target."""

    strength_min: Annotated[float, between(0.0, 1e6, "", "least size of the signal for an entry")] = 0.5
    age_max_minutes: Annotated[float, positive(10_000.0, "minutes", "age beyond which the signal is ignored")] = 30.0
    stop_percent: Annotated[float, positive(50.0, "%", "stop")] = 1.0
    target_percent: Annotated[float, positive(50.0, "%", "target")] = 2.0


class Reading(Struct):
    """The signal and its age."""

    trend: float = 0.0
    age_minutes: float = 0.0


def read(view: View, params: Parameters, reading: Reading) -> None:
    """Fill in the signal of this moment."""
    reading.trend = view.signals.trend.value
    reading.age_minutes = (view.now_ms - view.signals.trend.time_ms) / 60_000.0


def enter(view: View, params: Parameters, answer: Answer) -> int:
    """Enter on the side of a fresh and strong signal."""
    read(view, params, answer.reading)
    if answer.reading.age_minutes > params.age_max_minutes or abs(answer.reading.trend) < params.strength_min:
        return 0
    answer.stop_fraction, answer.target_fraction = params.stop_percent / 100.0, params.target_percent / 100.0
    return 1 if answer.reading.trend > 0.0 else -1


def leave(view: View, params: Parameters, answer: Answer) -> int:
    """Leave when the signal turned against the position, or grew old."""
    read(view, params, answer.reading)
    if view.position.side * answer.reading.trend < 0.0:
        return TURNED
    return OLD if answer.reading.age_minutes > params.age_max_minutes else NO_REASON
