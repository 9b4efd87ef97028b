"""Tables of results: names for the script that arranges them, sorting on the server where there are pages, and CSV."""

from __future__ import annotations

import csv
import re
from io import StringIO
from urllib.parse import urlencode

import pytest

from papertape.events.facts import PositionClosed
from papertape.projections.folds.fills import csv_cell
from papertape.projections.site.trade_query import ORDERS
from papertape.ui.rendering import TEMPLATES
from tests.events.loop import in_loop
from tests.ui.site_pages import DAY, PAGES, Elements, visiting
from tests.web.site import site_of

TRANSFERRED_KB_MAX = 200
NAMES = {
    "/arena": ["arena"],
    "/trades": ["positions", "trades"],
    "/risk": ["trips"],
    "/events": ["events"],
    "/studies": ["studies"],
}


@pytest.mark.parametrize("address", NAMES)
@in_loop
async def test_a_table_of_results_has_a_name_and_tools(address: str) -> None:
    async with visiting() as client:
        page = Elements((await client.get(address)).text)
    assert page.of("table", "data-table") == NAMES[address]
    assert set(NAMES[address]) <= set(page.of("div", "data-tools"))


def test_every_table_is_the_work_of_one_mechanism() -> None:
    """A template has no header buttons, tools or sorting of its own."""
    for path in TEMPLATES.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        if path.name != "macros.html":
            assert "data-tools=" not in text, path
            assert "data-csv" not in text, path


@in_loop
async def test_a_header_of_closed_trades_sorts_all_pages_without_a_script() -> None:
    async with visiting() as client:
        page = Elements((await client.get("/trades?strategy=momentum&page=1")).text)
        links = [link for link in page.of("a", "href") if "sort=" in link]
        assert {re.search(r"sort=-?(\w+)", link)[1] for link in links} == set(ORDERS)  # type: ignore[index]
        assert all("strategy=momentum" in link and "page=" not in link for link in links)
        assert "descending" in page.of("th", "aria-sort")
        best = (await client.get("/trades?sort=-net")).text
    assert 'aria-sort="descending"><a class="sort" href="/trades?sort=net">Net</a>' in best
    assert 'name="sort" value="-net"' in best, "a filter keeps the order"


@in_loop
async def test_the_file_of_events_holds_all_matching_ones_oldest_first() -> None:
    site = site_of(list(DAY))
    closed = [one for one in DAY if isinstance(one.event, PositionClosed)]
    assert closed
    async with visiting(site) as client:
        answer = await client.get("/api/v1/events.csv", params={"type": "PositionClosed"})
        rows = list(csv.DictReader(StringIO(answer.text)))
        assert [int(row["seq"]) for row in rows] == [one.seq for one in closed]
        assert rows[0]["strategy"] == closed[0].event.strategy  # type: ignore[attr-defined]
        assert answer.headers["content-type"].startswith("text/csv")
        everything = await client.get("/api/v1/events.csv", params={"all": "true", "as_of": 12})
        assert [int(row["seq"]) for row in csv.DictReader(StringIO(everything.text))] == list(range(1, 13))
        assert (await client.get("/api/v1/events.csv", params={"type": "Nothing"})).status_code == 422
        page = Elements((await client.get("/events", params={"q": "stop", "all": "1", "symbol": "GALAUSDT"})).text)
    query = urlencode({"symbol": "GALAUSDT", "text": "stop", "all": "true"})
    assert f"/api/v1/events.csv?{query}" in page.of("a", "href")


def test_text_in_a_file_cannot_become_a_formula() -> None:
    texts = ("=1+1", "+1", "-1", "@sum", "\tx", "momentum", "long", "")
    assert [csv_cell(text) for text in texts] == ["'=1+1", "'+1", "'-1", "'@sum", "'\tx", "momentum", "long", ""]
    assert [csv_cell(value) for value in (-1.5, -2, True)] == ["-1.5", "-2", "1"]


@pytest.mark.parametrize("address", PAGES)
@in_loop
async def test_the_first_load_of_a_page_is_small(address: str) -> None:
    loaded = 0
    async with visiting() as client:
        page = Elements((await client.get(address)).text)
        links = [attrs["href"] for tag, attrs in page.found if tag == "link"]
        for part in {address, *page.of("script", "src"), *links}:
            async with client.stream("GET", part, headers={"accept-encoding": "gzip"}) as answer:
                loaded += len(b"".join([chunk async for chunk in answer.aiter_raw()]))
    assert loaded / 1_000.0 < TRANSFERRED_KB_MAX
