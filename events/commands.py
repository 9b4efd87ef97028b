"""What a human may ask of a running engine. Each becomes events with who and why, or is refused with a reason."""

from __future__ import annotations

from typing import Final, Protocol

from msgspec import Struct

from papertape.events.facts import GLOBAL_SCOPE

ALL = "all"
TEXT_CHARS_MAX: Final = 200
"""Of who and why; a longer text is cut."""


class Pause(Struct, frozen=True, tag="pause"):
    """Open nothing with this strategy, or with all."""

    who: str
    why: str
    strategy: str = ALL


class Resume(Struct, frozen=True, tag="resume"):
    """End a pause."""

    who: str
    why: str
    strategy: str = ALL


class Close(Struct, frozen=True, tag="close"):
    """Leave a position at the next open: of one strategy in one symbol, or every open one."""

    who: str
    why: str
    strategy: str = ALL
    symbol: str = ALL


class Kill(Struct, frozen=True, tag="kill"):
    """Trip a kill switch by hand: of one strategy, or the global one."""

    who: str
    why: str
    scope: str = GLOBAL_SCOPE


class Reset(Struct, frozen=True, tag="reset"):
    """End the trip that stands at `trip_seq`."""

    who: str
    why: str
    scope: str
    trip_seq: int


Command = Pause | Resume | Close | Kill | Reset


class Accepted(Struct, frozen=True):
    """The events a command became: the first and the last seq, consequences included."""

    first_seq: int
    last_seq: int


class Commands(Protocol):
    """Where commands are handed in."""

    async def submit(self, command: Command) -> Accepted:
        """Take a command. Raises CommandRefused where it does not fit the state as it is."""
        ...
