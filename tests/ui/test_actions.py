"""Commands are where they apply, for a browser that may give them; others are told why there are none."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.api.commands import KINDS
from papertape.api.login_link import LOGIN_PATH
from papertape.engine.reducer.state import new_state
from tests.events.loop import in_loop
from tests.support import STRATEGIES
from tests.ui.site_pages import DAY, Elements, visiting
from tests.web.site import ORIGIN, TOKEN, ListTimeline, Present, site_of, status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from papertape.projections.site.ports import Site

PLACES = {
    "/trades": "close positions",
    "/arena": "pause or kill a strategy",
    "/risk": "pause, close, kill or reset",
    "/strategy/momentum": "pause or kill it",
}
"""The pages with commands, and what one could do there."""


def running() -> Site:
    """Return the site of an engine that runs."""
    return site_of([], Present(new_state(STRATEGIES), ListTimeline(list(DAY)), status()))


@asynccontextmanager
async def logged_in(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a browser that is logged in."""
    async with visiting(site) as client:
        await client.post(LOGIN_PATH, data={"token": TOKEN}, headers={"origin": ORIGIN})
        yield client


def offered(html: str) -> list[tuple[str, dict[str, object]]]:
    """Return the commands that a page offers, with their bodies."""
    buttons = [attrs for name, attrs in Elements(html).found if name == "button" and "data-command" in attrs]
    return [(one["data-command"], json.loads(one["data-body"])) for one in buttons]


@in_loop
async def test_every_position_can_be_closed_in_its_row() -> None:
    site = running()
    positions = site.timeline.views.portfolio.positions()
    assert positions
    expected = [("close", {"strategy": one.strategy, "symbol": one.symbol}) for one in positions]
    async with logged_in(site) as client:
        for address in ("/trades", "/"):
            assert offered((await client.get(address)).text) == expected


@in_loop
async def test_what_a_strategy_offers_depends_on_its_state() -> None:
    site = running()
    trip = site.timeline.views.portfolio.switches.active_trips()[0]
    async with logged_in(site) as client:
        found = offered((await client.get("/arena")).text)
    reset = ("reset", {"scope": trip.scope, "trip_seq": trip.trip_seq})
    assert [one for one in found if trip.scope in one[1].values()] == [reset]
    assert ("pause", {"strategy": "momentum"}) in found
    assert ("kill", {"scope": "momentum"}) in found


@in_loop
async def test_the_risk_page_offers_every_command_without_a_form_for_each() -> None:
    async with logged_in(running()) as client:
        html = (await client.get("/risk")).text
    found = offered(html)
    assert {kind for kind, _ in found} == set(KINDS)
    everything = {"pause": {"strategy": "all"}, "resume": {"strategy": "all"}, "close": {"strategy": "all"}}
    everything |= {"kill": {"scope": "global"}, "reload": {}}
    assert [(kind, body) for kind, body in found if everything.get(kind) == body] == [
        (kind, everything[kind]) for kind in ("pause", "resume", "close", "reload", "kill")
    ]
    assert "select" not in {name for name, _ in Elements(html).found}


@in_loop
async def test_each_answer_has_a_place_of_its_own() -> None:
    async with logged_in(running()) as client:
        for address in (*PLACES, "/"):
            page = Elements((await client.get(address)).text)
            identities = [attrs["id"] for _, attrs in page.found if "id" in attrs]
            assert len(identities) == len(set(identities)), address
            assert set(page.of("button", "data-answer")) <= set(identities), address


@pytest.mark.parametrize("address", PLACES)
@in_loop
async def test_a_reader_is_told_why_there_is_no_command(address: str) -> None:
    site = running()
    stopped = replace(site, engine=site_of([]).engine)
    finished = replace(site, settings=replace(site.settings, commands_allowed=False))
    to = PLACES[address]
    async with visiting(site) as client:
        page = (await client.get(address)).text
        assert offered(page) == []
        assert f"Log in to {to}." in Elements(page).text
    async with logged_in(site) as client:
        past = (await client.get(address, params={"as_of": len(DAY)})).text
        assert offered(past) == []
        assert f"The past stays as it was: go to now to {to}." in Elements(past).text
    async with logged_in(finished) as client:
        assert f"You cannot {to}: this log is finished." in Elements((await client.get(address)).text).text
    async with logged_in(stopped) as client:
        assert f"You cannot {to}: no engine runs on this log." in Elements((await client.get(address)).text).text


@in_loop
async def test_the_badge_says_what_is_shown() -> None:
    site = running()
    finished = replace(site, settings=replace(site.settings, commands_allowed=False))
    async with visiting(site) as client:
        assert ">PAPER</span>" in (await client.get("/")).text
        past = (await client.get("/", params={"as_of": len(DAY)})).text
        assert ">PAPER</span>" not in past
        assert '<span class="paper past"' in past and ">AS OF " in past
    async with visiting(finished) as client:
        assert ">BACKTEST</span>" in (await client.get("/")).text


@pytest.mark.parametrize(
    ("address", "title"),
    [
        ("/chart/GALAUSDT?tf=1m", "GALAUSDT 1m · chart · papertape"),
        ("/strategy/momentum", "momentum · strategy · papertape"),
        ("/trades?strategy=momentum&symbol=GALAUSDT", "Trades of momentum, GALAUSDT · papertape"),
        ("/events/9", f"Event 9 · {type(DAY[8].event).__name__} · papertape"),
        ("/studies/momentum-btc", "momentum-btc · study · papertape"),
        ("/risk?as_of=9", "Risk as of 9 · papertape"),
    ],
)
@in_loop
async def test_the_title_names_what_is_shown(address: str, title: str) -> None:
    async with visiting() as client:
        assert f"<title>{title}</title>" in (await client.get(address)).text
