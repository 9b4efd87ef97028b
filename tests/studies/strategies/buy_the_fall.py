"""Buy a fall on a great volume; a stop and a target at the same distance."""

from typing import Annotated

from msgspec import Struct

from papertape.engine.kernel.answers import Answer
from papertape.engine.kernel.parameters import positive
from papertape.engine.kernel.view import View

NAME = "buy_the_fall"
SERIES = ("15m",)
NEEDS_BARS = 4


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """The fall that is bought, its volume, and the distance of stop and target."""

    fall_percent: Annotated[float, positive(20.0, "%", "the close below the open")] = 0.4
    volume_min: Annotated[float, positive(1e9, "coins", "volume of the candle")] = 4.0
    stop_percent: Annotated[float, positive(20.0, "%", "stop and target")] = 0.6


class State(Struct):
    """Nothing is remembered."""

    unused: int = 0


class Reading(Struct):
    """The numbers behind a decision."""

    fall: float = 0.0
    volume: float = 0.0


def read(view: View, params: Parameters, reading: Reading) -> None:  # noqa: ARG001 - a hook has its whole signature
    """Fill in the numbers of this moment."""
    reading.fall, reading.volume = 1.0 - view.candle.close / view.candle.open, view.candle.volume


def enter(view: View, params: Parameters, answer: Answer) -> int:
    """Buy the fall."""
    read(view, params, answer.reading)
    if answer.reading.fall * 100.0 < params.fall_percent or answer.reading.volume < params.volume_min:
        return 0
    answer.stop_fraction = params.stop_percent / 100.0
    answer.target_fraction = params.stop_percent / 100.0
    return 1
