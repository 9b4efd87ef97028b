"""The two clients: `Client` waits, `AsyncClient` lets other tasks run. Both send the calls of `papertape.client.calls`.

A request is tried again while the server starts, has no engine, or cannot be reached, for `patience_s` in all. Commands
carry a key, so that one whose answer was lost is carried out once.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, overload

import httpx

from papertape.client import calls
from papertape.client.answers import (
    EventLines,
    ListPage,
    Retries,
    decode,
    next_call,
    page_of,
    problem_of,
    stream_parameters,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from types import TracebackType

    from papertape.api.view_handler import ViewAsOf
    from papertape.client.calls import Call
    from papertape.projections.text.event_views import EventView

T = TypeVar("T")
URL: Final = "http://127.0.0.1:8700"
PATIENCE_S: Final = 30.0
STREAM_PATIENCE_S: Final = 3_600.0
TIMEOUT: Final = httpx.Timeout(10.0, read=30.0)
"""An idle stream sends a comment every 10 s, and an answer takes less."""
STREAM: Final = "/api/v1/stream"


def _settings(url: str, token: str | None) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return {"base_url": url, "headers": headers, "timeout": TIMEOUT}


def _request(http: httpx.Client | httpx.AsyncClient, call: Call[Any]) -> httpx.Request:
    path = f"/api/v1/{call.path}"
    if call.body is None:
        return http.build_request("GET", path, params=call.parameters)
    headers = {"content-type": "application/json", "idempotency-key": secrets.token_hex(16)}
    return http.build_request("POST", path, content=call.body, headers=headers)


class Client:
    """Asks one server. Use it in a `with` statement, or close it. One thread at a time may use it."""

    def __init__(
        self,
        url: str = URL,
        token: str | None = None,
        patience_s: float = PATIENCE_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Address the server at `url`; `token` is needed for commands (for signals, the signal token)."""
        self._http = httpx.Client(**_settings(url, token), transport=transport)
        self._patience_s = patience_s

    def send(self, call: Call[T]) -> T:
        """Return the answer to a call. Raise ApiProblem for a refusal, ApiUnreachable without an answer."""
        request, retries = _request(self._http, call), Retries(self._patience_s)
        while True:
            outcome: httpx.Response | httpx.TransportError
            try:
                outcome = self._http.send(request)
            except httpx.TransportError as error:
                outcome = error
            pause_s = retries.pause_s(outcome)
            if pause_s is None:
                assert isinstance(outcome, httpx.Response)
                return decode(call, outcome)
            time.sleep(pause_s)

    def pages(self, call: Call[T]) -> Iterator[T]:
        """Yield all pages of a list from the given one on, all as of the same event. Raise like `send`."""
        following: Call[T] | None = call
        while following is not None:
            answer = self.send(following)
            yield answer
            following = next_call(following, answer)

    @overload
    def items(self, call: Call[ViewAsOf[ListPage[T]]]) -> Iterator[T]: ...
    @overload
    def items(self, call: Call[ListPage[T]]) -> Iterator[T]: ...
    def items(self, call: Any) -> Iterator[Any]:
        """Yield the items of all pages of a list, page by page. Raise like `send`."""
        for answer in self.pages(call):
            yield from page_of(answer).items

    def stream(
        self,
        after_seq: int | None = None,
        types: Sequence[str] = (),
        symbols: Sequence[str] = (),
        strategies: Sequence[str] = (),
        patience_s: float = STREAM_PATIENCE_S,
    ) -> Iterator[EventView]:
        """Yield the events after `after_seq`, by default the new ones, each once and in order, without end.

        A lost connection is made anew, for `patience_s` without any line. Raise like `send`.
        """
        lines = EventLines(self.send(calls.arena()).as_of.seq if after_seq is None else after_seq)
        chosen, retries = stream_parameters(types, symbols, strategies), Retries(patience_s)
        while True:
            outcome: httpx.Response | httpx.TransportError
            try:
                with self._http.stream("GET", STREAM, params=chosen, headers=lines.headers()) as response:
                    outcome = response
                    if response.is_success:
                        for line in response.iter_lines():
                            retries.succeed()
                            if (event := lines.take(line)) is not None:
                                yield event
                        outcome = httpx.RemoteProtocolError("the stream ended", request=response.request)
                    else:
                        response.read()
            except httpx.TransportError as error:
                outcome = error
            pause_s = retries.pause_s(outcome)
            if pause_s is None:
                assert isinstance(outcome, httpx.Response)
                raise problem_of(outcome)
            time.sleep(pause_s)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class AsyncClient:
    """Asks one server from an event loop. Use it in an `async with` statement, or close it."""

    def __init__(
        self,
        url: str = URL,
        token: str | None = None,
        patience_s: float = PATIENCE_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """See `Client`."""
        self._http = httpx.AsyncClient(**_settings(url, token), transport=transport)
        self._patience_s = patience_s

    async def send(self, call: Call[T]) -> T:
        """See `Client.send`."""
        request, retries = _request(self._http, call), Retries(self._patience_s)
        while True:
            outcome: httpx.Response | httpx.TransportError
            try:
                outcome = await self._http.send(request)
            except httpx.TransportError as error:
                outcome = error
            pause_s = retries.pause_s(outcome)
            if pause_s is None:
                assert isinstance(outcome, httpx.Response)
                return decode(call, outcome)
            await asyncio.sleep(pause_s)

    async def pages(self, call: Call[T]) -> AsyncIterator[T]:
        """See `Client.pages`."""
        following: Call[T] | None = call
        while following is not None:
            answer = await self.send(following)
            yield answer
            following = next_call(following, answer)

    @overload
    def items(self, call: Call[ViewAsOf[ListPage[T]]]) -> AsyncIterator[T]: ...
    @overload
    def items(self, call: Call[ListPage[T]]) -> AsyncIterator[T]: ...
    async def items(self, call: Any) -> AsyncIterator[Any]:
        """See `Client.items`."""
        async for answer in self.pages(call):
            for item in page_of(answer).items:
                yield item

    async def stream(
        self,
        after_seq: int | None = None,
        types: Sequence[str] = (),
        symbols: Sequence[str] = (),
        strategies: Sequence[str] = (),
        patience_s: float = STREAM_PATIENCE_S,
    ) -> AsyncIterator[EventView]:
        """See `Client.stream`."""
        lines = EventLines((await self.send(calls.arena())).as_of.seq if after_seq is None else after_seq)
        chosen, retries = stream_parameters(types, symbols, strategies), Retries(patience_s)
        while True:
            outcome: httpx.Response | httpx.TransportError
            try:
                async with self._http.stream("GET", STREAM, params=chosen, headers=lines.headers()) as response:
                    outcome = response
                    if response.is_success:
                        async for line in response.aiter_lines():
                            retries.succeed()
                            if (event := lines.take(line)) is not None:
                                yield event
                        outcome = httpx.RemoteProtocolError("the stream ended", request=response.request)
                    else:
                        await response.aread()
            except httpx.TransportError as error:
                outcome = error
            pause_s = retries.pause_s(outcome)
            if pause_s is None:
                assert isinstance(outcome, httpx.Response)
                raise problem_of(outcome)
            await asyncio.sleep(pause_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()
