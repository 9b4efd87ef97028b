"""Crash me needs the token, and the recovered state is compared with the log."""

from __future__ import annotations

from papertape.engine.reducer.state import new_state
from tests.events.loop import in_loop
from tests.support import STRATEGIES
from tests.ui.site_pages import DAY, Elements, visiting
from tests.web.site import BEARER, Absent, Present, site_of, status

ORIGIN = {"origin": "http://127.0.0.1:8700"}


def running(**changes: object) -> Present:
    log = list(DAY)
    timeline = site_of(log).timeline
    return Present(new_state(STRATEGIES), timeline, status(pid=4711, recovered_seq=9, **changes))  # type: ignore[arg-type]


@in_loop
async def test_crashing_the_engine_needs_the_token() -> None:
    engine = running()
    async with visiting(site_of([], engine)) as client:
        assert (await client.post("/pages/crash", headers=ORIGIN)).status_code == 401
        assert not engine.crashed
        answer = await client.post("/pages/crash", headers=ORIGIN | BEARER)
        assert answer.json() == {"pid": 4711}
        assert engine.crashed
        assert (await client.post("/pages/crash", headers=ORIGIN | BEARER)).status_code == 409


@in_loop
async def test_the_recovered_state_is_compared_with_the_log() -> None:
    engine = running(digest_at_start=f"{9:032x}", replayed_events=7, recovery_ms=12.5)
    async with visiting(site_of([], engine)) as client:
        found = (await client.get("/pages/recovery")).json()
        assert found["same"] is True
        assert (found["recovered_seq"], found["replayed_events"], found["recovery_ms"]) == (9, 7, 12.5)
        engine.said = status(pid=4712, recovered_seq=9, digest_at_start="another")
        assert (await client.get("/pages/recovery")).json()["same"] is False


@in_loop
async def test_without_an_engine_there_is_nothing_to_crash() -> None:
    async with visiting(site_of(list(DAY), Absent())) as client:
        assert (await client.post("/pages/crash", headers=ORIGIN | BEARER)).status_code == 503
        assert (await client.get("/pages/recovery")).status_code == 503


@in_loop
async def test_a_page_without_an_engine_says_that_there_is_nothing_to_crash() -> None:
    for address in ("/", "/system"):
        async with visiting(site_of(list(DAY), Absent())) as client:
            html = (await client.get(address)).text
        assert "data-crash" not in html
        assert "No engine runs on this log, so there is nothing to crash." in Elements(html).text


@in_loop
async def test_the_crash_button_is_only_on_live_pages_of_a_simulated_market() -> None:
    async with visiting(site_of(list(DAY), running())) as client:
        assert "data-crash" in (await client.get("/")).text
        assert "data-crash" not in (await client.get("/?as_of=9")).text
    async with visiting(site_of(list(DAY), simulated=False)) as client:
        assert "data-crash" not in (await client.get("/")).text


@in_loop
async def test_the_health_page_shows_the_newest_snapshot() -> None:
    async with visiting(site_of([], running(snapshot_seq=1_111, newest_snapshot_seq=2_222))) as client:
        text = Elements((await client.get("/system")).text).text
    assert "Last snapshot 2,222 recovered to 9" in text
    assert "1,111" not in text
