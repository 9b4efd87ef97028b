"""The simulated feed: warm-up, outages, pace, and what a restart finds."""

from __future__ import annotations

from functools import cache
from itertools import groupby

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from papertape.engine.feeds.sim.feed import CATCH_UP_DAYS_MAX, SimFeed
from papertape.engine.feeds.sim.market import Outage, SimMarket
from papertape.engine.feeds.sim.script import START_MS, SimSettings
from papertape.engine.ports.clock import ManualClock
from papertape.engine.ports.feed import BATCH_FACTS_MAX, ResumePoint
from papertape.events.errors import ConfigError
from papertape.events.facts import (
    CandleClosed,
    FeedConnected,
    FeedFact,
    FeedLost,
    FundingRateSettled,
    GapFilled,
    MarketFact,
    OpenInterestObserved,
    Timing,
)
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS
from tests.feeds.reading import batches, candles_only, facts, market_only, newest_anchor, seen_after

TWO = ("ETHUSDT", "BTCUSDT")
WALL_MS = 1_790_000_000_000


def first_outage(seed: int = 7) -> Outage:
    """The first outage of the default market."""
    market, at_ms = SimMarket(seed), START_MS
    while (outage := market.outage(at_ms)) is None or outage.lost_ms < START_MS:
        at_ms += MINUTE_MS
    return outage


OUTAGE = first_outage()
NEAR = SimSettings(
    symbols=TWO,
    start_ms=OUTAGE.lost_ms - 20 * MINUTE_MS,
    warm_up_days=0,
    end_ms=OUTAGE.back_ms + 20 * MINUTE_MS,
)
"""A market of a few minutes around the outage."""


def sim(given: SimSettings, clock: ManualClock | None = None) -> SimFeed:
    """A feed with nothing cached."""
    return SimFeed(given, clock or ManualClock(WALL_MS))


def test_the_warm_up_comes_first_with_its_funding_and_open_interest() -> None:
    served = market_only(facts(sim(SimSettings(symbols=TWO, warm_up_days=1, days=1))))
    timings = [candle.timing for candle in candles_only(served)]
    assert timings[: 2 * 1_440] == [Timing.WARM_UP] * 2 * 1_440
    assert timings[2 * 1_440] == Timing.ON_TIME
    early = [fact for fact in served if fact.at_ms <= START_MS]
    assert sum(isinstance(fact, FundingRateSettled) for fact in early) == 2 * 3
    assert sum(isinstance(fact, OpenInterestObserved) for fact in early) == 2 * 288


def test_order_within_a_minute_is_candles_funding_open_interest_symbols_as_configured() -> None:
    served = market_only(facts(sim(SimSettings(symbols=TWO, warm_up_days=0, end_ms=START_MS + 8 * HOUR_MS))))
    last = [(type(fact), fact.symbol) for fact in served[-6:]]
    assert last == [
        (kind, symbol) for kind in (CandleClosed, FundingRateSettled, OpenInterestObserved) for symbol in TWO
    ]


def test_an_outage_withholds_facts_and_delivers_them_late() -> None:
    served = facts(sim(NEAR))
    lost_at = next(place for place, fact in enumerate(served) if isinstance(fact, FeedLost))
    assert served[lost_at].at_ms == OUTAGE.lost_ms == served[lost_at - 1].at_ms
    back = served[lost_at + 1]
    assert back == FeedConnected(OUTAGE.back_ms, "sim", WALL_MS, 0.0)
    filled = [place for place, fact in enumerate(served) if isinstance(fact, GapFilled)]
    withheld = market_only(served[lost_at + 2 : filled[0]])
    assert {candle.timing for candle in candles_only(withheld)} == {Timing.LATE}
    assert withheld[0].at_ms == OUTAGE.lost_ms + MINUTE_MS
    assert withheld[-1].at_ms == OUTAGE.back_ms - MINUTE_MS
    missing = (OUTAGE.back_ms - OUTAGE.lost_ms) // MINUTE_MS - 1
    assert [served[place] for place in filled] == [
        GapFilled(OUTAGE.back_ms, symbol, OUTAGE.lost_ms, OUTAGE.back_ms - MINUTE_MS, missing) for symbol in TWO
    ]
    assert {candle.timing for candle in candles_only(served[filled[-1] :])} == {Timing.ON_TIME}


def test_an_outage_leaves_no_hole_and_doubles_nothing() -> None:
    times = [candle.open_time_ms for candle in candles_only(facts(sim(NEAR))) if candle.symbol == "BTCUSDT"]
    assert times == list(range(NEAR.start_ms, NEAR.last_ms, MINUTE_MS))


@cache
def whole() -> list[MarketFact]:
    """The market of a few hours, never interrupted."""
    return market_only(facts(sim(NEAR)))


def test_resuming_at_any_cut_gives_exactly_the_remaining_facts() -> None:
    feed = sim(NEAR)
    for cut in range(len(whole()) + 1):
        assert market_only(facts(feed, seen_after(whole()[:cut]))) == whole()[cut:], f"cut after {cut} facts"


LONG = SimSettings(symbols=TWO, warm_up_days=1, days=3)


@cache
def long_whole() -> list[MarketFact]:
    """The market of days, never interrupted."""
    return market_only(facts(sim(LONG)))


@pytest.mark.system
@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10_000))
@example(0)
@example(10_000)
def test_resuming_anywhere_in_days_gives_exactly_the_remaining_facts(share: int) -> None:
    cut = len(long_whole()) * share // 10_000
    assert market_only(facts(sim(LONG), seen_after(long_whole()[:cut]))) == long_whole()[cut:]


def test_after_a_restart_the_end_of_an_outage_is_told_again_until_facts_follow_it() -> None:
    served = facts(sim(NEAR))
    feed = sim(NEAR)
    for cut in range(len(served)):
        told = [*served[:cut], *facts(feed, seen_after(served[:cut]), newest_anchor(served[:cut]))]
        assert sum(isinstance(fact, GapFilled) for fact in told) >= len(TWO)
        lost = [place for place, fact in enumerate(told) if isinstance(fact, FeedLost)]
        assert lost
        assert any(isinstance(fact, FeedConnected) for fact in told[lost[-1] :])


def test_at_a_pace_one_batch_a_market_minute_comes_when_it_is_due() -> None:
    clock = ManualClock(WALL_MS)
    served = batches(sim(SimSettings(symbols=TWO, warm_up_days=0, speed=60.0), clock), most=8)
    assert [len({fact.at_ms for fact in batch}) for batch in served] == [1] * 8
    assert [len(candles_only(batch)) for batch in served] == [2] * 8
    assert clock.now_ms() == WALL_MS + 7_000


def test_a_lost_feed_is_silent_for_as_long_as_the_outage_lasts() -> None:
    clock = ManualClock(WALL_MS)
    paced = SimSettings(symbols=TWO, start_ms=NEAR.start_ms, warm_up_days=0, end_ms=NEAR.last_ms, speed=1.0)
    connections = [fact for fact in facts(sim(paced, clock)) if isinstance(fact, FeedConnected)]
    assert [fact.at_ms for fact in connections] == [NEAR.start_ms + MINUTE_MS, OUTAGE.back_ms]
    assert connections[1].wall_at_ms - WALL_MS == OUTAGE.back_ms - NEAR.start_ms - MINUTE_MS
    assert clock.now_ms() - WALL_MS == NEAR.last_ms - NEAR.start_ms - MINUTE_MS


def restarted(down_seconds: float, taken: int = 40, **changes: object) -> tuple[list[FeedFact], list[FeedFact], int]:
    """What was served before and after the engine was down, and the market time of the restart."""
    clock = ManualClock(WALL_MS)
    chosen = SimSettings(**{"symbols": TWO, "warm_up_days": 0, "speed": 60.0, **changes})  # type: ignore[arg-type]
    before = facts(sim(chosen, clock), most=taken)
    clock.advance(down_seconds)
    anchor = newest_anchor(before)
    assert anchor is not None
    now_ms = anchor.at_ms + int((clock.now_ms() - anchor.wall_at_ms) * anchor.speed)
    return before, facts(sim(chosen, clock), seen_after(before), anchor, most=60), now_ms


def test_what_happened_while_the_engine_was_down_comes_first_and_late() -> None:
    before, after, now_ms = restarted(600.5)
    place = next(place for place, fact in enumerate(after) if isinstance(fact, FeedConnected))
    missed, live = candles_only(after[:place]), candles_only(after[place:])
    assert {candle.timing for candle in missed} == {Timing.LATE}
    assert missed[-1].at_ms == now_ms // MINUTE_MS * MINUTE_MS
    assert {candle.timing for candle in live} == {Timing.ON_TIME}
    assert live[0].at_ms == missed[-1].at_ms + MINUTE_MS
    assert after[place].at_ms == now_ms
    times = [candle.open_time_ms for candle in candles_only([*before, *after]) if candle.symbol == "BTCUSDT"]
    assert times == list(range(START_MS, times[-1] + 1, MINUTE_MS))


def test_the_silence_is_told_for_every_symbol_after_it_was_filled() -> None:
    before, after, now_ms = restarted(600.5)
    place = next(place for place, fact in enumerate(after) if isinstance(fact, FeedConnected))
    from_ms = candles_only(before)[-1].at_ms
    until_ms = now_ms // MINUTE_MS * MINUTE_MS
    assert after[place + 1 : place + 3] == [
        GapFilled(now_ms, symbol, from_ms, until_ms, (until_ms - from_ms) // MINUTE_MS) for symbol in TWO
    ]


def test_the_market_waits_for_nobody_longer_than_the_catch_up_lasts() -> None:
    days = CATCH_UP_DAYS_MAX + 20.0
    clock = ManualClock(WALL_MS)
    chosen = SimSettings(symbols=("BTCUSDT",), warm_up_days=0, speed=1.0)
    before = facts(sim(chosen, clock), most=5)
    clock.advance(days * DAY_MS / 1_000.0)
    after = facts(sim(chosen, clock), seen_after(before), newest_anchor(before), most=400)
    connected = next(fact for fact in after if isinstance(fact, FeedConnected))
    assert connected.at_ms == before[-1].at_ms + CATCH_UP_DAYS_MAX * DAY_MS
    assert candles_only(after)[-1].timing == Timing.ON_TIME


def test_a_restart_inside_an_outage_finds_the_feed_lost() -> None:
    minutes_to_outage = 20
    before, after, now_ms = restarted(5.0, taken=minutes_to_outage - 2, start_ms=NEAR.start_ms, end_ms=NEAR.last_ms)
    assert OUTAGE.lost_ms < now_ms < OUTAGE.back_ms
    kinds = [kind for kind, _ in groupby(type(fact) for fact in after if not isinstance(fact, OpenInterestObserved))]
    assert kinds[:6] == [CandleClosed, FeedConnected, GapFilled, FeedLost, FeedConnected, CandleClosed]
    times = [candle.open_time_ms for candle in candles_only([*before, *after]) if candle.symbol == "BTCUSDT"]
    assert times == list(range(NEAR.start_ms, times[-1] + 1, MINUTE_MS))


def test_a_wall_clock_set_back_neither_repeats_nor_stops_the_market() -> None:
    before, after, _ = restarted(-3_600.0)
    assert isinstance(after[0], FeedConnected)
    assert after[0].at_ms == before[-1].at_ms
    assert candles_only(after)[0].at_ms == before[-1].at_ms + MINUTE_MS


@pytest.mark.parametrize("anchor", [FeedConnected(START_MS, "sim", 0, 0.0), FeedConnected(START_MS, "bitget", 0, 1.0)])
def test_a_market_that_was_not_running_waited(anchor: FeedConnected) -> None:
    short = SimSettings(symbols=TWO, warm_up_days=0, days=1)
    first = facts(sim(short), most=2)
    rest = facts(sim(short), seen_after(first), anchor, most=1)
    assert candles_only(rest)[0].timing == Timing.ON_TIME
    assert candles_only(rest)[0].at_ms == first[-1].at_ms + MINUTE_MS


def test_the_warm_up_of_a_paced_market_is_not_waited_for() -> None:
    clock = ManualClock(WALL_MS)
    served = facts(sim(SimSettings(symbols=TWO, warm_up_days=1, end_ms=START_MS + 3 * MINUTE_MS, speed=1.0), clock))
    connections = [fact for fact in served if isinstance(fact, FeedConnected)]
    assert [(fact.at_ms, fact.speed) for fact in connections] == [
        (START_MS - DAY_MS + MINUTE_MS, 0.0),
        (START_MS + MINUTE_MS, 1.0),
    ]
    assert clock.now_ms() == WALL_MS + 120_000


def test_a_symbol_that_joins_later_brings_its_warm_up_late_and_nothing_before() -> None:
    old = SimSettings(symbols=("BTCUSDT",), warm_up_days=1, days=3)
    seen = seen_after(facts(sim(old)))
    joined = facts(sim(SimSettings(symbols=TWO, warm_up_days=1, days=4)), seen)
    late = [candle for candle in candles_only(joined) if candle.timing == Timing.LATE and candle.symbol == "ETHUSDT"]
    newest_ms = seen["BTCUSDT"].candle_open_ms + MINUTE_MS
    assert late[0].at_ms == newest_ms - DAY_MS
    assert all(candle.at_ms > newest_ms for candle in candles_only(joined) if candle.symbol == "BTCUSDT")


def test_a_market_that_ended_stays_ended() -> None:
    ended = {symbol: ResumePoint(NEAR.last_ms - MINUTE_MS, NEAR.last_ms, NEAR.last_ms) for symbol in TWO}
    assert facts(sim(NEAR), ended) == []
    assert facts(sim(NEAR), ended, FeedConnected(NEAR.start_ms, "sim", WALL_MS - 10**9, 1.0)) == []


def test_batches_never_exceed_the_limit_and_what_is_split_is_not_lost() -> None:
    symbols = tuple(f"S{number}USDT" for number in range(20))
    many = SimSettings(symbols=symbols, start_ms=NEAR.start_ms, warm_up_days=0, end_ms=NEAR.last_ms, speed=1.0)
    served = batches(sim(many))
    assert max(map(len, served)) == BATCH_FACTS_MAX
    candles = candles_only(fact for batch in served for fact in batch)
    assert len(candles) == len(symbols) * (NEAR.last_ms - NEAR.start_ms) // MINUTE_MS


def test_contracts_come_in_configured_order() -> None:
    contracts = sim(SimSettings(symbols=TWO, groups={"BTCUSDT": "major"})).contracts()
    assert [(one.symbol, one.group, one.tick_denominator) for one in contracts] == [
        ("ETHUSDT", "crypto", 100),
        ("BTCUSDT", "major", 10),
    ]


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"symbols": ()}, "sim.symbols"),
        ({"symbols": ("A", "A")}, "sim.symbols"),
        ({"warm_up_days": -1}, "sim.warm_up_days"),
        ({"start_ms": START_MS + 1}, "sim.start_ms"),
        ({"speed": -1.0}, "sim.speed"),
        ({"speed": float("nan")}, "sim.speed"),
    ],
)
def test_a_market_that_cannot_be_is_refused_by_key(wrong: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        SimSettings(**wrong)  # type: ignore[arg-type]
