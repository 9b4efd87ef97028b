"""The events of the log as JSON, each encoded once for all streams, with one shared wait for new events."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from papertape.projections.text.event_views import event_view

if TYPE_CHECKING:
    from papertape.projections.site.ports import Progress, Timeline

CACHED_FRAMES_MAX: Final = 4_096
"""The number of newest events in memory; a stream further behind reads the log."""
FRAMES_PER_READ_MAX: Final = 200


class EventFrame(Struct, frozen=True):
    """One encoded event."""

    seq: int
    type: str
    symbol: str
    strategy: str
    text: str
    sse: bytes
    """As a server-sent event with the seq as its id."""


class StreamFilter(Struct, frozen=True, forbid_unknown_fields=True):
    """Which events; an empty list matches all."""

    types: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()

    @property
    def matches_all(self) -> bool:
        """Whether every event matches."""
        return not (self.types or self.symbols or self.strategies)

    def matches(self, frame: EventFrame) -> bool:
        """Return whether an event matches."""
        return (
            (not self.types or frame.type in self.types)
            and (not self.symbols or frame.symbol in self.symbols)
            and (not self.strategies or frame.strategy in self.strategies)
        )


class SharedEventReader:
    """Reads the log for all streams."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._newest: deque[EventFrame] = deque(maxlen=CACHED_FRAMES_MAX)
        self._views = timeline.views
        self._joined: tuple[tuple[int, int], bytes] = ((0, 0), b"")
        self._wait: asyncio.Task[int] | None = None

    @property
    def head_seq(self) -> int:
        """The last event of the views, so that streams never run ahead of the pages."""
        return self._timeline.views.seq

    @property
    def folding(self) -> Progress | None:
        """The progress of the first fold of the log; None once the views show all of it."""
        return self._timeline.folding

    async def frames_after(self, seq: int) -> list[EventFrame]:
        """Return the next events after `seq`, at most FRAMES_PER_READ_MAX."""
        if self._views is not self._timeline.views:  # The log was replaced by another one.
            self._views = self._timeline.views
            self._newest.clear()
            self._joined = ((0, 0), b"")
        if self._newest and self._newest[0].seq <= seq + 1:
            begin = seq + 1 - self._newest[0].seq
            cached = [self._newest[at] for at in range(begin, min(begin + FRAMES_PER_READ_MAX, len(self._newest)))]
            if cached:
                return cached
        events = await self._timeline.events(seq, min(FRAMES_PER_READ_MAX, self.head_seq - seq))
        contracts = self._timeline.views.contracts.by_symbol
        frames = []
        for recorded in events:
            view = event_view(recorded, contracts)
            json = msgspec.json.encode(view)
            sse = b"id: %d\ndata: %b\n\n" % (view.seq, json)
            frames.append(EventFrame(view.seq, view.type, view.symbol, view.strategy, json.decode(), sse))
        self._store(frames)
        return frames

    def join_frames(self, frames: list[EventFrame], selection: StreamFilter) -> bytes:
        """Return the matching frames as server-sent events; most streams request the same range without a filter."""
        if not selection.matches_all:
            return b"".join(frame.sse for frame in frames if selection.matches(frame))
        span = (frames[0].seq, frames[-1].seq)
        if self._joined[0] != span:
            self._joined = (span, b"".join(frame.sse for frame in frames))
        return self._joined[1]

    def _store(self, frames: list[EventFrame]) -> None:
        """Cache frames that continue the cached ones; into an empty cache, frames near the head."""
        newest_seq = self._newest[-1].seq if self._newest else self.head_seq - FRAMES_PER_READ_MAX
        if frames and frames[0].seq > newest_seq + 1:
            self._newest.clear()
        self._newest.extend(frame for frame in frames if frame.seq > newest_seq)

    async def wait_beyond(self, seq: int) -> None:
        """Wait for an event after `seq`. All waiting streams share one wait on the timeline."""
        while self.head_seq <= seq:
            if self._wait is None or self._wait.done():
                self._wait = asyncio.ensure_future(self._timeline.wait_beyond(self.head_seq))
            await asyncio.shield(self._wait)

    async def close(self) -> None:
        """Cancel the shared wait."""
        if self._wait is not None:
            self._wait.cancel()
            await asyncio.gather(self._wait, return_exceptions=True)
