"""Open connections at the server's shutdown, and oversized messages."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest
import websockets
from websockets.asyncio.client import connect

from papertape.api.server import GRACE_S, HEADER_BYTES_MAX, SOCKET_MESSAGE_BYTES_MAX
from papertape.api.streams import Streams
from tests.events.loop import in_loop
from tests.patience import PATIENCE_S, stretched
from tests.web.site import TOKEN, example_day, served, site_of

LOG = example_day()
CUT_S_MAX = GRACE_S + 1.0


@in_loop
async def test_streams_end_cleanly_at_shutdown() -> None:
    serving = served(site_of(LOG))
    at = await serving.__aenter__()
    async with (
        httpx.AsyncClient(timeout=PATIENCE_S) as client,
        connect(f"ws://{at}/api/v1/ws") as socket,
        client.stream("GET", f"http://{at}/api/v1/stream") as response,
    ):
        lines = response.aiter_lines()
        await anext(lines)
        ending = asyncio.ensure_future(serving.__aexit__(None, None, None))
        assert not any([line.startswith("data") async for line in lines]), "it ends, and whole: nothing is raised"
        with pytest.raises(websockets.ConnectionClosedOK):
            await socket.recv()
        assert socket.close_code == websockets.CloseCode.GOING_AWAY
    await ending


@in_loop
async def test_no_stream_starts_during_shutdown() -> None:
    streams = Streams(site_of(LOG).timeline)
    with streams.slot() as found:
        assert found
    await streams.close()
    with streams.slot() as found:
        assert not found


@in_loop
async def test_an_incomplete_request_is_cut_off_at_shutdown() -> None:
    async with served(site_of(LOG)) as at:
        host, _, port = at.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /api/v1/commands/kill HTTP/1.1\r\nHost: {at}\r\nAuthorization: Bearer {TOKEN}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        await writer.drain()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.3)
        ends_s = time.monotonic()
    assert time.monotonic() - ends_s < stretched(CUT_S_MAX)
    writer.close()


@in_loop
async def test_the_size_of_a_websocket_message_is_limited() -> None:
    async with served(site_of(LOG)) as at, connect(f"ws://{at}/api/v1/ws") as socket:
        await socket.send("x" * SOCKET_MESSAGE_BYTES_MAX)
        assert "error" in str(await socket.recv()), "too long for a subscription, and answered"
        await socket.send("x" * (SOCKET_MESSAGE_BYTES_MAX + 1))
        with pytest.raises(websockets.ConnectionClosedError):
            await socket.recv()
        assert socket.close_code == websockets.CloseCode.MESSAGE_TOO_BIG


@in_loop
@pytest.mark.parametrize(
    ("sent_bytes", "answer"), [(HEADER_BYTES_MAX - 1_000, b"200"), (HEADER_BYTES_MAX + 1_000, b"400")]
)
async def test_the_size_of_a_request_head_in_pieces_is_limited(sent_bytes: int, answer: bytes) -> None:
    async with served(site_of(LOG)) as at:
        host, _, port = at.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET /live HTTP/1.1\r\nHost: {at}\r\nX-Long: ".encode().ljust(sent_bytes, b"x"))
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.write(b"\r\n\r\n")
        assert (await reader.readline()).split()[1] == answer
        writer.close()
