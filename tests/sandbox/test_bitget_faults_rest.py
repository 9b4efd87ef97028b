"""What goes wrong on the pages, fault by fault, and faults thrown by a script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from papertape.events.units import DAY_MS, HOUR_MS
from papertape.sandbox.bitget.faults import BitgetFault, BitgetFaultInjector
from papertape.sandbox.bitget.script import ALL, FaultScript
from tests.sandbox.served_twin import BTC, ETH, MARKET, START_MS, TwinClient, connect_client, serve_twin

if TYPE_CHECKING:
    from papertape.sandbox.bitget.twin import BitgetTwin

CANDLES: dict[str, Any] = {"symbol": BTC, "granularity": "1m"}


@pytest.mark.parametrize(
    ("fault", "value", "status", "body"),
    [
        (BitgetFault.BUSY, None, 429, '"429"'),
        (BitgetFault.BUSY, 7, 429, '"429"'),
        (BitgetFault.SERVER_ERROR, None, 500, '"45001"'),
        (BitgetFault.HTML_OK, None, 200, "<html>"),
        (BitgetFault.HTML_BAD_GATEWAY, None, 502, "<html>"),
    ],
)
def test_an_answer_can_be_none_that_helps(fault: BitgetFault, value: int | None, status: int, body: str) -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        twin.faults.on(fault, value=value, times=1)
        answer = await client.page("candles", **CANDLES)
        assert (answer.status_code, body in answer.text) == (status, True)
        assert answer.headers.get("retry-after") == (None if value is None else str(value))
        assert len(await client.data("candles", **CANDLES)) == 100, "and the next one does"
        assert twin.faults.counts[fault] == 1
        assert twin.statistics.too_many == (1 if fault is BitgetFault.BUSY else 0)

    serve_twin(use)


def test_an_answer_can_be_cut() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        twin.faults.on(BitgetFault.CUT_BODY, times=1)
        with pytest.raises(httpx.RemoteProtocolError):
            await client.page("candles", **CANDLES)
        assert len(await client.data("candles", **CANDLES)) == 100

    serve_twin(use)


def test_an_answer_can_be_a_reset() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        twin.faults.on(BitgetFault.REST_RESET, times=1)
        with pytest.raises(httpx.ReadError):
            await client.page("candles", **CANDLES)
        assert len(await client.data("candles", **CANDLES)) == 100

    serve_twin(use)


def test_an_answer_can_never_come() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        twin.faults.on(BitgetFault.HANGING, times=1)
        with pytest.raises(httpx.ReadTimeout):
            await client.page("candles", **CANDLES)
        assert client.clock.now_ms() - START_MS == 5_000
        assert len(await client.data("candles", **CANDLES)) == 100

    serve_twin(use)


def test_nobody_can_be_listening() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        twin.faults.on(BitgetFault.REFUSED_CONNECTION, for_s=20.0)
        async with httpx.AsyncClient(base_url=twin.rest_url) as http:
            with pytest.raises(httpx.ConnectError):
                await http.get("/api/v2/public/time")
            await client.clock.sleep(21.0)
            assert (await http.get("/api/v2/public/time")).status_code == 200

    serve_twin(use)


def test_a_page_can_be_empty_where_there_should_be_rows() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        twin.faults.on(BitgetFault.EMPTY_DATA, symbol=BTC, for_s=10.0)
        for name in ("candles", "history-candles", "history-fund-rate", "ticker", "contracts"):
            assert await client.data(name, **CANDLES) == []
        assert len(await client.data("candles", symbol=ETH, granularity="1m")) == 100

    serve_twin(use)


def test_one_symbol_can_be_unknown() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        twin.faults.on(BitgetFault.UNKNOWN_SYMBOL, symbol=BTC)
        assert (await client.page("candles", **CANDLES)).json()["code"] == "40034"
        assert len(await client.data("candles", symbol=ETH, granularity="1m")) == 100
        twin.faults.off(BitgetFault.UNKNOWN_SYMBOL, BTC)
        assert len(await client.data("candles", **CANDLES)) == 100

    serve_twin(use)


def test_a_switch_ends_by_itself_and_switches_of_two_symbols_are_apart() -> None:
    now_ms = 0
    faults = BitgetFaultInjector()
    faults.bind(lambda: now_ms, print)
    faults.on(BitgetFault.EMPTY_DATA, symbol=BTC, for_s=10.0)
    faults.on(BitgetFault.EMPTY_DATA, symbol=ETH, times=2)
    assert [faults.hits(BitgetFault.EMPTY_DATA, ETH) is not None for _ in range(3)] == [True, True, False]
    now_ms = 9_999
    assert faults.hits(BitgetFault.EMPTY_DATA, BTC) is not None
    now_ms = 10_000
    assert faults.hits(BitgetFault.EMPTY_DATA, BTC) is None
    assert faults.counts == {BitgetFault.EMPTY_DATA: 3}


# ---------------------------------------------------------------- the script


def thrown(script: FaultScript, until_ms: int) -> list[tuple[int, BitgetFault]]:
    """What a script throws until then."""
    now_ms, events = START_MS, []
    faults = BitgetFaultInjector()
    faults.bind(lambda: now_ms, lambda switch: events.append((now_ms, switch.fault)))
    while (now_ms := script.next_ms) < until_ms:
        before = {fault: len(switches) for fault, switches in faults.active.items()}
        script.run(now_ms, faults)
        events += [(now_ms, fault) for fault, switches in faults.active.items() if len(switches) > before.get(fault, 0)]
    return events


def script(seed: int, calm: tuple[tuple[int, int], ...] = (), an_hour: float = 20.0) -> FaultScript:
    """Two days of faults."""
    return FaultScript(seed, MARKET.symbols, START_MS, START_MS + 2 * DAY_MS, an_hour=an_hour, calm=calm)


def test_a_seed_always_throws_the_same_faults_at_the_rate_asked_for() -> None:
    first, again, other = (thrown(script(seed), START_MS + 3 * DAY_MS) for seed in (1, 1, 2))
    assert first == again != other
    assert 700 < len(first) < 1_300
    assert {fault for _, fault in first} == set(ALL)


def test_calm_windows_are_calm() -> None:
    calm = ((START_MS + 5 * HOUR_MS, START_MS + 8 * HOUR_MS), (START_MS + DAY_MS, START_MS + DAY_MS + HOUR_MS))
    times = [at_ms for at_ms, _ in thrown(script(1, calm), START_MS + 3 * DAY_MS)]
    assert not [at_ms for at_ms in times if any(from_ms <= at_ms < until_ms for from_ms, until_ms in calm)]
    assert len(times) > 500


def test_a_script_runs_for_days_and_a_client_that_comes_back_is_served_in_the_calm() -> None:
    calm = (START_MS + 6 * HOUR_MS, START_MS + DAY_MS)

    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        for _ in range(8):
            try:
                async with connect_client(twin, client.clock) as again:
                    await again.follow(("candle1m", BTC), ("ticker", BTC))
                    await again.raw(60.0)
            except (ConnectionClosed, InvalidHandshake, OSError):
                pass
            await client.clock.sleep(1_800.0)
        await client.clock.sleep((calm[0] - client.clock.now_ms()) / 1_000.0 + 1.0)
        async with connect_client(twin, client.clock) as again:
            await again.follow(("ticker", BTC))
            assert len(await again.frames(60.0)) > 150
        assert len(await client.data("candles", **CANDLES)) == 100
        assert sum(twin.faults.counts.values()) > 30

    serve_twin(use, script=script(3, (calm,), 60.0), update_ms=5_000)


def test_the_history_is_the_same_whatever_was_thrown() -> None:
    async def use(twin: BitgetTwin, client: TwinClient) -> None:
        await client.clock.sleep(14_400.0)
        twin.faults.clear()
        rows = await client.data("history-candles", **CANDLES, limit=200, endTime=START_MS + HOUR_MS)
        truths.append([row[1:6] for row in rows])

    truths: list[Any] = []
    serve_twin(use)
    serve_twin(use, script=FaultScript(5, MARKET.symbols, START_MS, START_MS + DAY_MS, an_hour=60.0))
    assert truths[0] == truths[1]
