"""The description of the API: complete, true to the Structs, on a page, and in the docs."""

from __future__ import annotations

import re
from typing import Any

import pytest

from api.app import application
from api.gate import Access
from api.routes import GuardedMount, GuardedSocket
from api.streams import Streams
from tests.events.tape import in_loop
from tests.support import REPOSITORY
from tests.web.given import client_of, gate_of, site_of, told_day

SITE = site_of(told_day())
ROUTES = list(application(SITE, gate_of(), Streams(SITE.timeline)).routes)
UNDESCRIBED = {"/openapi.json", "/api/docs", "/api/docs.css"}


async def description() -> dict[str, Any]:
    """What `/openapi.json` says."""
    async with client_of(SITE) as client:
        found: dict[str, Any] = (await client.get("/openapi.json")).json()
        return found


@in_loop
async def test_every_route_is_described_with_its_protection() -> None:
    told = await description()
    for route in ROUTES:
        assert not isinstance(route, GuardedMount)
        if isinstance(route, GuardedSocket) or route.path in UNDESCRIBED:
            continue
        operation = told["paths"][route.path][route.method.lower()]
        assert operation["summary"]
        security = operation.get("security")
        assert security == {
            Access.OPEN: None, Access.READ: [{"token": []}, {}], Access.COMMAND: [{"token": []}],
        }[route.access]  # fmt: skip
        assert ("401" in operation["responses"]) == (route.access is not Access.OPEN or route.path == "/login")


@in_loop
async def test_every_reference_leads_somewhere() -> None:
    told = await description()
    schemas = told["components"]["schemas"]
    references = set(re.findall(r"#/components/schemas/([^\"']+)", str(told)))
    assert references <= schemas.keys()
    assert {"ArenaRow", "PositionView", "TradeView", "EventView", "AskedReset", "Problem"} <= schemas.keys()
    assert schemas["AskedReset"]["required"] == ["actor", "reason", "scope", "trip_seq"]


@in_loop
async def test_the_page_shows_every_route_without_a_script() -> None:
    async with client_of(SITE) as client:
        page = (await client.get("/api/docs")).text
    for path in (await description())["paths"]:
        assert f" {path}</h2>" in page
    assert "<script" not in page
    assert "style=" not in page
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize("route", ROUTES, ids=lambda one: one.path)
def test_the_docs_name_every_route(route: Any) -> None:
    method = "WS" if isinstance(route, GuardedSocket) else route.method
    docs = (REPOSITORY / "docs" / "http-api.md").read_text(encoding="utf-8")
    assert f"`{method} {route.path}`" in docs, f"docs/http-api.md does not name {method} {route.path}"


def test_the_docs_name_no_route_that_there_is_not() -> None:
    docs = (REPOSITORY / "docs" / "http-api.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(GET|POST|WS) (/[^`\s]*)`", docs))
    there = {("WS" if isinstance(one, GuardedSocket) else one.method, one.path) for one in ROUTES}
    assert named == there
