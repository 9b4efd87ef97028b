"""An engine on the simulated exchange in virtual time, with a watchdog that detects the exchange's faults."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from papertape.engine.feeds.bitget.feed import BitgetFeed
from papertape.engine.feeds.bitget.settings import BitgetSettings
from papertape.engine.loop import Loop
from papertape.engine.reducer.state import new_state
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.startup import EngineSettings, configuration_changes
from papertape.engine.strategy_registry import code_digest
from papertape.events.bus import Bus
from papertape.events.facts import (
    AnomalyRaised,
    CandleClosed,
    EngineStarted,
    Event,
    FeedConnected,
    FeedLost,
    SymbolSuspended,
)
from papertape.events.memory_log import MemoryEventLog
from papertape.events.snapshots import SnapshotStore
from papertape.events.units import MINUTE_MS
from papertape.projections.watchdog.checks import ProcessMeasurements
from papertape.projections.watchdog.settings import WatchdogSettings
from papertape.projections.watchdog.watchdog import make_watchdog
from papertape.sandbox.bitget.faults import BitgetFault, BitgetFaultInjector
from papertape.sandbox.bitget.market import SimTwinMarket
from papertape.sandbox.bitget.twin import BitgetTwin
from papertape.sandbox.bitget.venue import ExchangeBehaviour
from tests.sandbox.virtual_time import VirtualClock, run
from tests.support import STRATEGIES
from tests.watchdog.rig import START_MS, TOLD, outline, story

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from papertape.engine.ports.feed import ResumePoint
    from papertape.events.facts import ContractListed, FeedFact
    from papertape.projections.watchdog.watchdog import Watchdog

pytestmark = pytest.mark.system

SYMBOLS = ("BTCUSDT", "GALAUSDT")
SPARSE = ExchangeBehaviour(update_ms=20_000, ticker_ms=20_000, snapshot_rows=20)
RUNNERS = {"momentum": RunnerSettings(), "vwap_rsi": RunnerSettings()}


class LeakyFeed(BitgetFeed):
    """The live feed with a way to lose things between itself and the engine, as a bug would."""

    withheld: dict[str, None]
    stuck: asyncio.Event

    async def facts(
        self, seen: Mapping[str, ResumePoint], anchor: FeedConnected | None
    ) -> AsyncIterator[list[FeedFact]]:
        self.withheld, self.stuck = {}, asyncio.Event()
        self.stuck.set()
        async with aclosing(super().facts(seen, anchor)) as batches:  # type: ignore[type-var]
            async for batch in batches:
                await self.stuck.wait()
                yield [one for one in batch if not (isinstance(one, CandleClosed) and one.symbol in self.withheld)]

    def contracts(self) -> list[ContractListed]:
        return []


class Engine:
    """Everything of one run."""

    def __init__(self, twin: BitgetTwin, clock: VirtualClock) -> None:
        self.twin, self.clock = twin, clock
        self.log = MemoryEventLog(clock_ms=clock.now_ms)
        settings = BitgetSettings(symbols=SYMBOLS, rest_url=twin.rest_url, ws_url=twin.ws_url, warm_up_ms=5 * MINUTE_MS)
        self.feed = LeakyFeed(settings, clock)
        self.measured = ProcessMeasurements()
        self.repairs: dict[str, Callable[[str], Awaitable[str]]] = {"data_stale": self.resubscribe}
        self.watchdog: Watchdog

    async def resubscribe(self, subject: str) -> str:
        self.feed.withheld.pop(subject, None)
        self.feed.stuck.set()
        return f"asked for {subject} again"

    async def measure(self) -> ProcessMeasurements:
        return self.measured

    async def live(self, minutes: float, act: Callable[[Engine], Awaitable[None]]) -> None:
        """The engine's loop over the feed, the dog beside it, and what happens to them."""
        world, version = new_state(STRATEGIES), code_digest(STRATEGIES.values())
        store = SnapshotStore(Path("/nonexistent"), lambda _: None)
        loop = Loop(world, self.log, Bus(), store, version, lambda _: None, 1 << 40)
        started = EngineStarted(self.clock.now_ms(), "test", version, "")
        settings = EngineSettings(Path(), "test", STRATEGIES, RUNNERS)
        await loop.take([started, *configuration_changes(world, settings, [], SYMBOLS, self.clock.now_ms())])

        async def report(events: Sequence[Event]) -> None:
            await loop.take(events)

        frames = {name: STRATEGIES[name].timeframe_ms for name in RUNNERS}
        given = (frames, self.measure, self.repairs, report, WatchdogSettings())
        self.watchdog = make_watchdog(self.log.reader(), loop.bus, self.clock, *given)
        tasks = [asyncio.ensure_future(one) for one in (loop.run(self.feed), self.watchdog.run(), act(self))]
        await asyncio.wait(tasks, timeout=minutes * 60.0)
        loop.stop()
        loop.bus.close()
        await asyncio.gather(*tasks)

    @property
    def events(self) -> list[Event]:
        return [event for commit in self.log.reader().commits() for event in commit.events]

    def told(self) -> list[str]:
        return story(self.events)

    def of(self, *kinds: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kinds)]

    async def until(self, minute: float) -> None:
        await self.clock.sleep((START_MS + minute * MINUTE_MS - self.clock.now_ms()) / 1_000.0)


def lived(minutes: float, act: Callable[[Engine], Awaitable[None]]) -> Engine:
    async def main(clock: VirtualClock) -> Engine:
        async with BitgetTwin(SimTwinMarket(SYMBOLS), clock, behaviour=SPARSE, faults=BitgetFaultInjector(7)) as twin:
            made = Engine(twin, clock)
            await made.live(minutes, act)
            return made

    return run(main, START_MS)


def minute_of(line: str) -> float:
    return float(line.rsplit(" ", 1)[1])


@pytest.mark.system
def test_a_faultless_exchange_raises_nothing() -> None:
    async def act(_: Engine) -> None:
        return

    made = lived(150, act)
    assert made.told() == [] and made.watchdog.view.checks > 290


def test_maintenance_is_a_lost_feed_until_the_exchange_is_back() -> None:
    async def act(made: Engine) -> None:
        async def reconnect(_: str) -> str:
            return "connections renewed"

        made.repairs["ws_disconnected"] = reconnect
        made.watchdog._repairs = made.repairs
        await made.until(20)
        made.twin.faults.on(BitgetFault.MAINTENANCE, for_s=30 * 60.0)

    made = lived(80, act)
    lost = made.of(FeedLost)[0]
    lost_minute = (lost.at_ms - START_MS) / MINUTE_MS
    assert outline(made.events) == [
        "repair ws_disconnected feed",
        "raised ws_disconnected feed",
        "cleared ws_disconnected feed",
    ]
    repair, raised, cleared = map(minute_of, made.told())
    assert repair - lost_minute <= 0.6 and raised - lost_minute <= 2.5
    back = (made.of(FeedConnected)[-1].at_ms - START_MS) / MINUTE_MS
    assert back < cleared <= back + 8


def test_a_symbol_without_candles_is_stale_within_five_minutes_and_resubscribed() -> None:
    async def act(made: Engine) -> None:
        await made.until(20)
        made.feed.withheld["GALAUSDT"] = None

    made = lived(45, act)
    assert outline(made.events) == ["repair data_stale GALAUSDT"]
    assert 24.5 <= minute_of(made.told()[0]) <= 26.0


def test_a_symbol_that_no_resubscription_brings_back_is_raised_and_cleared_later() -> None:
    async def act(made: Engine) -> None:
        async def in_vain(_: str) -> str:
            return "asked again"

        made.watchdog._repairs = {"data_stale": in_vain}
        await made.until(20)
        made.feed.withheld["GALAUSDT"] = None
        await made.until(40)
        made.feed.withheld.clear()

    made = lived(60, act)
    assert outline(made.events) == [
        "repair data_stale GALAUSDT",
        "raised data_stale GALAUSDT",
        "cleared data_stale GALAUSDT",
    ]
    _, raised, cleared = map(minute_of, made.told())
    assert raised <= 28.0 and 45.0 <= cleared <= 47.0


def test_a_silently_hanging_feed_is_detected_by_the_age_of_its_candles() -> None:
    async def act(made: Engine) -> None:
        await made.until(20)
        made.feed.stuck.clear()

    made = lived(60, act)
    assert outline(made.events) == ["repair data_stale BTCUSDT", "repair data_stale GALAUSDT"]
    assert made.watchdog.view.troubles == ()


def test_a_symbol_suspended_by_the_feed_is_not_reported_again() -> None:
    async def act(made: Engine) -> None:
        await made.until(20)
        for fault in (BitgetFault.SILENT_SYMBOL, BitgetFault.EMPTY_DATA):
            made.twin.faults.on(fault, symbol="GALAUSDT", for_s=1_200.0)

    made = lived(60, act)
    assert [event.symbol for event in made.of(SymbolSuspended) if isinstance(event, SymbolSuspended)] == ["GALAUSDT"]
    assert made.told() == []


@pytest.mark.system
def test_a_wrong_clock_is_reported_once_and_cleared_when_it_is_right() -> None:
    async def act(made: Engine) -> None:
        await made.until(20)
        made.twin.faults.on(BitgetFault.SKEW, value=20_000)
        await made.until(110)
        made.twin.faults.on(BitgetFault.SKEW, value=0)

    made = lived(140, act)
    assert outline(made.events) == [
        f"{word} clock_skew this machine's clock" for word in ("raised", "persists", "cleared")
    ]
    assert minute_of(made.told()[0]) <= 23.0
    assert isinstance(made.of(AnomalyRaised)[0], TOLD)
