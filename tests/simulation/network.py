"""A network without sockets, at the two ports through which a process reaches the world.

HTTP goes through what stands in for `httpx.AsyncClient`, the stream through what stands in for `websockets.connect`.
Everything takes its time on the way. A site can refuse, be slow, or be cut off: then nothing arrives any more, and
nobody is told.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlencode, urlsplit

import httpx
from msgspec import Struct
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Close

from papertape.sandbox.bitget.text import frame_of
from tests.simulation.loop import process

if TYPE_CHECKING:
    from random import Random

    from papertape.sandbox.bitget.socket import Session

DELAYS_S: Final = (0.001, 0.002, 0.004, 0.015, 0.04)
FRAMES_HELD_MAX: Final = 400
"""More frames than a client that reads ever leaves unread."""
TEXT_OPCODE: Final = 0x81
SHORT, MIDDLE = 126, 127


class SentRequest(Struct, frozen=True):
    """A request on its way. `target` is its path with the query."""

    host: str
    target: str
    content: bytes = b""


class SentResponse(Struct, frozen=True):
    """A response on its way. `is_cut`: the connection ends after half of the body."""

    status_code: int
    content: bytes
    headers: httpx.Headers
    is_cut: bool = False

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Yield the body. Raise httpx.RemoteProtocolError if it is cut."""
        if not self.is_cut:
            yield self.content
            return
        yield self.content[: len(self.content) // 2]
        raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


class Site(Protocol):
    """A server."""

    @property
    def is_open(self) -> bool:
        """Whether it accepts connections."""

    def serve(self, request: SentRequest) -> Coroutine[Any, Any, SentResponse | None]:
        """Answer a request; None means that no answer is ever given. Raise httpx.ReadError for a reset."""


class Way:
    """The way to one site: `slow_s` is what it takes longer, `is_cut` says that nothing gets through."""

    def __init__(self, site: Site) -> None:
        self.site, self.slow_s, self.is_cut = site, 0.0, False


class Network:
    """The ways to all sites, by host, and the open streams."""

    def __init__(self, chance: Random) -> None:
        self.ways: dict[str, Way] = {}
        self.streams: dict[ClientStream, None] = {}
        self.dead: set[int] = set()
        """Processes that were killed: nothing of theirs reaches the network."""
        self.frames_held_most = 0
        self._chance = chance
        self._answers: set[asyncio.Task[SentResponse | None]] = set()

    def delay_s(self, way: Way) -> float:
        """Return how long something takes on its way."""
        return self._chance.choice(DELAYS_S) + way.slow_s

    async def reach(self, host: str) -> Way:
        """Travel to a site. Raise OSError if it refuses or the process is dead; wait for ever if it is cut off."""
        way = self.ways[host]
        await asyncio.sleep(self.delay_s(way))
        if process.get() in self.dead:
            raise ConnectionAbortedError(103, "the process was killed")
        if way.is_cut:
            await never()
        if not way.site.is_open:
            raise ConnectionRefusedError(111, "Connection refused")
        return way

    async def fetch(self, request: SentRequest, connect_s: float | None) -> SentResponse:
        """Carry a request to its site and the answer back. The site acts even if the client no longer waits."""
        if connect_s is not None and self.ways[request.host].is_cut and self._chance.random() < 0.5:
            await asyncio.sleep(connect_s)
            raise httpx.ConnectTimeout("")
        try:
            way = await self.reach(request.host)
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        answer = asyncio.get_running_loop().create_task(way.site.serve(request), context=Context())
        self._answers.add(answer)
        answer.add_done_callback(self._answered)
        response = await asyncio.shield(answer)
        await asyncio.sleep(self.delay_s(way))
        if response is None or way.is_cut:
            await never()
        assert response is not None
        return response

    def _answered(self, answer: asyncio.Task[SentResponse | None]) -> None:
        self._answers.discard(answer)
        if not answer.cancelled():
            answer.exception()  # Whoever asked may no longer wait.

    def kill(self, owner: int) -> None:
        """End all connections of a process; it gets no new ones."""
        self.dead.add(owner)
        for stream in [one for one in self.streams if one.owner == owner]:
            stream.wire.lose()
            stream.lose()

    def go_silent(self) -> None:
        """Let the open streams stand half open from now on."""
        for stream in self.streams:
            stream.is_silent = True


async def never() -> None:
    """Wait until the waiting is cancelled."""
    await asyncio.get_running_loop().create_future()


class SimulatedHttp:
    """What the clients of the exchange and of the chat use of `httpx.AsyncClient`."""

    def __init__(self, network: Network, *, timeout: httpx.Timeout | None = None, **_options: Any) -> None:
        self._network, self._connect_s = network, None if timeout is None else timeout.connect

    @asynccontextmanager
    async def stream(
        self, _method: str, url: str, *, params: dict[str, Any] | None = None, content: bytes = b"", **_more: Any
    ) -> AsyncIterator[SentResponse]:
        """Yield the response to a request. Raise an error of httpx."""
        address = urlsplit(url)
        target = f"{address.path}?{urlencode(params)}" if params else address.path
        assert address.hostname is not None
        yield await self._network.fetch(SentRequest(address.hostname, target, content), self._connect_s)

    async def aclose(self) -> None:
        """Do nothing: no connection is kept."""


# ---------------------------------------------------------------- streams


class StreamHost(Protocol):
    """The server's side of the streams, as `papertape.sandbox.bitget.twin` has it."""

    def on_connect(self, wire: Any) -> None: ...
    def on_disconnect(self, wire: Any) -> None: ...
    def on_sent(self, byte_count: int) -> None: ...
    def welcome(self, wire: Any) -> Any: ...


class ServerWire:
    """The exchange's end of a stream: what its sessions send goes to the client, after a delay and in order."""

    ip = "10.0.0.1"

    def __init__(self, host: StreamHost, way: Way, network: Network) -> None:
        self.session: Session | None = None
        self.client: ClientStream
        self.is_closing = False
        self._host, self._way, self._network = host, way, network
        self._arrives_s = 0.0

    def send(self, message: str | bytes) -> None:
        """Send a message."""
        self.send_frame(frame_of(message))

    def send_frame(self, frame: bytes) -> None:
        """Send a prepared frame."""
        if not self.is_closing and self.session is not None and not self.session.silent:
            self._host.on_sent(len(frame))
            self._send(lambda: self.client.take(_message_of(frame)))

    def send_giant(self, byte_count: int) -> None:
        """Send a frame that is larger than any client accepts: the client ends the connection."""
        self._host.on_sent(byte_count)
        self._send(self.client.refuse_giant)

    def close(self, code: int) -> None:
        """Close with a close frame."""
        if not self.is_closing:
            self._send(lambda: self.client.end(ConnectionClosedError(Close(code, ""), None)))
            self.lose()

    def abort(self) -> None:
        """Close without a close frame."""
        if not self.is_closing:
            self._send(self.client.lose)
            self.lose()

    reset = abort

    def lose(self) -> None:
        """Note that the client is gone."""
        if not self.is_closing:
            self.is_closing = True
            self._host.on_disconnect(self)

    def _send(self, deliver: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._arrives_s = max(self._arrives_s, loop.time() + self._network.delay_s(self._way))
        loop.call_at(self._arrives_s, self._arrive, deliver)

    def _arrive(self, deliver: Callable[[], None]) -> None:
        if not self.client.is_silent and not self._way.is_cut:
            deliver()


class ClientStream:
    """The client's end: what the feed session uses of a connection of `websockets`."""

    def __init__(self, wire: ServerWire, way: Way, network: Network) -> None:
        self.wire, self.owner = wire, process.get()
        self.is_silent = False
        """Half open: nothing arrives any more on either side, and nobody is told."""
        self.transport = self
        self._way, self._network = way, network
        self._messages: deque[str | bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended: Exception | None = None

    async def recv(self) -> str | bytes:
        """Return the next message. Raise ConnectionClosed after the last one."""
        while not self._messages:
            if self._ended is not None:
                raise self._ended
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._messages.popleft()

    async def send(self, message: str) -> None:
        """Send a message. Raise ConnectionClosed."""
        if self._ended is not None:
            raise self._ended
        delay_s = self._network.delay_s(self._way)
        asyncio.get_running_loop().call_later(delay_s, self._reach_server, message)

    def _reach_server(self, message: str) -> None:
        session = self.wire.session
        if session is not None and not (self.is_silent or self._way.is_cut or self.wire.is_closing):
            session.take(message)

    def abort(self) -> None:
        """End the connection; the server is told."""
        if self._ended is None:
            asyncio.get_running_loop().call_later(self._network.delay_s(self._way), self.wire.lose)
            self.end(ConnectionClosedOK(None, None))

    async def wait_closed(self) -> None:
        """Return: the connection is closed."""

    def take(self, message: str | bytes) -> None:
        """Take a message from the server."""
        if self._ended is None:
            self._messages.append(message)
            held = len(self._messages)
            self._network.frames_held_most = max(self._network.frames_held_most, held)
            assert held <= FRAMES_HELD_MAX, f"{held} frames are not read"
            self._wake()

    def refuse_giant(self) -> None:
        """End the connection after a frame that is too large."""
        self.lose()
        self.wire.lose()

    def lose(self) -> None:
        """Note that the connection was reset."""
        self.end(ConnectionClosedError(None, None))

    def end(self, why: Exception) -> None:
        """Note that the connection is over."""
        if self._ended is None:
            self._ended = why
            self._network.streams.pop(self, None)
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def connector(network: Network, host: str, server: StreamHost) -> Callable[..., Awaitable[ClientStream]]:
    """Return what stands in for `websockets.connect`: it opens streams to one server."""

    async def connect(_url: str, *, open_timeout: float, **_options: Any) -> ClientStream:
        async with asyncio.timeout(open_timeout):
            way = await network.reach(host)
            wire = ServerWire(server, way, network)
            stream = wire.client = ClientStream(wire, way, network)
            server.on_connect(wire)
            session = server.welcome(wire)
            await asyncio.sleep(network.delay_s(way))
        if not hasattr(session, "take"):
            server.on_disconnect(wire)
            raise ConnectionRefusedError(111, "server rejected WebSocket connection")
        wire.session = session
        network.streams[stream] = None
        return stream

    return connect


def _message_of(frame: bytes) -> str | bytes:
    """Return the message in a frame of the server."""
    length = frame[1]
    data = frame[2:] if length < SHORT else frame[4:] if length == SHORT else frame[10:]
    return data.decode() if frame[0] == TEXT_OPCODE else data
