"""The events of the log as JSON, each encoded once for all who follow it, and one wait for all of them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from papertape.projections.text.event_views import event_view

if TYPE_CHECKING:
    from papertape.projections.site.ports import Progress, Timeline

FRAMES_KEPT_MAX: Final = 4_096
"""The newest events; who is further behind reads the log."""
FRAMES_A_TURN_MAX: Final = 200


class EventFrame(Struct, frozen=True):
    """One event, ready to be sent."""

    seq: int
    type: str
    symbol: str
    strategy: str
    text: str
    sse: bytes
    """As a server-sent event with the seq as its id."""


class StreamFilter(Struct, frozen=True, forbid_unknown_fields=True):
    """Which events; an empty list is all."""

    types: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()

    @property
    def takes_all(self) -> bool:
        """Whether nothing is left out."""
        return not (self.types or self.symbols or self.strategies)

    def matches(self, frame: EventFrame) -> bool:
        """Whether this is one."""
        return (
            (not self.types or frame.type in self.types)
            and (not self.symbols or frame.symbol in self.symbols)
            and (not self.strategies or frame.strategy in self.strategies)
        )


class SharedEventReader:
    """Reads on behalf of everybody who follows the log."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._newest: deque[EventFrame] = deque(maxlen=FRAMES_KEPT_MAX)
        self._of = timeline.views
        self._joined: tuple[tuple[int, int], bytes] = ((0, 0), b"")
        self._moving: asyncio.Task[int] | None = None

    @property
    def head_seq(self) -> int:
        """The event that the views stand at: what is told can be looked at."""
        return self._timeline.views.seq

    @property
    def folding(self) -> Progress | None:
        """The progress of the first fold of the log; None once the views show all of it."""
        return self._timeline.folding

    async def frames_after(self, seq: int) -> list[EventFrame]:
        """The next events beyond `seq`, not more than FRAMES_A_TURN_MAX."""
        if self._of is not self._timeline.views:  # Another log stands at its place.
            self._of = self._timeline.views
            self._newest.clear()
            self._joined = ((0, 0), b"")
        if self._newest and self._newest[0].seq <= seq + 1:
            begin = seq + 1 - self._newest[0].seq
            known = [self._newest[at] for at in range(begin, min(begin + FRAMES_A_TURN_MAX, len(self._newest)))]
            if known:
                return known
        found = await self._timeline.events(seq, min(FRAMES_A_TURN_MAX, self.head_seq - seq))
        contracts = self._timeline.views.contracts.by_symbol
        frames = []
        for recorded in found:
            view = event_view(recorded, contracts)
            json = msgspec.json.encode(view)
            sse = b"id: %d\ndata: %b\n\n" % (view.seq, json)
            frames.append(EventFrame(view.seq, view.type, view.symbol, view.strategy, json.decode(), sse))
        self._retain(frames)
        return frames

    def join_frames(self, frames: list[EventFrame], chosen: StreamFilter) -> bytes:
        """The chosen ones of these as server-sent events. Most who follow stand at the same place and want all."""
        if not chosen.takes_all:
            return b"".join(frame.sse for frame in frames if chosen.matches(frame))
        span = (frames[0].seq, frames[-1].seq)
        if self._joined[0] != span:
            self._joined = (span, b"".join(frame.sse for frame in frames))
        return self._joined[1]

    def _retain(self, frames: list[EventFrame]) -> None:
        """Keep what goes on where the kept ones end; without them, what lies at the head."""
        newest_seq = self._newest[-1].seq if self._newest else self.head_seq - FRAMES_A_TURN_MAX
        if frames and frames[0].seq > newest_seq + 1:
            self._newest.clear()
        self._newest.extend(frame for frame in frames if frame.seq > newest_seq)

    async def wait_beyond(self, seq: int) -> None:
        """Wait until there is an event beyond `seq`. However many wait, the timeline is asked once."""
        while self.head_seq <= seq:
            if self._moving is None or self._moving.done():
                self._moving = asyncio.ensure_future(self._timeline.wait_beyond(self.head_seq))
            await asyncio.shield(self._moving)

    async def close(self) -> None:
        """Ask no more."""
        if self._moving is not None:
            self._moving.cancel()
            await asyncio.gather(self._moving, return_exceptions=True)
