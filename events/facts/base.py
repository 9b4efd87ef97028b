"""What all facts share: the base, the words for sides and actions, and how a candle came."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

from msgspec import Struct

Side = Literal["long", "short"]
Action = Literal["entry", "exit"]
GLOBAL_SCOPE = "global"


class Timing(IntEnum):
    """How a candle reached the engine, and therefore what it may do."""

    ON_TIME = 0
    LATE = 1
    """Fetched after the fact: resolves stops and funding, but never opens a position."""
    WARM_UP = 2
    """History before the start: feeds the indicators and nothing else."""


class Event(Struct, frozen=True, array_like=True):
    """What all facts share: the time at which they became true."""

    at_ms: int
