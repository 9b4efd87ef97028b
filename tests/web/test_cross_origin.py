"""Pages of other sites read nothing, unless the owner names their site; then they need the token for every command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.events.loop import in_loop
from tests.web.site import BEARER, SIGNAL_TOKEN, TOKEN, client_of, example_day, gate_of, site_of

if TYPE_CHECKING:
    from papertape.api.gate import Gate

NAMED, OTHER = "https://charts.example.org", "https://evil.example.org"
ALLOWED = "access-control-allow-origin"
PAUSE = {"actor": "anna", "reason": "news"}


def gate(*, reading_open: bool = True) -> Gate:
    return gate_of(reading_open=reading_open, cors_origins=(NAMED,))


@in_loop
async def test_without_a_named_site_no_answer_may_be_read_elsewhere() -> None:
    async with client_of(site_of(example_day())) as client:
        for origin in (NAMED, OTHER, "null"):
            answer = await client.get("/api/v1/arena", headers={"origin": origin})
            assert (answer.status_code, answer.headers.get(ALLOWED)) == (403, None)


@in_loop
async def test_a_named_site_reads_and_another_does_not() -> None:
    async with client_of(site_of(example_day()), gate()) as client:
        named = await client.get("/api/v1/arena", headers={"origin": NAMED, "sec-fetch-site": "cross-site"})
        assert (named.status_code, named.headers[ALLOWED]) == (200, NAMED)
        assert "access-control-allow-credentials" not in named.headers
        other = await client.get("/api/v1/arena", headers={"origin": OTHER})
        assert (other.status_code, other.headers.get(ALLOWED)) == (403, None)


@in_loop
async def test_a_browser_may_ask_before_it_sends_a_command() -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,idempotency-key"}
    async with client_of(site_of(example_day()), gate()) as client:
        allowed = await client.options("/api/v1/commands/pause", headers={"origin": NAMED, **asked})
        assert (allowed.status_code, allowed.headers[ALLOWED]) == (200, NAMED)
        refused = await client.options("/api/v1/commands/pause", headers={"origin": OTHER, **asked})
        assert (refused.status_code, refused.headers.get(ALLOWED)) == (400, None)


@pytest.mark.parametrize("headers", [{}, {"sec-fetch-site": "cross-site"}])
@in_loop
async def test_a_login_cookie_does_not_let_a_named_site_command(headers: dict[str, str]) -> None:
    async with client_of(site_of(example_day()), gate()) as client:
        own = {"origin": "http://127.0.0.1:8700"}
        assert (await client.post("/login", data={"token": TOKEN}, headers=own)).status_code == 303
        sent = {"origin": NAMED, **headers}
        by_cookie = await client.post("/api/v1/commands/pause", json=PAUSE, headers=sent)
        assert by_cookie.status_code == 403
        assert by_cookie.json()["detail"] == "a page of another site must send the token"
        by_token = await client.post("/api/v1/commands/pause", json=PAUSE, headers={**sent, **BEARER})
        assert by_token.status_code == 503, "it passed the gate; no engine runs here"


@in_loop
async def test_a_named_site_sends_signals_with_their_token_in_the_body() -> None:
    signal = {"symbol": "X", "name": "trend", "value": 1.0, "id": "1", "token": SIGNAL_TOKEN}
    async with client_of(site_of(example_day()), gate()) as client:
        passed = await client.post("/api/v1/signals", json=signal, headers={"origin": NAMED})
        assert passed.status_code == 503, "it passed the gate; no engine runs here"


@in_loop
async def test_a_named_site_needs_the_token_where_reading_does() -> None:
    async with client_of(site_of(example_day()), gate(reading_open=False)) as client:
        assert (await client.get("/api/v1/arena", headers={"origin": NAMED})).status_code == 401
        assert (await client.get("/api/v1/arena", headers={"origin": NAMED, **BEARER})).status_code == 200
