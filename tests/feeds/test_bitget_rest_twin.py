"""The REST client against the stand-in of the exchange: what it finds is the market's history, within all limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.engine.feeds.bitget.rest import BitgetRest
from papertape.engine.feeds.bitget.settings import BitgetSettings
from papertape.engine.feeds.candle_row import CandleRow
from papertape.engine.feeds.live.exchange import FundingSettlement
from papertape.engine.ports.feed import RefusalLog
from papertape.events.errors import ExchangeBusy, ExchangeRefused, ExchangeUnreachable
from papertape.sandbox.bitget.faults import BitgetFault
from papertape.sandbox.bitget.market import SimTwinMarket
from papertape.sandbox.bitget.twin import BitgetTwin
from papertape.sandbox.bitget.venue import ExchangeBehaviour
from tests.sandbox.virtual_time import VirtualClock, run
from tests.support import examples

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
START_MS = 20_600 * DAY_MS + 10 * HOUR_MS + 17_300
NOW_MS = START_MS // MINUTE_MS * MINUTE_MS
BTC, QUIET = "BTCUSDT", "PAPERUSDT"
MARKET = SimTwinMarket([BTC, QUIET], quiet={QUIET: 0.4})
T = TypeVar("T")


def against(
    use: Callable[[BitgetRest, BitgetTwin], Awaitable[T]], behaviour: dict[str, Any] | None = None, **more: Any
) -> T:
    """What a client makes of the twin, which it never asks for too much."""

    async def main(clock: VirtualClock) -> T:
        async with BitgetTwin(
            MARKET, clock, behaviour=ExchangeBehaviour(**(behaviour or {})), skew_ms=more.get("skew_ms", 0)
        ) as twin:
            refusals = RefusalLog()
            timeframe_ms = more.get("timeframe_ms", MINUTE_MS)
            rest = BitgetRest(BitgetSettings(rest_url=twin.rest_url, timeframe_ms=timeframe_ms), clock, refusals)
            try:
                found = await use(rest, twin)
            finally:
                await rest.close()
            assert not twin.statistics.breaches
            assert twin.statistics.too_many == 0 and refusals.total == 0
            return found

    return run(main, START_MS)


@pytest.mark.system
@pytest.mark.parametrize("symbol", [BTC, QUIET])
@pytest.mark.parametrize("bounds", [False, True])
@pytest.mark.parametrize("ago_days", [0, 28.9, 40])
def test_every_length_of_range_is_whole(ago_days: float, bounds: bool, symbol: str) -> None:
    until_ms = NOW_MS - int(ago_days * DAY_MS) // MINUTE_MS * MINUTE_MS

    async def use(rest: BitgetRest, twin: BitgetTwin) -> None:
        for count in (1, 199, 200, 201, 999, 1_000, 1_001, 2_500):
            found = await rest.candles(symbol, until_ms - count * MINUTE_MS, until_ms)
            assert found == twin.history(symbol, until_ms - count * MINUTE_MS, until_ms)

    against(use, {"start_bounds": bounds})


@given(st.integers(0, 45 * 1_440), st.integers(0, 3_000), st.integers(0, 59_999), st.booleans())
@examples(30)
def test_any_range_is_whole(ago: int, count: int, crooked_ms: int, bounds: bool) -> None:
    until_ms = NOW_MS - ago * MINUTE_MS + crooked_ms
    from_ms = until_ms - count * MINUTE_MS

    async def use(rest: BitgetRest, twin: BitgetTwin) -> tuple[list[CandleRow], list[CandleRow]]:
        return await rest.candles(QUIET, from_ms, until_ms), twin.history(QUIET, from_ms, min(until_ms, NOW_MS))

    found, true = against(use, {"start_bounds": bounds})
    assert found == true


def test_hours_and_the_mark_price_have_their_own_pages() -> None:
    async def use(rest: BitgetRest, _twin: BitgetTwin) -> None:
        hour_ms = NOW_MS // HOUR_MS * HOUR_MS
        hours = await rest.candles(BTC, hour_ms - 300 * HOUR_MS, hour_ms)
        assert [row.open_time_ms for row in hours] == [hour_ms - ago * HOUR_MS for ago in range(300, 0, -1)]
        marks = await rest.mark_candles(BTC, NOW_MS - 450 * MINUTE_MS, NOW_MS, MINUTE_MS)
        assert marks == [MARKET.mark_candle(BTC, NOW_MS - ago * MINUTE_MS) for ago in range(450, 0, -1)]

    against(use, timeframe_ms=HOUR_MS)


@pytest.mark.parametrize("skew_ms", [-90_000, 0, 90_000])
def test_closed_is_what_the_exchange_calls_closed(skew_ms: int) -> None:
    async def use(rest: BitgetRest, twin: BitgetTwin) -> tuple[list[CandleRow], list[CandleRow]]:
        found = await rest.candles(BTC, NOW_MS - HOUR_MS, NOW_MS + HOUR_MS)
        assert rest.offset_ms == pytest.approx(skew_ms, abs=2)
        return found, twin.history(BTC, NOW_MS - HOUR_MS, twin.now_ms() // MINUTE_MS * MINUTE_MS)

    found, true = against(use, skew_ms=skew_ms)
    assert found == true


def test_an_empty_page_of_recent_candles_is_asked_of_the_history() -> None:
    async def use(rest: BitgetRest, twin: BitgetTwin) -> None:
        twin.faults.on(BitgetFault.EMPTY_DATA, symbol=BTC, times=1)
        found = await rest.candles(BTC, NOW_MS - 500 * MINUTE_MS, NOW_MS)
        assert found == twin.history(BTC, NOW_MS - 500 * MINUTE_MS, NOW_MS)
        assert twin.statistics.requests["history-candles"] == 1

    against(use)


def test_settlements_are_those_of_ninety_days() -> None:
    async def use(rest: BitgetRest, twin: BitgetTwin) -> None:
        true = [FundingSettlement(at_ms, rate) for at_ms, rate in twin.settlements(BTC, NOW_MS - 90 * DAY_MS, NOW_MS)]
        assert await rest.settlements(BTC, 0) == true
        assert len(true) > 200
        assert await rest.settlements(BTC, true[-7].time_ms) == true[-7:]

    against(use)


def test_what_is_said_of_a_contract_is_read() -> None:
    async def use(rest: BitgetRest, twin: BitgetTwin) -> None:
        contract, listing = (await rest.contracts()).readable[BTC], MARKET.listing(BTC)
        assert (contract.tick_numerator, contract.tick_denominator) == listing.tick
        assert (contract.lot_numerator, contract.lot_denominator) == listing.lot
        assert contract.status == "normal"
        assert await rest.tiers(BTC) == tuple((start, rate) for start, _, _, rate in listing.tiers)
        assert await rest.next_settlement_ms(BTC) == (NOW_MS // (8 * HOUR_MS) + 1) * 8 * HOUR_MS
        reading = await rest.open_interest(BTC)
        assert reading.open_interest_base == twin.open_interest(BTC, reading.time_ms)

    against(use)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (BitgetFault.CUT_BODY, ExchangeUnreachable),
        (BitgetFault.REST_RESET, ExchangeUnreachable),
        (BitgetFault.HANGING, ExchangeUnreachable),
        (BitgetFault.SERVER_ERROR, ExchangeUnreachable),
        (BitgetFault.HTML_OK, ExchangeUnreachable),
        (BitgetFault.HTML_BAD_GATEWAY, ExchangeUnreachable),
        (BitgetFault.MAINTENANCE, ExchangeUnreachable),
        (BitgetFault.BUSY, ExchangeBusy),
        (BitgetFault.UNKNOWN_SYMBOL, ExchangeRefused),
    ],
)
def test_a_fault_has_a_name_and_the_next_request_is_served(fault: BitgetFault, error: type[Exception]) -> None:
    async def main(clock: VirtualClock) -> None:
        async with BitgetTwin(MARKET, clock) as twin:
            rest = BitgetRest(BitgetSettings(rest_url=twin.rest_url), clock, RefusalLog())
            await rest.server_time_ms()
            twin.faults.on(fault, times=1)
            with pytest.raises(error):
                await rest.candles(BTC, NOW_MS - HOUR_MS, NOW_MS)
            twin.faults.off(fault)
            assert len(await rest.candles(BTC, NOW_MS - HOUR_MS, NOW_MS)) == 60
            await rest.close()

    run(main, START_MS)
