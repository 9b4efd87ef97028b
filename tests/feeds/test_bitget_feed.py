"""The live feed as the exchange sees it: few requests, sockets kept well; every candle once, in order, on time."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from papertape.engine.feeds.bitget.client import BitgetClient
from papertape.engine.feeds.live.session import FeedSession
from papertape.engine.ports.feed import RefusalLog
from papertape.events.errors import ConfigError
from papertape.events.facts import (
    AnomalyCleared,
    AnomalyRaised,
    ContractListed,
    FeedConnected,
    FeedLost,
    FundingRateSettled,
    OpenInterestObserved,
    SymbolResumed,
    SymbolSuspended,
    Timing,
)
from papertape.events.units import HOUR_MS, MINUTE_MS
from papertape.sandbox.bitget.faults import BitgetFault
from papertape.sandbox.bitget.garbage import Garbage
from papertape.sandbox.bitget.market import SimTwinMarket
from papertape.sandbox.bitget.venue import ExchangeBehaviour
from tests.feeds.bitget_runs import (
    BTC,
    ETH,
    NOW_MS,
    SOL,
    START_MS,
    THREE,
    Plan,
    Then,
    WatchedTwin,
    act,
    assert_candles_are_the_history,
    assert_readings_are_true,
    assert_settlements_are_the_truth,
    assert_within_limits,
    order_of,
    read,
    settings_of,
    twin_of,
    watched,
)
from tests.sandbox.virtual_time import VirtualClock, run

if TYPE_CHECKING:
    from papertape.engine.feeds.live.reconnect import StreamStatistics

FIFTY = tuple(f"C{number:02d}USDT" for number in range(50))
RARE = ExchangeBehaviour(update_ms=60_000, ticker_ms=60_000, snapshot_rows=5)
ON_TIME_ONLY = {Timing.WARM_UP, Timing.ON_TIME}
AT_0750 = START_MS + 70 * MINUTE_MS
WATCHED_MS = START_MS + MINUTE_MS
"""From here on a start's candles are watched whole: none is to be asked for on a calm exchange."""


def on(fault: BitgetFault, **more: Any) -> Then:
    """Switch a fault on."""
    return lambda twin: twin.faults.on(fault, **more)


# ---------------------------------------------------------------- candles, settlements, readings


def test_a_calm_market_is_told_in_the_binding_order_and_on_time_from_the_streams_alone() -> None:
    seen = watched(minutes=20, start_ms=AT_0750)
    from_ms = NOW_MS + 65 * MINUTE_MS
    assert_candles_are_the_history(seen, from_ms=from_ms)
    assert_settlements_are_the_truth(seen, THREE, from_ms, AT_0750 + 20 * MINUTE_MS)
    assert_readings_are_true(seen)
    assert order_of(seen).misplaced == 0
    assert len(seen.of(FundingRateSettled)) == 3 and len(seen.of(OpenInterestObserved)) == 3 * 3
    assert max(seen.delays_s()) <= 4.0
    assert seen.twin.pages("candles", from_ms=AT_0750 + MINUTE_MS) == []
    assert_within_limits(seen.twin)


def test_a_minute_without_trades_is_asked_for_after_three_seconds_and_told_flat() -> None:
    market = SimTwinMarket(THREE, quiet={ETH: 0.5})
    seen = watched(minutes=20, market=market)
    assert_candles_are_the_history(seen)
    quiet = [candle for candle in seen.candles(ETH) if candle.volume == 0.0]
    assert len(quiet) > 5 and {candle.timing for candle in seen.candles()} == ON_TIME_ONLY
    assert max(seen.delays_s()) <= 5.0
    assert seen.twin.pages("candles", BTC, from_ms=WATCHED_MS) == []


def test_a_settlement_that_is_published_late_is_still_told_before_the_next_candle() -> None:
    behaviour = ExchangeBehaviour(update_ms=20_000, ticker_ms=20_000, snapshot_rows=20, funding_delay_ms=70_000)
    seen = watched(minutes=20, behaviour=behaviour, start_ms=AT_0750)
    assert len(seen.of(FundingRateSettled)) == 3
    assert order_of(seen).misplaced == 0
    assert {candle.timing for candle in seen.candles()} == ON_TIME_ONLY


@pytest.mark.parametrize("kind", [Garbage.FUTURE, Garbage.OFF_GRID, Garbage.JUMP])
def test_a_ticker_that_names_a_wrong_settlement_delays_no_settlement(kind: Garbage) -> None:
    seen = watched(minutes=20, start_ms=AT_0750, then=[(0.0, on(BitgetFault.GARBAGE, value=kind))])
    assert_settlements_are_the_truth(seen, THREE, AT_0750, AT_0750 + 20 * MINUTE_MS)
    assert order_of(seen).misplaced == 0
    assert_readings_are_true(seen)


@pytest.mark.system
@pytest.mark.parametrize(("minute", "hours"), [(3.0, 1), (9.6, 1), (15.0, 2)])
def test_a_settlement_is_told_in_its_place_also_when_the_interval_changes_unseen(minute: float, hours: int) -> None:
    start_ms = AT_0750 + HOUR_MS
    later = (minute, on(BitgetFault.FUNDING_INTERVAL, symbol=BTC, value=hours))
    silent = (minute - 1.0, on(BitgetFault.SILENT_SYMBOL, symbol=BTC, for_s=600.0))
    seen = watched(minutes=80, start_ms=start_ms, then=[silent, later])
    assert len(seen.of(FundingRateSettled)) == (2 if minute < 10.0 else 1)
    assert_settlements_are_the_truth(seen, THREE, start_ms, start_ms + 80 * MINUTE_MS)
    assert order_of(seen).misplaced == 0


# ---------------------------------------------------------------- contracts


def test_contracts_are_listed_first_as_the_exchange_specifies_them() -> None:
    seen = watched(minutes=1, warm_up_minutes=1)
    contracts: list[ContractListed] = seen.of(ContractListed)
    assert seen.facts[:3] == contracts
    assert [contract.symbol for contract in contracts] == list(THREE)
    for contract in contracts:
        listing = seen.twin._venue.history.listing(contract.symbol)
        assert (contract.tick_numerator, contract.tick_denominator) == listing.tick
        assert (contract.lot_numerator, contract.lot_denominator) == listing.lot
        assert contract.maintenance_tiers == tuple((start, rate) for start, _, _, rate in listing.tiers)
        assert (contract.minimum_notional_usdt, contract.source) == (5.0, "bitget")
        assert (contract.maker_fee_rate, contract.taker_fee_rate) == (0.0002, 0.0006)


def test_an_unknown_symbol_ends_the_start_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"BTCUSD .*did you mean BTCUSDT"):
        watched(minutes=2, market=SimTwinMarket(THREE), symbols=("BTCUSD", ETH))


def test_a_contract_that_is_closed_for_trading_is_suspended_until_it_opens_again() -> None:
    def maintain(twin: WatchedTwin) -> None:
        twin.states[ETH] = "maintain"

    seen = watched(minutes=20, then=[(6.0, maintain), (12.0, lambda twin: twin.states.clear())])
    (suspended,), (resumed,) = seen.of(SymbolSuspended), seen.of(SymbolResumed)
    assert suspended.symbol == resumed.symbol == ETH and "maintain" in suspended.reason
    assert START_MS + 6 * MINUTE_MS <= suspended.at_ms <= START_MS + 11.1 * MINUTE_MS
    assert START_MS + 12 * MINUTE_MS <= resumed.at_ms <= START_MS + 17.1 * MINUTE_MS
    assert_candles_are_the_history(seen)


def test_a_contract_that_is_closed_at_the_start_is_suspended_before_its_first_candle() -> None:
    seen = watched(minutes=3, before=lambda twin: twin.states.update({SOL: "limit_open"}))
    assert isinstance(seen.facts[3], SymbolSuspended) and seen.facts[3].symbol == SOL
    assert_candles_are_the_history(seen)


# ---------------------------------------------------------------- limits


@pytest.mark.system
def test_fifty_symbols_are_subscribed_and_again_after_a_cut_without_going_beyond_a_limit() -> None:
    cuts = [(4.0, on(BitgetFault.ABORT)), (6.0, on(BitgetFault.RESET)), (6.1, on(BitgetFault.CLOSE))]
    seen = watched(minutes=9, symbols=FIFTY, then=cuts)
    assert_candles_are_the_history(seen, FIFTY)
    assert_within_limits(seen.twin)
    assert seen.twin.statistics.too_many == 0
    assert max(seen.delays_s()) <= 30.0
    assert seen.of(FeedLost, SymbolSuspended) == []
    assert seen.twin.statistics.subscribes == 4 * 2 * 50
    assert order_of(seen, FIFTY).misplaced == 0


@pytest.mark.parametrize("hours", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_an_outage_of_hours_is_survived_by_trying_patiently(hours: int) -> None:
    away = on(BitgetFault.MAINTENANCE, for_s=hours * 3_600.0)
    more, until = {"silence_s": 75.0}, hours * 60 + 15
    seen = watched(minutes=until, symbols=(BTC,), then=[(5.0, away)], behaviour=RARE, more=more, start_ms=AT_0750)
    assert_candles_are_the_history(seen, (BTC,), from_ms=AT_0750 // MINUTE_MS * MINUTE_MS - 5 * MINUTE_MS)
    assert_settlements_are_the_truth(seen, (BTC,), AT_0750, AT_0750 + until * MINUTE_MS)
    assert len(seen.of(FeedLost)) == 1 and len(seen.of(FeedConnected)) == 2
    assert_within_limits(seen.twin)
    assert seen.candles()[-1].timing is Timing.ON_TIME
    pauses = [(later - sooner) / 1_000.0 for sooner, later in pairwise(seen.twin.attempts_ms)][1:]
    patient = [pause for pause in pauses if pause > 29.0]
    assert len(patient) > 90 * hours and max(patient) <= 39.0, "about every half minute"
    assert len({round(pause, 3) for pause in patient}) > 50, "never quite the same pause"


def test_without_a_network_the_feed_says_so_once_and_begins_when_the_exchange_appears() -> None:
    away = on(BitgetFault.REFUSED_CONNECTION, for_s=900.0)
    seen = watched(minutes=25, before=away)
    lost, connected = seen.of(FeedLost), seen.of(FeedConnected)
    assert len(lost) == len(connected) == 1
    assert "connect" in lost[0].reason.lower() and "retrying" in lost[0].reason
    assert isinstance(seen.facts[0], FeedLost)
    assert_candles_are_the_history(seen, from_ms=NOW_MS + 10 * MINUTE_MS)
    assert_within_limits(seen.twin)


# ---------------------------------------------------------------- streams and polling


def test_a_symbol_is_polled_while_its_stream_is_silent_and_not_any_more_afterwards() -> None:
    seen = watched(minutes=20, then=[(4.0, on(BitgetFault.SILENT_SYMBOL, symbol=ETH, for_s=420.0))])
    assert_candles_are_the_history(seen)
    assert seen.twin.pages("candles", BTC, WATCHED_MS) == seen.twin.pages("candles", SOL, WATCHED_MS) == []
    polled = seen.twin.pages("candles", ETH, WATCHED_MS)
    assert 7 <= len(polled) <= 11
    assert max(polled) <= START_MS + 14 * MINUTE_MS
    assert max(seen.delays_s()) <= 5.0


def test_an_acknowledgement_without_data_is_asked_again_within_seconds() -> None:
    def lie(twin: WatchedTwin) -> None:
        twin.faults.on(BitgetFault.FALSE_ACK, for_s=10.0)
        twin.faults.on(BitgetFault.CLOSE)

    seen = watched(minutes=9, then=[(5.0, lie)])
    assert seen.twin.faults.counts[BitgetFault.FALSE_ACK] > 0
    assert seen.twin.pages("candles", from_ms=NOW_MS + 390_000) == [], "whole from the next minute on"


def streams_of(plan: Plan) -> tuple[WatchedTwin, list[StreamStatistics], float]:
    """Return the statistics of the feed's streams in a run, and the longest wait for a candle in seconds."""

    async def main(clock: VirtualClock) -> tuple[WatchedTwin, list[StreamStatistics], float]:
        async with twin_of(plan, clock) as twin:
            settings, refusals = settings_of(plan, twin), RefusalLog()
            session = FeedSession(BitgetClient(settings, clock, refusals), settings, clock, clock, refusals)
            acting = asyncio.ensure_future(act(plan, twin, clock))
            told = await read(session.facts({}), clock, plan.minutes * 60.0)
            await acting
            done = [stream.statistics for stream in session.streams.streams]
            await session.close()
            live = [one for one in told if getattr(one.fact, "timing", None) is Timing.ON_TIME]
            return twin, done, max((one.told_ms - one.fact.at_ms) / 1_000.0 for one in live)

    return run(main, plan.start_ms)


def test_a_connection_is_replaced_before_its_day_is_over_and_no_candle_needs_the_history() -> None:
    twin, (stream,), longest_s = streams_of(Plan(minutes=20, more={"rotate_s": 170.0}))
    assert stream.rotations >= 6 and stream.breaks == 0
    assert stream.connections == stream.rotations + 1
    assert twin.pages("candles", from_ms=WATCHED_MS) == []
    assert longest_s <= 4.0
    assert twin.statistics.connections <= 1
    assert_within_limits(twin)


@pytest.mark.parametrize("fault", [BitgetFault.REFUSED_SUBSCRIBE, BitgetFault.REFUSED_CONNECTION])
def test_a_replacement_that_fails_leaves_the_connection_that_serves(fault: BitgetFault) -> None:
    plan = Plan(minutes=12, more={"rotate_s": 170.0}, then=[(2.4, on(fault, for_s=100.0))])
    twin, (stream,), longest_s = streams_of(plan)
    assert stream.rotations >= 3 and stream.breaks == 0
    assert longest_s <= 4.0
    assert_within_limits(twin)


# ---------------------------------------------------------------- clocks


@pytest.mark.parametrize("skew_ms", [-40_000, 40_000])
def test_a_clock_that_differs_by_a_constant_is_told_once_and_disturbs_no_candle(skew_ms: int) -> None:
    seen = watched(minutes=10, skew_ms=skew_ms)
    from_ms = (START_MS + skew_ms) // MINUTE_MS * MINUTE_MS - 5 * MINUTE_MS
    assert_candles_are_the_history(seen, from_ms=from_ms)
    assert {candle.timing for candle in seen.candles()} == ON_TIME_ONLY
    assert max(seen.delays_s()) - -skew_ms / 1_000.0 <= 4.0
    (raised,) = seen.of(AnomalyRaised, AnomalyCleared)
    assert raised.kind == "clock_skew" and "40.0 s" in raised.detail
    assert seen.twin.pages("candles", from_ms=WATCHED_MS + skew_ms) == []


@pytest.mark.parametrize("skew_ms", [-40_000, 40_000])
def test_a_clock_that_jumps_is_told_and_so_is_its_return_and_every_candle_is_right(skew_ms: int) -> None:
    jumps = [(4.3, on(BitgetFault.SKEW, value=skew_ms)), (12.3, on(BitgetFault.SKEW, value=0))]
    seen = watched(minutes=22, then=jumps)
    assert_candles_are_the_history(seen)
    kinds = [type(fact) for fact in seen.of(AnomalyRaised, AnomalyCleared)]
    assert kinds == [AnomalyRaised, AnomalyCleared]
    late = [candle for candle in seen.candles() if candle.timing is Timing.LATE]
    assert len(late) <= 2 * 3, "the minute of each jump at most"
    assert seen.candles()[-1].at_ms >= START_MS + 20 * MINUTE_MS
    assert order_of(seen).misplaced == 0


@pytest.mark.parametrize("skew_ms", [-1_900, -4_000, -20_000, 4_000])
def test_a_correction_after_the_close_is_waited_for_also_while_the_clock_is_wrong(skew_ms: int) -> None:
    then = [
        (0.5, on(BitgetFault.CORRECTED)),
        *((2.3 + 4 * n, on(BitgetFault.SKEW, value=(n + 1) * skew_ms)) for n in range(4)),
    ]
    seen = watched(minutes=20, then=then)
    assert seen.twin.faults.counts[BitgetFault.CORRECTED] > 40
    assert_candles_are_the_history(seen)


@pytest.mark.parametrize("fault", [BitgetFault.SILENT, BitgetFault.STALLED, BitgetFault.SILENT_SYMBOL])
def test_a_correction_that_a_dying_connection_withholds_is_had_from_the_history(fault: BitgetFault) -> None:
    then = [
        (0.5, on(BitgetFault.CORRECTED)),
        (5.0 - 16.9 / 60.0, on(fault, **({"for_s": 90.0} if "symbol" in fault else {}))),
    ]
    seen = watched(minutes=10, then=then)
    assert seen.twin.faults.counts[BitgetFault.CORRECTED] > 15
    assert_candles_are_the_history(seen)
