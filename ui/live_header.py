"""What keeps a page alive: the header as it stands, and a tick when the log has moved."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.ui.page_handler import PageDefinition
from papertape.ui.rendering import day, render

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from papertape.api.streams import Streams
    from papertape.ui.page_handler import PageHandler
    from papertape.ui.page_request import PageRequest

HEADER_S: Final = 0.5
"""At most so often is a header sent."""
TICK_S: Final = 1.0
"""At most so often are the parts of a page told to fetch themselves anew."""
BEAT_S: Final = 3.0
"""At least so often is something sent, so that silence means that nobody is there."""
RETRY_MS: Final = 1_000


async def _no_context(_: PageRequest) -> Struct:
    return Struct()


HEADER: Final = PageDefinition("/", "header", "", _no_context)


class LiveHeader:
    """The header of the live pages, rendered once however many look, and the frames for each of them."""

    def __init__(self, desk: PageHandler, streams: Streams) -> None:
        self._desk, self._streams = desk, streams
        self.rendered = 0
        """How often a header was rendered."""
        self._of: tuple[object, ...] = ()
        self._frame = b""

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Server-sent events for one page, without an end."""
        yield b"retry: %d\n\n" % RETRY_MS
        sent, told_seq, due_s, rested = b"", -1, 0.0, False
        while True:
            header, seq = await self._header(), self._desk.site.timeline.views.seq
            if header != sent:
                sent = header
                yield header
            if seq != told_seq and time.monotonic() >= due_s:
                told_seq, due_s, rested = seq, time.monotonic() + TICK_S, False
                yield _frame("moved", str(seq))
            if await self._moves_on(seq, BEAT_S if seq == told_seq else TICK_S):
                continue
            yield _frame("beat", str(seq))
            if seq == told_seq and not rested:
                rested = True
                yield _frame("rest", str(seq))

    async def _moves_on(self, seq: int, wait_s: float) -> bool:
        """Pause between two headers, and wait until the log moves; whether it did."""
        await asyncio.sleep(HEADER_S)
        try:
            async with asyncio.timeout(wait_s - HEADER_S):
                await self._streams.tape.wait_beyond(seq)
        except TimeoutError:
            return False
        return True

    async def _header(self) -> bytes:
        look = await self._desk.look_at_head()
        of = (look.seq, look.engine, look.folding, day(look.now_ms))
        if of != self._of:
            html = render("header.html", self._desk.context(look, HEADER.path, HEADER))
            self._of, self._frame = of, _frame("header", html)
            self.rendered += 1
        return self._frame


def _frame(event: str, data: str) -> bytes:
    """An event; every line of it is a line of data, whatever the text uses to end lines."""
    lines = "".join(f"data: {line}\n" for line in data.splitlines())
    return f"event: {event}\n{lines}\n".encode()
