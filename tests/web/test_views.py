"""The views as JSON: the same numbers as the folds, as of any event, and nothing twice."""

from __future__ import annotations

import msgspec
import pytest

from tests.events.tape import in_loop
from tests.web.given import client_of, site_of, told_day

LOG = told_day()
VIEWS = ("arena", "positions", "orders")


@pytest.mark.parametrize("path", VIEWS)
@in_loop
async def test_a_view_says_as_of_when_it_is(path: str) -> None:
    site = site_of(list(LOG))
    async with client_of(site) as client:
        newest = (await client.get(f"/api/v1/{path}")).json()
        assert newest["as_of"] == {"seq": len(LOG), "at_ms": site.timeline.views.at_ms}
        then = (await client.get(f"/api/v1/{path}", params={"as_of": 9})).json()
        assert then["as_of"]["seq"] == 9


@in_loop
async def test_the_numbers_are_those_of_the_folds() -> None:
    site = site_of(list(LOG))
    async with client_of(site) as client:
        for seq in (8, 12, len(LOG)):
            views = await site.timeline.as_of(seq)
            answer = (await client.get("/api/v1/arena", params={"as_of": seq})).json()
            assert answer["data"] == msgspec.json.decode(msgspec.json.encode(views.arena.rows()))
