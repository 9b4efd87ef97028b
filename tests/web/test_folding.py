"""During the first fold of the log, no page and no answer shows a part of it as the whole."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import httpx
import pytest

from papertape.api.shared_reader import StreamFilter
from papertape.api.streams import Streams, events_of
from papertape.projections.site.event_query import EventFilter
from papertape.projections.site.ports import Progress
from papertape.ui.live_header import LiveHeader
from papertape.ui.page_handler import PageHandler
from tests.events.loop import in_loop
from tests.patience import PATIENCE_S
from tests.ui.site_pages import DAY, PAGES, TAG, visiting
from tests.web.site import client_of, example_day, served, site_of

if TYPE_CHECKING:
    from papertape.projections.site.ports import Site

FROM_LOG = ("/events", "/chart")
"""The pages that are read straight from the log."""
VIEWS = (
    "state", "status", "runners", "runners/momentum", "arena", "positions", "orders", "equity", "days", "risk",
    "trades", "trades.csv", "events.csv", "events", "events/3", "why/3", "messages", "config", "strategies",
    "candles/GALAUSDT", "conditions?strategy=momentum&symbol=GALAUSDT",
)  # fmt: skip


def folding_site() -> Site:
    """Return a site whose views include 5 of 1,000 events."""
    site = site_of(example_day())
    site.timeline.first_fold = Progress(5, 1_000)  # type: ignore[attr-defined]
    return site


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_answers_503_with_the_progress(view: str) -> None:
    async def story() -> None:
        async with client_of(folding_site()) as client:
            found = await client.get(f"/api/v1/{view}")
            assert found.status_code == 503
            assert found.headers["retry-after"]
            assert "event 5 of 1,000" in found.json()["detail"]

    asyncio.run(story())


@pytest.mark.parametrize("address", [one for one in PAGES if not one.startswith(FROM_LOG)])
def test_a_page_of_figures_shows_the_progress_and_reloads(address: str) -> None:
    async def story() -> None:
        async with visiting(folding_site()) as client:
            found = await client.get(address)
            assert found.status_code == 503
            assert "event 5 of 1,000" in found.text
            assert '<meta http-equiv="refresh"' in found.text
            assert "<h1>Reading the log</h1>" in found.text
            assert 'id="header-equity">\u2013<' in found.text, "no figure of a part stands in the header"
            assert 'id="end-seq">\u2013<' in found.text, "nor in the foot"

    asyncio.run(story())


@pytest.mark.parametrize("address", [one for one in PAGES if one.startswith(FROM_LOG)])
@pytest.mark.parametrize("part", ["", "content"])
def test_a_page_of_events_or_candles_is_complete_and_names_the_progress(address: str, part: str) -> None:
    async def story() -> None:
        async with visiting(folding_site()) as client:
            found = await client.get(address, params={"part": part} if part else {})
        assert found.status_code == 200
        shown = re.sub(r"\s+", " ", TAG.sub("", found.text))
        assert "The history is being read: event 5 of 1,000." in shown
        assert "As of event" not in shown, "the past cannot be shown yet"
        if not part:
            assert 'id="header-equity">\u2013<' in found.text
            assert 'id="end-seq">\u2013<' in found.text
        if address == "/events":
            newest = next(one.seq for one in reversed(DAY) if EventFilter().matches(one, {}))
            assert f'id="event-{newest}"' in found.text
        if address.startswith("/chart"):
            assert shown.count("Not known yet") == 2, "neither positions nor trades"
            assert "No closed trade" not in shown

    asyncio.run(story())


@in_loop
async def test_what_needs_a_trade_waits_for_the_first_fold() -> None:
    async with visiting(folding_site()) as client:
        for address in ("/events?trade=9", "/chart/GALAUSDT?trade=9"):
            found = await client.get(address)
            assert found.status_code == 503, address
            assert "event 5 of 1,000" in found.text, "not that there is no such trade"


@in_loop
async def test_nothing_is_said_to_be_absent_before_the_log_was_read() -> None:
    """The last event names no symbol that has candles."""
    site = folding_site()
    site.timeline.newest_events = 1  # type: ignore[attr-defined]
    async with visiting(site) as client:
        for address in ("/chart/GALAUSDT", "/chart/NEWUSDT"):
            found = await client.get(address)
            assert found.status_code == 503, address
            assert "event 5 of 1,000" in found.text
        listed = (await client.get("/events?symbol=NEWUSDT&strategy=nobody&type=PositionOpened")).text
    for value in ("NEWUSDT", "nobody", "PositionOpened"):
        assert f'<option value="{value}" selected>' in listed, "what is searched for is shown"


@in_loop
async def test_the_header_of_every_open_page_tells_no_time_of_a_part() -> None:
    site = folding_site()
    frames = LiveHeader(PageHandler(site), Streams(site.timeline)).frames()
    header = [await anext(frames), await anext(frames)][-1].decode()
    await frames.aclose()
    assert 'data-market=""' in header


@in_loop
async def test_a_page_that_no_stream_moves_reloads_until_the_log_was_read() -> None:
    async with visiting(folding_site()) as client:
        assert '<meta http-equiv="refresh"' in (await client.get("/events?before=9")).text


@in_loop
async def test_a_page_is_whole_again_once_the_log_was_read() -> None:
    site = folding_site()
    async with visiting(site) as client:
        await client.get("/chart/GALAUSDT?tf=1m")
        site.timeline.first_fold = None  # type: ignore[attr-defined]
        found = await client.get("/chart/GALAUSDT?tf=1m&part=content")
    assert "The history is being read" not in found.text
    assert "Not known yet" not in found.text


@in_loop
async def test_health_reports_the_first_fold_and_metrics_omit_its_figures() -> None:
    async with client_of(folding_site()) as client:
        ready, metrics = await client.get("/ready"), await client.get("/metrics")
    assert ready.status_code == 503
    assert ready.json()["reasons"] == [{"code": "recovering", "text": "reading the log: 5/1,000"}]
    assert "papertape_ready 0.0" in metrics.text
    assert "papertape_equity_usdt" not in metrics.text


@in_loop
async def test_an_event_stream_begins_after_the_first_fold() -> None:
    site = folding_site()
    source = events_of(Streams(site.timeline), None, StreamFilter())
    assert await anext(source) == b": reading the log, event 5 of 1000\n\n"
    site.timeline.first_fold = None  # type: ignore[attr-defined]
    assert await anext(source) == b"retry: 2000\n: %d\n\n" % site.timeline.head_seq
    await source.aclose()


@in_loop
async def test_a_websocket_is_refused_during_the_first_fold() -> None:
    async with served(folding_site()) as url, httpx.AsyncClient(timeout=PATIENCE_S) as client:
        upgrade = {
            "connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
            "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        }  # fmt: skip
        found = await client.get(f"http://{url}/api/v1/ws", headers=upgrade)
    assert found.status_code == 503
    assert "event 5 of 1,000" in found.text
