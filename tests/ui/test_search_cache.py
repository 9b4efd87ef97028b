"""The event search of a page: it stops at the first hit, is bounded, and never reads events twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.events.log import Recorded
from tests.build import candle, configured
from tests.events.loop import in_loop
from tests.ui.site_pages import Elements, visiting
from tests.web.site import ListTimeline, site_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.projections.site.ports import Site

QUIET = 30_000
RARE = "/events?type=RunnerConfigured"


class CountedTimeline(ListTimeline):
    """Counts the events read, and takes `wait_s` per page of events."""

    def __init__(self, log: list[Recorded], wait_s: float) -> None:
        super().__init__(log)
        self.read, self._wait_s = 0, wait_s

    async def events(self, after_seq: int, limit: int) -> Sequence[Recorded]:
        await asyncio.sleep(self._wait_s)
        found = await super().events(after_seq, limit)
        self.read += len(found)
        return found


def quiet_log(rare_seq: int = 0) -> list[Recorded]:
    """Return candles and one configuration."""
    return [Recorded(seq, 0, 0, configured() if seq == rare_seq else candle(seq, 100.0)) for seq in range(1, QUIET + 1)]


def counted(log: list[Recorded], wait_s: float = 0.0) -> tuple[Site, CountedTimeline]:
    timeline = CountedTimeline(log, wait_s)
    return replace(site_of([]), timeline=timeline), timeline


@in_loop
async def test_a_rare_event_is_found_wherever_it_lies() -> None:
    site, _ = counted(quiet_log(rare_seq=2))
    async with visiting(site) as client:
        page = Elements((await client.get(RARE)).text)
    assert "/events/2" in page.of("a", "href")
    assert "Searched events 30,000 to 2" in page.text


@in_loop
async def test_a_long_search_shows_its_progress_and_continues() -> None:
    site, _ = counted(quiet_log(), wait_s=0.3)
    address, begun = RARE, "30,000"
    async with visiting(site) as client:
        for _ in range(QUIET):
            page = Elements((await client.get(address)).text)
            further = [attrs["href"] for tag, attrs in page.found if tag == "a" and "data-continue" in attrs]
            if not further:
                break
            assert f"Searched events {begun} to " in page.text
            assert further != [address], "it has come further"
            (address,) = further
    assert address != RARE, "it took more than one request"
    assert "None of the 30,000 events matches" in page.text


@in_loop
async def test_a_live_page_reads_only_new_events() -> None:
    log = quiet_log()
    site, timeline = counted(log)
    async with visiting(site) as client:
        await client.get(RARE)
        assert timeline.read >= QUIET
        timeline.grow([Recorded(QUIET + 1, 0, 0, configured())])
        before = timeline.read
        page = Elements((await client.get(f"{RARE}&part=content")).text)
    assert timeline.read - before == 1
    assert f"/events/{QUIET + 1}" in page.of("a", "href")


@pytest.mark.parametrize("address", ["/events", "/events?all=1", "/events?strategy=a"])
@in_loop
async def test_cached_and_new_results_equal_a_fresh_search(address: str) -> None:
    log = [Recorded(seq, 0, 0, configured() if seq % 3 else candle(seq, 100.0)) for seq in range(1, 301)]
    site, timeline = counted(log[:250])
    async with visiting(site) as client:
        for at in range(250, 300, 7):
            timeline.grow(log[at : at + 7])
            known = await client.get(address)
        async with visiting(counted(log)[0]) as other:
            anew = await other.get(address)
    assert Elements(known.text).of("tr", "id") == Elements(anew.text).of("tr", "id")
