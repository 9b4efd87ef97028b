"""Signals over HTTP: a webhook or a model posts numbers, which become facts of the log.

The signal token allows this and nothing else. A sender that cannot set headers puts it into the body.
"""

from __future__ import annotations

import secrets
import time
from math import ceil, isfinite
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from starlette.exceptions import HTTPException
from starlette.responses import Response

from papertape.api.commands import wait_for_views
from papertape.api.gate import SCOPE_KEY, Access
from papertape.api.problems import problem
from papertape.api.routes import GuardedRoute, Operation
from papertape.api.token import TOKEN_CHARS_MAX
from papertape.api.view_handler import ViewEndpoint
from papertape.events.errors import UsageError
from papertape.events.lenient_json import decode_json
from papertape.events.names import unknown_name_text
from papertape.events.signals import (
    ID_CHARS_MAX,
    PRINTABLE,
    SIGNAL_TIME_MS_MAX,
    SIGNALS_MAX,
    Signal,
    SignalBatch,
    SignalName,
    SignalSource,
    SignalsRecorded,
    SignalSymbol,
    row_id,
)
from papertape.projections.folds.signals import SignalView
from papertape.projections.text.formats import MOMENT_FORMS, moment_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request

    from papertape.api.gate import Gate
    from papertape.api.query import Query
    from papertape.api.view_handler import ViewContext
    from papertape.projections.site.ports import Site

PATH: Final = "/api/v1/signals"
MEDIA_TYPES: Final = ("application/json", "text/plain")
"""TradingView labels a message that is not valid JSON as plain text; the answer then names the place of the mistake."""
BURST_MAX: Final = 120
A_MINUTE_MAX: Final = 60
"""With the burst, no more signals in 15 minutes than the engine remembers ids of."""
TIME_CHARS_MAX: Final = 40


class SignalRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One signal. `id` makes a repetition harmless: the same id with the same content changes nothing.

    Without an id, a signal with a time gets the id `time_ms,symbol,name`, and one without a time a random id.
    """

    symbol: SignalSymbol
    name: SignalName
    value: Annotated[float, Meta(description="A finite number.")]
    source: SignalSource = "api"
    id: Annotated[str, Meta(max_length=ID_CHARS_MAX, pattern=f"{PRINTABLE}|^$")] = ""
    at: Annotated[
        int | Annotated[str, Meta(max_length=TIME_CHARS_MAX)] | None,
        Meta(description="When it was computed: UTC ms, or a time such as 2025-03-01T14:05:00Z. It may be 15 min old."),
    ] = None
    token: Annotated[
        str, Meta(max_length=TOKEN_CHARS_MAX, description="The signal token, if no header can carry it.")
    ] = ""

    def signal(self) -> Signal:
        """Return the signal for the engine. Raise HTTPException 422 for an unreadable time, or no finite value."""
        if not isfinite(self.value):
            raise HTTPException(422, "value: must be a finite number")
        at_ms = None if self.at is None else moment_ms(str(self.at))
        if self.at is not None and (at_ms is None or at_ms > SIGNAL_TIME_MS_MAX):
            raise HTTPException(422, f"at: not a time; write {MOMENT_FORMS}")
        own_id = self.id or (secrets.token_hex(12) if at_ms is None else row_id(at_ms, self.symbol, self.name))
        return Signal(symbol=self.symbol, name=self.name, value=self.value, source=self.source, id=own_id, at_ms=at_ms)


class SignalRateLimiter:
    """Counts signals: `BURST_MAX` at once after a rest, then `A_MINUTE_MAX` a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._room, self._since = float(BURST_MAX), clock()

    def wait_s(self, count: int) -> int:
        """Count signals and return 0, or return the seconds until there is room for them."""
        now = self._clock()
        self._room = min(float(BURST_MAX), self._room + (now - self._since) * A_MINUTE_MAX / 60.0)
        self._since = now
        if count <= self._room:
            self._room -= count
            return 0
        return ceil((count - self._room) * 60.0 / A_MINUTE_MAX)


def route(site: Site) -> GuardedRoute:
    """Return the route that accepts signals."""
    limiter = SignalRateLimiter()

    async def endpoint(request: Request) -> Response:
        content = await _content(request)
        refusal = _body_token_refusal(request, content)
        if refusal is not None:
            return refusal
        batch = SignalBatch(tuple(one.signal() for one in _requests(content)))
        wait_s = limiter.wait_s(len(batch.signals))
        if wait_s > 0:
            text = f"too many signals: at most {BURST_MAX} at once and {A_MINUTE_MAX} a minute"
            return problem(429, text, {"retry-after": str(wait_s)})
        return await _record(site, batch)

    operation = Operation(
        "Record signals from outside the market",
        SignalsRecorded,
        body=SignalRequest | tuple[SignalRequest, ...],
        refusals=(400, 409, 413, 415, 422, 503, 504),
        about=f"One signal, or a list of at most {SIGNALS_MAX} that are recorded together or refused together. The "
        "answer comes after the commit. A repeated id with the same content is answered with 200 and `repeated`; with "
        "another content it is refused with 409.",
    )
    return GuardedRoute(PATH, endpoint, access=Access.SIGNAL, method="POST", operation=operation)


async def _content(request: Request) -> bytes:
    """Return the body. Raise HTTPException 415 for another media type."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        raise HTTPException(415, "signals need Content-Type: application/json")
    return await request.body()


def _body_token_refusal(request: Request, content: bytes) -> Response | None:
    """Return the refusal of a request with a wrong token, or none, in its body; the gate has checked a header."""
    if "authorization" in request.headers:
        return None
    gate: Gate = request.scope[SCOPE_KEY]
    try:
        body: Any = decode_json(content, Any)
    except msgspec.DecodeError as error:
        raise HTTPException(400, f"not JSON: {error}") from None
    given = body.get("token") if isinstance(body, dict) else None
    return gate.signal_refusal(request, given if isinstance(given, str) else None)


def _requests(content: bytes) -> Sequence[SignalRequest]:
    """Return the signals of a body. Raise HTTPException 422 that names the field."""
    try:
        body = decode_json(content, SignalRequest | list[SignalRequest])
    except msgspec.ValidationError as error:
        raise HTTPException(422, _field_text(str(error))) from None
    except msgspec.DecodeError as error:
        raise HTTPException(400, f"not JSON: {error}") from None
    signals = body if isinstance(body, list) else [body]
    if not 1 <= len(signals) <= SIGNALS_MAX:
        raise HTTPException(422, f"a request holds 1 to {SIGNALS_MAX} signals, not {len(signals)}")
    return signals


def _field_text(text: str) -> str:
    """Return a validation error with the field first: `value: Expected float, got str`."""
    reason, _, place = text.replace("`", "").partition(" - at $")
    field = f"signals{place}" if place.startswith("[") else place.lstrip(".")
    return f"{field}: {reason}" if field else reason


async def _record(site: Site, batch: SignalBatch) -> Response:
    """Pass signals to the engine. A refusal is 409; a missing engine is 503, because it may come back."""
    if not site.settings.commands_allowed:
        return problem(503, "this log is read-only here: no engine accepts signals for it")
    _check_symbols(site, batch)
    try:
        recorded = await site.engine.receive(batch)
    except UsageError as error:
        return problem(503, str(error))
    if recorded.last_seq is not None:
        await wait_for_views(site, recorded.last_seq)
    return Response(msgspec.json.encode(recorded), media_type="application/json")


def _check_symbols(site: Site, batch: SignalBatch) -> None:
    """Raise HTTPException 422 for a symbol that is not watched."""
    watched = site.timeline.views.contracts.by_symbol
    for signal in batch.signals:
        if signal.symbol not in watched:
            raise HTTPException(422, f"symbol: {unknown_name_text('symbol', signal.symbol, watched)}")


async def _signals(context: ViewContext, _: Query) -> tuple[SignalView, ...]:
    return context.views.signals.newest()


VIEWS = (ViewEndpoint("signals", "The newest signal of every symbol and name", tuple[SignalView, ...], _signals),)
