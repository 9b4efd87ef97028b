"""Streams start after any event, without gaps or duplicates; their number is limited; clients must read."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import websockets
from websockets.asyncio.client import connect

from papertape.api.streams import Streams
from papertape.api.websocket import MISTAKES_MAX
from papertape.events.facts import RunnerPaused
from tests.build import DAY_0_MS, candle, recorded
from tests.events.loop import in_loop
from tests.patience import PATIENCE_S
from tests.web.site import ListTimeline, example_day, served, site_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOG = example_day()
HEAD = len(LOG)
MORE = [candle(500 + at, 100.0) for at in range(5)]


def grow(site: Any, events: Any = MORE) -> None:
    """Append events to the log."""
    timeline = site.timeline
    assert isinstance(timeline, ListTimeline)
    timeline.grow(recorded(events, timeline.head_seq + 1))


async def told(lines: AsyncIterator[str], count: int) -> list[dict[str, Any]]:
    """Return the next messages of a stream of server-sent events, and check their ids."""
    found: list[dict[str, Any]] = []
    last_id = ""
    while len(found) < count:
        line = await asyncio.wait_for(anext(lines), PATIENCE_S)
        name, _, value = line.partition(": ")
        if name == "id":
            last_id = value
        elif name == "data":
            found.append(json.loads(value))
            assert str(found[-1]["seq"]) == last_id
    return found


def client_of(at: str) -> httpx.AsyncClient:
    """Return a client of the server at an address."""
    return httpx.AsyncClient(base_url=f"http://{at}", timeout=PATIENCE_S)


async def empty(streams: Streams) -> None:
    """Wait until every slot is free."""
    async with asyncio.timeout(PATIENCE_S):
        while streams.open:  # noqa: ASYNC110 - a seat tells nobody that it is free.
            await asyncio.sleep(0.02)


async def seqs(client: httpx.AsyncClient, count: int, headers: dict[str, str] | None = None, **query: Any) -> list[int]:
    """Return the seqs of the first messages of a stream."""
    async with client.stream("GET", "/api/v1/stream", params=query, headers=headers or {}) as response:
        assert response.status_code == 200, await response.aread()
        return [one["seq"] for one in await told(response.aiter_lines(), count)]


@in_loop
async def test_a_stream_begins_after_any_event_and_continues_with_new_ones() -> None:
    site = site_of(list(LOG))
    async with served(site) as at, client_of(at) as client:
        async with client.stream("GET", "/api/v1/stream", params={"after": 3}) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            lines = response.aiter_lines()
            assert [one["seq"] for one in await told(lines, HEAD - 3)] == list(range(4, HEAD + 1))
            grow(site)
            assert [one["seq"] for one in await told(lines, 5)] == list(range(HEAD + 1, HEAD + 6))
        assert await seqs(client, 5, {"last-event-id": str(HEAD)}) == list(range(HEAD + 1, HEAD + 6))
        assert await seqs(client, 2, {"last-event-id": "7"}, after=1) == [8, 9]
        assert await seqs(client, 2, after_seq=3) == [4, 5], "its former name"


@in_loop
async def test_a_filtered_stream_sends_the_matching_events() -> None:
    site = site_of(list(LOG))
    async with served(site) as at, client_of(at) as client:
        query: dict[str, Any] = {
            "after_seq": 0, "type": ["PositionOpened", "PositionClosed"], "strategy": "momentum",
        }  # fmt: skip
        async with client.stream("GET", "/api/v1/stream", params=query) as response:
            first = await told(response.aiter_lines(), 2)
        assert {one["type"] for one in first} <= {"PositionOpened", "PositionClosed"}
        assert {one["strategy"] for one in first} == {"momentum"}
        refused = await client.get("/api/v1/stream", params={"type": "Nonsense"})
        assert refused.status_code == 422 and "PositionOpened" in refused.json()["detail"]


@in_loop
async def test_an_idle_stream_is_kept_alive_and_says_where_to_resume() -> None:
    site = site_of(list(LOG))
    streams = Streams(site.timeline, keep_alive_s=0.05)
    async with (
        served(site, streams=streams) as at,
        client_of(at) as client,
        client.stream("GET", "/api/v1/stream") as response,
    ):
        lines = response.aiter_lines()
        while await asyncio.wait_for(anext(lines), PATIENCE_S) != ": keep-alive":
            pass
        assert await asyncio.wait_for(anext(lines), PATIENCE_S) == f"id: {HEAD}"


@in_loop
async def test_a_slot_is_for_one_stream_and_free_afterwards() -> None:
    site = site_of(list(LOG))
    streams = Streams(site.timeline, streams_max=2)
    async with served(site, streams=streams) as at, client_of(at) as client:
        async with (
            client.stream("GET", "/api/v1/stream", params={"after_seq": 0}) as one,
            connect(f"ws://{at}/api/v1/ws"),
        ):
            await told(one.aiter_lines(), 1)
            refused = await client.get("/api/v1/stream")
            assert refused.status_code == 503 and "retry-after" in refused.headers
            with pytest.raises(websockets.InvalidStatus) as rejection:
                await connect(f"ws://{at}/api/v1/ws").__aenter__()
            assert rejection.value.response.status_code == 503
        await empty(streams)
        assert await seqs(client, 1, after_seq=0) == [1]
        assert streams.refused == 2


@in_loop
async def test_a_client_that_does_not_read_is_dropped_and_frees_its_slot() -> None:
    site = site_of(list(LOG))
    streams = Streams(site.timeline, send_s_max=0.2)
    async with served(site, streams=streams) as at:
        host, _, port = at.partition(":")
        _, writer = await asyncio.open_connection(host, int(port), limit=1_024)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(f"GET /api/v1/stream?after_seq=0 HTTP/1.1\r\nHost: {at}\r\n\r\n".encode())
        await writer.drain()
        for _ in range(400):
            grow(site, [RunnerPaused(DAY_0_MS, "momentum", "anna", "x" * 4_000)] * 40)
            await asyncio.sleep(0.005)
            if streams.dropped:
                break
        async with asyncio.timeout(PATIENCE_S):
            while not streams.dropped:  # noqa: ASYNC110 - a drop tells nobody.
                await asyncio.sleep(0.02)
        assert streams.dropped == 1
        await empty(streams)
        writer.close()


@in_loop
async def test_a_websocket_sends_the_subscribed_events() -> None:
    site = site_of(list(LOG))
    async with asyncio.timeout(PATIENCE_S), served(site) as at, connect(f"ws://{at}/api/v1/ws") as socket:
        candles = [one.seq for one in LOG if type(one.event).__name__ == "CandleClosed"]
        for name in ("after", "after_seq"):
            await socket.send(json.dumps({"types": ["CandleClosed"], name: 0}))
            assert json.loads(await socket.recv()) == {"after_seq": 0}
            assert [json.loads(await socket.recv())["seq"] for _ in candles] == candles
        await socket.send(json.dumps({"after": 0, "after_seq": 1}))
        assert "after_seq" in json.loads(await socket.recv())["error"]
        await socket.send("nonsense")
        assert "error" in json.loads(await socket.recv())
        grow(site)
        assert [json.loads(await socket.recv())["seq"] for _ in MORE] == list(range(HEAD + 1, HEAD + 6))


@in_loop
async def test_a_websocket_with_many_invalid_messages_is_closed() -> None:
    async with served(site_of(list(LOG))) as at, connect(f"ws://{at}/api/v1/ws") as socket:
        for _ in range(20):
            await socket.send(b"\xff\x00")
        answers = [answer async for answer in socket]
        assert 0 < len(answers) <= MISTAKES_MAX


@in_loop
async def test_a_cross_site_page_gets_no_stream() -> None:
    async with served(site_of(list(LOG))) as at, client_of(at) as client:
        refused = await client.get("/api/v1/stream", headers={"origin": "https://evil.example"})
        assert refused.status_code == 403
        with pytest.raises(websockets.InvalidStatus) as rejection:
            await connect(f"ws://{at}/api/v1/ws", origin="https://evil.example").__aenter__()  # type: ignore[arg-type]
        assert rejection.value.response.status_code == 403
        address = f"ws://{at}/api/v1/ws?after_seq=0"
        # It leaves what it was told unread, and has room for that: a full queue would not take the farewell either.
        async with connect(address, origin=f"http://{at}", max_queue=None) as socket:  # type: ignore[arg-type]
            assert json.loads(await socket.recv())["seq"] == 1
