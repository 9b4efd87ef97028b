"""What goes wrong on the socket, fault by fault, as a plain client sees it. The history stays the truth."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from papertape.engine.feeds.candle_row import CandleRow, candle_row
from papertape.events.units import HOUR_MS, MINUTE_MS
from papertape.sandbox.bitget.faults import BitgetFault
from papertape.sandbox.bitget.garbage import Garbage
from papertape.sandbox.bitget.market import forming_candle
from tests.sandbox.served_twin import (
    BTC,
    ETH,
    MARKET,
    START_MS,
    TwinClient,
    arg,
    connect_client,
    rows_of,
    serve_twin,
    values,
)

if TYPE_CHECKING:
    from papertape.sandbox.bitget.twin import BitgetTwin

OPEN_MS = START_MS // MINUTE_MS * MINUTE_MS
TRUE_SHAPES = (Garbage.NUMBER_FOR_TEXT, Garbage.TEXT_FOR_NUMBER, Garbage.EXTRA_FIELDS)


async def ended(client: TwinClient) -> ConnectionClosed:
    """How the connection ends now."""
    with pytest.raises(ConnectionClosed) as caught:
        await client.raw(5.0)
    return caught.value


@pytest.mark.parametrize(
    ("fault", "code"),
    [(BitgetFault.CLOSE, 1_001), (BitgetFault.ABORT, None), (BitgetFault.RESET, None), (BitgetFault.DAY_CUT, None)],
)
def test_a_connection_ends_with_a_close_frame_or_without(fault: BitgetFault, code: int | None) -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow(("ticker", BTC))
        await client.frames(1.0)
        twin.faults.on(fault)
        end = await ended(client)
        assert (end.rcvd.code if end.rcvd else None) == code
        assert isinstance(end.__cause__, ConnectionResetError) == (fault is BitgetFault.RESET)
        assert twin.faults.counts == {fault: 1}
        assert twin.statistics.connections == 0
        async with connect_client(twin, client.clock) as again:
            await again.follow(("ticker", BTC))
            assert len(await again.frames(1.0)) > 3

    serve_twin(use)


def test_only_some_connections_can_be_hurt() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        async with connect_client(twin, client.clock) as other:
            twin.faults.on(BitgetFault.ABORT, times=1)
            await ended(client)
            await other.socket.send("ping")
            assert await other.socket.recv() == "pong"

    serve_twin(use)


@pytest.mark.parametrize(("fault", "pongs"), [(BitgetFault.SILENT, 0), (BitgetFault.STALLED, 2)])
def test_a_stale_socket_stays_open_and_sends_nothing(fault: BitgetFault, pongs: int) -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow(("ticker", BTC), ("candle1m", BTC))
        await client.frames(1.05)
        twin.faults.on(fault)
        assert await client.raw(60.0) == ["pong"] * pongs
        assert twin.statistics.connections == 1
        async with connect_client(twin, client.clock) as again:
            await again.follow(("ticker", BTC))
            assert len(await again.frames(1.0)) > 3, "a new connection is served"

    serve_twin(use)


def test_pings_can_stay_unanswered_while_data_flows() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow(("ticker", BTC))
        twin.faults.on(BitgetFault.NO_PONG, for_s=45.0)
        messages = await client.raw(70.0)
        assert messages.count("pong") == 1
        assert len(messages) > 200
        assert twin.faults.counts == {BitgetFault.NO_PONG: 1}

    serve_twin(use)


def test_one_symbol_can_be_silent() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow(("ticker", BTC), ("candle1m", BTC), ("ticker", ETH))
        await client.frames(0.1)
        twin.faults.on(BitgetFault.SILENT_SYMBOL, symbol=BTC, for_s=60.0)
        assert {frame["arg"]["instId"] for frame in await client.frames(50.0)} == {ETH}
        assert {frame["arg"]["instId"] for frame in await client.frames(20.0)} == {BTC, ETH}

    serve_twin(use)


def test_a_symbol_that_exists_can_be_refused_for_a_while() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        twin.faults.on(BitgetFault.REFUSED_SUBSCRIBE, symbol=BTC, for_s=30.0)
        await client.follow(("ticker", BTC), ("ticker", ETH))
        frames = await client.frames(1.0)
        assert [frame.get("code") for frame in frames if "event" in frame] == [30_001, None]
        await client.clock.sleep(30.0)
        await client.follow(("ticker", BTC))
        assert arg("ticker", BTC) in [frame["arg"] for frame in await client.frames(1.0) if "action" in frame]

    serve_twin(use)


def test_an_acknowledgement_can_be_all_that_comes() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        twin.faults.on(BitgetFault.FALSE_ACK, symbol=BTC, times=1)
        await client.follow(("ticker", BTC))
        assert await client.frames(30.0) == [{"event": "subscribe", "arg": arg("ticker", BTC)}]
        await client.follow(("ticker", BTC))
        assert len(await client.frames(3.0)) > 10

    serve_twin(use)


def test_frames_can_come_twice() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow(("candle1m", BTC))
        twin.faults.on(BitgetFault.DUPLICATE)
        updates = await client.updates(10.0)
        assert len(updates) == 2 * 20 and updates[::2] == updates[1::2]

    serve_twin(use)


def test_an_older_version_of_a_row_can_follow_a_newer_one() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow(("candle1m", BTC))
        twin.faults.on(BitgetFault.OUT_OF_ORDER)
        rows = [values(row) for row in rows_of(await client.updates(60.0))]
        newer, older = rows[::2], rows[1::2]
        assert all(old[0] <= new[0] for new, old in zip(newer, older, strict=False))
        assert any(old[0] == new[0] and old[5] < new[5] for new, old in zip(newer, older, strict=False))
        assert any(old[0] < new[0] for new, old in zip(newer, older, strict=False)), "of a closed candle too"

    serve_twin(use)


def test_a_snapshot_can_be_some_minutes_old() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        twin.faults.on(BitgetFault.STALE_SNAPSHOT, value=4, times=1)
        await client.follow(("candle1m", BTC))
        _, snapshot = await client.frames(0.1)
        last = values(snapshot["data"][-1])
        assert last[0] == OPEN_MS - 5 * MINUTE_MS
        (truth,) = twin.history(BTC, int(last[0]), int(last[0]) + 1)
        half = forming_candle(truth, MARKET.listing(BTC).tick, MINUTE_MS // 2, MINUTE_MS)
        assert last[4:] == (half.close, half.volume) and half.volume < truth.volume

    serve_twin(use)


def test_two_rows_can_come_in_one_frame() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow(("candle1m", BTC))
        twin.faults.on(BitgetFault.TWO_ROWS)
        rows = [len(frame["data"]) for frame in await client.updates(70.0)]
        assert set(rows) == {1, 2} and rows.count(2) == 1

    serve_twin(use)


def test_a_candle_can_be_left_out_altogether() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow(("candle1m", BTC))
        twin.faults.on(BitgetFault.SKIPPED_BAR, symbol=BTC, times=1)
        opens = {int(row[0]) for row in rows_of(await client.updates(170.0))}
        assert opens == {OPEN_MS, OPEN_MS + 2 * MINUTE_MS, OPEN_MS + 3 * MINUTE_MS}

    serve_twin(use)


def test_a_last_row_can_be_wrong_and_be_corrected_after_the_close() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow(("candle1m", BTC))
        twin.faults.on(BitgetFault.CORRECTED, times=1)
        updates = [one for one in await client.updates(60.0) if one["data"][0][0] == str(OPEN_MS)]
        wrong, right = updates[-2:]
        (truth,) = twin.history(BTC, OPEN_MS, OPEN_MS + 1)
        assert wrong["ts"] < OPEN_MS + MINUTE_MS < right["ts"] <= OPEN_MS + MINUTE_MS + 1_500
        assert values(right["data"][0])[4:] == (truth.close, truth.volume)
        assert values(wrong["data"][0])[4] != truth.close
        assert values(wrong["data"][0])[5] < truth.volume
        assert isinstance(candle_row(wrong["data"][0], MINUTE_MS), CandleRow), "plausible in itself"
        rows = await client.data("history-candles", symbol=BTC, granularity="1m", endTime=OPEN_MS + MINUTE_MS, limit=1)
        assert float(rows[0][4]) == truth.close

    serve_twin(use)


@pytest.mark.parametrize("kind", list(Garbage))
def test_rubbish_comes_beside_the_good_frames(kind: Garbage) -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow(("candle1m", BTC), ("ticker", BTC))
        await client.raw(0.001)
        twin.faults.on(BitgetFault.GARBAGE, value=kind, for_s=3.0)
        messages = await client.raw(3.0)
        good = [one for one in messages if is_good(one)]
        # Some kinds hold true numbers in another shape: what is rubbish about them is for the client to say.
        assert len(good) == (16 if kind not in TRUE_SHAPES else 2 * 16)
        assert len(messages) == 2 * 16
        assert twin.faults.counts == {BitgetFault.GARBAGE: 16}
        truth = await client.data("candles", symbol=BTC, granularity="1m", limit=1)
        assert isinstance(candle_row(truth[0], MINUTE_MS), CandleRow)

    serve_twin(use)


def is_good(message: str | bytes) -> bool:
    """Whether a careful reader would take the numbers of a message for true."""
    try:
        frame = json.loads(message)
        row = frame["data"][0]
        prices = row[1:5] if isinstance(row, list) else [row["lastPr"], row["markPrice"]]
        in_range = all(50_000.0 < float(price) < 150_000.0 for price in prices)
        near = not isinstance(row, list) or (int(row[0]) == OPEN_MS and len(row) >= 6)
        timely = isinstance(row, list) or int(row["nextFundingTime"]) % HOUR_MS == 0
    except (ValueError, KeyError, IndexError, TypeError):
        return False
    return frame["arg"]["instId"] == BTC and in_range and near and timely


def test_a_giant_frame_is_sent_as_fast_as_it_is_read() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        twin.faults.on(BitgetFault.GIANT, times=1)
        end = await ended(client)
        assert end.sent is not None and end.sent.code == 1_009, "the client's own limit"
        async with connect(twin.ws_url, ping_interval=None, max_size=None) as patient:
            twin.faults.on(BitgetFault.GIANT, value=10_000_000)
            assert len(await patient.recv()) == 10_000_000
            await patient.send("ping")
            assert await patient.recv() == "pong"

    serve_twin(use)


def test_in_maintenance_sockets_are_closed_and_refused() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        twin.faults.on(BitgetFault.MAINTENANCE, for_s=60.0)
        await ended(client)
        with pytest.raises(InvalidStatus) as refused:
            await connect(twin.ws_url)
        assert refused.value.response.status_code == 503
        contract = (await client.data("contracts", symbol=BTC))[0]
        assert contract["symbolStatus"] == "maintain"
        assert (await client.page("ticker", symbol=BTC)).status_code == 503
        await client.clock.sleep(60.0)
        assert (await client.data("contracts", symbol=BTC))[0]["symbolStatus"] == "normal"
        await (await connect(twin.ws_url)).close()

    serve_twin(use)


def test_one_contract_can_be_in_maintenance() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        twin.faults.on(BitgetFault.MAINTENANCE, symbol=BTC, value="restrictedAPI")
        statuses = {one["symbol"]: one["symbolStatus"] for one in await client.data("contracts")}
        assert statuses[BTC] == "restrictedAPI" and statuses[ETH] == "normal"
        assert len(await client.data("ticker", symbol=BTC)) == 1
        await client.socket.send("ping")
        assert await client.socket.recv() == "pong"

    serve_twin(use)


def test_the_clock_of_the_server_can_be_off_and_never_goes_back() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        async def server_ms() -> int:
            return int((await client.data("/api/v2/public/time"))["serverTime"])

        twin.faults.on(BitgetFault.SKEW, value=30_000)
        assert await server_ms() == START_MS + 30_000
        twin.faults.on(BitgetFault.SKEW, value=-5_000)
        assert await server_ms() == START_MS + 30_000, "it waits"
        await client.clock.sleep(60.0)
        assert await server_ms() == START_MS + 55_000

    serve_twin(use)


def test_the_interval_of_funding_can_change() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        twin.faults.on(BitgetFault.FUNDING_INTERVAL, symbol=BTC, value=1)
        rate = (await client.data("current-fund-rate", symbol=BTC))[0]
        assert rate["fundingRateInterval"] == "1"
        assert int(rate["nextUpdate"]) == OPEN_MS // HOUR_MS * HOUR_MS + HOUR_MS
        assert (await client.data("contracts", symbol=BTC))[0]["fundInterval"] == "1"
        assert (await client.data("contracts", symbol=ETH))[0]["fundInterval"] == "8"
        await client.clock.sleep(3.0 * 3_600.0)
        newest = await client.data("history-fund-rate", symbol=BTC, pageSize=3)
        assert [int(row["fundingTime"]) for row in newest] == [
            at_ms for at_ms, _ in twin.settlements(BTC, START_MS, twin.now_ms())
        ][::-1]

    serve_twin(use)
