"""Collect funding: hold the side that is paid while the settled rate is high, with a wide stop and no target."""

from typing import Annotated

from msgspec import Struct

from papertape.engine.kernel.answers import Answer
from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON
from papertape.engine.kernel.parameters import positive
from papertape.engine.kernel.view import View

NAME = "funding_carry"
SERIES = ("1h",)
EXIT_REASONS = ("rate_fell",)
PLOT = {"rate_percent": "pane"}


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Rates of one settlement, and the stop."""

    enter_rate_percent: Annotated[float, positive(5.0, "%", "enter from this rate on, either sign")] = 0.01
    leave_rate_percent: Annotated[float, positive(5.0, "%", "leave below this rate")] = 0.002
    stop_percent: Annotated[float, positive(20.0, "%", "stop")] = 5.0


class Reading(Struct):
    """The number behind a decision."""

    rate_percent: float = 0.0


def read(view: View, params: Parameters, reading: Reading) -> None:
    """Fill in the rate of the last settlement."""
    reading.rate_percent = view.market.rate * 100.0


def enter(view: View, params: Parameters, answer: Answer) -> int:
    """Take the side that receives the funding."""
    market = view.market
    answer.stop_fraction = params.stop_percent / 100.0
    read(view, params, answer.reading)
    if market.rate_time_ms < 0 or abs(market.rate) * 100.0 < params.enter_rate_percent:
        return 0
    return -1 if market.rate > 0.0 else 1


def leave(view: View, params: Parameters, answer: Answer) -> int:
    """Leave once the position is not paid enough any more."""
    received_percent = -view.position.side * view.market.rate * 100.0
    read(view, params, answer.reading)
    return FIRST_EXIT_REASON if received_percent < params.leave_rate_percent else NO_REASON
