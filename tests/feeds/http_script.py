"""A local HTTP server that answers exactly what a test tells it to, misbehaviour included."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from papertape.engine.feeds.bitget.rest import BitgetRest
from papertape.engine.feeds.bitget.settings import BitgetSettings
from papertape.engine.ports.feed import RefusalLog
from tests.sandbox.virtual_time import VirtualClock, run

T = TypeVar("T")

Parts = list[bytes | float]
"""What is sent one after the other; a number lets so many seconds pass."""
Answer = Callable[[str, dict[str, str]], Parts]
T0_MS = 1_790_000_100_000
"""Where the clocks of these tests begin; a whole minute."""


def http(body: bytes | str, status: int = 200, *headers: str, length: int | None = None) -> Parts:
    """A whole answer; `length` may lie about the body."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Told", f"content-length: {len(content) if length is None else length}", *headers]
    return ["\r\n".join([*lines, "", ""]).encode() + content]


def success(data: object) -> Parts:
    """The data in the exchange's envelope."""
    return http(json.dumps({"code": "00000", "msg": "success", "requestTime": 1, "data": data}))


def failure(code: str | int, msg: str, status: int = 400, *headers: str) -> Parts:
    """An error of the exchange's own."""
    return http(json.dumps({"code": code, "msg": msg, "requestTime": 1, "data": None}), status, *headers)


class Script:
    """The server: what it was asked and when, and how many requests were open at once."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.url = ""
        self.requests: list[tuple[float, str, dict[str, str]]] = []
        self.open = 0
        self.open_max = 0

    @property
    def times_s(self) -> list[float]:
        """When the requests came, in the loop's seconds."""
        return [at_s for at_s, _, _ in self.requests]

    def asked(self, name: str) -> list[dict[str, str]]:
        """The parameters of the requests to paths that end so."""
        return [params for _, path, params in self.requests if path.endswith(name)]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until the client or the script ends it."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._one(head, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        target = urlsplit(head.split(b" ", 2)[1].decode())
        params = dict(parse_qsl(target.query))
        self.requests.append((asyncio.get_running_loop().time(), target.path, params))
        self.open += 1
        self.open_max = max(self.open, self.open_max)
        try:
            for part in self.answer(target.path, params):
                if isinstance(part, float):
                    await asyncio.sleep(part)
                elif not part:
                    raise ConnectionResetError  # An empty part hangs up.
                else:
                    writer.write(part)
                    await writer.drain()
        finally:
            self.open -= 1


@asynccontextmanager
async def scripted(answer: Answer) -> AsyncIterator[Script]:
    """A server on a free port of this machine."""
    script = Script(answer)
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield script
    finally:
        server.close()
        await asyncio.sleep(0.01)


def rows(*opens_ms: int, price: Any = "100") -> list[list[str]]:
    """Candles as the exchange writes them."""
    return [[str(open_ms), price, price, price, price, "1.5", "150"] for open_ms in opens_ms]


Use = Callable[[BitgetRest, Script], Awaitable[T]]


def used(answer: Answer, use: Use[T], refusals: RefusalLog | None = None, **settings: Any) -> T:
    """What a client makes of a server, in virtual time."""

    async def main(clock: VirtualClock) -> T:
        async with scripted(answer) as script:
            rest = BitgetRest(BitgetSettings(rest_url=script.url, **settings), clock, refusals or RefusalLog())
            try:
                return await use(rest, script)
            finally:
                await rest.close()

    return run(main, start_ms=T0_MS)


def timed(answer: Answer) -> Answer:
    """The same with a clock that is right."""

    def both(path: str, params: dict[str, str]) -> Parts:
        return success({"serverTime": str(T0_MS)}) if path.endswith("/time") else answer(path, params)

    return both
