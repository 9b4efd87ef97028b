"""Lists over HTTP: the same ranges and pages everywhere; pages of any length are the whole list, once."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.client import AsyncClient, Call, calls
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS
from papertape.projections.studies.reader import StudyFolder
from papertape.projections.text.formats import utc
from tests.alerts.example_day import market
from tests.build import BTC, DAY_0_MS, GALA, candle_at, closed, lost, opened, recorded
from tests.client.test_client import transport_of
from tests.events.loop import in_loop
from tests.studies_file import SMALL_AXES, document, write_study
from tests.support import examples
from tests.web.site import ListTimeline, TapeInspector, client_of, site_of

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from papertape.events.facts import Event
    from papertape.projections.site.ports import Site

DAYS = 5
EXAMPLES_MAX = 40
LISTS: dict[str, Call[Any]] = {
    "trades": calls.trades(),
    "trades of a range": calls.trades(symbol=BTC, from_=utc(DAY_0_MS + 2 * DAY_MS), before=90),
    "events": calls.events(everything=True),
    "events, newest first": calls.events(order="newest", everything=True),
    "events of a range": calls.events(types=["PositionClosed"], from_=utc(DAY_0_MS + DAY_MS), after=20, before=110),
    "days": calls.days(),
    "candles": calls.candles(BTC),
    "candles of a range": calls.candles(BTC, from_=utc(DAY_0_MS + DAY_MS), to=utc(DAY_0_MS + 3 * DAY_MS)),
}
OF_STUDIES: dict[str, Call[Any]] = {
    "studies": calls.studies(),
    "sets": calls.study_sets("study-1", sort="net_usdt", order="descending"),
}
WHOLE = 1_500
NAMES = ("strategy", "symbol")
WRONG_TIMES = ("NaN", "1e400", "-1", "soon", "2025-13-01", "99999999999999", "٣")
WRONG_NUMBERS = ("NaN", "1e400", "-1", "1.5", "inf", "x", "", "9007199254740992")
RANGES = {
    "trades": ("from", "to", "after", "before"),
    "trades.csv": ("from", "to", "after", "before"),
    "events": ("from", "to", "after", "before"),
    "events.csv": ("from", "to", "after", "before"),
    "equity": ("from", "to"),
    "days": ("from", "to"),
    f"candles/{BTC}": ("from", "to"),
}
PAGED = ("trades", "events", "days", f"candles/{BTC}", "studies", "studies/study-1/sets")


def hours(first: int, last: int) -> list[Event]:
    """Return a candle of every third hour, and a trade every six hours, with outages between them."""
    events: list[Event] = []
    for hour in range(first, last, 3):
        at_ms = DAY_0_MS + DAY_MS + hour * HOUR_MS
        events += [candle_at(at_ms, BTC), candle_at(at_ms, GALA)]
        if hour % 6 == 0:
            events += [opened(at_ms=at_ms), lost(at_ms), closed(1.0, at_ms=at_ms + 2 * HOUR_MS, entry_time_ms=at_ms)]
    return events


def long_site() -> Site:
    return site_of(recorded([*market(), *hours(0, DAYS * 24)]))


def grow(site: Site, count: int = 1) -> None:
    """Append some hours to the log of a site."""
    timeline = site.timeline
    assert isinstance(timeline, ListTimeline)
    last = timeline.views.newest_close_ms
    first = (last - DAY_0_MS - DAY_MS) // HOUR_MS + 3
    timeline.grow(recorded(hours(first, first + 3 * count), len(timeline.log) + 1))


def with_limit(call: Call[Any], limit: int) -> Call[Any]:
    return Call(call.path, call.answer, {**call.parameters, "limit": limit})


def in_order(name: str, pages: list[Any]) -> list[Any]:
    """Return the items of all pages; charts are read from the newest page backwards."""
    backwards = name.startswith(("days", "candles"))
    return [*itertools.chain.from_iterable(reversed(pages) if backwards else pages)]


@pytest.mark.system
@given(st.sampled_from(sorted(LISTS)), st.integers(1, 40), st.lists(st.integers(0, 2), max_size=5))
@examples(EXAMPLES_MAX)
def test_pages_of_any_length_are_the_whole_list_while_the_log_grows(name: str, limit: int, growth: list[int]) -> None:
    async def read() -> None:
        site, grown = long_site(), iter(growth)
        async with AsyncClient(transport=transport_of(site)) as client:
            whole = await client.send(with_limit(LISTS[name], WHOLE))
            pages = []
            async for answer in client.pages(with_limit(LISTS[name], limit)):
                assert answer.as_of == whole.as_of
                assert len(answer.data.items) <= limit
                pages.append(answer.data.items)
                grow(site, next(grown, 0))
        assert whole.data.next is None
        assert in_order(name, pages) == list(whole.data.items)
        assert len(whole.data.items) > 3

    asyncio.run(read())


@pytest.mark.system
@given(st.sampled_from(["trades", "events, newest first", "days", "candles"]), st.integers(1, 9))
@examples(EXAMPLES_MAX)
def test_a_cursor_into_the_past_is_not_moved_by_new_events(name: str, limit: int) -> None:
    async def read() -> None:
        site = long_site()
        async with client_of(site) as client:
            call, pages = with_limit(LISTS[name], limit), list[list[Any]]()
            whole = await items_of(client, with_limit(call, WHOLE))
            cursor: int | None = 0
            while cursor is not None:
                parameters = {**call.parameters, "cursor": cursor}
                data = (await client.get(f"/api/v1/{call.path}", params=parameters)).json()["data"]
                pages.append(data["chart"]["candles"] if "chart" in data else data["items"])
                cursor = data["next"]
                grow(site)
        assert in_order(name, pages) == whole

    asyncio.run(read())


async def items_of(client: httpx.AsyncClient, call: Call[Any]) -> list[Any]:
    answer = await client.get(f"/api/v1/{call.path}", params=call.parameters)
    assert answer.status_code == 200, answer.text
    data = answer.json().get("data", answer.json())
    return list(data["chart"]["candles"] if "chart" in data else data["items"])


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """Return a folder of five studies."""
    for number in range(5):
        write_study(tmp_path, f"study-{number}", axes=SMALL_AXES, concluded=document(SMALL_AXES))
    return tmp_path


@pytest.mark.parametrize("name", OF_STUDIES)
@pytest.mark.parametrize("limit", [1, 2, 5, 12, 13])
@in_loop
async def test_pages_of_studies_are_the_whole_list(studies: Path, name: str, limit: int) -> None:
    site = site_of([])
    site.studies = StudyFolder(studies)
    async with AsyncClient(transport=transport_of(site)) as client:
        whole = await client.send(OF_STUDIES[name])
        assert [one async for one in client.items(with_limit(OF_STUDIES[name], limit))] == list(whole.items)
    assert len(whole.items) >= 5


@in_loop
async def test_a_new_study_does_not_move_the_pages_behind_it(studies: Path) -> None:
    site = site_of([])
    site.studies = StudyFolder(studies)
    async with AsyncClient(transport=transport_of(site)) as client:
        whole = [one.name async for one in client.items(calls.studies())]
        first = await client.send(calls.studies(limit=2))
        write_study(studies, "a-new-one", axes=SMALL_AXES, created_at_ms=2**41)
        rest = await client.send(calls.studies(cursor=first.next))
    assert [one.name for one in (*first.items, *rest.items)] == whole


@in_loop
async def test_ranges_choose_what_they_name() -> None:
    site = long_site()
    head = site.timeline.head_seq
    from_ms, until_ms = DAY_0_MS + 2 * DAY_MS, DAY_0_MS + 3 * DAY_MS
    span: dict[str, Any] = {"from_": utc(from_ms), "to": utc(until_ms)}
    async with AsyncClient(transport=transport_of(site)) as client:

        async def all_of(call: Call[Any]) -> list[Any]:
            return [one async for one in client.items(call)]

        events = await all_of(calls.events(everything=True))
        assert [one.seq for one in events] == list(range(1, head + 1))
        known = [await site.timeline.seq_at(at_ms) for at_ms in (from_ms - 1, until_ms)]
        within = await all_of(calls.events(everything=True, **span))
        assert [one.seq for one in within] == list(range(known[0] + 1, known[1] + 1))
        between = await all_of(calls.events(everything=True, after=30, before=40, order="newest"))
        assert [one.seq for one in between] == list(range(39, 30, -1))
        trades = await all_of(calls.trades())
        exits = [one.seq for one in trades if from_ms <= one.exit_time_ms <= until_ms]
        assert [one.seq for one in await all_of(calls.trades(**span))] == exits
        assert [one.seq for one in await all_of(calls.trades(after=exits[-1], before=exits[0]))] == exits[1:-1]
        days = [one.day_ms for one in await all_of(calls.days(**span))]
        assert days == [from_ms, until_ms]
        candles = await all_of(calls.candles(BTC, **span))
        assert all(from_ms <= one.open_time_ms <= until_ms - MINUTE_MS for one in candles)
        assert len(candles) == 8
        equity = (await client.send(calls.equity(**span))).data
        points: list[Any] = [
            *equity.total.curve,
            *equity.total.drawdowns,
            *equity.strategies[0].curve,
            *equity.buy_and_hold,
        ]
        assert points
        assert all(from_ms <= one.at_ms <= until_ms for one in points)
        assert all(from_ms <= one.until_ms or one.kind == "outage" for one in equity.marks)
        assert all(one.at_ms <= until_ms for one in equity.marks)
        for call in (calls.events(to="2020-01-01"), calls.trades(before=1), calls.trades(to="1970-01-01")):
            assert not await all_of(call)


@in_loop
async def test_candles_are_read_to_the_first_one_across_what_one_chart_does_not_reach() -> None:
    site = long_site()
    inspector = site.inspector
    assert isinstance(inspector, TapeInspector)
    async with AsyncClient(transport=transport_of(site)) as client:
        whole = await client.send(with_limit(calls.candles(BTC), WHOLE))
        inspector.reach_ms = 7 * HOUR_MS
        for limit in (2, WHOLE):
            for start in (0, 20):
                from_ = utc(whole.data.items[start].open_time_ms)
                call = with_limit(calls.candles(BTC, from_=from_), limit)
                pages = [answer.data.items async for answer in client.pages(call)]
                assert len(pages) > 1
                assert in_order("candles", pages) == list(whole.data.items[start:])


@in_loop
async def test_the_files_have_the_ranges_of_the_lists() -> None:
    site = long_site()
    async with client_of(site) as client:
        for path, query in (
            ("events", {"all": "true", "after": "30", "before": "50", "to": utc(DAY_0_MS + 9 * DAY_MS)}),
            ("trades", {"after": "30", "before": "100", "from": utc(DAY_0_MS + 2 * DAY_MS)}),
        ):
            items = (await client.get(f"/api/v1/{path}", params=query)).json()["data"]["items"]
            lines = (await client.get(f"/api/v1/{path}.csv", params=query)).text.splitlines()
            assert len(lines) - 1 == len(items) > 0, path


@in_loop
async def test_a_bad_value_is_refused_by_the_name_of_its_parameter(studies: Path) -> None:
    site = long_site()
    site.studies = StudyFolder(studies)
    cases = [(path, name, value) for path, names in RANGES.items() for name in names[:2] for value in WRONG_TIMES]
    cases += [(path, name, value) for path, names in RANGES.items() for name in names[2:] for value in WRONG_NUMBERS]
    cases += [(path, name, value) for path in PAGED for name in ("limit", "cursor") for value in WRONG_NUMBERS]
    cases += [(path, "limit", value) for path in PAGED for value in ("0", "1501")]
    cases += [(path, "cursor", "9007199254740991") for path in PAGED]
    cases += [(path, name, "nobody") for path in ("trades", "events", "positions", "orders") for name in NAMES]
    async with client_of(site) as client:
        for path, name, value in cases:
            answer = await client.get(f"/api/v1/{path}", params={name: value})
            told = answer.json()
            assert answer.status_code == 422, (path, name, value, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert name in told["detail"], (path, name, value, told)


@in_loop
async def test_an_empty_range_is_refused_by_both_names() -> None:
    async with client_of(long_site()) as client:
        for path, names in RANGES.items():
            for first, last in zip(names[::2], names[1::2], strict=True):
                query = {first: "2025-03-02", last: "2025-03-01"} if first == "from" else {first: "7", last: "7"}
                answer = await client.get(f"/api/v1/{path}", params=query)
                assert answer.status_code == 422, (path, query)
                assert f"{first}:" in answer.json()["detail"]
                assert f"{last}:" in answer.json()["detail"]


@in_loop
async def test_a_cursor_of_a_later_moment_is_refused() -> None:
    async with client_of(long_site()) as client:
        for path in ("trades", "events"):
            page = (await client.get(f"/api/v1/{path}", params={"limit": 3})).json()
            cursor = page["data"]["next"] if path == "trades" else 100
            answer = await client.get(f"/api/v1/{path}", params={"cursor": cursor, "as_of": 20})
            assert (answer.status_code, answer.json()["type"]) == (422, "urn:papertape:problem:invalid-request")
            assert "cursor" in answer.json()["detail"]


@in_loop
async def test_a_former_name_means_the_same_and_both_are_refused(studies: Path) -> None:
    site = long_site()
    site.studies = StudyFolder(studies)
    at_ms = DAY_0_MS + 2 * DAY_MS
    async with client_of(site) as client:
        for path, former, value in (("studies/study-1/sets", "after", 3), (f"candles/{BTC}", "before_ms", at_ms)):
            pages = [(await client.get(f"/api/v1/{path}", params={name: value})).text for name in ("cursor", former)]
            assert pages[0] == pages[1]
            answer = await client.get(f"/api/v1/{path}", params={"cursor": value, former: value})
            assert (answer.status_code, former in answer.json()["detail"]) == (422, True)
        answer = await client.get("/api/v1/stream", params={"after": 0, "after_seq": 1})
        assert (answer.status_code, "after_seq" in answer.json()["detail"]) == (422, True)


@in_loop
async def test_a_parameter_of_one_name_is_the_same_everywhere() -> None:
    async with client_of(site_of([])) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    found: dict[str, list[Any]] = {}
    for path, methods in paths.items():
        for one in methods.get("get", {}).get("parameters", []):
            if path != "/api/v1/stream" and not one["schema"].get("deprecated"):
                found.setdefault(one["name"], []).append(one["schema"])
    for name in ("from", "to", "after", "before", "limit", "cursor", "as_of"):
        assert len(found[name]) > 1, name
        assert all(schema == found[name][0] for schema in found[name]), name
    paged = {path for path, ways in paths.items() if "cursor" in names_of(ways)}
    assert paged == {path for path, ways in paths.items() if "limit" in names_of(ways)}


def names_of(ways: dict[str, Any]) -> set[str]:
    return {one["name"] for one in ways.get("get", {}).get("parameters", [])}
