"""What all facts share: their base class, and the closed sets of values that their fields take.

A fact has a name in the past tense and carries `at_ms`, its event time in milliseconds since 1970 UTC. The log adds
`seq`, `recorded_at_ms` and `cause` (see `events.log.Recorded`). The tag is `Name.version`: a changed shape gets the
next version, and the old one moves to `events.upcast` with a function that converts it.

Names carry units: `_usdt` money and prices in USDT, `_base` quantities in coins of the base currency, `_ms` UTC
milliseconds, `_percent` percent, `_fraction` and `rate` plain fractions (0.0001 is 0.01 %). Open, high, low and close
are prices in USDT, `volume` is in coins.

A new member of a closed set is a new shape: older versions of papertape cannot read it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

from msgspec import Struct

Side = Literal["long", "short"]
Action = Literal["entry", "exit", "add", "reduce", "target"]
"""What an order does to a position: open it, close it, enlarge it, close a part of it now or at a target."""
AnswerKind = Literal["entry", "change"]
"""What a refused answer of a strategy asked for: an entry, or a change of its orders."""
OrderKind = Literal["market", "limit", "stop"]
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
    "limit_beyond_market",
    "stop_behind_market",
    "ladder",
    "units",
    "stop_through_market",
    "target_through_market",
    "kill_switch",
    "paused",
    "not_tradable",
]
"""Why a signal became no order."""
CancelReason = Literal[
    "next_candle_missing",
    "late_candle",
    "kill_switch",
    "margin",
    "not_tradable",
    "paused",
    "expired",
    "replaced",
    "position_closed",
    "below_minimum",
    "stop_beyond_liquidation",
    "strategy_failed",
]
"""Why an order was never filled."""
TripReason = Literal["session_loss", "daily_loss", "global_loss", "manual"]
"""Why a kill switch tripped."""
TargetReason = Literal["target", "target_1", "target_2", "target_3", "target_4"]
"""Which target was filled; the only one of a position is just `target`."""
StopReason = Literal["stop", "trailing_stop", "breakeven_stop"]
"""What tightened a stop last: the strategy, the trailing or the break-even."""
ExitReason = TargetReason | StopReason | Literal["liquidation", "delisted", "manual", "unnamed_exit", "reduced"]
"""Why the engine itself closes a position; a strategy adds exit reasons of its own."""
EngineReason = RejectionReason | CancelReason | TripReason | ExitReason | Literal["signal"]
"""Every reason that the engine gives for a decision; `signal` is that of an entry order."""
GLOBAL_SCOPE = "global"
CONFIGURATION = "configuration"
"""Who pauses and resumes a strategy that the configuration stops or starts to name."""


class Timing(IntEnum):
    """How a candle reached the engine, and therefore what it may do."""

    ON_TIME = 0
    LATE = 1
    """Fetched after its time: triggers stops and funding, but never opens a position."""
    WARM_UP = 2
    """History before the start: feeds the indicators and nothing else."""


class Event(Struct, frozen=True, array_like=True, gc=False):
    """A fact, and the time at which it became true. It holds no events, so the garbage collector need not track it."""

    at_ms: int
