"""The commands that a human can give a running engine. Each becomes events with who and why, or is refused."""

from __future__ import annotations

from typing import Final, Protocol

from msgspec import Struct

from papertape.events.facts import GLOBAL_SCOPE

ALL = "all"
TEXT_CHARS_MAX: Final = 200
"""The limit for who and why; a longer text is cut."""


class Pause(Struct, frozen=True, tag="pause"):
    """Stop one strategy, or all, from opening positions."""

    who: str
    why: str
    strategy: str = ALL


class Resume(Struct, frozen=True, tag="resume"):
    """End a pause."""

    who: str
    why: str
    strategy: str = ALL


class Close(Struct, frozen=True, tag="close"):
    """Close open positions at the next open; `strategy` and `symbol` narrow the choice."""

    who: str
    why: str
    strategy: str = ALL
    symbol: str = ALL


class Kill(Struct, frozen=True, tag="kill"):
    """Trip a kill switch by hand: that of one strategy, or the global one."""

    who: str
    why: str
    scope: str = GLOBAL_SCOPE


class Reset(Struct, frozen=True, tag="reset"):
    """End the trip that was recorded at `trip_seq`."""

    who: str
    why: str
    scope: str
    trip_seq: int


class Reload(Struct, frozen=True, tag="reload"):
    """Apply the configuration file again while the engine runs."""

    who: str
    why: str


StateCommand = Pause | Resume | Close | Kill | Reset
"""The commands that the state alone can answer."""
Command = StateCommand | Reload


class Accepted(Struct, frozen=True):
    """The events that a command became: their first and last seq, consequences included.

    `changes` are the changed settings of a reload, one line each.
    """

    first_seq: int
    last_seq: int
    changes: tuple[str, ...] = ()


class Commands(Protocol):
    """Accepts commands."""

    async def submit(self, command: Command) -> Accepted:
        """Execute a command. Raise CommandRefused if it does not fit the current state."""
        ...
