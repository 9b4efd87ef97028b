"""What both clients do with an answer: decode it, tell whether to try again, and read a stream of events."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

import httpx
import msgspec

from papertape.api.problems import MEDIA_TYPE, Problem
from papertape.events.errors import ApiProblem, ApiUnreachable
from papertape.projections.text.event_views import EventView

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.client.calls import Call

T = TypeVar("T")
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
