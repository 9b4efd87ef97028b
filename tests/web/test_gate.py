"""Access control: tokens, cookies, hosts and origins; every route states its access and enforces it."""

from __future__ import annotations

import asyncio
import random
import string
import time
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from papertape.api.app import application
from papertape.api.commands import KINDS
from papertape.api.gate import ADDRESSES_MAX, FAILED_ATTEMPTS_MAX, Access, FailedAttempts, Gate
from papertape.api.hosts import AllowedHosts, is_loopback
from papertape.api.login import local_path
from papertape.api.middleware import BODY_BYTES_MAX, HEADERS
from papertape.api.routes import GuardedRoute, GuardedSocket
from papertape.api.streams import Streams
from papertape.api.token import COOKIE_HOURS_MAX, Token
from papertape.ui.pages import pages
from tests.events.loop import in_loop
from tests.patience import stretched
from tests.support import PROVING
from tests.web.site import BEARER, ORIGIN, OTHER_TOKEN, TOKEN, client_of, example_day, gate_of, site_of

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import httpx
    from starlette.requests import Request
    from starlette.responses import Response

SITE = site_of(example_day())
WRONG = 10_000 if PROVING else 3_000
ORIGIN_HEADER = {"origin": ORIGIN}


ABSENT = tuple(f"/api/v1/{name}" for name in ("studies/", "library", "engines", "comparison", "jobs"))
"""What this site does not have, as it has no data folder."""
JOBS = {f"/api/v1/jobs/{name}" for name in ("backtest", "sweep", "{job}/cancel", "{job}/again")}


def routes() -> list[Any]:
    """Return every route of the application."""
    streams = Streams(SITE.timeline)
    return list(application(SITE, gate_of(), streams, pages(SITE, streams)).routes)


def requests_of(route: Any) -> tuple[str, str]:
    """Return the arguments of a request for a route."""
    names = {"strategy": "momentum", "name": "momentum", "symbol": "BTCUSDT", "seq": "9", "job": "1"}
    return route.method, route.path.format(**names)


def whole(gate: Gate | None = None) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    """Yield a client of the API and all pages."""
    return client_of(SITE, gate, pages(SITE, Streams(SITE.timeline)))


PAGES = [one for one in routes() if isinstance(one, GuardedRoute) and one.access is Access.PAGE]
READERS = [one for one in routes() if isinstance(one, GuardedRoute) and one.access is Access.READ and not one.live]
COMMANDS = [one for one in routes() if isinstance(one, GuardedRoute) and one.access is Access.COMMAND]


# ---------------------------------------------------------------- the table


def test_every_route_states_its_access_and_reads_change_nothing() -> None:
    assert all(isinstance(one.access, Access) for one in routes())
    opened = {(getattr(one, "method", "FILES"), one.path) for one in routes() if one.access is Access.OPEN}
    assert opened == {
        ("GET", "/live"), ("GET", "/ready"), ("GET", "/api/docs.css"), ("POST", "/login"), ("POST", "/logout"),
        ("GET", "/login"), ("FILES", "/static"), ("FILES", "/assets"),
    }  # fmt: skip
    changing = {one.path for one in routes() if isinstance(one, GuardedRoute) and one.method != "GET"}
    assert changing == {"/login", "/logout", "/api/v1/signals", *(one.path for one in COMMANDS)}
    assert {one.path for one in routes() if one.access is Access.SIGNAL} == {"/api/v1/signals"}
    assert {one.path for one in COMMANDS} == {"/pages/crash", *JOBS, *(f"/api/v1/commands/{name}" for name in KINDS)}
    assert all(one.live for one in routes() if "stream" in one.path or isinstance(one, GuardedSocket))


def test_a_route_without_access_is_rejected() -> None:
    async def unguarded(_: Request) -> Response:
        return PlainTextResponse("anybody")

    with pytest.raises(TypeError, match="does not state its access"):
        application(SITE, gate_of(), Streams(SITE.timeline), [Route("/x", unguarded)])  # type: ignore[list-item]


@pytest.mark.parametrize("route", READERS, ids=lambda one: one.path)
@in_loop
async def test_reading_needs_a_configured_token(route: GuardedRoute) -> None:
    method, path = requests_of(route)
    async with whole(gate_of(reading_open=False)) as client:
        refused = await client.request(method, path)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
        wrong = await client.request(method, path, headers={"authorization": f"Bearer {OTHER_TOKEN}"})
        assert wrong.status_code == 401
        known = 404 if path.startswith(ABSENT) else 200
        assert (await client.request(method, path, headers=BEARER)).status_code in (known, 422, 503)


@pytest.mark.parametrize("route", PAGES, ids=lambda one: one.path)
@in_loop
async def test_a_page_redirects_to_the_login_with_a_configured_token(route: GuardedRoute) -> None:
    method, path = requests_of(route)
    async with whole(gate_of(reading_open=False)) as client:
        led = await client.request(method, path)
        assert (led.status_code, led.headers["location"].partition("?")[0]) == (303, "/login")
        assert (await client.request(method, path, headers=BEARER)).status_code in (200, 404)


@pytest.mark.parametrize("route", COMMANDS, ids=lambda one: one.path)
@in_loop
async def test_commands_need_the_token_even_if_reading_is_open(route: GuardedRoute) -> None:
    body = {"actor": "anna", "reason": "test", "scope": "momentum", "trip_seq": 1}
    async with whole() as client:
        assert (await client.post(route.path, json=body)).status_code == 401
        assert (await client.post(route.path, json=body, headers=ORIGIN_HEADER)).status_code == 401
        wrong = {"authorization": f"Bearer {OTHER_TOKEN}"}
        assert (await client.post(route.path, json=body, headers=wrong)).status_code == 401
        assert (await client.get(route.path, headers=BEARER)).status_code in (
            (404, 405) if route.path in JOBS else (405,)
        )


@in_loop
async def test_every_answer_has_the_security_headers() -> None:
    async with client_of(SITE, raises=False) as client:
        for path in ("/live", "/nowhere", "/api/v1/arena", "/api/docs", "/api/v1/events?limit=nonsense"):
            answer = await client.get(path)
            assert HEADERS.items() <= answer.headers.items(), path
            assert "unsafe-inline" not in answer.headers["content-security-policy"]
            assert "access-control-allow-origin" not in answer.headers
        assert (await client.get("/live")).headers["cache-control"] == "no-store"


# ---------------------------------------------------------------- pages


@in_loop
async def test_a_browser_is_redirected_to_the_login_and_back() -> None:
    async def home(_: Request) -> Response:
        return PlainTextResponse("home")

    pages = [GuardedRoute("/trades", home, access=Access.PAGE)]
    async with client_of(SITE, gate_of(reading_open=False), pages) as client:
        led = await client.get("/trades?symbol=BTC&side=long")
        assert (led.status_code, led.headers["location"]) == (303, "/login?next=%2Ftrades%3Fsymbol%3DBTC%26side%3Dlong")
        form = {"token": TOKEN, "next": "/trades?symbol=BTC"}
        entered = await client.post("/login", data=form, headers=ORIGIN_HEADER)
        assert (entered.status_code, entered.headers["location"]) == (303, "/trades?symbol=BTC")
        cookie = entered.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
        assert TOKEN not in cookie
        assert (await client.get("/trades")).text == "home"


@in_loop
async def test_a_cookie_allows_commands_only_from_our_own_pages() -> None:
    body = {"actor": "anna", "reason": "test"}
    async with client_of(SITE) as client:
        await client.post("/login", data={"token": TOKEN}, headers=ORIGIN_HEADER)
        own = await client.post("/api/v1/commands/pause", json=body, headers=ORIGIN_HEADER)
        assert own.status_code == 503, "it is let in, and there is no engine"
        for headers in ({}, {"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
            foreign = await client.post("/api/v1/commands/pause", json=body, headers=headers)
            assert foreign.status_code == 403, headers


@in_loop
async def test_a_logout_invalidates_the_cookie() -> None:
    async with client_of(SITE, gate_of(reading_open=False)) as client:
        await client.post("/login", data={"token": TOKEN}, headers=ORIGIN_HEADER)
        kept = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        assert (await client.get("/api/v1/arena")).status_code == 200
        left = await client.post("/logout", headers=ORIGIN_HEADER)
        assert left.status_code == 303 and "max-age=0" in left.headers["set-cookie"].lower(), "the browser forgets it"
        assert (await client.get("/api/v1/arena")).status_code == 401
        assert (await client.get("/api/v1/arena", headers={"cookie": kept})).status_code == 401


@pytest.mark.parametrize(
    "path", ["//evil.example", "https://evil.example", "/\\evil.example", "\\evil", "", "x", "/a\r\nset-cookie: b=c"]
)
def test_a_login_never_redirects_to_another_site(path: str) -> None:
    assert local_path(path) == "/"


# ---------------------------------------------------------------- hosts and origins


@pytest.mark.parametrize(
    ("bound", "host", "taken"),
    [
        ("127.0.0.1", "127.0.0.1:8700", True),
        ("127.0.0.1", "localhost", True),
        ("127.0.0.1", "LOCALHOST:8700", True),
        ("::1", "[::1]:8700", True),
        ("127.0.0.1", "evil.example", False),
        ("127.0.0.1", "192.168.1.5:8700", False),
        ("127.0.0.1", "localhost.evil.example", False),
        ("127.0.0.1", "127.0.0.1@evil.example", False),
        ("127.0.0.1", "127.0.0.1/evil", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "box.lan", True),
        ("0.0.0.0", "192.168.1.5:8700", True),
        ("0.0.0.0", "box.lan:8700", True),
        ("0.0.0.0", "evil.example", False),
    ],
)
def test_only_allowed_host_names_are_accepted(bound: str, host: str, taken: bool) -> None:
    trusted = ["box.lan"]
    assert AllowedHosts(bound, trusted).allows(host) is taken


@in_loop
async def test_dns_rebinding_is_refused() -> None:
    async with client_of(SITE) as client:
        for host in ("evil.example", "evil.example:8700", "127.0.0.1.evil.example", "x" * 5_000):
            refused = await client.get("/api/v1/arena", headers={"host": host, "origin": f"http://{host}"})
            assert refused.status_code == 421, host
        two = [("host", "127.0.0.1"), ("host", "evil.example")]
        assert (await client.get("/api/v1/arena", headers=two)).status_code == 421


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("https://tape.home", "tape.home", True),
        ("https://tape.home", "tape.home:443", True),
        ("https://tape.home:443", "tape.home", True),
        ("http://tape.home:80", "tape.home", True),
        ("http://tape.home:443", "tape.home", False),
        ("https://tape.home:80", "tape.home", False),
    ],
)
def test_a_default_port_is_the_same_origin(origin: str, host: str, *, same: bool) -> None:
    assert AllowedHosts.same_origin(origin, host) is same


@pytest.mark.parametrize(
    ("address", "local"), [("localhost", True), ("127.0.0.2", True), ("::1", True), ("0.0.0.0", False), ("box", False)]
)
def test_loopback_addresses(address: str, *, local: bool) -> None:
    assert is_loopback(address) is local


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://127.0.0.1:9", "file://", "a:b:c", "é"])
@in_loop
async def test_a_cross_site_page_gets_nothing_even_if_reading_is_open(origin: str) -> None:
    async with client_of(SITE) as client:
        refused = await client.get("/api/v1/arena", headers={b"origin": origin.encode()})
        assert refused.status_code == 403
        assert (await client.get("/api/v1/arena", headers=ORIGIN_HEADER)).status_code == 200


# ---------------------------------------------------------------- tokens


@pytest.mark.system
@in_loop
async def test_thousands_of_wrong_tokens_are_refused_and_the_right_one_still_works() -> None:
    gate = gate_of(reading_open=False, delay_s=0.0)
    chance = random.Random(1)
    counts: dict[int, int] = {}
    async with client_of(SITE, gate) as client:
        for number in range(WRONG):
            token = "".join(chance.choices(string.printable.strip() + "é☃", k=chance.randint(1, 60)))
            bearer = {b"authorization": f"Bearer {token}".encode(), b"content-type": b"application/json"}
            match number % 3:
                case 0:
                    answer = await client.get("/api/v1/status", headers=bearer)
                case 1:
                    answer = await client.post("/api/v1/commands/pause", headers=bearer, json={"strategy": "momentum"})
                case _:
                    answer = await client.post("/login", data={"token": token}, headers=ORIGIN_HEADER)
            assert "set-cookie" not in answer.headers
            counts[answer.status_code] = counts.get(answer.status_code, 0) + 1
        assert counts == {401: FAILED_ATTEMPTS_MAX, 429: WRONG - FAILED_ATTEMPTS_MAX}
        assert (await client.get("/api/v1/status", headers=BEARER)).status_code == 200
    assert gate.failed_attempts.total == WRONG
    assert len(gate.failed_attempts) == 1, "what is remembered is who asked, not what was tried"


@in_loop
async def test_only_a_guesser_has_to_wait() -> None:
    delay_s = stretched(0.3)
    gate = gate_of(reading_open=False, delay_s=delay_s)
    async with client_of(SITE, gate) as client:

        async def seconds(token: str) -> tuple[int, float]:
            begun_s = time.monotonic()
            answer = await client.get("/api/v1/status", headers={"authorization": f"Bearer {token}"})
            return answer.status_code, time.monotonic() - begun_s

        for _ in range(FAILED_ATTEMPTS_MAX):
            assert (await seconds(OTHER_TOKEN))[0] == 401
        (late, waited_s), (right, took_s) = await asyncio.gather(seconds(OTHER_TOKEN), seconds(TOKEN))
    assert (late, right) == (429, 200)
    assert waited_s >= delay_s > took_s


def test_the_record_of_failed_attempts_is_bounded_and_expires() -> None:
    now = 0.0
    failed_attempts = FailedAttempts(lambda: now)
    for address in range(3 * ADDRESSES_MAX):
        failed_attempts.record(f"10.{address >> 16}.{address >> 8 & 255}.{address & 255}")
    assert len(failed_attempts) == ADDRESSES_MAX
    assert [failed_attempts.record("10.0.0.1") for _ in range(FAILED_ATTEMPTS_MAX + 1)] == [
        *[False] * FAILED_ATTEMPTS_MAX,
        True,
    ]
    assert [failed_attempts.record(f"2001:db8::{at:x}") for at in range(FAILED_ATTEMPTS_MAX + 1)][-1], (
        "a network counts as one"
    )
    now = 61.0
    assert not failed_attempts.record("10.0.0.1")


def test_a_cookie_expires_and_ends_with_another_token() -> None:
    token, now_s = Token(TOKEN), 1_000_000_000
    cookie = token.cookie(now_s)
    assert token.accepts_cookie(cookie, now_s)
    assert not token.accepts_cookie(cookie, now_s + COOKIE_HOURS_MAX * 3_600)
    assert not token.accepts_cookie(cookie, now_s - 1)
    assert not Token(OTHER_TOKEN).accepts_cookie(cookie, now_s)
    made, nonce, proof = cookie.split(".")
    assert not token.accepts_cookie(f"{int(made) + 1}.{nonce}.{proof}", now_s)


@in_loop
async def test_hostile_cookies_and_logins_are_refused() -> None:
    name = Token(TOKEN).cookie_name
    async with client_of(SITE, gate_of(reading_open=False)) as client:
        for value in ("x", "..", "é", "a=b;c=d", "9" * 4_000, '"', "\x7f"):
            headers = {b"cookie": f"{name}={value}; {name}={value}".encode()}
            assert (await client.get("/api/v1/arena", headers=headers)).status_code == 401
        for content in (
            b"",
            b"\xff\xfe",
            b"token",
            b"token=%ff%fe&next=//evil",
            b"token=a" * 11,
            b"&".join([b"a=b"] * 99),
        ):
            sent = {"content-type": "application/x-www-form-urlencoded", **ORIGIN_HEADER}
            assert (await client.post("/login", content=content, headers=sent)).status_code in (401, 422)
        assert (await client.post("/login", json={"token": TOKEN}, headers=ORIGIN_HEADER)).status_code == 415


# ---------------------------------------------------------------- bodies


@in_loop
async def test_a_large_body_is_refused_with_and_without_a_declared_length() -> None:
    async def pieces() -> Any:
        for _ in range(64):
            yield b'{"actor": "' + b"x" * 1_024

    sent = {**BEARER, "content-type": "application/json"}
    async with client_of(SITE) as client:
        told = await client.post("/api/v1/commands/kill", content=b"x" * (BODY_BYTES_MAX + 1), headers=sent)
        assert (told.status_code, told.headers["content-type"]) == (413, "application/problem+json")
        untold = await client.post("/api/v1/commands/kill", content=pieces(), headers=sent)
        assert (untold.status_code, untold.headers["content-type"]) == (413, "application/problem+json")
        lied = await client.post(
            "/api/v1/commands/kill", content=b"{}", headers={**sent, "content-length": "9" * 5_000}
        )
        assert lied.status_code == 413


@in_loop
async def test_only_json_is_a_command() -> None:
    async with client_of(SITE) as client:
        form = await client.post("/api/v1/commands/kill", data={"actor": "a", "reason": "b"}, headers=BEARER)
        assert form.status_code == 415
        text = {**BEARER, "content-type": "text/plain"}
        assert (await client.post("/api/v1/commands/kill", content=b"{}", headers=text)).status_code == 415
