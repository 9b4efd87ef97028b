"""Long-lived streams: a limited number of slots, and a time limit for clients that do not read.

The server stores only each client's position, so a slow client costs a slot for a limited time, and no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.responses import Response

from papertape.api.problems import busy_problem
from papertape.api.settings import STREAMS_MAX
from papertape.api.shared_reader import SharedEventReader, StreamFilter
from papertape.events.errors import PapertapeError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Iterator

    from starlette.types import Receive, Scope, Send

    from papertape.projections.site.ports import Timeline

SEND_S_MAX: Final = 10.0
"""A client that takes longer to read is dropped."""
KEEP_ALIVE_S: Final = 10.0
FOLDING_PAUSE_S: Final = 0.2
Source = Callable[[], "AsyncGenerator[bytes, None]"]


class Streams:
    """What all streams share: slots, the event reader, and the shutdown."""

    def __init__(
        self,
        timeline: Timeline,
        streams_max: int = STREAMS_MAX,
        send_s_max: float = SEND_S_MAX,
        keep_alive_s: float = KEEP_ALIVE_S,
    ) -> None:
        self.tape = SharedEventReader(timeline)
        self.streams_max = streams_max
        self.keep_alive_s = keep_alive_s
        self.open = 0
        self.refused = 0
        self.dropped = 0
        self._send_s_max = send_s_max
        self._closing = asyncio.Event()

    @contextmanager
    def slot(self) -> Iterator[bool]:
        """Hold a slot for the duration of the block; yield False if there is none."""
        if self.open >= self.streams_max or self._closing.is_set():
            self.refused += 1
            yield False
            return
        self.open += 1
        try:
            yield True
        finally:
            self.open -= 1

    def no_slot_response(self) -> Response:
        """Return the response to a client that gets no slot."""
        return busy_problem(
            f"all {self.streams_max} streams are in use; raise web.streams_max in the configuration for more"
        )

    async def send_in_time(self, sending: Awaitable[None]) -> None:
        """Send within the time limit. Raise TimeoutError if the client does not read."""
        try:
            async with asyncio.timeout(self._send_s_max):
                await sending
        except TimeoutError:
            self.dropped += 1
            raise

    async def wait_for_event(self, seq: int) -> bool:
        """Wait for an event after `seq`, at most the keep-alive interval; return whether there is one."""
        try:
            async with asyncio.timeout(self.keep_alive_s):
                await self.tape.wait_beyond(seq)
        except TimeoutError:
            return False
        return True

    async def until_closed(self, *work: Awaitable[object]) -> None:
        """Run these until the first one ends or all streams close. Raise what the first one raised."""
        tasks = [asyncio.ensure_future(one) for one in (*work, self._closed())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _closed(self) -> None:
        await self._closing.wait()

    async def close(self) -> None:
        """End all streams and refuse new ones."""
        self._closing.set()
        await self.tape.close()


class EventStream(Response):
    """Server-sent events for as long as the source yields them and the client reads them."""

    media_type = "text/event-stream"

    def __init__(self, streams: Streams, source: Source) -> None:
        """Take a source that yields whole messages or comments; it is called once there is a slot."""
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._streams, self._source = streams, source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one client until its end."""
        with self._streams.slot() as available:
            if not available:
                await self._streams.no_slot_response()(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            try:
                await self._streams.until_closed(self._pump(send), _disconnected(receive))
                last = b""
            except TimeoutError:
                return  # The client does not read: the server closes the unfinished response.
            except PapertapeError as error:
                last = b"event: fault\ndata: %b\n\n" % msgspec.json.encode(str(error))
            await self._streams.send_in_time(send({"type": "http.response.body", "body": last, "more_body": False}))

    async def _pump(self, send: Send) -> None:
        async with aclosing(self._source()) as source:
            async for chunk in source:
                message = {"type": "http.response.body", "body": chunk, "more_body": True}
                await self._streams.send_in_time(send(message))


async def _disconnected(receive: Receive) -> None:
    """Wait until the client disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def events_of(streams: Streams, after_seq: int | None, selection: StreamFilter) -> AsyncGenerator[bytes, None]:
    """Yield the events after a seq as server-sent events, with the seq as id, and comments while idle.

    During the first read of the log, comments report the progress: a browser does not reconnect after an error.
    """
    while (folding := streams.tape.folding) is not None:
        yield b": reading the log, event %d of %d\n\n" % (folding.seq, folding.goal_seq)
        await asyncio.sleep(FOLDING_PAUSE_S)
    head_seq = streams.tape.head_seq
    seq = head_seq if after_seq is None else min(after_seq, head_seq)
    yield b"retry: 2000\n: %d\n\n" % seq
    while True:
        frames = await streams.tape.frames_after(seq) if streams.tape.head_seq > seq else []
        if frames:
            seq = frames[-1].seq
            if chunk := streams.tape.join_frames(frames, selection):
                yield chunk
            else:
                await asyncio.sleep(0)
        elif not await streams.wait_for_event(seq):
            # The id goes along, so that a filtered stream resumes where it was.
            yield b": keep-alive\nid: %d\n\n" % seq
