"""Live updates of a page: headers, signals, and beats while the log is idle."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from papertape.api.streams import Streams
from papertape.ui.live_header import BEAT_S, LiveHeader
from papertape.ui.page_handler import PageHandler
from tests.events.loop import in_loop
from tests.patience import PATIENCE_S, stretched
from tests.ui.site_pages import DAY
from tests.web.site import site_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.web.site import ListTimeline

BEGUN = 14


class Read:
    """The messages of a stream by name."""

    def __init__(self, frames: AsyncGenerator[bytes, None]) -> None:
        self._frames = frames
        self.names: list[str] = []

    async def until(self, name: str) -> str:
        """Return the data of the next message of a name."""
        async with asyncio.timeout(PATIENCE_S):
            async for frame in self._frames:
                head, _, data = frame.decode().partition("\n")
                found = head.removeprefix("event: ")
                self.names.append(found)
                if found == name:
                    return data.replace("data: ", "").strip()
        raise AssertionError(f"the stream ended before {name}")


def begun() -> tuple[ListTimeline, LiveHeader]:
    site = site_of(list(DAY[:BEGUN]))
    timeline: ListTimeline = site.timeline  # type: ignore[assignment]
    return timeline, LiveHeader(PageHandler(site), Streams(site.timeline))


@in_loop
async def test_a_page_gets_the_header_and_a_signal_for_new_events() -> None:
    timeline, pulse = begun()
    stream = Read(pulse.frames())
    assert f'id="header-seq">{BEGUN}<' in await stream.until("header")
    assert await stream.until("moved") == str(BEGUN)
    timeline.grow(DAY[BEGUN : BEGUN + 2])
    assert f'id="header-seq">{BEGUN + 2}<' in await stream.until("header")
    assert await stream.until("moved") == str(BEGUN + 2)


@in_loop
async def test_an_idle_log_sends_beats_and_one_rest() -> None:
    _, pulse = begun()
    stream = Read(pulse.frames())
    loop = asyncio.get_running_loop()
    began = loop.time()
    await stream.until("beat")
    assert await stream.until("rest") == str(BEGUN)
    assert loop.time() - began <= stretched(2 * BEAT_S)
    stream.names.clear()
    await stream.until("beat")
    await stream.until("beat")
    assert set(stream.names) == {"beat"}


@in_loop
async def test_a_busy_log_sends_at_most_two_headers_per_second() -> None:
    timeline, pulse = begun()

    async def move() -> None:
        for one in DAY[BEGUN:]:
            timeline.grow([one])
            await asyncio.sleep(0.1)

    moving = asyncio.ensure_future(move())
    loop = asyncio.get_running_loop()
    stream, told, began = Read(pulse.frames()), 0, loop.time()
    while not moving.done():
        await stream.until("header")
        told += 1
    await moving
    assert 2 <= told <= 1 + (loop.time() - began) / 0.5 + 1


@in_loop
async def test_a_header_is_rendered_once_for_all_pages() -> None:
    _, pulse = begun()
    first, second = Read(pulse.frames()), Read(pulse.frames())
    assert await first.until("header") == await second.until("header")
    assert pulse.rendered == 1
