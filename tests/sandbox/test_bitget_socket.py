"""The WebSocket: acknowledgements, errors, snapshots, updates, and the limits of a connection."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from papertape.events.units import HOUR_MS, MINUTE_MS
from papertape.sandbox.bitget.twin import BitgetTwin
from papertape.sandbox.bitget.venue import ExchangeBehaviour
from tests.sandbox.served_twin import (
    BTC,
    ETH,
    MARKET,
    PAPER,
    START_MS,
    FlatMarket,
    TwinClient,
    arg,
    connect_client,
    rows_of,
    serve_twin,
    values,
)

OPEN_MS = START_MS // MINUTE_MS * MINUTE_MS


def test_a_text_ping_is_answered_by_a_text_pong() -> None:
    async def use(_twin: BitgetTwin, client: TwinClient) -> None:
        await client.socket.send("ping")
        assert await client.socket.recv() == "pong"

    serve_twin(use)


def test_each_arg_is_acknowledged_and_its_snapshot_follows() -> None:
    async def use(_twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow(("candle1m", BTC), ("ticker", BTC), ("candle5m", ETH))
        frames = await client.frames(0.1)
        acks = [frame for frame in frames if "event" in frame]
        asked = [arg("candle1m", BTC), arg("ticker", BTC), arg("candle5m", ETH)]
        assert acks == [{"event": "subscribe", "arg": one} for one in asked]
        assert [frame["arg"] for frame in frames if frame.get("action") == "snapshot"] == asked

    serve_twin(use)


def test_a_snapshot_holds_five_hundred_rows_oldest_first_and_the_forming_one_last() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow(("candle1m", BTC))
        _, snapshot = await client.frames(0.1)
        rows = snapshot["data"]
        assert len(rows) == 500
        assert [int(row[0]) for row in rows] == [OPEN_MS - number * MINUTE_MS for number in range(499, -1, -1)]
        truth = twin.history(BTC, OPEN_MS - 499 * MINUTE_MS, OPEN_MS)
        assert [values(row) for row in rows[:-1]] == [
            (row.open_time_ms, row.open, row.high, row.low, row.close, row.volume) for row in truth
        ]
        assert {len(row) for row in rows} == {8}
        assert snapshot["ts"] == START_MS

    serve_twin(use)


@pytest.mark.parametrize(
    ("channel", "symbol", "code"),
    [
        ("candle1m", "NOPEUSDT", 30_001),
        ("candle1m", "BTCUSDT_UMCBL", 30_001),
        ("candle1h", BTC, 30_016),
        ("markPrice", BTC, 30_016),
        ("Ticker", BTC, 30_016),
    ],
)
def test_a_wrong_arg_is_refused_with_a_number_and_the_others_are_served(channel: str, symbol: str, code: int) -> None:
    async def use(_twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow((channel, symbol), ("ticker", BTC))
        error, ack, *_ = await client.frames(0.1)
        assert (error["event"], error["code"], error["arg"], error["op"]) == (
            "error", code, arg(channel, symbol), "subscribe",
        )  # fmt: skip
        assert ack == {"event": "subscribe", "arg": arg("ticker", BTC)}

    serve_twin(use)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("hello", 30_002),
        ('{"op":"ping"}', 30_002),
        ("[1]", 30_002),
        ('{"op":"subscribe","args":"x"}', 30_002),
        ('{"op":"subscribe","args":[]}', 30_002),
        ('{"op":"follow","args":[]}', 30_003),
    ],
)
def test_a_request_that_is_none_is_refused_and_the_socket_stays_open(message: str, code: int) -> None:
    async def use(_twin: BitgetTwin, client: TwinClient) -> None:
        await client.socket.send(message)
        (error,) = await client.frames(0.1)
        assert (error["event"], error["code"]) == ("error", code)
        await client.socket.send("ping")
        assert await client.socket.recv() == "pong"

    serve_twin(use)


def test_updates_come_twice_a_second_and_end_exactly_on_the_candle_of_the_history() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow(("candle1m", BTC))
        updates = await client.updates(180.0)
        assert {len(frame["data"]) for frame in updates} == {1}
        rows = rows_of(updates)
        for truth in twin.history(BTC, OPEN_MS, OPEN_MS + 3 * MINUTE_MS):
            mine = [values(row) for row in rows if int(row[0]) == truth.open_time_ms]
            assert 60 < len(mine) <= 121
            assert mine[-1][1:] == (truth.open, truth.high, truth.low, truth.close, truth.volume)
        times = [int(row[0]) for row in rows]
        assert times == sorted(times)
        assert all(later["ts"] - earlier["ts"] >= 250 for earlier, later in pairwise(updates))

    serve_twin(use)


def test_the_last_update_of_a_candle_comes_before_its_end_and_the_next_one_at_once_after() -> None:
    async def use(_twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow(("candle1m", BTC))
        updates = await client.updates(120.0)
        last_ms = max(one["ts"] for one in updates if one["data"][0][0] == str(OPEN_MS))
        next_ms = min(one["ts"] for one in updates if one["data"][0][0] == str(OPEN_MS + MINUTE_MS))
        assert (last_ms, next_ms) == (OPEN_MS + MINUTE_MS - 250, OPEN_MS + MINUTE_MS)

    serve_twin(use)


def test_a_calm_server_sends_few_updates_and_still_whole_candles() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow(("candle1m", BTC), ("ticker", BTC))
        frames = await client.frames(110.0)
        rows = [values(row) for row in rows_of([one for one in frames if one.get("action") == "update"])]
        assert len([row for row in rows if row[0] == OPEN_MS + MINUTE_MS]) == 4
        (truth,) = twin.history(BTC, OPEN_MS, OPEN_MS + MINUTE_MS)
        assert [row for row in rows if row[0] == OPEN_MS][-1][4] == truth.close
        assert len([one for one in frames if one.get("arg") == arg("ticker", BTC)]) == 1 + 1 + 6

    serve_twin(use, update_ms=20_000, ticker_ms=20_000)


def test_no_update_is_pushed_for_a_candle_without_trades() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow(("candle1m", PAPER))
        pushed = {int(row[0]) for row in rows_of(await client.updates(1_800.0, PAPER))}
        truth = twin.history(PAPER, OPEN_MS, OPEN_MS + 31 * MINUTE_MS)
        assert pushed == {row.open_time_ms for row in truth if row.volume > 0.0}
        assert len(pushed) < 25

    serve_twin(use, update_ms=10_000)


def test_a_ticker_is_a_whole_snapshot_each_time() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow(("ticker", BTC))
        pushes = (await client.frames(3.0))[1:]
        assert len(pushes) == 11
        for push in pushes:
            (ticker,) = push["data"]
            assert push["action"] == "snapshot"
            assert ticker["instId"] == ticker["symbol"] == BTC
            assert float(ticker["holdingAmount"]) == twin.open_interest(BTC, push["ts"])
            assert int(ticker["nextFundingTime"]) == OPEN_MS // HOUR_MS * HOUR_MS + 6 * HOUR_MS
            assert float(ticker["fundingRate"]) == MARKET.settled_rate(BTC, int(ticker["nextFundingTime"]))

    serve_twin(use)


def test_after_unsubscribing_nothing_more_comes() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow(("ticker", BTC), ("ticker", ETH))
        await client.frames(0.5)
        await client.request("unsubscribe", ("ticker", BTC))
        frames = await client.frames(2.0)
        gone = frames.index({"event": "unsubscribe", "arg": arg("ticker", BTC)})
        assert {frame["arg"]["instId"] for frame in frames[gone + 1 :]} == {ETH}
        assert twin.count_followers() == {f"ticker:{ETH}": 1}

    serve_twin(use)


def test_asking_again_brings_a_new_snapshot_and_no_second_stream() -> None:
    async def use(_twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow(("candle1m", BTC))
        await client.frames(1.0)
        await client.follow(("candle1m", BTC))
        frames = await client.frames(1.0)
        assert [frame.get("event", frame.get("action")) for frame in frames].count("snapshot") == 1
        assert len([frame for frame in frames if frame.get("action") == "update"]) == 2

    serve_twin(use)


def test_all_followers_of_a_channel_get_the_same_frames() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        async with connect_client(twin, client.clock) as other:
            for one in (client, other):
                await one.follow(("candle1m", BTC))
                await one.frames(0.001)
            assert await client.updates(10.0) == await other.updates(0.001)

    serve_twin(use)


# ---------------------------------------------------------------- limits


async def closed_within(client: TwinClient, seconds: float) -> ConnectionClosed:
    """How the connection ended that sends no pings."""
    client.pings = False
    with pytest.raises(ConnectionClosed) as caught:
        await client.raw(seconds)
    return caught.value


def test_without_a_ping_the_connection_is_cut_after_two_minutes_though_data_flows() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow(("ticker", BTC))
        ended = await closed_within(client, 200.0)
        assert ended.rcvd is None, "no close frame"
        assert client.clock.now_ms() - START_MS == 120_000
        assert twin.statistics.refused_by_limit == {"ping": 1}
        assert twin.statistics.connections == 0

    serve_twin(use)


@pytest.mark.system
def test_with_pings_it_lives_until_it_is_a_day_old() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        await client.raw(86_370.0)
        assert twin.statistics.connections == 1
        await client.socket.send("ping")
        ended = await closed_within(client, 60.0)
        assert ended.rcvd is None
        assert client.clock.now_ms() - START_MS == 86_400_000
        assert not twin.statistics.breaches

    serve_twin(use)


def test_more_than_ten_messages_a_second_end_the_connection() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        for _ in range(11):
            await client.socket.send("ping")
        messages = [await client.socket.recv() for _ in range(11)]
        assert messages[:10] == ["pong"] * 10
        assert json.loads(messages[10])["code"] == 30_007
        await closed_within(client, 1.0)
        assert twin.statistics.refused_by_limit == {"messages_a_second": 1}

    serve_twin(use)


def test_two_hundred_and_forty_subscriptions_an_hour_are_the_most() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        for _ in range(241):
            await client.socket.send("ping")
            await client.request("subscribe", ("candle1m", BTC))
            last = [frame for frame in await client.frames(1.0) if frame.get("event") == "error"]
        assert last == [{"event": "error", "code": 30_006, "msg": "Too many requests", "op": "subscribe"}]
        await client.clock.sleep(60.0)
        assert twin.statistics.subscribes == 240

    serve_twin(use, behaviour=ExchangeBehaviour(snapshot_rows=2))


def test_a_request_beyond_4096_bytes_of_args_is_refused() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        args: list[dict[str, Any]] = [arg("candle1m", BTC)] * 70
        await client.socket.send(json.dumps({"op": "subscribe", "args": args[:60]}, separators=(",", ":")))
        assert len([one for one in await client.frames(0.1) if "event" in one]) == 60
        await client.socket.send(json.dumps({"op": "subscribe", "args": args}, separators=(",", ":")))
        frames = await client.frames(0.1)
        assert [one["code"] for one in frames] == [30_002]
        assert twin.statistics.refused_by_limit == {"args_bytes": 1}

    serve_twin(use, behaviour=ExchangeBehaviour(snapshot_rows=2))


def test_one_address_has_at_most_a_hundred_connections() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        more = [await connect(twin.ws_url, ping_interval=None) for _ in range(99)]
        with pytest.raises(InvalidStatus) as refused:
            await connect(twin.ws_url)
        assert refused.value.response.status_code == 429
        await more[0].close()
        await client.clock.sleep(0.1)
        more.append(await connect(twin.ws_url, ping_interval=None))
        for socket in more:
            await socket.close()
        assert twin.statistics.refused_by_limit == {"connections": 1}

    serve_twin(use)


def test_three_hundred_attempts_in_five_minutes_are_the_most() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        for _ in range(299):
            async with connect(twin.ws_url, ping_interval=None):
                pass
        with pytest.raises(InvalidStatus) as refused:
            await connect(twin.ws_url)
        assert refused.value.response.status_code == 429
        await client.clock.sleep(300.0)
        async with connect(twin.ws_url, ping_interval=None):
            pass
        assert twin.statistics.connected == 301

    serve_twin(use)


def test_a_client_that_does_not_read_is_cut_off() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        deaf = await connect(twin.ws_url, ping_interval=None, compression=None, max_queue=1)
        symbols = [arg("candle1m", symbol) for symbol in MARKET.symbols]
        for _ in range(200):
            with suppress(ConnectionClosed):
                await deaf.send(json.dumps({"op": "subscribe", "args": symbols}))
            await client.clock.sleep(0.5)
            if twin.statistics.breaches:
                break
        assert twin.statistics.refused_by_limit == {"backlog": 1}
        assert twin.statistics.connections == 1
        deaf.transport.abort()

    serve_twin(use)


def test_a_thousand_channels_are_the_most_of_a_connection() -> None:
    names = [f"C{number}USDT" for number in range(110)]

    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        kinds = ("1m", "5m", "15m", "30m", "1H", "4H", "6H", "12H", "1D", "1Dutc")
        for name in names[:101]:
            await client.request("subscribe", *((f"candle{kind}", name) for kind in kinds))
            await client.clock.sleep(0.2)
        assert twin.statistics.subscribes == 1_000
        assert twin.statistics.refused_by_limit["channels"] > 0

    serve_twin(use, market=FlatMarket(names), behaviour=ExchangeBehaviour(snapshot_rows=1, update_ms=60_000))
