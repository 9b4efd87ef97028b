"""Who may look at a page, and the way to a login and out again that every page offers."""

from __future__ import annotations

from papertape.api.login_link import LOGIN_PATH
from tests.events.loop import in_loop
from tests.ui.site_pages import PAGES, visiting
from tests.web.site import ORIGIN, TOKEN, gate_of


@in_loop
async def test_a_page_redirects_to_the_login_if_reading_is_not_open() -> None:
    gate = gate_of(reading_open=False, bound="0.0.0.0", trusted=["127.0.0.1"])
    async with visiting(gate=gate) as client:
        for address in PAGES:
            answer = await client.get(address)
            assert answer.status_code == 303, address
            assert answer.headers["location"].startswith(f"{LOGIN_PATH}?next=")
        assert (await client.get("/pages/stream")).status_code == 401
        login = await client.get(LOGIN_PATH, params={"next": "//elsewhere.example"})
        assert login.status_code == 200
        assert "elsewhere" not in login.text
        assert "PAPERTAPE_TOKEN" in login.text, "it says which token, and where it is"


@in_loop
async def test_every_page_leads_to_the_login_or_out_again() -> None:
    async with visiting() as client:
        assert "commands need this token" in (await client.get(LOGIN_PATH)).text
        assert 'href="/login?next=%2Farena"' in (await client.get("/arena")).text
        await client.post(LOGIN_PATH, data={"token": TOKEN}, headers={"origin": ORIGIN})
        for address in (*PAGES, "/nothing"):
            page = (await client.get(address, headers={"accept": "text/html"})).text
            assert 'action="/logout"' in page and "/login?next" not in page, address
        await client.post("/logout", headers={"origin": ORIGIN})
        assert 'href="/login?next=%2Farena"' in (await client.get("/arena")).text
