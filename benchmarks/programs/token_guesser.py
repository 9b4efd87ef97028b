"""A guesser of tokens in a process: `python -m benchmarks.programs.token_guesser HOST PORT COUNT`.

It sends wrong bearer tokens for pages, views and commands, and wrong logins, over many connections as fast as the
answers come; at least COUNT, and until stdin closes. Then it prints the number of answers by status as JSON.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections import Counter
from itertools import count
from urllib.parse import urlencode

CONNECTIONS = 256
"""Each connection waits for the delayed answer before its next request, so many guesses per second need many."""
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
PAUSE = '{"strategy": "momentum", "actor": "nobody", "reason": "a guess"}'


class Guesser:
    """Sends wrong tokens and counts the answers."""

    def __init__(self, host: str, port: int, guesses: int) -> None:
        self.host, self.port, self.guesses = host, port, guesses
        self.answered: Counter[str] = Counter()
        self.enough = False
        self._numbers = count()

    async def guess(self) -> None:
        """Run one connection: send a request, wait for the answer, repeat."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        for number in self._numbers:
            if self.enough and self.answered.total() >= self.guesses:
                break
            writer.write(self._request(number))
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            self.answered[head.split(maxsplit=2)[1]] += 1
            await reader.readexactly(int(head.partition("content-length:")[2].split(maxsplit=1)[0]))
        writer.close()

    def _request(self, number: int) -> bytes:
        token = secrets.token_urlsafe(32)
        bearer = f"Authorization: Bearer {token}\r\n"
        match number % 4:
            case 0:
                return self._encode_request("POST", "/login", FORM, urlencode({"token": token, "next": "/"}))
            case 1:
                return self._encode_request("POST", "/api/v1/commands/pause", JSON, PAUSE, bearer)
            case 2:
                return self._encode_request("GET", "/", "", "", bearer)
        return self._encode_request("GET", "/api/v1/arena", "", "", bearer)

    def _encode_request(self, method: str, path: str, kind: str, body: str, more: str = "") -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}:{self.port}", f"Content-Length: {len(body)}"]
        lines += [f"Content-Type: {kind}", f"Origin: http://{self.host}:{self.port}"] if kind else []
        return ("\r\n".join(lines) + "\r\n" + more + "\r\n" + body).encode()


async def main(host: str, port: int, guesses: int) -> None:
    """Guess until stdin closes and the count is reached."""
    guesser = Guesser(host, port, guesses)
    guessing = asyncio.gather(*(guesser.guess() for _ in range(CONNECTIONS)))
    print(json.dumps({"begun": True}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    guesser.enough = True
    await guessing
    print(json.dumps(guesser.answered), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
