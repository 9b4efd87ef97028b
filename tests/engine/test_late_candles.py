"""Events missed during an outage arrive late: they close positions and pay funding, but open nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.cli.config.overrides import load_config
from papertape.cli.config.sections import sim_settings
from papertape.engine.feeds.sim.feed import SimFeed
from papertape.engine.ports.clock import ManualClock
from papertape.engine.runner_settings import RunnerSettings
from papertape.events.facts import (
    CandleClosed,
    Event,
    FundingPaid,
    GapFilled,
    OrderPlaced,
    PositionClosed,
    PositionOpened,
    Timing,
)
from tests.build import candle, listed, settled
from tests.engine.logs import of_type, recorded
from tests.engine.parts import Given, live, settings
from tests.events.loop import in_loop
from tests.kernel.scripted.scripted import BUY
from tests.support import NO_LIMITS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from papertape.engine.ports.feed import Feed, ResumePoint
    from papertape.events.facts import ContractListed, FeedConnected, FeedFact

NAMES = [f"S{number:02d}" for number in range(20)]
MANY = [listed(name) for name in NAMES]
ROOMY = RunnerSettings({"stop_percent": 1.0, "target_percent": 50.0}, risk=NO_LIMITS)
PACED = sim_settings(load_config(None, ["feed.speed=60", "feed.sim.warm_up_days=1", "feed.sim.days=30"]))


def minute(number: int, timing: Timing, told: float = BUY, price: float = 100.0) -> list[CandleClosed]:
    """The candle of one minute of all twenty symbols; on each of them the strategy wants to enter."""
    return [candle(number, price, name, timing, volume=told) for name in NAMES]


@in_loop
async def test_twenty_old_signals_open_nothing_and_the_first_new_one_does(tmp_path: Path) -> None:
    what = settings(tmp_path / "log.db", runners={"scripted": ROOMY})
    await live(what, Given(MANY, minute(0, Timing.ON_TIME, told=1.0)))
    late = [fact for number in range(1, 9) for fact in minute(number, Timing.LATE)]
    await live(what, Given(MANY, late))
    assert of_type(what.db, OrderPlaced, PositionOpened) == []
    await live(what, Given(MANY, [*minute(9, Timing.ON_TIME), *minute(10, Timing.ON_TIME, told=1.0)]))
    assert of_type(what.db, PositionOpened)


@in_loop
async def test_an_entry_that_was_waiting_is_not_filled_by_a_late_candle(tmp_path: Path) -> None:
    what = settings(tmp_path / "log.db", runners={"scripted": ROOMY})
    await live(what, Given([listed("S00")], [candle(0, 100.0, "S00", volume=BUY)]))
    assert of_type(what.db, OrderPlaced)
    await live(what, Given([listed("S00")], [candle(1, 100.0, "S00", Timing.LATE), candle(2, 100.0, "S00")]))
    assert of_type(what.db, PositionOpened) == []


@in_loop
async def test_a_stop_and_funding_of_the_absence_are_resolved(tmp_path: Path) -> None:
    what = settings(tmp_path / "log.db", runners={"scripted": ROOMY})
    await live(what, Given([listed("S00")], [candle(0, 100.0, "S00", volume=BUY), candle(1, 100.0, "S00")]))
    meanwhile: list[FeedFact] = [
        settled(120_000, 0.001, "S00"),
        candle(2, 100.0, "S00", Timing.LATE),
        candle(3, (100.0, 100.0, 90.0, 95.0), "S00", Timing.LATE, volume=BUY),
        candle(4, 95.0, "S00", Timing.LATE, volume=BUY),
    ]
    await live(what, Given([listed("S00")], meanwhile))
    found: list[Event] = of_type(what.db, FundingPaid, PositionClosed, OrderPlaced)[1:]
    assert [type(event) for event in found] == [FundingPaid, PositionClosed]


class Until:
    """A feed that is cut off behind so many candles on time."""

    name = "sim"

    def __init__(self, feed: Feed, minutes: int) -> None:
        self.feed, self.minutes, self.refusals = feed, minutes, feed.refusals

    def contracts(self) -> list[ContractListed]:
        return self.feed.contracts()

    async def facts(
        self, seen: Mapping[str, ResumePoint], anchor: FeedConnected | None
    ) -> AsyncIterator[list[FeedFact]]:
        left = self.minutes * len(PACED.symbols)
        async for batch in self.feed.facts(seen, anchor):
            yield batch
            left -= sum(isinstance(fact, CandleClosed) and fact.timing == Timing.ON_TIME for fact in batch)
            if left <= 0:
                return


@in_loop
async def test_a_paced_market_that_moved_on_is_fetched_late_and_reported_as_filled(tmp_path: Path) -> None:
    what = settings(tmp_path / "log.db", runners={"momentum": RunnerSettings(), "vwap_rsi": RunnerSettings()})
    clock = ManualClock(1_800_000_000_000)
    await live(what, Until(SimFeed(PACED, clock), 60), clock=clock)
    before = len(recorded(what.db))
    clock.advance(180.0)
    await live(what, Until(SimFeed(PACED, clock), 30), clock=clock)
    after = [item.event for item in recorded(what.db)[before:]]
    late = [event for event in after if isinstance(event, CandleClosed) and event.timing == Timing.LATE]
    filled = [event for event in after if isinstance(event, GapFilled)]
    assert len(late) == 180 * len(PACED.symbols)
    assert {(gap.symbol, gap.candles) for gap in filled} == {(symbol, 180) for symbol in PACED.symbols}
    late_times = {event.at_ms for event in late}
    assert not any(
        isinstance(event, OrderPlaced) and event.action == "entry" and event.at_ms in late_times for event in after
    )
