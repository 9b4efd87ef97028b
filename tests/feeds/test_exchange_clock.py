"""A loss is declared by the exchange's silence, whatever the timeframe; a clock that is set blinds nobody."""

from __future__ import annotations

import pytest

from papertape.engine.feeds.bitget.rest import BitgetRest
from papertape.engine.feeds.bitget.settings import BitgetSettings
from papertape.engine.ports.clock import ManualClock
from papertape.engine.ports.feed import RefusalLog, ResumePoint
from papertape.events.facts import FeedConnected, FeedLost, SymbolResumed, SymbolSuspended, Timing
from papertape.events.units import MINUTE_MS
from papertape.sandbox.bitget.faults import BitgetFault
from tests.feeds.bitget_runs import (
    BTC,
    ETH,
    NOW_MS,
    START_MS,
    THREE,
    WatchedTwin,
    assert_candles_are_the_history,
    watched,
)

DECLARED_MS_MAX = 120_000


@pytest.mark.parametrize("set_s", [-240.0, 3_600.0])
def test_the_exchanges_time_continues_when_this_machines_clock_is_set(set_s: float) -> None:
    """A clock set back would let a late candle count as on time, and lengthen every wait by as much."""
    clock = ManualClock(START_MS)
    rest = BitgetRest(BitgetSettings(), clock, RefusalLog())
    before_ms = rest.server_now_ms()
    clock.advance(1.0)
    clock.set(set_s)
    assert rest.server_now_ms() == before_ms + 1_000


def gone(twin: WatchedTwin) -> None:
    """Nobody is there any more: connections break, nobody listens, and what still stands brings errors only."""
    twin.faults.on(BitgetFault.REFUSED_CONNECTION, for_s=900.0)
    twin.faults.on(BitgetFault.SERVER_ERROR, for_s=900.0)
    twin.faults.on(BitgetFault.ABORT)


@pytest.mark.parametrize("timeframe_ms", [MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS])
def test_a_total_loss_is_declared_within_two_minutes_at_every_timeframe(timeframe_ms: int) -> None:
    at_minute = 2.1
    seen = watched(minutes=30.0, then=[(at_minute, gone)], more={"timeframe_ms": timeframe_ms})
    lost = [told for told in seen.told if isinstance(told.fact, FeedLost)]
    assert len(lost) == 1, "said once"
    assert lost[0].told_ms - (START_MS + int(at_minute * MINUTE_MS)) <= DECLARED_MS_MAX
    back = [told for told in seen.told if isinstance(told.fact, FeedConnected)]
    assert len(back) == 2 and back[1].told_ms > lost[0].told_ms
    assert back[1].told_ms - (START_MS + int(at_minute * MINUTE_MS) + 900_000) <= DECLARED_MS_MAX


def test_a_symbol_that_was_suspended_when_the_engine_stopped_is_tradable_again_when_it_is_whole() -> None:
    newest_ms = NOW_MS - 5 * MINUTE_MS
    known = {symbol: ResumePoint(newest_ms, newest_ms, newest_ms, symbol == ETH) for symbol in THREE}
    seen = watched(minutes=5.0, seen=known)
    resumed = [told.fact for told in seen.told if isinstance(told.fact, SymbolResumed)]
    assert [fact.symbol for fact in resumed] == [ETH]
    assert not [told for told in seen.told if isinstance(told.fact, SymbolSuspended)]


def test_an_absence_longer_than_is_made_up_for_is_a_hole_that_suspends() -> None:
    newest_ms = NOW_MS - 600 * MINUTE_MS
    known = {symbol: ResumePoint(newest_ms, newest_ms, newest_ms) for symbol in THREE}
    seen = watched(minutes=3.0, seen=known, more={"catch_up_ms_max": 60 * MINUTE_MS})
    held = [told.fact for told in seen.told if isinstance(told.fact, SymbolSuspended)]
    assert {fact.symbol for fact in held} == set(THREE)
    assert all("not available" in fact.reason for fact in held)


def test_a_contract_list_that_fails_holds_up_no_symbol_that_is_to_be_mended() -> None:
    def trouble(twin: WatchedTwin) -> None:
        twin.faults.on(BitgetFault.SILENT_SYMBOL, symbol=ETH, for_s=150.0)
        twin.faults.on(BitgetFault.UNKNOWN_SYMBOL, symbol=ETH, for_s=150.0)

    seen = watched(minutes=20.0, then=[(2.2, trouble)])
    assert [told.fact.symbol for told in seen.told if isinstance(told.fact, SymbolResumed)] == [ETH]
    late = [candle for candle in seen.candles(BTC) if candle.timing is Timing.LATE and candle.at_ms > START_MS]
    assert len(late) <= 2, "the others went on on time"
    assert_candles_are_the_history(seen)
