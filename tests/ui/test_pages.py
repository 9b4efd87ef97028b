"""Every page renders, live and as of any event, with the numbers of the views, and escapes hostile text."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from papertape.api.middleware import CONTENT_POLICY
from papertape.events.errors import LogBusy
from papertape.events.facts import (
    Closing,
    ContractListed,
    KillSwitchTripped,
    OrderPlaced,
    PositionOpened,
    RunnerConfigured,
)
from papertape.projections.site.ports import Progress
from papertape.projections.text import formats
from papertape.projections.text.reasons import reason_words
from papertape.ui.page_handler import PageHandler
from papertape.ui.pages import PAGES as DECLARED
from papertape.ui.rendering import ASSETS, clock_or_timestamp, tone
from tests.events.loop import in_loop
from tests.ui.site_pages import DAY, PAGES, Elements, moment_of, visiting, with_query
from tests.web.site import ListTimeline, TapeInspector, site_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2.runtime import Context

    from papertape.events.log import Recorded
    from papertape.projections.site.ports import ConditionsView

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.mark.parametrize("address", PAGES)
@in_loop
async def test_every_page_renders_live_and_as_of_every_event(address: str) -> None:
    async with visiting() as client:
        now = await client.get(address)
        assert now.status_code == 200, now.text[-300:]
        assert now.headers["content-type"].startswith("text/html")
        assert now.headers["content-security-policy"] == CONTENT_POLICY
        for seq in (9, 15, len(DAY)):
            then = await client.get(with_query(address, as_of=seq))
            assert then.status_code == 200, (address, seq)
            assert f"As of event {seq}" in Elements(then.text).text


def test_every_declared_page_is_visited() -> None:
    visited = {address.partition("?")[0] for address in PAGES}
    named = {
        "/strategy/{name}": "/strategy/momentum",
        "/funnel/{name}": "/funnel/momentum",
        "/chart/{symbol}": "/chart/GALAUSDT",
        "/events/{seq}": "/events/9",
        "/studies/{name}": "/studies/momentum-btc",
    }
    assert {named.get(page.path, page.path) for page in DECLARED} <= visited


@pytest.mark.parametrize("address", PAGES)
@in_loop
async def test_every_link_of_a_page_as_of_an_event_leads_to_the_same_event(address: str) -> None:
    """Except for links to the live page, from an event to the overview as of it, and to pages without a moment."""
    async with visiting() as client:
        found = Elements((await client.get(with_query(address, as_of=12))).text)
    here = [link for link in found.of("a", "href") if link.startswith("/")]
    elsewhere = {link.partition("?")[0] for link in here if moment_of(link) != "12"}
    assert len(here) > 8
    assert elsewhere <= {"/", "/events", "/api/docs", "/login", address.partition("?")[0]}
    assert "12" in found.of("input", "value")


@in_loop
async def test_only_a_live_page_follows_the_stream() -> None:
    async with visiting() as client:
        then = (await client.get("/?as_of=12")).text
        assert "data-live" not in then
        assert ('hx-ext="morph"' in then) is ASSETS.is_dir(), "a refresh of a past page must keep its charts"
        assert "hx-trigger" not in then


@pytest.mark.parametrize("address", PAGES)
@in_loop
async def test_the_live_content_of_a_page_can_be_fetched_alone(address: str) -> None:
    async with visiting() as client:
        whole = (await client.get(address)).text
        content = await client.get(with_query(address, part="content"))
        assert content.status_code == 200
        assert "<html" not in content.text
        assert 'id="header"' not in content.text
        moves = (
            not address.startswith(("/events/", "/compare", "/funnel/", "/studies")) and ASSETS.is_dir()
        )  # Else nothing could fetch it.
        assert (with_query(address, part="content") in whole.replace("&amp;", "&")) is moves


class StillReading(TapeInspector):
    """An inspector whose fold advances with every query and is complete at the third."""

    asked = 0

    def progress(self, seq: int) -> Progress:
        return Progress(seq * self.asked // 3, seq)

    async def conditions(self, seq: int, strategy: str, symbols: Sequence[str]) -> tuple[ConditionsView, ...]:
        self.asked += 1
        if self.asked < 3:
            raise LogBusy("the log is being read")
        return await super().conditions(seq, strategy, symbols)


@pytest.mark.parametrize("moment", ["", "&as_of=30"])
@in_loop
async def test_a_page_during_a_fold_shows_its_progress_and_refreshes(moment: str) -> None:
    site = replace(site_of(list(DAY)), inspector=StillReading(list(DAY)))
    head = 30 if moment else len(DAY)
    async with visiting(site) as client:
        for asked in (1, 2):
            page = Elements((await client.get(f"/strategy/momentum?tf=1m{moment}")).text)
            assert f"event {head * asked // 3} of {head}" in page.text
            again = [attrs for _, attrs in page.found if attrs.get("hx-trigger") == "every 1s"]
            assert [attrs["hx-target"] for attrs in again] == ["#live"] * ASSETS.is_dir()
            assert all("part=content" in attrs["hx-get"] and moment in attrs["hx-get"] for attrs in again)
        there = (await client.get(f"/strategy/momentum?tf=1m{moment}")).text
    assert "being read" not in there
    assert "every 1s" not in there
    assert 'id="conditions-GALAUSDT-long"' in there


@pytest.mark.parametrize("address", ["/", "/arena", "/strategy/momentum", "/chart?tf=1m"])
@in_loop
async def test_the_data_of_a_chart_can_be_fetched_alone(address: str) -> None:
    async with visiting() as client:
        picture = (await client.get(with_query(address, part="picture"))).text
        assert picture.strip().startswith('<div id="')
        assert json.loads(picture.partition(">")[2].rpartition("</div>")[0])


@pytest.mark.parametrize(
    "address",
    [
        "/strategy/nobody",
        "/chart/NOPE",
        "/chart?tf=2m",
        "/events/999999",
        "/events/x",
        "/events?type=Nothing",
        "/?as_of=999999",
        "/?as_of=soon",
        "/?part=nothing",
        "/?part=../base",
        "/trades?page=x",
        "/trades?sort=luckiest",
        "/chart/NOPE?as_of=2",
    ],
)
@in_loop
async def test_unknown_names_get_an_error_page(address: str) -> None:
    async with visiting() as client:
        answer = await client.get(address)
        assert answer.status_code == 404
        assert "To the overview" in answer.text
        assert 'hx-trigger="moved' not in answer.text, "what is refused does not become better by asking again"


@in_loop
async def test_a_chart_before_the_first_candle_explains_when_there_will_be_one() -> None:
    listed_seq = next(one.seq for one in DAY if isinstance(one.event, ContractListed))
    symbol = DAY[listed_seq - 1].event.symbol  # type: ignore[attr-defined]
    async with visiting() as client:
        answer = await client.get(f"/chart/{symbol}?as_of={listed_seq}")
        assert answer.status_code == 200
        assert "A symbol appears with its first closed candle" in answer.text


# ---------------------------------------------------------------- the numbers


@in_loop
async def test_the_header_and_the_overview_show_the_numbers_of_the_views() -> None:
    site = site_of(list(DAY))
    async with visiting(site) as client:
        for seq in (10, 14, len(DAY)):
            view = (await site.timeline.as_of(seq)).portfolio.view()
            text = Elements((await client.get(f"/?as_of={seq}")).text).text
            assert f"Equity {formats.money(view.equity_usdt)}" in text
            assert f"{formats.utc(view.at_ms)[:10]} {formats.gain(view.day_result_usdt)}" in text
            assert f"Open {len(view.positions)}" in text


TONED = re.compile(r'<span class="(?:value )?num (up|down|flat)">([^<]*)')


@pytest.mark.parametrize("address", ["/", "/arena", "/strategy/momentum", "/trades"])
@in_loop
async def test_the_colour_matches_the_visible_sign(address: str) -> None:
    async with visiting() as client:
        found = TONED.findall((await client.get(address)).text)
    assert found
    for colour, text in found:
        assert colour == {"+": "up", "-": "down"}.get(text[:1], "flat"), text


def test_a_value_written_as_zero_has_no_colour() -> None:
    assert [tone(formats.gain_percent(value)) for value in (-0.0019, 0.0019, -0.0051, 0.42)] == [
        "flat", "flat", "down", "up",
    ]  # fmt: skip


@in_loop
async def test_the_arena_shows_every_number_of_its_rows() -> None:
    site = site_of(list(DAY))
    async with visiting(site) as client:
        text = Elements((await client.get("/arena")).text).text
    for row in site.timeline.views.arena.rows():
        assert formats.gain_percent(row.net_return_percent) in text
        assert formats.money(row.equity_usdt) in text
        assert f"{row.max_drawdown_percent:.2f} %" in text
        assert formats.money(row.fees_usdt) in text


@in_loop
async def test_trades_and_positions_show_every_expected_number() -> None:
    site = site_of(list(DAY))
    views = site.timeline.views
    async with visiting(site) as client:
        text = Elements((await client.get("/trades")).text).text
    contracts = views.contracts.by_symbol
    assert views.trades.closed() and views.portfolio.positions()
    for trade in views.trades.closed():
        for value in (trade.entry_price_usdt, trade.exit_price_usdt):
            assert formats.price(value, trade.symbol, contracts) in text
        for amount in (trade.net_usdt, trade.gross_usdt, trade.funding_usdt):
            assert formats.gain(amount) in text
        assert reason_words(trade.reason) in text
    for position in views.portfolio.positions():
        assert formats.price(position.liquidation_price_usdt, position.symbol, contracts) in text
        assert formats.gain_percent(position.stop_distance_percent or 0.0) in text


@in_loop
async def test_a_tripped_switch_is_in_the_header() -> None:
    site = site_of(list(DAY), commands_allowed=True)
    trip = site.timeline.views.portfolio.switches.active_trips()[0]
    async with visiting(site) as client:
        found = Elements((await client.get("/risk")).text)
    assert trip.why in found.text
    assert f"1 of 2 : {trip.scope}, {trip.why.removeprefix('kill switch: ')}" in found.text


# ---------------------------------------------------------------- empty


@in_loop
async def test_an_empty_log_has_empty_states() -> None:
    async with visiting(site_of([])) as client:
        for address in ("/", "/arena", "/chart", "/trades", "/risk", "/events", "/system", "/compare"):
            answer = await client.get(address)
            assert answer.status_code == 200, address
        overview = Elements((await client.get("/")).text).text
        assert "No strategy yet" in overview
        assert "It begins with the first closed candle after the warm-up." in overview


# ---------------------------------------------------------------- what comes from outside


def hostile(recorded: Recorded) -> Recorded:
    """Return an event whose strategy and reasons contain markup."""
    event = recorded.event
    match event:
        case RunnerConfigured(strategy="momentum"):
            return replace(recorded, event=replace(event, strategy=HOSTILE))
        case OrderPlaced(strategy="momentum") | PositionOpened(strategy="momentum"):
            return replace(recorded, event=replace(event, strategy=HOSTILE))
        case Closing(strategy="momentum"):
            return replace(recorded, event=replace(event, strategy=HOSTILE, reason=HOSTILE))
        case KillSwitchTripped():
            return replace(recorded, event=replace(event, reason="manual", who=HOSTILE, why=HOSTILE))
        case _:
            return recorded


@in_loop
async def test_hostile_names_and_reasons_stay_text() -> None:
    site = site_of([hostile(one) for one in DAY], commands_allowed=True)
    name = quote(HOSTILE, safe="")
    addresses = (
        "/",
        "/arena",
        "/trades",
        "/risk",
        "/events",
        "/chart?tf=1m",
        f"/events?q={name}",
        f"/trades?side={name}",
    )
    async with visiting(site) as client:
        pages = {address: (await client.get(address)).text for address in addresses}
    for address, html in pages.items():
        assert "<script>alert" not in html, address
        assert "<img" not in html, address
        assert not [name for _, attrs in Elements(html).found for name in attrs if name.startswith("on")], address
    assert HOSTILE in " ".join(Elements(pages["/arena"]).words)


@in_loop
async def test_a_hostile_name_cannot_end_the_data_of_a_chart() -> None:
    async with visiting(site_of([hostile(one) for one in DAY])) as client:
        html = (await client.get("/?part=picture")).text
    assert html.count("<script") == html.count("</script") == 0
    assert html.count("</div>") == 1
    assert "\\u003cscript\\u003e" in html


@in_loop
async def test_a_strategy_shows_its_own_equity_curve_drawdown_and_markers() -> None:
    site = site_of(list(DAY))
    async with visiting(site) as client:
        html = (await client.get("/strategy/vwap_rsi?part=picture")).text
    picture = json.loads(html.partition(">")[2].rpartition("</div>")[0])
    equity = site.timeline.views.portfolio.equity.view("vwap_rsi")
    (curve,) = picture["curves"]
    assert curve["name"] == "vwap_rsi"
    assert curve["points"][-1][1] == round(equity.equity_usdt, 2)
    assert picture["drawdowns"][-1]["drawdown_percent"] == pytest.approx(equity.drawdown_fraction * 100.0)
    assert {mark["subject"] for mark in picture["marks"] if mark["kind"] == "kill"} == {"vwap_rsi"}
    assert "momentum" not in {mark["subject"] for mark in picture["marks"]}


@in_loop
@pytest.mark.parametrize("address", ["/", "/arena", "/strategy/vwap_rsi"])
async def test_the_live_content_includes_the_newest_point_of_each_curve(address: str) -> None:
    site = site_of(list(DAY))
    async with visiting(site) as client:
        whole, content = [(await client.get(address, params=of)).text for of in ({}, {"part": "content"})]
    views = site.timeline.views.portfolio
    expected = {one.strategy: one.equity_usdt for one in views.equity.views()} | {"total": views.view().equity_usdt}
    for html in (whole, content):
        newest = json.loads(html.partition('id="curves-newest" hidden>')[2].partition("</div>")[0])
        assert all(len(curve["points"]) == 1 for curve in newest["curves"])
        for curve in newest["curves"]:
            assert curve["points"][0][1] == round(expected[curve["name"]], 2)
        assert len(newest["drawdowns"]) == 1
    assert 'id="curves-data"' in whole
    assert 'id="curves-data"' not in content, "it is asked for by itself, and less often"


@in_loop
async def test_the_head_is_never_behind_the_shown_event() -> None:
    site = site_of(list(DAY)[:-1])
    request = await PageHandler(site).newest_request()
    assert isinstance(site.timeline, ListTimeline)
    site.timeline.grow([DAY[-1]])
    assert request.head_seq == DAY[-1].seq >= request.seq


def test_a_time_of_another_day_has_its_date() -> None:
    context = cast("Context", {"request": SimpleNamespace(views=SimpleNamespace(at_ms=1_735_714_800_000))})
    assert ">07:06</time>" in clock_or_timestamp(context, 1_735_715_160_000)
    assert ">11-26 13:25</time>" in clock_or_timestamp(context, 1_795_699_500_000)
