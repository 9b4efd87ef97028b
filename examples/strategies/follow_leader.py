"""Trade one market on the momentum of another: by default ETH, or whatever it runs on, on that of BTC."""

from typing import Annotated

from msgspec import Struct, field

from papertape.engine.kernel.answers import Answer
from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON
from papertape.engine.kernel.indicators import Ema, update_ema
from papertape.engine.kernel.parameters import between, positive
from papertape.engine.kernel.view import View

NAME = "follow_leader"
SERIES = ("15m",)
REFERENCES = {"leader": "BTCUSDT"}
NEEDS_BARS = 100
EXIT_REASONS = ("leader_turned",)


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """How strong the leader's move must be."""

    period: Annotated[int, between(2, 500, "candles", "average of the leader")] = 50
    beyond_percent: Annotated[float, positive(20.0, "%", "distance of the leader from its average")] = 0.8
    stop_percent: Annotated[float, positive(20.0, "%", "stop")] = 1.2


class State(Struct):
    """The leader's average."""

    leader: Ema = field(default_factory=Ema)


class Reading(Struct):
    """The number behind a decision."""

    leader_percent: float = 0.0


def observe(view: View, params: Parameters) -> None:
    """Update the average of the leader."""
    update_ema(view.state.leader, view.leader.m15, params.period)


def enter(view: View, params: Parameters, answer: Answer) -> int:
    """Enter in the direction of the leader's momentum."""
    average = view.state.leader.value
    percent = (view.leader.m15.candle.close / average - 1.0) * 100.0 if average > 0.0 else 0.0
    answer.stop_fraction = params.stop_percent / 100.0
    answer.reading.leader_percent = percent
    return 1 if percent > params.beyond_percent else -1 if percent < -params.beyond_percent else 0


def leave(view: View, params: Parameters, answer: Answer) -> int:
    """Leave when the leader is back at its average."""
    gone = view.position.side * (view.leader.m15.candle.close - view.state.leader.value) <= 0.0
    return FIRST_EXIT_REASON if gone else NO_REASON
