"""A week of fifty symbols under all faults: nothing is lost, nothing is twice, nothing grows."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from papertape.engine.ports.feed import BATCH_FACTS_MAX
from papertape.engine.reducer.reducer import decide, is_new
from papertape.engine.reducer.state import EngineState, new_state
from papertape.engine.runner_settings import runner_configurations
from papertape.events.facts import CandleClosed, FeedFact, FundingRateSettled, MarketFact, Timing
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS
from papertape.sandbox.bitget.market import SimTwinMarket
from papertape.sandbox.bitget.script import FaultScript
from papertape.sandbox.bitget.venue import ExchangeBehaviour
from tests.feeds.bitget_runs import (
    NOW_MS,
    START_MS,
    Order,
    Plan,
    WatchedTwin,
    assert_within_limits,
    feed_of,
    true_fact,
    twin_of,
)
from tests.reducer.runs import BUILT_IN, eager
from tests.sandbox.virtual_time import VirtualClock, run
from tests.support import STRATEGIES

if TYPE_CHECKING:
    from papertape.engine.feeds.live.feed import LiveFeed

DAYS: Final = float(os.environ.get("PAPERTAPE_WEEK_DAYS", "7"))
SYMBOLS: Final = tuple(f"C{number:02d}USDT" for number in range(int(os.environ.get("PAPERTAPE_WEEK_SYMBOLS", "50"))))
UNTIL_MS: Final = START_MS + int(DAYS * DAY_MS)
WARM_MS: Final = 3 * HOUR_MS
LIVED_MS: Final = 6 * DAY_MS
"""So long the two worlds have lived before: their windows, of which the longest holds 512 candles of 15 minutes, are
full, and what still grows afterwards is a leak."""
STALL_S: Final = 300.0
"""Six days are told to two worlds at once, in real seconds in which nothing else moves."""
FAULTS_AN_HOUR: Final = 6.0
TASKS_MAX: Final = 60
RSS_GROWTH_MAX: Final = 1.10
SPARSE: Final = ExchangeBehaviour(update_ms=20_000, ticker_ms=60_000, snapshot_rows=20)
PATIENT: Final = {"silence_s": 75.0}
"""A ticker comes once a minute only: it is not silent before."""


class Judge:
    """Looks at every fact once and keeps next to nothing: two worlds, one told what came, the other what is true."""

    def __init__(self, twin: WatchedTwin) -> None:
        self.twin = twin
        self.order = Order(SYMBOLS)
        self.told, self.true = _world(), _world()
        self.next_ms = dict.fromkeys(SYMBOLS, NOW_MS - WARM_MS)
        self.settled_ms = dict.fromkeys(SYMBOLS, NOW_MS - WARM_MS - 1)
        self.decisions = self.settlements = self.readings = 0
        self.lived = False

    def live(self) -> None:
        """Tell both worlds what was before the feed's history."""
        self.lived = True
        for symbol in SYMBOLS:
            for row in self.twin.history(symbol, NOW_MS - WARM_MS - LIVED_MS, NOW_MS - WARM_MS):
                prices = (row.open, row.high, row.low, row.close, row.volume)
                at_ms = row.open_time_ms + MINUTE_MS
                for world in (self.told, self.true):
                    decide(world, CandleClosed(at_ms, symbol, MINUTE_MS, *prices, Timing.WARM_UP), 1)

    def take(self, fact: FeedFact) -> None:
        if isinstance(fact, MarketFact) and not self.lived:
            self.live()
        true = self._true(fact) if isinstance(fact, MarketFact) else fact
        assert fact == true
        self.order.take(fact)
        assert is_new(self.told, fact), fact
        decided = [world_decides(world, event) for world, event in ((self.told, fact), (self.true, true))]
        assert decided[0] == decided[1]
        self.decisions += len(decided[0])

    def _true(self, fact: MarketFact) -> MarketFact:
        symbol = fact.symbol
        if isinstance(fact, CandleClosed):
            assert fact.open_time_ms == self.next_ms[symbol], "a candle is missing, or is there twice"
            self.next_ms[symbol] = fact.at_ms
        elif isinstance(fact, FundingRateSettled):
            ((at_ms, _), *_) = self.twin.settlements(symbol, self.settled_ms[symbol] + 1, fact.at_ms + 1)
            assert fact.at_ms == at_ms, "a settlement is missing, or is there twice"
            self.settled_ms[symbol] = at_ms
            self.settlements += 1
        else:
            self.readings += 1
        return true_fact(self.twin, fact)


def _world() -> EngineState:
    world = new_state(STRATEGIES)
    for number, event in enumerate(runner_configurations(STRATEGIES, SYMBOLS, START_MS, eager(BUILT_IN)), start=1):
        decide(world, event, number)
    return world


def world_decides(world: EngineState, fact: FeedFact) -> list[object]:
    """What a world makes of a fact."""
    return [entry.event for entry in decide(world, fact, 1_000)[1:]]


def rss_bytes() -> int:
    """The memory that the process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def watch(twin: WatchedTwin, feed: LiveFeed, clock: VirtualClock, judge: Judge) -> list[int]:
    """Judge what the feed tells until the end; the memory after each half day, the first day left out."""
    sizes: list[int] = []
    look_ms = START_MS + DAY_MS
    async with aclosing(feed.facts({}, None)) as batches:  # type: ignore[type-var]
        async for batch in batches:
            assert len(batch) <= BATCH_FACTS_MAX
            for fact in batch:
                judge.take(fact)
            if clock.now_ms() >= look_ms:
                look_ms += DAY_MS // 2
                sizes.append(rss_bytes())
                assert len(asyncio.all_tasks()) <= TASKS_MAX
                assert twin.statistics.connections <= 6
                assert_within_limits(twin)
                print(f"{(clock.now_ms() - START_MS) / DAY_MS:.1f} days, {sizes[-1] / 1e6:.0f} MB", flush=True)
            if clock.now_ms() >= UNTIL_MS:
                return sizes
    raise AssertionError("the feed ended")


@pytest.mark.slow
@pytest.mark.timeout(7_200)
def test_a_week_of_fifty_symbols_under_all_faults() -> None:
    market = SimTwinMarket(SYMBOLS, quiet=dict.fromkeys(SYMBOLS[::3], 0.3))
    script = FaultScript(7, SYMBOLS, START_MS + HOUR_MS // 2, UNTIL_MS - HOUR_MS // 2, an_hour=FAULTS_AN_HOUR)
    options: dict[str, Any] = {"warm_up_minutes": WARM_MS // MINUTE_MS, "more": PATIENT, "behaviour": SPARSE}
    plan = Plan(symbols=SYMBOLS, market=market, script=script, **options)

    async def main(clock: VirtualClock) -> tuple[Judge, list[int]]:
        async with twin_of(plan, clock) as twin:
            judge = Judge(twin)
            return judge, await watch(twin, feed_of(plan, twin, clock), clock, judge)

    judge, sizes = run(main, START_MS, STALL_S)
    assert min(judge.next_ms.values()) >= UNTIL_MS - 3 * MINUTE_MS
    for symbol in SYMBOLS:
        assert judge.twin.settlements(symbol, judge.settled_ms[symbol] + 1, UNTIL_MS - HOUR_MS // 4) == []
    assert judge.order.wrong == []
    assert_within_limits(judge.twin)
    print(judge.decisions, judge.settlements, judge.readings, judge.order.misplaced, dict(judge.twin.faults.counts))
    assert max(sizes, default=1) <= RSS_GROWTH_MAX * (sizes[0] if sizes else 1)
