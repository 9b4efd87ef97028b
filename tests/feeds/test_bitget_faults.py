"""What goes wrong on the way is noticed within a minute and repaired or declared within two; nobody ever gives up."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import pytest

from papertape.events.facts import DataRefused, FeedConnected, FeedLost, SymbolResumed, SymbolSuspended
from papertape.events.units import MINUTE_MS
from papertape.sandbox.bitget.faults import AT_ONCE, BitgetFault
from papertape.sandbox.bitget.garbage import Garbage
from papertape.sandbox.bitget.script import ALL
from tests.feeds.bitget_runs import (
    BTC,
    NOW_MS,
    START_MS,
    THREE,
    Then,
    WatchedTwin,
    Watching,
    assert_candles_are_the_history,
    assert_readings_are_true,
    assert_within_limits,
    watched,
)

AT_MINUTE: Final = 4.5
AT_MS: Final = START_MS + int(AT_MINUTE * MINUTE_MS)
LASTS_S: Final = 200.0
NOTICED_S_MAX: Final = 60.0
DECLARED_S_MAX: Final = 120.0
ON_SUBSCRIBING: Final = (BitgetFault.REFUSED_SUBSCRIBE, BitgetFault.FALSE_ACK, BitgetFault.STALE_SNAPSHOT)
ON_ASKING: Final = (
    BitgetFault.BUSY,
    BitgetFault.SERVER_ERROR,
    BitgetFault.HTML_OK,
    BitgetFault.HTML_BAD_GATEWAY,
    BitgetFault.REST_RESET,
    BitgetFault.HANGING,
    BitgetFault.CUT_BODY,
    BitgetFault.EMPTY_DATA,
    BitgetFault.UNKNOWN_SYMBOL,
)
"""Both kinds are met by who subscribes, or asks for a candle: the connections are closed with them."""
RECONNECTS: Final = (
    BitgetFault.CLOSE,
    BitgetFault.ABORT,
    BitgetFault.RESET,
    BitgetFault.DAY_CUT,
    BitgetFault.SILENT,
    BitgetFault.STALLED,
    BitgetFault.GIANT,
    BitgetFault.NO_PONG,
    BitgetFault.MAINTENANCE,
    *ON_SUBSCRIBING,
    *ON_ASKING,
)
"""A new connection is the answer."""
POLLS: Final = (
    BitgetFault.SILENT,
    BitgetFault.STALLED,
    BitgetFault.SILENT_SYMBOL,
    BitgetFault.SKIPPED_BAR,
    BitgetFault.OUT_OF_ORDER,
)
"""Candles are asked for meanwhile."""


def throw(fault: BitgetFault, value: Any = None, symbol: str | None = None, for_s: float = LASTS_S) -> Then:
    """Switch a fault on."""

    def then(twin: WatchedTwin) -> None:
        if fault is BitgetFault.FUNDING_INTERVAL:
            twin.faults.on(fault, symbol=BTC, value=2)
        else:
            amount = 40_000 if fault is BitgetFault.SKEW else value
            twin.faults.on(fault, symbol=symbol, for_s=None if fault in AT_ONCE else for_s, value=amount)
        if fault in (*ON_SUBSCRIBING, *ON_ASKING):
            twin.faults.on(BitgetFault.CLOSE)

    return then


def undeclared(seen: Watching, symbols: tuple[str, ...] = THREE) -> list[tuple[str, int]]:
    """Symbols and closes of which two minutes later there was no candle, and nothing had been said."""
    bad = []
    for symbol in symbols:
        told_ms = {one.fact.at_ms: one.told_ms for one in seen.told if one.fact in seen.candles(symbol)}
        for close_ms in range(NOW_MS + MINUTE_MS, int(seen.told[-1].told_ms - 2 * MINUTE_MS), MINUTE_MS):
            limit_ms = close_ms + int(DECLARED_S_MAX * 1_000)
            if told_ms.get(close_ms, limit_ms + 1) > limit_ms and not is_declared(seen, symbol, limit_ms):
                bad.append((symbol, close_ms))
    return bad


def is_declared(seen: Watching, symbol: str, by_ms: int) -> bool:
    """Whether at some time the feed was said to be lost, or the symbol not to be tradable."""
    lost = suspended = False
    for one in seen.told:
        if one.told_ms > by_ms:
            break
        lost = isinstance(one.fact, FeedLost) or (lost and not isinstance(one.fact, FeedConnected))
        if isinstance(one.fact, SymbolSuspended | SymbolResumed) and one.fact.symbol == symbol:
            suspended = isinstance(one.fact, SymbolSuspended)
    return lost or suspended


@pytest.mark.system
@pytest.mark.parametrize("fault", ALL)
def test_a_fault_is_noticed_and_repaired_or_declared_and_nothing_is_lost(fault: BitgetFault) -> None:
    seen = watched(minutes=14, then=[(AT_MINUTE, throw(fault))])
    assert seen.twin.faults.counts[fault] > 0
    assert_candles_are_the_history(seen)
    assert_readings_are_true(seen)
    assert_within_limits(seen.twin)
    assert undeclared(seen) == []
    soon_ms = AT_MS + int(NOTICED_S_MAX * 1_000)
    if fault in RECONNECTS:
        assert any(AT_MS < at_ms <= soon_ms for at_ms in seen.twin.attempts_ms), "no new connection"
    if fault in POLLS:
        assert any(AT_MS < at_ms <= soon_ms + MINUTE_MS for at_ms in seen.twin.pages("candles")), "nothing was polled"
    assert seen.candles()[-1].at_ms >= START_MS + 13 * MINUTE_MS
    assert not is_declared(seen, BTC, seen.told[-1].told_ms)
    back_ms = START_MS + 11 * MINUTE_MS
    assert seen.twin.pages("candles", from_ms=back_ms) == [], "the streams are well, nothing is to be asked for"


@pytest.mark.parametrize("kind", list(Garbage))
def test_rubbish_is_refused_and_changes_nothing(kind: Garbage) -> None:
    seen = watched(minutes=5.5, then=[(0.1, throw(BitgetFault.GARBAGE, kind, for_s=200.0))])
    assert_candles_are_the_history(seen)
    assert_readings_are_true(seen)
    assert max(seen.delays_s()) <= 30.0
    assert seen.of(FeedLost, SymbolSuspended) == []
    good = (Garbage.TEXT_FOR_NUMBER, Garbage.EXTRA_FIELDS)
    assert (seen.feed.refusals.total == 0) == (kind in good), seen.feed.refusals.counts


@pytest.mark.system
def test_what_was_refused_is_told_once_an_hour_and_reason_and_nothing_of_it_is_left_out() -> None:
    seen = watched(minutes=130, then=[(3.0, throw(BitgetFault.GARBAGE, for_s=2_400.0))])
    told: list[DataRefused] = seen.of(DataRefused)
    counts = seen.feed.refusals.counts
    for reason, count in counts.items():
        of_reason = [fact for fact in told if fact.reason == reason.value]
        assert sum(fact.count for fact in of_reason) == count
        assert all(later.at_ms - sooner.at_ms >= 60 * MINUTE_MS for sooner, later in pairwise(of_reason))
    assert len(counts) > 5 and len(told) > len(counts), "most reasons came back within the hour"
    assert {fact.reason for fact in told} == {reason.value for reason in counts} and all(fact.newest for fact in told)
