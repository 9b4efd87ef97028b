"""Live updates of a page: the current header, and a signal when the log has grown."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from papertape.ui.page_handler import PageDefinition, empty_context
from papertape.ui.rendering import day, render

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from papertape.api.streams import Streams
    from papertape.ui.page_handler import PageHandler

HEADER_S: Final = 0.5
"""The minimum interval between two headers."""
TICK_S: Final = 1.0
"""The minimum interval between two signals to refresh the parts of a page."""
BEAT_S: Final = 3.0
"""The maximum interval between two messages, so that silence means that the server is gone."""
RETRY_MS: Final = 1_000


HEADER: Final = PageDefinition("/", "header", "", empty_context)


class LiveHeader:
    """The header of the live pages, rendered once for all of them, and the messages for each."""

    def __init__(self, handler: PageHandler, streams: Streams) -> None:
        self._handler, self._streams = handler, streams
        self.rendered = 0
        """The number of rendered headers."""
        self._key: tuple[object, ...] = ()
        self._frame = b""

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Yield server-sent events for one page, without end."""
        yield b"retry: %d\n\n" % RETRY_MS
        sent_header, sent_seq, due_s, rest_sent = b"", -1, 0.0, False
        while True:
            header, seq = await self._header(), self._handler.site.timeline.views.seq
            if header != sent_header:
                sent_header = header
                yield header
            if seq != sent_seq and time.monotonic() >= due_s:
                sent_seq, due_s, rest_sent = seq, time.monotonic() + TICK_S, False
                yield _frame("moved", str(seq))
            if await self._wait_for_event(seq, BEAT_S if seq == sent_seq else TICK_S):
                continue
            yield _frame("beat", str(seq))
            if seq == sent_seq and not rest_sent:
                rest_sent = True
                yield _frame("rest", str(seq))

    async def _wait_for_event(self, seq: int, wait_s: float) -> bool:
        """Pause between two headers, then wait for a new event; return whether there is one."""
        await asyncio.sleep(HEADER_S)
        try:
            async with asyncio.timeout(wait_s - HEADER_S):
                await self._streams.tape.wait_beyond(seq)
        except TimeoutError:
            return False
        return True

    async def _header(self) -> bytes:
        request = await self._handler.newest_request()
        key = (request.seq, request.engine, request.folding, day(request.now_ms))
        if key != self._key:
            html = render("header.html", self._handler.context(request, HEADER.path, HEADER))
            self._key, self._frame = key, _frame("header", html)
            self.rendered += 1
        return self._frame


def _frame(event: str, data: str) -> bytes:
    """Return a server-sent event with every line of the text as a line of data."""
    lines = "".join(f"data: {line}\n" for line in data.splitlines())
    return f"event: {event}\n{lines}\n".encode()
