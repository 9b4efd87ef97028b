"""An engine on the live feed: whatever happens on the way, it decides as it would on the exchange's own history."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from papertape.cli.config.overrides import load_config
from papertape.cli.wiring import warm_up_ms
from papertape.engine.feeds.bitget.feed import BitgetFeed
from papertape.engine.feeds.bitget.settings import BitgetSettings
from papertape.engine.feeds.candle_row import CandleRow
from papertape.engine.loop import Loop
from papertape.engine.ports.clock import ManualClock
from papertape.engine.reducer.reducer import decide, fold, is_decision
from papertape.engine.reducer.state import new_state
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.startup import EngineSettings, configuration_changes
from papertape.engine.strategy_registry import code_digest
from papertape.engine.verify import verify
from papertape.events.bus import Bus
from papertape.events.facts import (
    ContractListed,
    EngineStarted,
    Event,
    FeedFact,
    FundingPaid,
    MarketFact,
    OpenInterestObserved,
    OrderPlaced,
    PositionClosed,
    PositionOpened,
    SymbolResumed,
    SymbolSuspended,
    Timing,
)
from papertape.events.log import Recorded
from papertape.events.memory_log import MemoryEventLog
from papertape.events.snapshots import SnapshotStore
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS
from papertape.sandbox.bitget.faults import BitgetFault
from papertape.sandbox.bitget.market import LARGE_TIERS, SMALL_TIERS, SimTwinMarket, Tier
from papertape.sandbox.bitget.script import FaultScript
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
    Told,
    WatchedTwin,
    Watching,
    act,
    assert_candles_are_the_history,
    assert_readings_are_true,
    assert_settlements_are_the_truth,
    assert_within_limits,
    feed_of,
    order_of,
    rank,
    true_fact,
    twin_of,
)
from tests.kernel.scripted.scripted import BUY
from tests.reducer.runs import BUILT_IN, eager
from tests.sandbox.virtual_time import VirtualClock, run
from tests.support import NO_LIMITS, STRATEGIES

pytestmark = pytest.mark.system


class Traded(Struct):
    """An engine that watched the exchange, once or several times, with one log in memory."""

    twin: WatchedTwin
    log: MemoryEventLog
    warnings: list[str]

    @property
    def recorded(self) -> list[Recorded]:
        return [one for commit in self.log.reader().commits() for one in commit.recorded()]

    @property
    def events(self) -> list[Event]:
        return [one.event for one in self.recorded]

    @property
    def decisions(self) -> list[Event]:
        return [event for event in self.events if is_decision(event)]

    def watching(self) -> Watching:
        """The facts of the log, as a feed's run."""
        feed = BitgetFeed(BitgetSettings(), ManualClock())
        return Watching(self.twin, feed, [Told(0, event) for event in self.events if isinstance(event, FeedFact)])


def traded(plan: Plan, runners: Mapping[str, RunnerSettings], lives: Sequence[float] = ()) -> Traded:
    """Let an engine trade on the feed; `lives` are minutes at which it is stopped and started again at once."""

    async def main(clock: VirtualClock) -> Traded:
        async with twin_of(plan, clock) as twin:
            plan.before(twin)
            made = Traded(twin, MemoryEventLog(clock_ms=clock.now_ms), [])
            acting = asyncio.ensure_future(act(plan, twin, clock))
            for until_minute in [*lives, plan.minutes]:
                await live(plan, made, runners, clock, plan.start_ms + int(until_minute * MINUTE_MS))
            acting.cancel()
            await asyncio.gather(acting, return_exceptions=True)
            return made

    return run(main, plan.start_ms)


async def live(
    plan: Plan, made: Traded, runners: Mapping[str, RunnerSettings], clock: VirtualClock, until_ms: int
) -> None:
    """One life of an engine: what it knows comes from the log alone."""
    world, version = new_state(STRATEGIES), code_digest(STRATEGIES.values())
    fold(world, made.recorded)
    store = SnapshotStore(Path("/nonexistent"), made.warnings.append)
    loop = Loop(world, made.log, Bus(made.log.head.seq), store, version, made.warnings.append, 1 << 40)
    settings = EngineSettings(Path(), "test", STRATEGIES, runners)
    started = EngineStarted(clock.now_ms(), "test", version, "")
    await loop.take([started, *configuration_changes(world, settings, [], tuple(plan.symbols), clock.now_ms())])
    running = asyncio.ensure_future(loop.run(feed_of(plan, made.twin, clock)))
    await asyncio.wait({running}, timeout=(until_ms - clock.now_ms()) / 1_000.0)
    loop.stop()
    await running


def replayed(made: Traded, symbols: Sequence[str]) -> list[Event]:
    """What is decided on the exchange's own history: the facts of the log with the true numbers and their timing.

    Facts of the market are put into the binding order, unless one of them came behind its place because a symbol
    or settlement could not be had alone: then the order in which they came decides. All else stays where it stood.
    """
    inputs = [event for event in made.events if not is_decision(event)]
    facts = [true_fact(made.twin, event) for event in inputs if isinstance(event, MarketFact)]
    if order_of(made.watching(), symbols).misplaced == 0:
        facts.sort(key=lambda fact: rank(fact, symbols))
    ordered = iter(facts)
    world, decided, seq = new_state(STRATEGIES), [], 1
    for event in inputs:
        entries = decide(world, next(ordered) if isinstance(event, MarketFact) else event, seq)
        seq += len(entries)
        decided += [entry.event for entry in entries[1:]]
    return decided


FIVE = (*THREE, "DOGEUSDT", "GALAUSDT")
WARM_MINUTES = 1_500
FROM_MS = NOW_MS - WARM_MINUTES * MINUTE_MS


def disturbed(seed: int, symbols: tuple[str, ...], hours: float, an_hour: float, **more: Any) -> Plan:
    """A market with quiet minutes and faults of all kinds, until shortly before the end."""
    until_ms = START_MS + int(hours * HOUR_MS)
    script = FaultScript(seed, symbols, START_MS + 10 * MINUTE_MS, until_ms - 25 * MINUTE_MS, an_hour=an_hour)
    market = SimTwinMarket(symbols, quiet={symbols[1]: 0.3})
    options: dict[str, Any] = {"minutes": hours * 60.0, "symbols": symbols, "warm_up_minutes": WARM_MINUTES}
    return Plan(**{**options, "market": market, "script": script, **more})


def assert_true(made: Traded, symbols: tuple[str, ...], until_ms: int) -> None:
    """The log holds the exchange's history, once and in order, and the decisions that belong to it."""
    facts = made.watching()
    assert_candles_are_the_history(facts, symbols, from_ms=FROM_MS)
    assert min(facts.candles(symbol)[-1].at_ms for symbol in symbols) >= until_ms - 3 * MINUTE_MS
    assert_settlements_are_the_truth(facts, symbols, FROM_MS, until_ms - 5 * MINUTE_MS)
    assert_readings_are_true(facts)
    assert order_of(facts, symbols).wrong == []
    assert made.decisions == replayed(made, symbols)
    assert verify(made.log.reader(), None, STRATEGIES).difference is None
    assert_within_limits(made.twin)
    assert made.warnings == []


@pytest.mark.parametrize("seed", [1, 2])
def test_under_mixed_faults_the_log_is_the_history_and_the_decisions_are_those_of_it(seed: int) -> None:
    made = traded(disturbed(seed, THREE, hours=2.2, an_hour=25.0), eager(BUILT_IN))
    assert_true(made, THREE, START_MS + int(2.2 * HOUR_MS))
    assert sum(made.twin.faults.counts.values()) > 20
    assert len(made.decisions) > 20


def test_a_fault_of_the_whole_exchange_disturbs_no_order() -> None:
    faults = (
        BitgetFault.MAINTENANCE,
        BitgetFault.REFUSED_CONNECTION,
        BitgetFault.RESET,
        BitgetFault.STALLED,
        BitgetFault.SILENT,
        BitgetFault.GIANT,
    )
    until_ms = START_MS + 2 * HOUR_MS
    script = FaultScript(5, THREE, START_MS + 5 * MINUTE_MS, until_ms - 20 * MINUTE_MS, an_hour=20.0, faults=faults)
    made = traded(disturbed(5, THREE, hours=2.0, an_hour=1.0, script=script), eager(BUILT_IN))
    assert_true(made, THREE, until_ms)
    assert order_of(made.watching()).misplaced == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 16))
def test_the_same_for_hours_with_five_symbols(seed: int) -> None:
    made = traded(disturbed(seed, FIVE, hours=9.0, an_hour=12.0), eager(BUILT_IN))
    assert_true(made, FIVE, START_MS + 9 * HOUR_MS)


@pytest.mark.parametrize("lives", [(7.3, 31.0, 31.4, 32.02, 80.0, 81.03, 95.9)])
def test_an_engine_that_is_stopped_and_started_again_has_the_same_candles(lives: tuple[float, ...]) -> None:
    made = traded(disturbed(3, THREE, hours=2.0, an_hour=15.0), eager(BUILT_IN), lives)
    assert_true(made, THREE, START_MS + 2 * HOUR_MS)
    assert sum(isinstance(event, EngineStarted) for event in made.events) == len(lives) + 1
    assert sum(isinstance(event, ContractListed) for event in made.events) == 3


@pytest.mark.parametrize(
    ("said", "minutes"),
    [
        ([], 288 * 5),
        (["momentum.breakout_lookback=400"], 401 * 5),
        (["liquidation.anchor_halflife_minutes=2_000"], 2_000),
        (["liquidation.symbols.BTCUSDT.anchor_halflife_minutes=3000"], 3_000),
    ],
)
def test_the_warm_up_is_as_long_as_the_parameters_need_and_half_of_that(said: list[str], minutes: int) -> None:
    assert warm_up_ms(load_config(None, said)) == minutes * MINUTE_MS * 3 // 2


def test_the_warm_up_makes_every_indicator_ready_and_trades_nothing() -> None:
    minutes = warm_up_ms(load_config(None, [])) // MINUTE_MS
    plan = Plan(minutes=3, symbols=(BTC,), warm_up_minutes=minutes)
    made = traded(plan, eager(BUILT_IN))
    live_ms = min(candle.at_ms for candle in made.watching().candles(timing=Timing.ON_TIME))
    assert live_ms <= START_MS + 2 * MINUTE_MS
    before = [event for event in made.events if event.at_ms < live_ms]
    assert not any(is_decision(event) for event in before)
    world = new_state(STRATEGIES)
    fold(world, [item for item in made.recorded if item.event.at_ms < live_ms])
    for runner in world.runners:
        first, *others = (one.series[0] for one in runner.series)
        assert first.row + 1 >= runner.strategy.needs_bars, runner.strategy.name
        assert all(one.row + 1 >= runner.strategy.needs_filter_bars for one in others), runner.strategy.name
    assert len(made.watching().candles(timing=Timing.WARM_UP)) == minutes


def test_funding_and_liquidation_open_and_close_on_what_the_exchange_says() -> None:
    sparse = ExchangeBehaviour(update_ms=60_000, ticker_ms=60_000, snapshot_rows=5)
    plan = Plan(minutes=14 * 60, symbols=(BTC, SOL), behaviour=sparse, more={"silence_s": 75.0}, warm_up_minutes=300)
    made = traded(plan, eager(("funding", "liquidation")))
    for name in ("funding", "liquidation"):
        of_it = [event for event in made.decisions if getattr(event, "strategy", "") == name]
        assert any(isinstance(event, PositionOpened) for event in of_it), name
        assert any(isinstance(event, PositionClosed) for event in of_it), name
    facts = made.watching()
    assert_settlements_are_the_truth(facts, (BTC, SOL), NOW_MS - 5 * HOUR_MS, START_MS + 14 * HOUR_MS)
    assert_readings_are_true(facts)
    assert len(facts.of(OpenInterestObserved)) >= 2 * 12 * 13
    paid = [event for event in made.decisions if isinstance(event, FundingPaid)]
    rates = {
        (symbol, *one) for symbol in (BTC, SOL) for one in made.twin.settlements(symbol, NOW_MS, START_MS + DAY_MS)
    }
    assert paid and {(event.symbol, event.settled_at_ms, event.rate) for event in paid} <= rates
    orders = [event for event in made.decisions if isinstance(event, OrderPlaced) and event.strategy == "funding"]
    assert {order.readings["rate_percent"] for order in orders} <= {rate * 100.0 for _, _, rate in rates}


class Volumes(SimTwinMarket):
    """A market whose candles all tell the scripted strategy to buy."""

    def candle(self, symbol: str, open_ms: int) -> CandleRow | None:
        row = super().candle(symbol, open_ms)
        return None if row is None else replace(row, volume=BUY)


def test_a_symbol_in_maintenance_is_not_entered_and_afterwards_it_is() -> None:
    def state(name: str) -> Then:
        return lambda twin: twin.states.update({BTC: name})

    wanted = {"scripted": RunnerSettings({"stop_percent": 1.0, "target_percent": 50.0}, risk=NO_LIMITS)}
    market = Volumes((BTC, ETH))
    then = [(6.0, state("normal"))]
    plan = Plan(minutes=15, symbols=(BTC, ETH), market=market, before=state("maintain"), then=then)
    made = traded(plan, wanted)
    (suspended,), (resumed,) = (made.watching().of(kind) for kind in (SymbolSuspended, SymbolResumed))
    entered = [event.at_ms for event in made.decisions if isinstance(event, PositionOpened) and event.symbol == BTC]
    assert entered and min(entered) >= resumed.at_ms > suspended.at_ms
    others = [event.at_ms for event in made.decisions if isinstance(event, PositionOpened) and event.symbol == ETH]
    assert others and min(others) < resumed.at_ms


@pytest.mark.parametrize(("tiers", "listed"), [(LARGE_TIERS, 1), (SMALL_TIERS, 2)])
def test_a_contract_is_listed_again_at_the_next_start_when_it_has_changed(tiers: tuple[Tier, ...], listed: int) -> None:
    market = SimTwinMarket((BTC,))

    def change(_twin: WatchedTwin) -> None:
        market._listings[BTC] = replace(market.listing(BTC), tiers=tiers)

    plan = Plan(minutes=8, symbols=(BTC,), market=market, then=[(3.0, change)])
    made = traded(plan, {}, lives=(4.5,))
    contracts = [event for event in made.events if isinstance(event, ContractListed)]
    assert len(contracts) == listed
    assert contracts[-1].maintenance_tiers == tuple((start, rate) for start, _, _, rate in tiers)
    assert verify(made.log.reader(), None, STRATEGIES).difference is None
