"""Access control: the token, the login cookie, the origin of a request, and the limit on wrong tokens."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from enum import Enum
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from papertape.api.login_link import LOGIN_PATH
from papertape.api.problems import problem
from papertape.api.token import SIGNAL_TOKEN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import HTTPConnection
    from starlette.types import Receive, Scope, Send

    from papertape.api.hosts import AllowedHosts
    from papertape.api.login_link import LoginLink
    from papertape.api.token import Token

SCOPE_KEY: Final = "papertape.gate"
FAILED_ATTEMPTS_MAX: Final = 20
"""The wrong tokens of one address within a window; further ones get a 429."""
WINDOW_S: Final = 60.0
DELAY_S: Final = 1.0
"""The delay of answers to a guesser, so that guessing costs this machine next to nothing."""
ADDRESSES_MAX: Final = 1_024
LOGOUTS_MAX: Final = 1_024
"""The number of logged-out cookies that are remembered; a new token invalidates all cookies."""
NEXT_CHARS_MAX: Final = 500
IPV6_NETWORK_BITS: Final = 64
CHALLENGE: Final = {"www-authenticate": 'Bearer realm="papertape"'}


class Access(Enum):
    """What a route requires of a caller. Every route states one."""

    OPEN = "open to everybody who reaches this address"
    READ = "the token, or nothing if the server listens only on this machine and no token is configured"
    PAGE = "as for reading; a browser without access is redirected to the login page"
    COMMAND = "the token, always"
    SIGNAL = "the signal token, always, in a header or in the body"


class FailedAttempts:
    """Counts recent wrong tokens by address, for a bounded number of the newest addresses."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._attempts: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self.total = 0

    def record(self, address: str) -> bool:
        """Count a failed attempt, and return whether the address has exceeded the limit."""
        network, now = _network(address), self._clock()
        self.total += 1
        since, count = self._attempts.pop(network, (now, 0))
        if now - since >= WINDOW_S:
            since, count = now, 0
        self._attempts[network] = (since, count + 1)
        while len(self._attempts) > ADDRESSES_MAX:
            self._attempts.popitem(last=False)
        return count >= FAILED_ATTEMPTS_MAX

    def __len__(self) -> int:
        return len(self._attempts)


def _network(address: str) -> str:
    """Return the network of an IPv6 address, because its owner holds all of it; an IPv4 address is returned as is."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    return str(ip_network((parsed, IPV6_NETWORK_BITS), strict=False)) if isinstance(parsed, IPv6Address) else address


class DelayedResponse(Response):
    """A response sent after some seconds. The limit on connections bounds how many can be waiting."""

    def __init__(self, answer: Response, delay_s: float) -> None:
        super().__init__(status_code=answer.status_code)
        self._answer, self._delay_s = answer, delay_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, then send the response."""
        await asyncio.sleep(self._delay_s)
        await self._answer(scope, receive, send)


class Gate:
    """Decides whether a request is allowed. With `reading_open`, reading needs no token."""

    def __init__(
        self,
        token: Token,
        hosts: AllowedHosts,
        *,
        reading_open: bool,
        signal_token: Token | None = None,
        login_link: LoginLink | None = None,
        cors_origins: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
        delay_s: float = DELAY_S,
    ) -> None:
        self.token, self._signal_token, self.login_link = token, signal_token, login_link
        self.hosts, self.cors_origins = hosts, tuple(cors_origins)
        self.reading_open = reading_open
        self.failed_attempts = FailedAttempts(clock)
        self._delay_s = delay_s
        self._logged_out: OrderedDict[str, None] = OrderedDict()

    def refusal(self, access: Access, connection: HTTPConnection, *, live: bool = False) -> Response | None:
        """Return the response that refuses a request, or None if it is allowed. `live`: it opens a stream."""
        return (
            self._cross_site_refusal(access, connection, live=live)
            or self._authentication_refusal(access, connection)
            # A cookie does not count for signals, so no other site can send them through a browser.
            or (None if access is Access.SIGNAL else _missing_origin_refusal(connection))
        )

    def _authentication_refusal(self, access: Access, connection: HTTPConnection) -> Response | None:
        """Return the refusal of a request without the required token or cookie."""
        if access is Access.OPEN:
            return None
        bearer = _bearer(connection)
        if access is Access.SIGNAL:
            return self.signal_refusal(connection, bearer) if "authorization" in connection.headers else None
        if bearer is not None:
            return None if self.token.matches(bearer) else self.wrong_token_response(connection)
        if self.is_logged_in(connection) or (self.reading_open and access is not Access.COMMAND):
            return None
        if access is Access.PAGE:
            return RedirectResponse(f"{LOGIN_PATH}?next={quote(_path(connection)[:NEXT_CHARS_MAX], safe='')}", 303)
        return problem(401, "this requires the token (Authorization: Bearer TOKEN) or a login", CHALLENGE)

    def signal_refusal(self, connection: HTTPConnection, given: str | None) -> Response | None:
        """Return the refusal of signals sent with this token, or None if it is the signal token.

        A route with `Access.SIGNAL` asks this about the token in the body if the request has no `Authorization` header.
        """
        if self._signal_token is None:
            return problem(403, f"no signals are accepted here: set {SIGNAL_TOKEN_VARIABLE} to allow them")
        if given is None:
            return problem(401, "this requires the signal token (Authorization: Bearer TOKEN)", CHALLENGE)
        return None if self._signal_token.matches(given) else self.wrong_token_response(connection)

    def is_logged_in(self, connection: HTTPConnection) -> bool:
        """Return whether the request carries a valid login cookie."""
        cookie = connection.cookies.get(self.token.cookie_name, "")
        return bool(cookie) and cookie not in self._logged_out and self.token.accepts_cookie(cookie, int(time.time()))

    def log_out(self, connection: HTTPConnection) -> None:
        """Invalidate the cookie of a request."""
        if self.is_logged_in(connection):
            self._logged_out[connection.cookies[self.token.cookie_name]] = None
            while len(self._logged_out) > LOGOUTS_MAX:
                self._logged_out.popitem(last=False)

    def wrong_token_response(self, connection: HTTPConnection) -> Response:
        """Return the response to a wrong token.

        The right token is always accepted: a user who shares an address with a guesser must still be able to stop the
        engine, and no rate of guessing finds 32 random bytes.
        """
        if self.failed_attempts.record(connection.client.host if connection.client else ""):
            return DelayedResponse(
                problem(429, "too many wrong tokens", {"retry-after": str(int(WINDOW_S))}), self._delay_s
            )
        return problem(401, "wrong token", CHALLENGE)

    def _cross_site_refusal(self, access: Access, connection: HTTPConnection, *, live: bool) -> Response | None:
        """Return the refusal of a request that another site's page makes through the user's browser.

        The pages of `cors_origins` may read what everybody may read, and whatever they prove by the token.
        """
        origin, site = connection.headers.get("origin"), connection.headers.get("sec-fetch-site")
        writes = _changes(connection)
        if origin in self.cors_origins:
            by_cookie = access is not Access.SIGNAL and _bearer(connection) is None
            return problem(403, "a page of another site must send the token") if by_cookie and writes else None
        if origin is not None and not self.hosts.same_origin(origin, connection.headers.get("host", "")):
            return problem(403, "cross-site request: the Origin is not this server's")
        if (live or writes) and site not in (None, "same-origin", "none"):
            return problem(403, "cross-site request")
        return None


def _missing_origin_refusal(connection: HTTPConnection) -> Response | None:
    """Return the refusal of a write that names no origin and carries no token.

    Browsers send `Origin` with every write. Without it a cookie proves nothing, because browsers send cookies by
    themselves; the token does, because no other site knows it.
    """
    has_origin = "origin" in connection.headers or "sec-fetch-site" in connection.headers
    if _changes(connection) and not has_origin and _bearer(connection) is None:
        return problem(403, "a write request must name its Origin or carry the token")
    return None


def _changes(connection: HTTPConnection) -> bool:
    return connection.scope["type"] == "http" and connection.scope["method"] not in ("GET", "HEAD", "OPTIONS")


def _path(connection: HTTPConnection) -> str:
    """Return the requested path with its query."""
    path, query = connection.scope["path"], connection.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else str(path)


def _bearer(connection: HTTPConnection) -> str | None:
    """Return the token of the `Authorization` header, or None."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
