"""The one-time login of a printed address: it works once, for ten minutes, and leaves no trace of its token."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import pytest

from papertape.api.gate import FAILED_ATTEMPTS_MAX, Gate
from papertape.api.login_link import LOGIN_MINUTES, LoginLink
from papertape.api.token import new_token
from papertape.cli.page_token import LOGIN_VARIABLE, SESSION_VARIABLE, resolve_access
from papertape.cli.service import page as page_service
from papertape.ui.pages import pages
from tests.events.loop import in_loop
from tests.web.site import OTHER_TOKEN, TOKEN, client_of, example_day, gate_of, site_of

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import httpx

from papertape.api.streams import Streams
from papertape.cli.keeper.status_board import new_board

SITE = site_of(example_day())
LINK = "nB7xW2kQ9mT4vZ6cR1pL8dF3gH5jS0aY_EuIoKqXwMt"
UNTIL_S = 600.0
BODY = {"actor": "anna", "reason": "test"}
OWN_ORIGIN = {"origin": "http://127.0.0.1:8700"}


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def link_of(clock: Clock | None = None) -> LoginLink:
    return LoginLink(LINK, UNTIL_S, clock=clock or Clock())


def visiting(gate: Gate) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    """Yield a browser without cookies."""
    return client_of(SITE, gate, pages(SITE, Streams(SITE.timeline)))


async def is_let_in(client: httpx.AsyncClient) -> bool:
    """Return whether a command passes the gate; without an engine it is answered with 503."""
    answer = await client.post("/api/v1/commands/pause", json=BODY, headers=OWN_ORIGIN)
    return answer.status_code == 503


@in_loop
async def test_the_address_logs_in_and_redirects_to_one_without_the_token() -> None:
    async with visiting(gate_of(login_link=link_of())) as client:
        assert not await is_let_in(client)
        answer = await client.get("/login", params={"token": LINK})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(answer.headers["set-cookie"].split("; "))
        assert answer.headers["cache-control"] == "no-store"
        assert LINK not in str(answer.headers) + answer.text
        assert await is_let_in(client)


@in_loop
async def test_a_second_browser_is_refused_and_told_why() -> None:
    gate = gate_of(login_link=link_of())
    async with visiting(gate) as first, visiting(gate) as second:
        await first.get("/login", params={"token": LINK})
        answer = await second.get("/login", params={"token": LINK})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?refused=link")
        assert "set-cookie" not in answer.headers
        assert not await is_let_in(second)
        assert "no longer works" in (await second.get(answer.headers["location"])).text
        again = await first.get("/login", params={"token": LINK, "next": "/risk"})
        assert (again.status_code, again.headers["location"]) == (303, "/risk"), "it is logged in already"
        assert "set-cookie" not in again.headers


@pytest.mark.parametrize(("now_s", "is_valid"), [(UNTIL_S - 0.001, True), (UNTIL_S, False), (UNTIL_S + 1.0, False)])
@in_loop
async def test_it_expires(now_s: float, is_valid: bool) -> None:
    clock = Clock()
    async with visiting(gate_of(login_link=link_of(clock))) as client:
        clock.now_s = now_s
        answer = await client.get("/login", params={"token": LINK})
        assert ("set-cookie" in answer.headers) == is_valid
        assert await is_let_in(client) == is_valid


@pytest.mark.parametrize("text", ["", OTHER_TOKEN, LINK[:-1], LINK + "x", TOKEN, LINK.lower()])
@in_loop
async def test_another_text_logs_nobody_in_and_does_not_use_it_up(text: str) -> None:
    """The owner's own token is refused too: it has no place in an address."""
    gate = gate_of(login_link=link_of())
    async with visiting(gate) as client:
        answer = await client.get("/login", params={"token": text})
        assert "set-cookie" not in answer.headers
        assert gate.failed_attempts.total == 1
        assert "set-cookie" in (await client.get("/login", params={"token": LINK})).headers


@in_loop
async def test_guessing_is_limited_like_any_other() -> None:
    gate = gate_of(login_link=link_of(), delay_s=0.0)
    async with visiting(gate) as client:
        codes = [
            (await client.get("/login", params={"token": f"{number:043d}"})).status_code
            for number in range(FAILED_ATTEMPTS_MAX + 1)
        ]
    assert codes == [303] * FAILED_ATTEMPTS_MAX + [429]


@in_loop
async def test_a_preview_of_the_address_does_not_use_it_up() -> None:
    async with visiting(gate_of(login_link=link_of())) as client:
        await client.head("/login", params={"token": LINK})
        assert "set-cookie" in (await client.get("/login", params={"token": LINK})).headers


@in_loop
async def test_it_never_redirects_to_another_site_and_hosts_and_origins_are_checked() -> None:
    async with visiting(gate_of(login_link=link_of())) as client:
        params = {"token": LINK, "next": "//evil.example"}
        foreign = await client.get("/login", params=params, headers={"origin": "https://evil.example"})
        rebound = await client.get("/login", params=params, headers={"host": "evil.example"})
        assert (foreign.status_code, rebound.status_code) == (403, 421)
        assert (await client.get("/login", params=params)).headers["location"] == "/"


@in_loop
async def test_without_a_link_no_address_logs_in() -> None:
    async with visiting(gate_of()) as client:
        for text in (LINK, TOKEN, ""):
            assert "set-cookie" not in (await client.get("/login", params={"token": text})).headers


def test_a_token_is_redeemed_once_whatever_was_tried_before() -> None:
    link = link_of()
    assert [link.redeem(text) for text in ("", LINK[:5], LINK, LINK)] == [False, False, True, False]


@in_loop
async def test_no_log_record_shows_the_token(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with visiting(gate_of(login_link=link_of())) as client:
            await client.get("/login", params={"token": LINK})
            await client.get("/login", params={"token": LINK})
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]
    assert not [text for text in ours if LINK in text]
    assert LINK not in repr(link_of()) + repr(vars(link_of()))


# ---------------------------------------------------------------- who issues it


def test_a_supervised_page_has_the_login_that_its_supervisor_printed() -> None:
    issued = resolve_access({}, "127.0.0.1")
    assert issued.login is not None
    assert 0.0 < issued.login.until_s - time.monotonic() <= 60.0 * LOGIN_MINUTES
    first, second = issued.announcement("http://127.0.0.1:8700")
    assert first.startswith(f"papertape: http://127.0.0.1:8700/login?token={issued.login.text} ")
    assert second == f"commands need this token: {issued.generated}"
    assert issued.login.text not in second
    variables = issued.variables()
    assert set(variables) == {SESSION_VARIABLE, LOGIN_VARIABLE}
    page = resolve_access(variables, "127.0.0.1")
    assert page.login is not None
    assert page.login.text == issued.login.text
    assert page.login.until_s == pytest.approx(issued.login.until_s, abs=0.001)
    assert page.announcement("http://x") == ["papertape: http://x"], "the page prints nothing again"


def test_with_a_token_of_the_owners_own_there_is_no_link() -> None:
    access = resolve_access({"PAPERTAPE_TOKEN": new_token()}, "127.0.0.1")
    assert (access.login, access.variables()) == (None, {})
    assert access.announcement("http://x") == ["papertape: http://x  (asks for the token in PAPERTAPE_TOKEN)"]


def test_a_page_that_is_started_again_does_not_renew_it() -> None:
    board, access = new_board(), resolve_access({}, "127.0.0.1")
    assert access.login is not None
    first = page_service.login_link(access, board)
    assert first is not None and first.redeem(access.login.text)
    again = page_service.login_link(access, board)
    assert again is not None and not again.redeem(access.login.text)
    other = page_service.login_link(access, new_board())
    assert other is not None and other.redeem(access.login.text), "a board without a mark"
