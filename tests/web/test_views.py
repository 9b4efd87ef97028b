"""The views as JSON: the numbers of the folds, as of any event, in pages without duplicates."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from papertape.api.app import VIEWS
from papertape.api.gate import Access
from papertape.api.routes import GuardedRoute
from papertape.api.views.history import run_search
from papertape.events.log import Recorded
from papertape.events.units import MINUTE_MS
from papertape.projections.folds.trades import write_trades_csv
from papertape.projections.site.event_query import PAGE_EVENTS, EventFilter, Search, SearchResult
from papertape.projections.text.event_lines import is_notable
from papertape.projections.text.formats import utc
from tests.alerts.example_day import closed_btc, opened_btc
from tests.build import BTC, DAY_0_MS, GALA, candle, candle_at, closed, configured, opened, recorded
from tests.events.loop import in_loop
from tests.web.site import ListTimeline, client_of, example_day, site_of

if TYPE_CHECKING:
    import httpx
    from starlette.requests import Request
    from starlette.responses import Response

LOG = example_day()
HEAD = len(LOG)
NAMES = {"strategy": "momentum", "symbol": "BTCUSDT", "seq": "9"}
PATHS = [f"/api/v1/{view.path.format(**NAMES)}" for view in VIEWS]
QUERIES = {"/api/v1/conditions": {"strategy": "momentum", "symbol": "BTCUSDT"}}


def busy_log() -> list[Recorded]:
    """Return the example day with forty more trades."""
    log = list(LOG)
    for event in [opened_btc(), closed_btc()] * 40:
        log.append(Recorded(len(log) + 1, 0, 0, event))
    return log


async def shown(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    """Return the data of a successful answer."""
    answer = await client.get(f"/api/v1/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def as_json(view: object) -> Any:
    """Return a view in its JSON form."""
    return msgspec.json.decode(msgspec.json.encode(view))


@pytest.mark.parametrize("path", PATHS)
@in_loop
async def test_a_view_names_its_moment_and_an_unchanged_one_is_304(path: str) -> None:
    site, query = site_of(list(LOG)), QUERIES.get(path, {})
    async with client_of(site) as client:
        newest = await client.get(path, params=query)
        assert newest.json()["as_of"] == {"seq": HEAD, "at_ms": site.timeline.views.at_ms}
        then = await client.get(path, params={**query, "as_of": 20})
        assert then.json()["as_of"]["seq"] == 20
        assert newest.headers["etag"] != then.headers["etag"]
        known = {"if-none-match": f'W/"x", {newest.headers["etag"]}'}
        unchanged = await client.get(path, params=query, headers=known)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        timeline = site.timeline
        assert isinstance(timeline, ListTimeline)
        timeline.grow([Recorded(HEAD + 1, 0, 0, candle(9_999, 100.0))])
        assert (await client.get(path, params=query, headers=known)).status_code == 200
        same = await client.get(path, params={**query, "as_of": 20}, headers={"if-none-match": then.headers["etag"]})
        assert same.status_code == 304


@in_loop
async def test_the_etag_of_another_log_never_matches() -> None:
    one, other = site_of(list(LOG)), site_of(list(LOG))
    async with client_of(one) as client, client_of(other) as elsewhere:
        etag = (await client.get("/api/v1/arena")).headers["etag"]
        assert (await elsewhere.get("/api/v1/arena", headers={"if-none-match": etag})).status_code == 200


@in_loop
async def test_the_numbers_are_those_of_the_folds() -> None:
    site = site_of(list(LOG))
    async with client_of(site) as client:
        for seq in (6, 12, 20, HEAD):
            views = await site.timeline.as_of(seq)
            portfolio = views.portfolio
            assert await shown(client, "arena", as_of=seq) == as_json(views.arena.rows())
            assert await shown(client, "runners", as_of=seq) == as_json(portfolio.accounts())
            assert await shown(client, "positions", as_of=seq) == as_json(portfolio.positions())
            assert (await shown(client, "state", as_of=seq))["portfolio"] == as_json(portfolio.view())
            runner = await shown(client, "runners/momentum", as_of=seq)
            assert runner["performance"] == as_json(views.arena.performance("momentum"))
            assert (await shown(client, "risk", as_of=seq))["limits"] == as_json(views.limits.views())
            days = (await shown(client, "days", as_of=seq, limit=1))["items"]
            today = views.days.today
            assert [one["day_ms"] for one in days] == ([] if today is None else [today.day * 86_400_000])
            assert sum(one["equity_usdt"] for one in days) in (0, portfolio.view().equity_usdt)
            courses = await shown(client, "equity", as_of=seq, strategy="momentum")
            assert courses["strategies"] == as_json([portfolio.equity_curve("momentum")])


@in_loop
async def test_a_time_means_the_last_event_before_the_next_candle() -> None:
    site = site_of(list(LOG))
    at_ms = next(one.event.at_ms for one in LOG if type(one.event).__name__ == "CandleClosed")
    async with client_of(site) as client:
        answer = await client.get("/api/v1/state", params={"as_of": utc(at_ms).replace(" ", "T")})
        assert answer.json()["as_of"] == {"seq": await site.timeline.seq_at(at_ms), "at_ms": at_ms}
        for wrong in ("yesterday", "-1", "1e3", "9" * 17, "٣", "2025-13-01"):
            assert (await client.get("/api/v1/state", params={"as_of": wrong})).status_code == 422, wrong
        for absent in ("0", str(HEAD + 1), "2020-01-01"):
            answer = await client.get("/api/v1/state", params={"as_of": absent})
            assert (answer.status_code, answer.json()["type"]) == (422, "urn:papertape:problem:unknown-name"), absent


@pytest.mark.parametrize(
    "choice", [{}, {"side": "long"}, {"strategy": "momentum", "result": "won"}, {"reason": "stop"}]
)
@in_loop
async def test_pages_of_trades_hold_each_once_the_newest_first(choice: dict[str, str]) -> None:
    site, found, before = site_of(busy_log()), list[dict[str, Any]](), 0
    async with client_of(site) as client:
        while before is not None:
            page = await shown(client, "trades", limit=7, before=before, **choice)
            found += page["items"]
            before = page["next"]
            assert before is None or len(page["items"]) == 7
    fits = {
        "side": lambda one, v: one.side == v, "strategy": lambda one, v: one.strategy == v,
        "reason": lambda one, v: one.reason == v, "result": lambda one, _: one.net_usdt > 0.0,
    }  # fmt: skip
    chosen = [one for one in site.timeline.views.trades.closed() if all(fits[k](one, v) for k, v in choice.items())]
    assert found == as_json(list(reversed(chosen)))
    assert found


@in_loop
async def test_trades_are_filtered_by_exit_time() -> None:
    site = site_of(list(LOG))
    trades = site.timeline.views.trades.closed()
    moment = utc(trades[0].exit_time_ms)
    async with client_of(site) as client:
        early = await shown(client, "trades", to=moment)
        late = await shown(client, "trades", **{"from": moment})
        at_ms = [one.exit_time_ms for one in trades]
        assert [one["exit_time_ms"] for one in reversed(early["items"])] == [one for one in at_ms if one <= at_ms[0]]
        assert [one["exit_time_ms"] for one in reversed(late["items"])] == [one for one in at_ms if one >= at_ms[0]]
        assert (await client.get("/api/v1/trades", params={"from": "soon"})).status_code == 422


@in_loop
async def test_the_file_of_trades_is_the_one_of_the_command_line() -> None:
    site = site_of(busy_log())
    file = io.StringIO()
    write_trades_csv(file, site.timeline.views.trades.closed("momentum"))
    async with client_of(site) as client:
        answer = await client.get("/api/v1/trades.csv", params={"strategy": "momentum"})
        assert answer.text == file.getvalue()
        assert answer.headers["content-type"].startswith("text/csv")
        nothing = await client.get("/api/v1/trades.csv", params={"reason": "nothing"})
        assert nothing.text == file.getvalue().partition("\n")[0] + "\n"


@pytest.mark.system
@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize(
    "query",
    [{"all": True}, {}, {"type": ["PositionOpened", "PositionClosed"]}, {"symbol": "BTCUSDT"}, {"text": "opened"}],
)
@in_loop
async def test_pages_of_events_hold_each_once_in_their_order(order: str, query: dict[str, Any]) -> None:
    found, at = list[dict[str, Any]](), 0
    async with client_of(site_of(list(LOG))) as client:
        while at is not None:
            start = {"before" if order == "newest" else "after": at}
            page = await shown(client, "events", limit=3, order=order, **start, **query)
            found += page["items"]
            at = page["next"]
    wanted = [one for one in await all_events() if takes(one, query)]
    assert found == (wanted if order == "oldest" else wanted[::-1])
    assert found


def takes(event: dict[str, Any], query: dict[str, Any]) -> bool:
    """Return whether an event matches."""
    kinds, symbol = query.get("type"), query.get("symbol")
    fits = event["type"] in kinds if kinds else query.get("all") or is_notable(LOG[event["seq"] - 1].event)
    own = symbol is None or symbol == event["symbol"] or symbol in event["fields"].get("symbols", ())
    return bool(fits) and own and query.get("text", "") in event["text"]


async def all_events() -> list[dict[str, Any]]:
    """Return every event, one by one."""
    async with client_of(site_of(list(LOG))) as client:
        return [await shown(client, f"events/{seq}") for seq in range(1, HEAD + 1)]


@pytest.mark.parametrize("order", ["oldest", "newest"])
@in_loop
async def test_a_search_for_a_rare_event_finds_it_in_one_answer(order: str) -> None:
    quiet, rare = 30_000, configured()
    log = [Recorded(1 + at, 0, 0, rare if at == quiet else candle(at, 100.0)) for at in range(2 * quiet + 1)]
    async with client_of(site_of(log)) as client:
        found = await shown(client, "events", type="RunnerConfigured", order=order)
    assert [one["seq"] for one in found["items"]] == [quiet + 1]
    assert found["from_seq"] <= quiet + 1 <= found["to_seq"]
    assert found["next"] == (found["from_seq"] if order == "newest" else found["to_seq"])
    assert len(log) == found["to_seq"] if order == "newest" else found["from_seq"] == 1


@in_loop
async def test_the_events_of_a_trade_are_those_of_its_strategy_and_symbol_until_it_closed() -> None:
    market = [candle_at(DAY_0_MS, symbol) for symbol in (BTC, GALA)]
    tangled = [
        opened(),
        opened(symbol=GALA),
        candle_at(DAY_0_MS + MINUTE_MS, BTC),
        closed(1.0),
        closed(1.0, symbol=GALA),
    ]
    async with client_of(site_of(recorded([configured(), *market, *tangled]))) as client:
        for trade, expected in ((7, [4, 7]), (8, [5, 8])):
            found = await shown(client, "events", trade=trade, all="true")
            assert [one["seq"] for one in found["items"]] == expected
            lines = (await client.get("/api/v1/events.csv", params={"trade": trade, "all": "true"})).text
            assert [int(line.split(",")[0]) for line in lines.splitlines()[1:]] == expected
        other = await shown(client, "events", trade=7, strategy="global")
        assert other["items"] == []
        for query in ({"trade": 4}, {"trade": 8, "as_of": 7}):
            refused = await client.get("/api/v1/events", params=query)
            assert refused.status_code == 422
            assert "no trade closed at event" in refused.json()["detail"]


@in_loop
async def test_a_search_without_hits_is_bounded_in_time_and_continues() -> None:
    log = [Recorded(1 + at, 0, 0, candle(at, 100.0)) for at in range(3 * PAGE_EVENTS)]
    timeline = site_of(log).timeline
    first = await run_search(Search(EventFilter(), {}, 1, len(log), 10), timeline, search_s_max=0.0)
    assert first == SearchResult((), 2 * PAGE_EVENTS + 1, 3 * PAGE_EVENTS, complete=False), "one page at least"
    second = await run_search(Search(EventFilter(), {}, 1, first.from_seq - 1, 10), timeline)
    assert second == SearchResult((), 1, 2 * PAGE_EVENTS, complete=True)


@in_loop
async def test_a_future_event_is_not_shown() -> None:
    async with client_of(site_of(list(LOG))) as client:
        for path in ("events/0", f"events/{HEAD + 1}", "events/20?as_of=19", f"why/{HEAD + 1}", "why/0"):
            assert (await client.get(f"/api/v1/{path}")).status_code == 404, path


@in_loop
async def test_a_chart_carries_the_fills_of_its_symbol() -> None:
    site = site_of(list(LOG))
    async with client_of(site) as client:
        found = (await shown(client, "candles/BTCUSDT"))["fills"]
        trades = [one for one in site.timeline.views.trades.closed() if one.symbol == "BTCUSDT"]
        seqs = {one.seq for one in trades} | {one.opened_seq for one in trades}
        seqs |= {one.opened_seq for one in site.timeline.views.portfolio.positions() if one.symbol == "BTCUSDT"}
        assert [one["seq"] for one in found] == sorted(seqs)
        assert {one["action"] for one in found} == {"open", "close"}
        assert (await client.get("/api/v1/candles/NOTHING")).status_code == 404


@in_loop
async def test_a_chart_carries_the_readings_of_the_strategy_that_is_asked_for() -> None:
    async with client_of(site_of(list(LOG))) as client:
        assert (await shown(client, "candles/BTCUSDT"))["chart"]["plot"] is None
        chart = (await shown(client, "candles/BTCUSDT", strategy="momentum"))["chart"]
        closes = [one["close"] for one in chart["candles"]]
        line = {"name": "close", "place": "price", "values": closes}
        assert chart["plot"] == {"strategy": "momentum", "lines": [line], "note": "as it is", "pending": False}


@in_loop
async def test_errors_are_problems_that_name_the_mistake() -> None:
    async def broken(_: Request) -> Response:
        raise ZeroDivisionError("secret details")

    pages = [GuardedRoute("/broken", broken, access=Access.READ)]
    async with client_of(site_of(list(LOG)), pages=pages, raises=False) as client:
        for path, status in (
            ("/nowhere", 404), ("/api/v1/arena/", 404), ("/api/v1/trades?limit=0", 422), ("/broken", 500),
            ("/api/v1/trades?limit=1&limit=2", 422), ("/api/v1/positions?strategy=nobody", 422),
            ("/api/v1/arena?nonsense=1", 422), ("/api/v1/runners/nobody", 404),
            ("/api/v1/candles/BTCUSDT?timeframe=5x", 422), ("/api/v1/events?type=Nonsense", 422),
            ("/api/v1/runners/" + "x" * 200, 422), ("/api/v1/events/1.5", 422), ("/api/v1/events?after=-1", 422),
        ):  # fmt: skip
            answer = await client.get(path)
            assert answer.status_code == status, (path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == status
            assert answer.json()["type"].startswith("urn:papertape:problem:")
            assert "secret" not in answer.text
        assert (await client.get("/api/v1/commands/kill")).status_code in (401, 405)
        wrong = await client.request("DELETE", "/api/v1/arena", headers={"authorization": "Bearer x"})
        assert wrong.headers["content-type"] == "application/problem+json"
