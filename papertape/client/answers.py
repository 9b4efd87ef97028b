"""What both clients do with an answer: decode it, ask for the next page, try again, and read a stream of events."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import httpx
import msgspec
from msgspec.structs import replace

from papertape.api.problems import MEDIA_TYPE, Problem
from papertape.api.view_handler import ViewAsOf
from papertape.events.errors import ApiProblem, ApiUnreachable
from papertape.projections.text.event_views import EventView

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.client.calls import Call

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
PAUSE_S_MIN: Final = 0.25
PAUSE_S_MAX: Final = 10.0
BUSY: Final = (429, 503)
"""The statuses of a server that asks to try again later: it starts, no engine runs, or too many clients ask."""


class Retries:
    """The pauses between the attempts of one request: twice as long each time, for at most `patience_s` in all."""

    def __init__(self, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience_s, self._clock = patience_s, clock
        self.succeed()

    def succeed(self) -> None:
        """Begin anew: an attempt succeeded."""
        self._until_s = self._clock() + self._patience_s
        self._pause_s = PAUSE_S_MIN

    def pause_s(self, outcome: httpx.Response | httpx.TransportError) -> float | None:
        """Return how long to wait before the next attempt; None if the outcome is final.

        Raise ApiUnreachable when the patience is over and there is no answer.
        """
        if isinstance(outcome, httpx.Response) and outcome.status_code not in BUSY:
            return None
        asked = outcome.headers.get("retry-after", "") if isinstance(outcome, httpx.Response) else ""
        asked_s = float(asked) if asked.isdecimal() else 0.0  # A proxy may name a date.
        pause_s = min(PAUSE_S_MAX, max(self._pause_s, asked_s))
        self._pause_s *= 2.0
        if self._clock() + pause_s <= self._until_s:
            return pause_s
        if isinstance(outcome, httpx.Response):
            return None
        raise ApiUnreachable(f"{outcome.request.url.host}: {outcome or type(outcome).__name__}") from outcome


def decode(call: Call[T], response: httpx.Response) -> T:
    """Return the answer to a call. Raise ApiProblem for a refusal, and for an answer of another shape."""
    if not response.is_success:
        raise problem_of(response)
    try:
        return msgspec.json.decode(response.content, type=call.answer)
    except msgspec.MsgspecError as error:
        text = f"the answer to {call.path} has another shape; install the same version here and on the server: {error}"
        raise ApiProblem(response.status_code, "", text) from error


def problem_of(response: httpx.Response) -> ApiProblem:
    """Return the error for a refusal, whose content was read."""
    if response.headers.get("content-type", "").startswith(MEDIA_TYPE):
        with suppress(msgspec.MsgspecError):  # It may be that of a proxy.
            problem = msgspec.json.decode(response.content, type=Problem)
            return ApiProblem(problem.status, problem.type, problem.detail or problem.title)
    return ApiProblem(response.status_code, "", response.reason_phrase)


class ListPage(Protocol[T_co]):
    """A page of a list: its items, and the cursor of the next page, None on the last one."""

    @property
    def items(self) -> Sequence[T_co]:
        """The items of this page."""

    @property
    def next(self) -> int | None:
        """The `cursor` of the next page."""


def page_of(answer: ViewAsOf[ListPage[T]] | ListPage[T]) -> ListPage[T]:
    """Return the page in an answer."""
    return answer.data if isinstance(answer, ViewAsOf) else answer


def next_call(call: Call[T], answer: T) -> Call[T] | None:
    """Return the call of the next page, as of the same event; None after the last page, and for anything but a page."""
    page: Any = page_of(answer)  # type: ignore[arg-type]
    cursor = getattr(page, "next", None)
    if cursor is None:
        return None
    moment = {"as_of": answer.as_of.seq} if isinstance(answer, ViewAsOf) else {}
    return replace(call, parameters={**call.parameters, **moment, "cursor": cursor})


class EventLines:
    """Reads server-sent events line by line; `last_seq` is the newest event, from which a new connection continues."""

    def __init__(self, last_seq: int) -> None:
        self.last_seq = last_seq

    def headers(self) -> dict[str, str]:
        """Return the headers with which a stream continues behind the newest event."""
        return {"last-event-id": str(self.last_seq), "accept": "text/event-stream"}

    def take(self, line: str) -> EventView | None:
        """Return the event that a line carries, None for any other line. Raise ApiProblem for an invalid one."""
        if not line.startswith("data:"):
            return None
        try:
            event = msgspec.json.decode(line[5:], type=EventView)
        except msgspec.MsgspecError as error:
            raise ApiProblem(200, "", f"an event of the stream cannot be read: {error}") from error
        self.last_seq = event.seq
        return event


def stream_parameters(types: Any, symbols: Any, strategies: Any) -> dict[str, list[str]]:
    """Return the filter of a stream as query parameters."""
    return {"type": [*types], "symbol": [*symbols], "strategy": [*strategies]}
