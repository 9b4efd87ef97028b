"""Unknown addresses and incomplete requests."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.events.loop import in_loop
from tests.patience import PATIENCE_S
from tests.ui.site_pages import Elements, visiting
from tests.web.site import BEARER, ORIGIN, example_day, gate_of, served, site_of

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
UNKNOWN = ("/nothing", "/strategy", "/api/v1/nothing", "/static/nothing.css", "/arena/", "//evil.example/")


@pytest.mark.parametrize("address", UNKNOWN)
def test_browsers_get_a_page_and_programs_a_problem(address: str) -> None:
    async def story() -> None:
        async with visiting() as client:
            page = await client.get(f"{ORIGIN}{address}", headers=BROWSER)
            machine = await client.get(f"{ORIGIN}{address}")
        assert page.status_code == machine.status_code == 404
        assert page.headers["content-type"].startswith("text/html")
        assert any(tag == "a" and attributes.get("href") == "/" for tag, attributes in Elements(page.text).found)
        assert machine.headers["content-type"] == "application/problem+json"

    asyncio.run(story())


@in_loop
async def test_the_page_of_an_unknown_address_has_the_access_of_every_page() -> None:
    async with visiting(gate=gate_of(reading_open=False)) as client:
        stranger = await client.get("/nothing", headers=BROWSER)
        owner = await client.get("/nothing", headers=BROWSER | BEARER)
    assert stranger.status_code == 303
    assert stranger.headers["location"] == "/login?next=%2Fnothing"
    assert owner.status_code == 404


@in_loop
async def test_the_address_is_shown_as_text() -> None:
    async with visiting() as client:
        page = await client.get("/%3Cscript%3Ealert(1)%3C/script%3E", headers=BROWSER)
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert" in page.text


@pytest.mark.parametrize("route", ["/api/v1/commands/kill", "/login", "/nothing", "/api/v1/nothing"])
@pytest.mark.parametrize("rest", [b"zz\r\nbroken\r\n", b"5\r\nab"])
def test_an_incomplete_chunked_body_is_not_a_bug(route: str, rest: bytes, caplog: pytest.LogCaptureFixture) -> None:
    kind = "application/json" if "commands" in route else "application/x-www-form-urlencoded"

    async def story() -> None:
        async with served(site_of(example_day())) as at:
            host, _, port = at.partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                f"POST {route} HTTP/1.1\r\nHost: {at}\r\nOrigin: http://{at}\r\nContent-Type: {kind}\r\n"
                f"Authorization: {BEARER['authorization']}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
                + rest
            )
            await writer.drain()
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            assert answer[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 404")

    with caplog.at_level(logging.WARNING):
        asyncio.run(story())
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


def test_an_incomplete_body_beside_a_stream_is_not_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with served(site_of(example_day())) as at:
            host, _, port = at.partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"GET /api/v1/stream HTTP/1.1\r\nHost: {at}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            await writer.drain()
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.write(b"zz\r\n")
            await writer.drain()
            await asyncio.wait_for(reader.read(), PATIENCE_S)
            writer.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(story())
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]
