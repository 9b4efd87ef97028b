"""The REST pages: bounds, order, errors and limits as Bitget has them."""

from __future__ import annotations

from typing import Any

import pytest

from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS
from papertape.sandbox.bitget.market import SimTwinMarket
from papertape.sandbox.bitget.text import text_of
from papertape.sandbox.bitget.twin import BitgetTwin
from papertape.sandbox.bitget.venue import ExchangeBehaviour
from tests.sandbox.served_twin import BTC, FUTURES, MARKET, PAPER, START_MS, TwinClient, serve_twin

OPEN_MS = START_MS // MINUTE_MS * MINUTE_MS
"""The candle that is forming."""
ONE_MINUTE = {"symbol": BTC, "granularity": "1m"}


def opens(rows: list[list[str]]) -> list[int]:
    """Open times of rows."""
    return [int(row[0]) for row in rows]


def minutes(until_ms: int, count: int) -> list[int]:
    """So many open times before one."""
    return [until_ms - number * MINUTE_MS for number in range(count, 0, -1)]


def test_candles_end_with_the_forming_one() -> None:
    async def use(_twin: BitgetTwin, client: TwinClient) -> None:
        rows = await client.data("candles", **ONE_MINUTE, limit=5)
        assert opens(rows) == [*minutes(OPEN_MS, 4), OPEN_MS]
        assert {len(row) for row in rows} == {7}
        assert all(isinstance(value, str) for row in rows for value in row)
        assert len(await client.data("candles", **ONE_MINUTE)) == 100

    serve_twin(use)


def test_a_page_of_history_holds_what_had_ended_at_its_end_time() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        end_ms = OPEN_MS - 10 * MINUTE_MS
        for late_ms in (0, 1, MINUTE_MS - 1):
            rows = await client.data("history-candles", **ONE_MINUTE, limit=3, endTime=end_ms + late_ms)
            assert opens(rows) == minutes(end_ms, 3)
        truth = twin.history(BTC, end_ms - 3 * MINUTE_MS, end_ms)
        assert [[float(text) for text in row[1:6]] for row in rows] == [
            [row.open, row.high, row.low, row.close, row.volume] for row in truth
        ]

    serve_twin(use)


def test_history_never_shows_the_forming_candle() -> None:
    async def use(_twin: BitgetTwin, client: TwinClient) -> None:
        for name in ("history-candles", "history-mark-candles"):
            for query in ({}, {"endTime": OPEN_MS + DAY_MS}):
                rows = await client.data(name, **ONE_MINUTE, limit=200, **query)
                assert opens(rows) == minutes(OPEN_MS, 200)

    serve_twin(use)


def test_paging_backwards_from_the_oldest_open_loses_nothing() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        found: list[list[str]] = []
        end_ms = OPEN_MS
        for _ in range(4):
            page = await client.data("history-candles", **ONE_MINUTE, limit=150, endTime=end_ms)
            found, end_ms = page + found, int(page[0][0])
        truth = twin.history(BTC, OPEN_MS - 600 * MINUTE_MS, OPEN_MS)
        assert [(int(row[0]), row[4]) for row in found] == [(row.open_time_ms, text_of(row.close)) for row in truth]

    serve_twin(use)


def test_minutes_reach_thirty_days_back() -> None:
    async def use(_twin: BitgetTwin, client: TwinClient) -> None:
        end_ms = OPEN_MS - 30 * DAY_MS + 10 * MINUTE_MS
        assert len(await client.data("candles", **ONE_MINUTE, endTime=end_ms)) == 9
        assert len(await client.data("history-candles", **ONE_MINUTE, endTime=end_ms)) == 100
        assert len(await client.data("candles", symbol=BTC, granularity="1H", endTime=end_ms)) == 100

    serve_twin(use)


def test_the_start_of_a_window_means_nothing_unless_it_is_said_to() -> None:
    async def use(_twin: BitgetTwin, client: TwinClient) -> None:
        query: dict[str, Any] = {**ONE_MINUTE, "limit": 50, "startTime": OPEN_MS - 5 * MINUTE_MS, "endTime": OPEN_MS}
        sizes.append(len(await client.data("history-candles", **query)))

    sizes: list[int] = []
    serve_twin(use)
    serve_twin(use, behaviour=ExchangeBehaviour(start_bounds=True))
    assert sizes == [50, 5]


def test_a_closed_candle_can_come_late_into_the_history() -> None:
    async def use(_twin: BitgetTwin, client: TwinClient) -> None:
        await client.clock.sleep((OPEN_MS + MINUTE_MS - client.clock.now_ms()) / 1_000.0 + 1.0)
        newest.append(opens(await client.data("history-candles", **ONE_MINUTE))[-1])

    newest: list[int] = []
    serve_twin(use)
    serve_twin(use, behaviour=ExchangeBehaviour(rest_delay_ms=2_000))
    assert newest == [OPEN_MS, OPEN_MS - MINUTE_MS]


@pytest.mark.parametrize(
    ("name", "query", "code"),
    [
        ("candles", {**ONE_MINUTE, "symbol": "NOPEUSDT"}, "40034"),
        ("candles", {**ONE_MINUTE, "symbol": "BTCUSDT_UMCBL"}, "40034"),
        ("ticker", {"symbol": "NOPEUSDT"}, "40034"),
        ("candles", {"granularity": "1m"}, "40019"),
        ("candles", {**ONE_MINUTE, "productType": "FUTURES"}, "40019"),
        ("candles", {**ONE_MINUTE, "granularity": "1h"}, "400171"),
        ("history-candles", {**ONE_MINUTE, "granularity": "1d"}, "400171"),
        ("candles", {"symbol": BTC}, "400172"),
        ("candles", {**ONE_MINUTE, "endTime": "soon"}, "400172"),
        ("candles", {**ONE_MINUTE, "limit": 1_001}, "40053"),
        ("candles", {**ONE_MINUTE, "limit": 0}, "40053"),
        ("history-candles", {**ONE_MINUTE, "limit": 201}, "40053"),
        ("history-fund-rate", {"symbol": BTC, "pageSize": 101}, "40053"),
        ("candles", {**ONE_MINUTE, "startTime": OPEN_MS - 91 * DAY_MS, "endTime": OPEN_MS}, "00001"),
    ],
)
def test_a_wrong_request_is_refused_with_its_code(name: str, query: dict[str, Any], code: str) -> None:
    async def use(_twin: BitgetTwin, client: TwinClient) -> None:
        answer = await client.page(name, **query)
        body = answer.json()
        assert (answer.status_code, body["code"], body["data"]) == (400, code, None)
        assert body["msg"] and body["requestTime"] == START_MS

    serve_twin(use)


def test_a_product_has_to_be_named_and_may_be_in_lower_case() -> None:
    async def use(_twin: BitgetTwin, client: TwinClient) -> None:
        answer = await client.http.get("/api/v2/mix/market/contracts")
        assert answer.json()["code"] == "400172"
        assert len(await client.data("contracts", productType="usdt-futures")) == len(MARKET.symbols)

    serve_twin(use)


def test_funding_history_is_newest_first_and_ends_after_ninety_days() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        found: list[tuple[int, float]] = []
        for number in range(1, 9):
            page = await client.data("history-fund-rate", symbol=BTC, pageSize=40, pageNo=number)
            found += [(int(row["fundingTime"]), float(row["fundingRate"])) for row in page]
        assert found == twin.settlements(BTC, START_MS - 90 * DAY_MS, START_MS + 1)[::-1]
        assert len(found) == 270
        assert len(await client.data("history-fund-rate", symbol=BTC)) == 20

    serve_twin(use)


def test_a_settlement_is_in_the_history_in_the_first_second_after_it() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        before = (await client.data("current-fund-rate", symbol=BTC))[0]
        settled_ms = int(before["nextUpdate"])
        await client.clock.sleep((settled_ms - client.clock.now_ms()) / 1_000.0)
        newest = (await client.data("history-fund-rate", symbol=BTC, pageSize=1))[0]
        assert (int(newest["fundingTime"]), newest["fundingRate"]) == (settled_ms, before["fundingRate"])
        assert twin.settlements(BTC, settled_ms, settled_ms + 1) == [(settled_ms, float(before["fundingRate"]))]
        after = (await client.data("current-fund-rate", symbol=BTC))[0]
        assert int(after["nextUpdate"]) == settled_ms + 8 * HOUR_MS

    serve_twin(use)


def test_prices_of_all_pages_agree() -> None:
    async def use(_twin: BitgetTwin, client: TwinClient) -> None:
        ticker = (await client.data("ticker", symbol=BTC))[0]
        price = (await client.data("symbol-price", symbol=BTC))[0]
        interest = await client.data("open-interest", symbol=BTC)
        forming = (await client.data("candles", **ONE_MINUTE))[-1]
        assert ticker["lastPr"] == price["price"] == forming[4]
        assert ticker["markPrice"] == price["markPrice"]
        assert ticker["holdingAmount"] == interest["openInterestList"][0]["size"]
        assert (await client.data("funding-time", symbol=BTC))[0]["ratePeriod"] == "8"

    serve_twin(use)


def test_twenty_requests_a_second_are_answered_and_no_more() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        answers = [await client.page("ticker", symbol=BTC) for _ in range(21)]
        assert [answer.status_code for answer in answers] == [200] * 20 + [429]
        assert answers[-1].json() == {
            "code": "429", "msg": "Too Many Requests", "requestTime": START_MS, "data": None,
        }  # fmt: skip
        assert "retry-after" not in answers[-1].headers
        assert [answers[n].headers["x-mbx-used-remain-limit"] for n in (0, 19)] == ["19", "0"]
        assert (await client.page("symbol-price", symbol=BTC)).status_code == 200, "limits hold for each page"
        await client.clock.sleep(1.0)
        assert (await client.page("ticker", symbol=BTC)).status_code == 200
        assert twin.statistics.too_many == 1
        assert [breach.limit for breach in twin.statistics.breaches] == ["requests_a_second"]

    serve_twin(use)


def test_six_thousand_requests_a_minute_are_the_most_of_all_pages() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        for _ in range(6_000):
            twin.answer("/api/v2/public/time", "127.0.0.1")
            await client.clock.sleep(0.001)
        assert (await client.page("ticker", symbol=BTC)).status_code == 429

    serve_twin(use, behaviour=ExchangeBehaviour(limits=True))


def test_a_symbol_is_unknown_until_it_is_listed() -> None:
    async def use(_twin: BitgetTwin, client: TwinClient) -> None:
        assert (await client.page("candles", symbol="NEWUSDT", granularity="1m")).json()["code"] == "40034"
        await client.clock.sleep(600.0)
        rows = await client.data("candles", symbol="NEWUSDT", granularity="1m")
        assert opens(rows)[0] == OPEN_MS + 5 * MINUTE_MS

    serve_twin(use, market=SimTwinMarket([BTC, "NEWUSDT"], listed_ms={"NEWUSDT": OPEN_MS + 5 * MINUTE_MS}))


def test_a_minute_without_trades_is_in_the_pages() -> None:
    async def use(_twin: BitgetTwin, client: TwinClient) -> None:
        rows = await client.data("history-candles", symbol=PAPER, granularity="1m", limit=200)
        assert opens(rows) == minutes(OPEN_MS, 200)
        flat = [row for row in rows if row[5] == "0"]
        assert len(flat) > 20
        assert all(len(set(row[1:5])) == 1 for row in flat)

    serve_twin(use)


def test_requests_are_counted_by_page() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        await client.page("ticker", symbol=BTC)
        await client.page("/api/v2/public/time")
        await client.http.get("/api/v2/mix/market/orderbook", params=FUTURES)
        assert dict(twin.statistics.requests) == {"ticker": 1, "time": 1, "orderbook": 1}

    serve_twin(use)
