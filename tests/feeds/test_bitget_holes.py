"""Absences and holes: what was missed comes late and in order; what the exchange does not have is declared."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from papertape.engine.feeds.candle_row import CandleRow
from papertape.engine.ports.feed import ResumePoint
from papertape.events.facts import (
    FeedConnected,
    FeedLost,
    FundingRateSettled,
    GapFilled,
    SymbolResumed,
    SymbolSuspended,
    Timing,
)
from papertape.events.units import HOUR_MS, MINUTE_MS
from papertape.sandbox.bitget.faults import BitgetFault
from papertape.sandbox.bitget.market import SimTwinMarket
from tests.feeds.bitget_runs import (
    BTC,
    ETH,
    NOW_MS,
    SOL,
    START_MS,
    THREE,
    Then,
    WatchedTwin,
    Watching,
    assert_candles_are_the_history,
    assert_settlements_are_the_truth,
    assert_within_limits,
    order_of,
    truth,
    values,
    watched,
)

pytestmark = pytest.mark.system

TWO = (BTC, ETH)


class Holey(SimTwinMarket):
    """A market of which the exchange lost some minutes: from and until, by symbol."""

    def __init__(self, symbols: tuple[str, ...], lost: Mapping[str, tuple[int, int]]) -> None:
        super().__init__(symbols)
        self.lost = lost

    def candle(self, symbol: str, open_ms: int) -> CandleRow | None:
        from_ms, until_ms = self.lost.get(symbol, (0, 0))
        return None if from_ms <= open_ms < until_ms else super().candle(symbol, open_ms)


def seen_until(ago_minutes: int, symbols: tuple[str, ...] = TWO) -> dict[str, ResumePoint]:
    """What an engine holds that was stopped so many minutes ago."""
    newest_ms = NOW_MS - (ago_minutes + 1) * MINUTE_MS
    return {symbol: ResumePoint(newest_ms, newest_ms // (8 * HOUR_MS) * 8 * HOUR_MS, newest_ms) for symbol in symbols}


@pytest.mark.parametrize("minutes", [0, 1, 199, 200, 201, 989, 990, 991, 999, 1_000, 1_001, 1_981, 5_000])
def test_an_absence_is_made_up_for_late_and_in_order_without_a_loss_at_the_edge_of_a_page(minutes: int) -> None:
    seen = watched(minutes=4, symbols=TWO, seen=seen_until(minutes))
    missed_ms = NOW_MS - minutes * MINUTE_MS
    assert_candles_are_the_history(seen, TWO, from_ms=missed_ms)
    assert_settlements_are_the_truth(seen, TWO, missed_ms, START_MS)
    assert order_of(seen, TWO).misplaced == 0
    late = [candle for candle in seen.candles() if candle.timing is Timing.LATE]
    assert len(late) == 2 * minutes and all(candle.open_time_ms < NOW_MS for candle in late)
    filled = [(gap.symbol, gap.from_ms, gap.until_ms, gap.candles) for gap in seen.of(GapFilled)]
    assert filled == [(symbol, missed_ms, NOW_MS, minutes) for symbol in TWO if minutes]
    assert_within_limits(seen.twin)


def test_symbols_that_were_left_at_different_times_come_back_together() -> None:
    given = {**seen_until(1_500, (BTC,)), **seen_until(3, (ETH,))}
    seen = watched(minutes=4, seen=given)
    for symbol, minutes in ((BTC, 1_500), (ETH, 3), (SOL, 5)):
        assert_candles_are_the_history(seen, (symbol,), from_ms=NOW_MS - minutes * MINUTE_MS)
    assert {candle.timing for candle in seen.candles(SOL)} == {Timing.WARM_UP, Timing.ON_TIME}
    assert {candle.timing for candle in seen.candles(ETH)} == {Timing.LATE, Timing.ON_TIME}
    assert order_of(seen).misplaced == 0


def test_an_absence_longer_than_the_limit_begins_with_a_hole() -> None:
    seen = watched(minutes=3, symbols=TWO, seen=seen_until(600), more={"catch_up_ms_max": 2 * HOUR_MS})
    assert_candles_are_the_history(seen, TWO, from_ms=NOW_MS - 2 * HOUR_MS)


def test_a_young_log_without_a_settlement_is_not_told_those_of_a_month() -> None:
    newest_ms = NOW_MS - 4 * MINUTE_MS
    seen = watched(minutes=3, symbols=TWO, seen={symbol: ResumePoint(newest_ms, -1, -1) for symbol in TWO})
    assert seen.of(FundingRateSettled) == []
    pending = watched(
        minutes=3, symbols=TWO, start_ms=NOW_MS + 90 * MINUTE_MS, seen={BTC: ResumePoint(NOW_MS + 84 * MINUTE_MS)}
    )
    assert [fact.at_ms for fact in pending.of(FundingRateSettled, symbol=BTC)] == [NOW_MS + 80 * MINUTE_MS]


# ---------------------------------------------------------------- holes of the exchange's own


def whole_but(seen: Watching, symbol: str, from_ms: int) -> None:
    """Everything that the exchange has of a symbol is there, in order."""
    found = [values(candle) for candle in seen.candles(symbol)]
    assert found == truth(seen.twin, symbol, from_ms, int(found[-1][0]) + MINUTE_MS)


@pytest.mark.parametrize("first_minute", [30, 980, 991])
def test_a_hole_in_the_history_suspends_the_symbol_alone_for_an_hour_of_whole_candles(first_minute: int) -> None:
    missed_ms = NOW_MS - 1_100 * MINUTE_MS
    lost_ms = missed_ms + first_minute * MINUTE_MS
    market = Holey(TWO, {ETH: (lost_ms, lost_ms + 20 * MINUTE_MS)})
    seen = watched(minutes=70, symbols=TWO, market=market, seen=seen_until(1_100))
    for symbol in TWO:
        whole_but(seen, symbol, missed_ms)
    (suspended,), (resumed,) = seen.of(SymbolSuspended), seen.of(SymbolResumed)
    assert suspended.symbol == resumed.symbol == ETH
    assert "20 of its candles" in suspended.reason or "missing" in suspended.reason
    assert resumed.at_ms >= START_MS + HOUR_MS
    assert {candle.timing for candle in seen.candles(BTC) if candle.open_time_ms >= NOW_MS} == {Timing.ON_TIME}


@pytest.mark.parametrize("symbols", [(ETH,), (BTC, ETH)])
def test_a_hole_of_every_symbol_at_the_end_of_a_window_is_passed(symbols: tuple[str, ...]) -> None:
    missed_ms = NOW_MS - 1_100 * MINUTE_MS
    lost = (missed_ms + 980 * MINUTE_MS, missed_ms + 1_000 * MINUTE_MS)
    seen = watched(
        minutes=70,
        symbols=symbols,
        market=Holey(symbols, dict.fromkeys(symbols, lost)),
        seen=seen_until(1_100, symbols),
    )
    for symbol in symbols:
        whole_but(seen, symbol, missed_ms)
        assert seen.candles(symbol)[-1].at_ms > NOW_MS + 60 * MINUTE_MS
    assert sorted(one.symbol for one in seen.of(SymbolSuspended)) == sorted(symbols)
    assert sorted(one.symbol for one in seen.of(SymbolResumed)) == sorted(symbols)


@pytest.mark.system
@pytest.mark.parametrize("symbols", [(ETH,), (BTC, ETH)])
def test_an_exchange_that_stops_trading_for_minutes_is_lost_and_found_again_with_a_hole(
    symbols: tuple[str, ...],
) -> None:
    """The pause begins at a settlement, which is told all the same, in its place."""
    lost = (NOW_MS + 80 * MINUTE_MS, NOW_MS + 90 * MINUTE_MS)
    start_ms = START_MS + 70 * MINUTE_MS
    market = Holey(symbols, dict.fromkeys(symbols, lost))
    seen = watched(minutes=90, symbols=symbols, market=market, start_ms=start_ms)
    for symbol in symbols:
        whole_but(seen, symbol, NOW_MS + 65 * MINUTE_MS)
        assert len(seen.of(FundingRateSettled, symbol=symbol)) == 1
    assert order_of(seen, symbols).misplaced == 0
    assert len(seen.of(FeedLost)) == 1 and len(seen.of(FeedConnected)) == 2
    assert sorted(one.symbol for one in seen.of(SymbolSuspended)) == sorted(symbols)
    assert sorted(one.symbol for one in seen.of(SymbolResumed)) == sorted(symbols)


def test_one_symbol_that_stops_trading_is_suspended_and_the_others_go_on_on_time() -> None:
    market = Holey(THREE, {ETH: (NOW_MS + 10 * MINUTE_MS, NOW_MS + 20 * MINUTE_MS)})
    seen = watched(minutes=95, market=market)
    for symbol in THREE:
        whole_but(seen, symbol, NOW_MS - 5 * MINUTE_MS)
    assert max(seen.delays_s(BTC)) <= 30.0
    (suspended,), (resumed,) = seen.of(SymbolSuspended), seen.of(SymbolResumed)
    assert suspended.symbol == resumed.symbol == ETH
    assert suspended.at_ms <= NOW_MS + 12 * MINUTE_MS
    assert resumed.at_ms >= NOW_MS + 80 * MINUTE_MS


# ---------------------------------------------------------------- a symbol whose history fails alone


def fail(symbol: str, *faults: BitgetFault, for_s: float) -> Then:
    """Its history and its streams fail."""

    def then(twin: WatchedTwin) -> None:
        for fault in (*faults, BitgetFault.SILENT_SYMBOL):
            twin.faults.on(fault, symbol=symbol, for_s=for_s)

    return then


def test_a_symbol_that_fails_alone_is_suspended_and_made_up_for_while_the_others_go_on() -> None:
    seen = watched(minutes=25, then=[(5.0, fail(ETH, BitgetFault.UNKNOWN_SYMBOL, for_s=600.0))])
    assert_candles_are_the_history(seen)
    assert max(seen.delays_s(BTC)) <= 30.0 and max(seen.delays_s(SOL)) <= 30.0
    told = [fact for fact in seen.facts if isinstance(fact, SymbolSuspended | SymbolResumed | GapFilled)]
    assert [(type(fact), fact.symbol) for fact in told] == [
        (SymbolSuspended, ETH),
        (GapFilled, ETH),
        (SymbolResumed, ETH),
    ]
    assert seen.of(FeedLost) == []
    assert_within_limits(seen.twin)


def test_a_symbol_whose_requests_hang_keeps_no_other_one_from_coming_back() -> None:
    seen = watched(
        minutes=25,
        then=[(5.0, fail(BTC, BitgetFault.HANGING, for_s=3_600.0)), (5.1, fail(SOL, BitgetFault.HANGING, for_s=120.0))],
    )
    assert [one.symbol for one in seen.of(SymbolResumed)] == [SOL]
    assert_candles_are_the_history(seen, (ETH, SOL))
    assert max(seen.delays_s(ETH)) <= 30.0


def test_a_suspended_symbol_is_resumed_also_after_the_whole_exchange_was_away() -> None:
    seen = watched(
        minutes=25,
        then=[
            (5.0, fail(ETH, BitgetFault.UNKNOWN_SYMBOL, for_s=600.0)),
            (8.0, lambda twin: twin.faults.on(BitgetFault.MAINTENANCE, for_s=420.0)),
        ],
    )
    assert_candles_are_the_history(seen)
    assert [one.symbol for one in seen.of(SymbolSuspended)] == [ETH]
    assert [one.symbol for one in seen.of(SymbolResumed)] == [ETH]
    assert len(seen.of(FeedLost)) == 1
