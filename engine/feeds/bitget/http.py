"""HTTP requests to Bitget's REST service: rate limited, bounded in time and size, with a named error per failure.

Nothing is retried here. `ExchangeUnreachable` means no answer or a foreign one, `ExchangeBusy` too many requests
(the next ones then wait), `ExchangeRefused` an error with its code.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import parse_qsl, urlencode

import httpx
import msgspec
from msgspec import Raw, Struct

from papertape.engine.feeds.bitget.responses import UNREADABLE, ResponseBody
from papertape.engine.feeds.bitget.settings import BitgetSettings
from papertape.engine.feeds.rate_limit import RateLimiter
from papertape.engine.ports.clock import Clock
from papertape.engine.ports.feed import RefusalLog, RefusalReason
from papertape.events.errors import ConfigError, ExchangeBusy, ExchangeRefused, ExchangeUnreachable

CONCURRENT_MAX: Final = 4
TIMEOUT_WALL_S_MIN: Final = 1.0
"""Against a market that runs fast the machine still needs its own time."""
WORDS_CHARS_MAX: Final = 200
SUCCESS: Final = "00000"
BUSY_CODE: Final = "429"
_ERRNO: Final = re.compile(r"^\[Errno [^\]]*\] ")
LATER_CODES: Final = frozenset({"40015", "45001", "30038"})
"""System abnormal, unknown error, matching engine being upgraded: worth another attempt."""


class BitgetHttpResponse(Struct, frozen=True):
    """A complete response."""

    status: int
    retry_after_s: float
    content: bytes


class BitgetEnvelope(Struct):
    """The wrapper of every response. The code is a text; a number is understood too."""

    code: str | int
    msg: str | None = None
    requestTime: int | None = None  # noqa: N815 - the exchange's own name.
    data: Raw = Raw(b"null")


class BitgetHttp:
    """The connections to one address of the exchange. Requests after `close` connect again."""

    def __init__(self, settings: BitgetSettings, clock: Clock, refusals: RefusalLog) -> None:
        self._base_url = settings.rest_url.rstrip("/")
        self._timeout_s = max(TIMEOUT_WALL_S_MIN, settings.request_timeout_s / settings.speed)
        self._bytes_max = settings.body_bytes_max
        self._clock = clock
        self._refusals = refusals
        self._rate_limiter = RateLimiter(settings.requests_per_s, clock)
        self._slots = asyncio.Semaphore(CONCURRENT_MAX)
        self._client: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def fetch(self, path: str, **params: str | int) -> ResponseBody:
        """Return the `data` of a successful response.

        Raise ExchangeUnreachable, ExchangeBusy (which delays all further requests) or ExchangeRefused.
        """
        source = f"GET {path}?{urlencode(params)}" if params else f"GET {path}"
        async with self._slots:
            ticket = await self._rate_limiter.acquire()
            sent_ms = self._clock.steady_ms()
            reply = await self._exchange(self._base_url + path, params, source)
            received_ms = self._clock.steady_ms()
        envelope = self._open_envelope(reply, source, ticket)
        self._rate_limiter.record_success(ticket)
        return ResponseBody(source, envelope.data, self._refusals, sent_ms, received_ms, envelope.requestTime)

    async def _exchange(self, url: str, params: dict[str, str | int], source: str) -> BitgetHttpResponse:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._read(url, params, source)
        except TimeoutError:
            words = f"no complete answer within {self._timeout_s:g} s"
            raise ExchangeUnreachable(f"{self._base_url}, {_request_label(source)}: {words}") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            words = _ERRNO.sub("", _words(str(error))) or type(error).__name__
            raise ExchangeUnreachable(f"{self._base_url} cannot be reached: {words}") from error

    async def _read(self, url: str, params: dict[str, str | int], source: str) -> BitgetHttpResponse:
        content = bytearray()
        async with self._open_client().stream("GET", url, params=params) as response:
            async for part in response.aiter_bytes():
                content += part
                if len(content) > self._bytes_max:
                    self._refusals.refuse(source, 0, RefusalReason.TOO_LARGE, f"HTTP {response.status_code}")
                    raise ExchangeUnreachable(
                        f"{_request_label(source)}: the answer is larger than {self._bytes_max} bytes"
                    )
            return BitgetHttpResponse(response.status_code, _retry_after_s(response.headers), bytes(content))

    def _open_client(self) -> httpx.AsyncClient:
        if self._client is None:
            # It logs every address at INFO, several a second.
            logging.getLogger("httpx").setLevel(logging.WARNING)
            limits = httpx.Limits(max_connections=CONCURRENT_MAX, max_keepalive_connections=CONCURRENT_MAX)
            # The timeout around the whole request is the only one: one that restarts with every byte ends nothing.
            try:
                self._client = httpx.AsyncClient(timeout=None, limits=limits, headers={"user-agent": "papertape"})  # noqa: S113
            except (ImportError, ValueError, httpx.InvalidURL) as error:
                raise ConfigError(f"the proxy of the environment cannot be used: {error}") from error
        return self._client

    def _open_envelope(self, reply: BitgetHttpResponse, source: str, ticket: int) -> BitgetEnvelope:
        """Return the envelope of a success; raise anything else."""
        if reply.status == httpx.codes.TOO_MANY_REQUESTS:
            raise self._busy(source, reply, ticket)
        envelope = _envelope(reply.content)
        code = "" if envelope is None else SUCCESS if envelope.code == 0 else str(envelope.code)
        if code == BUSY_CODE:
            raise self._busy(source, reply, ticket)
        words = _words(envelope.msg or "") if envelope is not None else ""
        if reply.status >= httpx.codes.INTERNAL_SERVER_ERROR or code in LATER_CODES:
            raise ExchangeUnreachable(f"{_request_label(source)}: HTTP {reply.status} {code} {words}".rstrip())
        if envelope is None:
            raise self._foreign(reply, source)
        if code != SUCCESS:
            raise ExchangeRefused(f"{_request_label(source)}: {code} {words}".rstrip(), code)
        if not httpx.codes.is_success(reply.status):
            raise self._foreign(reply, source)
        return envelope

    def _busy(self, source: str, reply: BitgetHttpResponse, ticket: int) -> ExchangeBusy:
        pause_s = self._rate_limiter.back_off(ticket, reply.retry_after_s)
        text = f"{_request_label(source)}: too many requests; the next one waits {pause_s:.3g} s"
        return ExchangeBusy(text, reply.retry_after_s)

    def _foreign(self, reply: BitgetHttpResponse, source: str) -> ExchangeUnreachable:
        """Return the error for a response that is not the exchange's own, and count it as refused."""
        try:
            msgspec.json.decode(reply.content)
            reason = RefusalReason.WRONG_SHAPE
        except UNREADABLE:
            reason = RefusalReason.NOT_JSON
        self._refusals.refuse(source, 0, reason, reply.content[:WORDS_CHARS_MAX].decode("utf-8", "replace"))
        return ExchangeUnreachable(
            f"{_request_label(source)}: HTTP {reply.status} with a body that is not Bitget's ({reason.value})"
        )


def _request_label(source: str) -> str:
    """Return a short name of a request: `candles BTCUSDT`. The refusals hold it in full."""
    path, _, query = source.partition("?")
    symbol = dict(parse_qsl(query)).get("symbol", "")
    return f"{path.rpartition('/')[2]} {symbol}".rstrip()


def _envelope(content: bytes) -> BitgetEnvelope | None:
    try:
        return msgspec.json.decode(content, type=BitgetEnvelope)
    except UNREADABLE:
        return None


def _retry_after_s(headers: httpx.Headers) -> float:
    """Return the seconds of `Retry-After`, a number or a date (relative to the response's date); 0 without one."""
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        seconds = _seconds_until(text, headers.get("date", ""))
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def _seconds_until(date: str, answered: str) -> float:
    try:
        return (parsedate_to_datetime(date) - parsedate_to_datetime(answered)).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def _words(text: str) -> str:
    """Return a text of the exchange in one line of bounded length."""
    return " ".join(text.split())[:WORDS_CHARS_MAX]
