"""Requests that a client may repeat: with the same `Idempotency-Key`, a command is carried out once.

The answers are kept in memory, for a day at most: a page that was restarted knows none. Until then, a repetition gets
the first answer, also while the first request is still being answered.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.responses import Response

from papertape.events.errors import CommandUnanswered
from papertape.events.units import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

HEADER: Final = "idempotency-key"
KEY_CHARS_MAX: Final = 200
KEYS_MAX: Final = 1_000
KEPT_S: Final = DAY_MS / 1_000.0
NOBODY_TOOK_IT: Final = 503


class _Repeatable(Struct):
    """A request: the digest of what it asked for, since when it is known, and its answer."""

    asked: bytes
    since_s: float
    answer: asyncio.Task[Response]


class Repetitions:
    """The answers to the newest requests with a key."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[str, _Repeatable] = OrderedDict()

    async def once(self, request: Request, make: Callable[[], Awaitable[Response]]) -> Response:
        """Return the answer that `make` gives, or the first one if the request repeats an earlier one.

        Raise HTTPException 422 for a key that came with another request, and what `make` raises.
        """
        key = request.headers.get(HEADER)
        if key is None:
            return await make()
        if not 1 <= len(key) <= KEY_CHARS_MAX:
            raise HTTPException(422, f"the {HEADER} may have 1 to {KEY_CHARS_MAX} characters")
        asked = blake2b(request.scope["path"].encode() + b"\0" + await request.body(), digest_size=16).digest()
        self._forget_old()
        first = self._known.get(key)
        if first is None:
            first = self._known[key] = _Repeatable(asked, self._clock(), asyncio.ensure_future(make()))
            first.answer.add_done_callback(partial(self._forget_unless_final, key, first))
        elif first.asked != asked:
            raise HTTPException(422, f"the {HEADER} {key!r} was used for another request")
        answer = await asyncio.shield(first.answer)  # A client that hangs up does not end the command.
        return Response(answer.body, answer.status_code, answer.headers)

    def _forget_unless_final(self, key: str, first: _Repeatable, answer: asyncio.Task[Response]) -> None:
        """Forget a request that changed nothing, whether or not its client still waits for the answer."""
        if not _is_final(answer) and self._known.get(key) is first:
            del self._known[key]

    def _forget_old(self) -> None:
        oldest_s = self._clock() - KEPT_S
        while self._known and (len(self._known) >= KEYS_MAX or next(iter(self._known.values())).since_s < oldest_s):
            self._known.popitem(last=False)


def _is_final(answer: asyncio.Task[Response]) -> bool:
    """Return whether an answer also holds for repetitions.

    A command that was refused or that nobody took changed nothing. One whose outcome is unknown stays unknown.
    """
    if answer.cancelled():
        return False
    error = answer.exception()
    return isinstance(error, CommandUnanswered) if error else answer.result().status_code != NOBODY_TOOK_IT
