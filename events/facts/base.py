"""What all facts share: their base class, and the closed sets of values that their fields take.

A new member of a closed set is a new shape: older versions of papertape cannot read it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

from msgspec import Struct

Side = Literal["long", "short"]
Action = Literal["entry", "exit"]
RejectionReason = Literal[
    "max_positions",
    "correlation",
    "stop_too_close",
    "stop_beyond_liquidation",
    "cost_to_stop",
    "below_minimum",
    "not_a_number",
    "stop_wrong_side",
    "target_wrong_side",
]
"""Why a signal became no order."""
CancelReason = Literal["next_candle_missing", "late_candle", "kill_switch", "margin", "not_tradable"]
"""Why an entry order was never filled."""
TripReason = Literal["session_loss", "daily_loss", "global_loss", "manual"]
"""Why a kill switch tripped."""
ExitReason = Literal["stop", "target", "liquidation", "delisted", "manual", "unnamed_exit"]
"""Why the engine itself closes a position; a strategy adds exit reasons of its own."""
EngineReason = RejectionReason | CancelReason | TripReason | ExitReason | Literal["signal"]
"""Every reason that the engine gives for a decision; `signal` is that of an entry order."""
GLOBAL_SCOPE = "global"


class Timing(IntEnum):
    """How a candle reached the engine, and therefore what it may do."""

    ON_TIME = 0
    LATE = 1
    """Fetched after its time: triggers stops and funding, but never opens a position."""
    WARM_UP = 2
    """History before the start: feeds the indicators and nothing else."""


class Event(Struct, frozen=True, array_like=True):
    """A fact, and the time at which it became true."""

    at_ms: int
