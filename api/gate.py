"""Who may do what: the token, the cookie, the page a request comes from, and how often one may be wrong."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from enum import Enum
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from papertape.api.problems import problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import HTTPConnection
    from starlette.types import Receive, Scope, Send

    from papertape.api.hosts import AllowedHosts
    from papertape.api.token import Token

SCOPE_KEY: Final = "papertape.gate"
LOGIN_PATH: Final = "/login"
WRONG_MAX: Final = 20
"""Wrong tokens of one address within a window; further ones are told to wait."""
WINDOW_S: Final = 60.0
LATE_S: Final = 1.0
"""So much later whoever guesses is answered, so that guessing costs this machine next to nothing."""
ADDRESSES_MAX: Final = 1_024
LEFT_MAX: Final = 1_024
"""Cookies of logouts that are remembered; all end with a new token."""
NEXT_CHARS_MAX: Final = 500
IPV6_NETWORK_BITS: Final = 64
CHALLENGE: Final = {"www-authenticate": 'Bearer realm="papertape"'}


class Access(Enum):
    """What a route asks of whoever calls it. Every route states one."""

    OPEN = "open to everybody who reaches this address"
    READ = "the token, or nothing where the server listens on this machine alone and no token is configured"
    PAGE = "as for reading; a browser that may not is led to the login page"
    COMMAND = "the token, always"


class FailedAttempts:
    """How often an address was wrong lately. It remembers a bounded number of them, the newest."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._found: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self.total = 0

    def note(self, address: str) -> bool:
        """Count one more; whether there are too many."""
        network, now = _network(address), self._clock()
        self.total += 1
        since, count = self._found.pop(network, (now, 0))
        if now - since >= WINDOW_S:
            since, count = now, 0
        self._found[network] = (since, count + 1)
        while len(self._found) > ADDRESSES_MAX:
            self._found.popitem(last=False)
        return count >= WRONG_MAX

    def __len__(self) -> int:
        return len(self._found)


def _network(address: str) -> str:
    """Who holds one address of version 6 holds its whole network."""
    try:
        found = ip_address(address)
    except ValueError:
        return address[:64]
    return str(ip_network((found, IPV6_NETWORK_BITS), strict=False)) if isinstance(found, IPv6Address) else address


class DelayedResponse(Response):
    """An answer that comes some seconds later. How many wait is limited by how many connections there may be."""

    def __init__(self, answer: Response, late_s: float) -> None:
        super().__init__(status_code=answer.status_code)
        self._answer, self._late_s = answer, late_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, and answer."""
        await asyncio.sleep(self._late_s)
        await self._answer(scope, receive, send)


class Gate:
    """Decides on every request. `reading_open`: nobody has to prove anything to look."""

    def __init__(
        self,
        token: Token,
        hosts: AllowedHosts,
        *,
        reading_open: bool,
        clock: Callable[[], float] = time.monotonic,
        late_s: float = LATE_S,
    ) -> None:
        self.token = token
        self.hosts = hosts
        self.reading_open = reading_open
        self.wrongs = FailedAttempts(clock)
        self._late_s = late_s
        self._left: OrderedDict[str, None] = OrderedDict()

    def refusal(self, access: Access, asking: HTTPConnection, *, live: bool = False) -> Response | None:
        """Why a request is not taken; None where it is. `live`: it opens a stream."""
        return self._foreign(asking, live=live) or self._stranger(access, asking) or _anonymous(asking)

    def _stranger(self, access: Access, asking: HTTPConnection) -> Response | None:
        """Who did not prove what has to be proved."""
        if access is Access.OPEN:
            return None
        bearer = _bearer(asking)
        if bearer is not None:
            return None if self.token.matches(bearer) else self.wrong_token_response(asking)
        if self.is_logged_in(asking) or (self.reading_open and access is not Access.COMMAND):
            return None
        if access is Access.PAGE:
            return RedirectResponse(f"{LOGIN_PATH}?next={quote(_path(asking)[:NEXT_CHARS_MAX], safe='')}", 303)
        return problem(401, "this needs the token: Authorization: Bearer TOKEN, or a login", CHALLENGE)

    def is_logged_in(self, asking: HTTPConnection) -> bool:
        """Whether the request carries the cookie of a login."""
        cookie = asking.cookies.get(self.token.cookie_name, "")
        return bool(cookie) and cookie not in self._left and self.token.takes_cookie(cookie, int(time.time()))

    def log_out(self, asking: HTTPConnection) -> None:
        """Take the cookie of a request no longer."""
        if self.is_logged_in(asking):
            self._left[asking.cookies[self.token.cookie_name]] = None
            while len(self._left) > LEFT_MAX:
                self._left.popitem(last=False)

    def wrong_token_response(self, asking: HTTPConnection) -> Response:
        """The answer to a wrong token.

        The right one is always taken: whoever shares an address with a guesser must still be able to stop the engine,
        and 32 random bytes are not guessed at any rate.
        """
        if self.wrongs.note(asking.client.host if asking.client else ""):
            return DelayedResponse(
                problem(429, "too many wrong tokens", {"retry-after": str(int(WINDOW_S))}), self._late_s
            )
        return problem(401, "this is not the token", CHALLENGE)

    def _foreign(self, asking: HTTPConnection, *, live: bool) -> Response | None:
        """A page of another site may not use the browser of somebody who is logged in, or who sits at this machine."""
        origin, site = asking.headers.get("origin"), asking.headers.get("sec-fetch-site")
        if origin is not None and not self.hosts.same_origin(origin, asking.headers.get("host", "")):
            return problem(403, "a page of another site asks: its Origin is not this server's")
        if (live or _changes(asking)) and site not in (None, "same-origin", "none"):
            return problem(403, "a page of another site asks")
        return None


def _anonymous(asking: HTTPConnection) -> Response | None:
    """Browsers say the `Origin` of everything that changes something.

    Who does not has to show the token itself, which no foreign page knows; a cookie comes by itself.
    """
    told = "origin" in asking.headers or "sec-fetch-site" in asking.headers
    if _changes(asking) and not told and _bearer(asking) is None:
        return problem(403, "a request that changes something names its Origin, or carries the token")
    return None


def _changes(asking: HTTPConnection) -> bool:
    return asking.scope["type"] == "http" and asking.scope["method"] not in ("GET", "HEAD", "OPTIONS")


def _path(asking: HTTPConnection) -> str:
    """What was asked for, with its query."""
    path, query = asking.scope["path"], asking.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else str(path)


def _bearer(asking: HTTPConnection) -> str | None:
    """The token of the `Authorization` header; None without one."""
    scheme, _, token = asking.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
