"""Many symbols at once: settlements are asked for while the next candle forms, and a start catches up."""

from __future__ import annotations

from typing import Any, Final

import pytest

from papertape.events.facts import CandleClosed, FeedConnected, FeedLost, FundingRateSettled, SymbolSuspended, Timing
from papertape.events.units import MINUTE_MS
from papertape.sandbox.bitget.faults import BitgetFault
from papertape.sandbox.bitget.venue import ExchangeBehaviour
from tests.feeds.bitget_runs import (
    BTC,
    NOW_MS,
    START_MS,
    THREE,
    Plan,
    Watching,
    assert_candles_are_the_history,
    assert_settlements_are_the_truth,
    assert_within_limits,
    order_of,
    watched,
)

MANY: Final = tuple(f"C{number:02d}USDT" for number in range(40))
AT_0750: Final = START_MS + 70 * MINUTE_MS
AT_0755: Final = AT_0750 + 5 * MINUTE_MS
SLOWLY: Final = {"requests_per_s": 1.0}
"""Forty symbols at one request a second are four hundred at ten."""
OPEN_0800_MS: Final = AT_0755 // MINUTE_MS * MINUTE_MS + 5 * MINUTE_MS


def many(**given: Any) -> Watching:
    """Forty symbols, asked for slowly, over a full hour."""
    more: dict[str, Any] = {"minutes": 16, "symbols": MANY, "start_ms": AT_0750, "more": SLOWLY}
    return watched(**{**more, "warm_up_minutes": 2, **given})


def delays_of(seen: Watching, open_ms: int) -> list[float]:
    """How long after its close the candle of each symbol was told, in seconds."""
    told = [one for one in seen.told if isinstance(one.fact, CandleClosed) and one.fact.at_ms == open_ms + MINUTE_MS]
    return [(one.told_ms - one.fact.at_ms) / 1_000.0 for one in told]


@pytest.mark.system
def test_hundreds_of_settlements_at_once_delay_no_candle() -> None:
    seen = many()
    assert_candles_are_the_history(seen, MANY, from_ms=NOW_MS + 68 * MINUTE_MS)
    assert_settlements_are_the_truth(seen, MANY, AT_0755, AT_0755 + 9 * MINUTE_MS)
    assert len(seen.of(FundingRateSettled)) == len(MANY)
    assert order_of(seen, MANY).misplaced == 0
    delays = delays_of(seen, OPEN_0800_MS)
    assert len(delays) == len(MANY) and max(delays) <= 4.0
    assert all(candle.timing is Timing.ON_TIME for candle in seen.candles() if candle.open_time_ms >= OPEN_0800_MS)
    assert_within_limits(seen.twin)


@pytest.mark.system
def test_more_symbols_than_can_be_asked_for_in_a_minute_catch_up_by_what_their_streams_showed() -> None:
    more = tuple(f"C{number:02d}USDT" for number in range(80))
    seen = watched(minutes=16, symbols=more, start_ms=START_MS, more=SLOWLY, warm_up_minutes=2)
    assert_candles_are_the_history(seen, more, from_ms=NOW_MS - MINUTE_MS)
    assert order_of(seen, more).misplaced == 0
    assert len(seen.of(FeedConnected)) == 1 and seen.of(FeedLost, SymbolSuspended) == []
    live = [candle for candle in seen.candles() if candle.open_time_ms >= NOW_MS + 8 * MINUTE_MS]
    assert len(live) > 5 * len(more) and {candle.timing for candle in live} == {Timing.ON_TIME}
    assert_within_limits(seen.twin)


@pytest.mark.system
def test_an_hour_without_settlements_is_looked_at_and_delays_no_candle() -> None:
    seen = many(start_ms=AT_0750 + 60 * MINUTE_MS)
    assert seen.of(FundingRateSettled) == []
    open_ms = OPEN_0800_MS + 60 * MINUTE_MS
    assert len(seen.twin.pages("history-fund-rate", from_ms=open_ms)) == len(MANY)
    assert max(delays_of(seen, open_ms)) <= 4.0


@pytest.mark.parametrize("delay_ms", [5_000, 30_000, 59_000, 65_000])
def test_a_settlement_that_is_shown_late_is_asked_for_again_when_the_candle_has_closed(delay_ms: int) -> None:
    behaviour = ExchangeBehaviour(update_ms=20_000, ticker_ms=20_000, snapshot_rows=20, funding_delay_ms=delay_ms)
    seen = watched(minutes=10, start_ms=AT_0755, behaviour=behaviour)
    assert_settlements_are_the_truth(seen, THREE, AT_0755, AT_0755 + 9 * MINUTE_MS)
    assert order_of(seen).misplaced == 0
    assert {candle.timing for candle in seen.candles()} == {Timing.WARM_UP, Timing.ON_TIME}


def test_a_settlement_shown_late_of_a_symbol_whose_ticker_never_spoke_is_told_before_its_candle() -> None:
    behaviour = ExchangeBehaviour(update_ms=20_000, ticker_ms=20_000, snapshot_rows=20, funding_delay_ms=30_000)
    plan = Plan(
        minutes=10,
        start_ms=AT_0755,
        behaviour=behaviour,
        before=lambda twin: twin.faults.on(BitgetFault.SILENT_SYMBOL, symbol=BTC, for_s=900.0),
    )
    seen = watched(plan)
    assert_settlements_are_the_truth(seen, THREE, AT_0755, AT_0755 + 9 * MINUTE_MS)
    assert order_of(seen).misplaced == 0


def test_settlements_that_were_had_when_the_exchange_is_lost_are_told_in_their_place() -> None:
    gone = (5.5, lambda twin: twin.faults.on(BitgetFault.MAINTENANCE, for_s=600.0))
    seen = watched(minutes=30, start_ms=AT_0755, then=[gone], more={"timeframe_ms": 5 * MINUTE_MS})
    asked_ms = seen.twin.pages("history-fund-rate", from_ms=OPEN_0800_MS)
    (lost,) = seen.of(FeedLost)
    assert asked_ms[0] < lost.at_ms < OPEN_0800_MS + 5 * MINUTE_MS, "had, and lost before their candle closed"
    assert_settlements_are_the_truth(seen, THREE, AT_0755, AT_0755 + 28 * MINUTE_MS)
    assert order_of(seen).misplaced == 0
