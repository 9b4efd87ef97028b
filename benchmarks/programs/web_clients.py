"""Many clients of one page in a process: `python -m benchmarks.programs.web_clients HOST PORT COUNT`.

Half of them read server-sent events, half a WebSocket; the first one never reads. The process prints a line of JSON
with the responses when all have arrived, and one with the received bytes after stdin closes.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from contextlib import suppress

HELLO = "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{more}\r\n"
UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
SERVED, REFUSED = (b"200", b"101"), (b"503",)
READ_BYTES = 65_536


class Crowd:
    """All clients, with the responses they got."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.served = self.refused = self.others = self.bytes = 0
        self._answered = asyncio.Semaphore(0)

    async def run_client(self, number: int, *, reads: bool) -> None:
        """Run one client: send a request, and read for as long as it is served."""
        more, path = (UPGRADE, "/api/v1/ws") if number % 2 else ("", "/api/v1/stream")
        path = path if reads else "/api/v1/stream?after_seq=0"
        reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(HELLO.format(path=path, host=self.host, port=self.port, more=more).encode())
        status = (await reader.read(12))[9:]
        self._note(status)
        with suppress(OSError):
            while reads and (read := await reader.read(READ_BYTES)):
                self.bytes += len(read)
            if not reads:
                writer.transport.pause_reading()  # type: ignore[attr-defined]
                await asyncio.Event().wait()

    def _note(self, status: bytes) -> None:
        self.served += status in SERVED
        self.refused += status in REFUSED
        self.others += status not in (*SERVED, *REFUSED)
        self._answered.release()

    async def all_answered(self, count: int) -> None:
        """Wait until `count` clients have a response."""
        for _ in range(count):
            await self._answered.acquire()


def allow(connections: int) -> None:
    """Raise the limit on open files for the connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(2 * connections, hard) if hard > 0 else 2 * connections, hard))


async def main(host: str, port: int, count: int) -> None:
    """Run the clients until stdin closes."""
    crowd = Crowd(host, port)
    clients = [asyncio.ensure_future(crowd.run_client(number, reads=number > 0)) for number in range(count)]
    await crowd.all_answered(count)
    print(json.dumps({"served": crowd.served, "refused": crowd.refused, "others": crowd.others}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    print(json.dumps({"bytes": crowd.bytes}), flush=True)


if __name__ == "__main__":
    allow(int(sys.argv[3]))
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
