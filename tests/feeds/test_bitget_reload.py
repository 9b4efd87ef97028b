"""Other symbols on the live feed while the engine runs: new ones warm up, removed ones are watched to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from papertape.engine.feeds.live.feed import LiveFeed
from papertape.engine.loop import Loop, last_seen
from papertape.engine.reconfiguration import Reconfiguration, reload_events
from papertape.engine.reducer.state import new_state
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.startup import EngineSettings, configuration_changes
from papertape.engine.strategy_registry import code_digest
from papertape.engine.verify import verify
from papertape.events.bus import Bus
from papertape.events.commands import Reload
from papertape.events.errors import ConfigError
from papertape.events.facts import (
    ContractListed,
    EngineStarted,
    PositionClosed,
    PositionOpened,
    SymbolResumed,
    SymbolSuspended,
    Timing,
)
from papertape.events.memory_log import MemoryEventLog
from papertape.events.snapshots import SnapshotStore
from papertape.events.units import MINUTE_MS
from tests.feeds.bitget_runs import (
    BTC,
    ETH,
    SOL,
    START_MS,
    THREE,
    Plan,
    assert_candles_are_the_history,
    assert_within_limits,
    feed_of,
    order_of,
    settings_of,
    truth,
    twin_of,
    values,
)
from tests.feeds.test_bitget_engine import Traded, Volumes
from tests.sandbox.virtual_time import VirtualClock, run
from tests.support import NO_LIMITS, STRATEGIES

RISK = replace(NO_LIMITS, max_same_direction=3)
SCRIPTED = RunnerSettings({"stop_percent": 1.0, "target_percent": 50.0}, risk=RISK)
WARM_MINUTES = 30
Step = Callable[["Live"], Coroutine[Any, Any, None]]


class Live:
    """An engine on the live feed, and its reload."""

    def __init__(self, plan: Plan, made: Traded, feed: LiveFeed, clock: VirtualClock, runner: RunnerSettings) -> None:
        self.settings = EngineSettings(Path(), "test", STRATEGIES, {"scripted": runner})
        self.plan, self.made, self.feed, self.clock = plan, made, feed, clock
        version, warn = code_digest(STRATEGIES.values()), made.warnings.append
        store = SnapshotStore(Path("/nonexistent"), warn)
        self.loop = Loop(new_state(STRATEGIES), made.log, Bus(0), store, version, warn, 1 << 40)

    async def start(self) -> None:
        now_ms, symbols = self.clock.now_ms(), tuple(self.plan.symbols)
        changes = configuration_changes(self.loop.state, self.settings, [], symbols, now_ms)
        await self.loop.take([EngineStarted(now_ms, "test", "", ""), *changes])

    async def reload(self, *symbols: str) -> None:
        """Watch these symbols from now on."""
        known = [one for one in self.loop.state.listed if one.symbol in symbols]
        listed = await self.feed.new_contracts([one for one in symbols if one not in self.loop.state.symbols])
        new = Reconfiguration(self.settings, [*known, *listed], symbols, (f"feed.bitget.symbols: {symbols}",))
        await self.loop.order(partial(reload_events, command=Reload("anna", "test"), new=new, now_ms=1))
        settings = replace(settings_of(self.plan, self.made.twin), symbols=symbols)
        self.feed.change_symbols(settings, last_seen(self.loop.state))


def reloaded(steps: Sequence[tuple[float, Step]], runner: RunnerSettings = SCRIPTED, **plan: Any) -> Traded:
    """An engine on BTC and ETH that is reloaded at some minutes."""
    chosen = Plan(**{"symbols": (BTC, ETH), "market": Volumes(THREE), "warm_up_minutes": WARM_MINUTES, **plan})

    async def main(clock: VirtualClock) -> Traded:
        async with twin_of(chosen, clock) as twin:
            made = Traded(twin, MemoryEventLog(clock_ms=clock.now_ms), [])
            live = Live(chosen, made, feed_of(chosen, twin, clock), clock, runner)
            await live.start()
            running = asyncio.ensure_future(live.loop.run(live.feed))
            for at_minute, step in steps:
                await clock.sleep((START_MS + at_minute * MINUTE_MS - clock.now_ms()) / 1_000.0)
                await step(live)
            await clock.sleep((START_MS + chosen.minutes * MINUTE_MS - clock.now_ms()) / 1_000.0)
            live.loop.stop()
            await running
            return made

    return run(main, chosen.start_ms)


def test_a_new_symbol_is_subscribed_warms_up_and_is_traded_while_the_others_stay_on_time() -> None:
    made = reloaded([(6.3, lambda live: live.reload(BTC, ETH, SOL))], minutes=14)
    facts = made.watching()
    assert_candles_are_the_history(facts, (BTC, ETH), from_ms=facts.candles(BTC)[0].open_time_ms)
    sol = facts.candles(SOL)
    first_ms, last_ms = sol[0].open_time_ms, sol[-1].at_ms
    assert [values(one) for one in sol] == truth(made.twin, SOL, first_ms, last_ms)
    assert len([one for one in sol if one.timing is Timing.WARM_UP]) == WARM_MINUTES
    live_ms = min(one.at_ms for one in sol if one.timing is Timing.ON_TIME)
    assert live_ms <= START_MS + 9 * MINUTE_MS
    assert last_ms >= START_MS + 12 * MINUTE_MS
    for symbol in (BTC, ETH):
        on_time = [
            one.timing is Timing.ON_TIME for one in facts.candles(symbol) if one.at_ms > START_MS + 2 * MINUTE_MS
        ]
        assert len(on_time) >= 11
        assert all(on_time)
    entered = [event.at_ms for event in made.decisions if isinstance(event, PositionOpened) and event.symbol == SOL]
    assert entered
    assert min(entered) >= live_ms
    assert {getattr(one, "symbol", "") for one in order_of(facts).wrong} == {SOL}
    assert verify(made.log.reader(), None, STRATEGIES).difference is None
    assert_within_limits(made.twin)
    assert made.warnings == []


def test_a_removed_symbol_is_watched_until_its_position_closes_and_never_entered_again() -> None:
    made = reloaded([(6.3, lambda live: live.reload(ETH))], minutes=90)
    facts = made.watching()
    (suspended,) = facts.of(SymbolSuspended, symbol=BTC)
    assert suspended.reason.startswith("it is no longer in feed.bitget.symbols")
    opened = [event for event in made.decisions if isinstance(event, PositionOpened) and event.symbol == BTC]
    assert opened
    assert max(event.at_ms for event in opened) < suspended.at_ms
    held_until = facts.candles(BTC)[-1].at_ms
    assert held_until >= START_MS + 88 * MINUTE_MS
    assert_candles_are_the_history(facts, (BTC, ETH), from_ms=facts.candles(BTC)[0].open_time_ms)
    closed = [event for event in made.decisions if isinstance(event, PositionClosed) and event.symbol == BTC]
    assert len(closed) in (len(opened), len(opened) - 1)
    assert verify(made.log.reader(), None, STRATEGIES).difference is None


def test_a_symbol_without_a_position_is_dropped_and_comes_back_with_all_its_candles() -> None:
    steps: list[tuple[float, Step]] = [(6.3, lambda live: live.reload(ETH)), (15.2, lambda live: live.reload(ETH, BTC))]
    made = reloaded(steps, replace(SCRIPTED, symbols=(ETH,)), minutes=24)
    facts = made.watching()
    btc = facts.candles(BTC)
    away = [one for one in btc if START_MS + 8 * MINUTE_MS < one.at_ms < START_MS + 15 * MINUTE_MS]
    assert away
    assert all(one.timing is Timing.LATE for one in away)
    assert_candles_are_the_history(facts, (BTC, ETH), from_ms=btc[0].open_time_ms)
    assert btc[-1].timing is Timing.ON_TIME
    assert len([event for event in made.events if isinstance(event, ContractListed)]) == 2
    assert verify(made.log.reader(), None, STRATEGIES).difference is None


def test_a_removed_symbol_that_is_configured_again_is_tradable_again() -> None:
    steps: list[tuple[float, Step]] = [(6.3, lambda live: live.reload(ETH)), (9.3, lambda live: live.reload(ETH, BTC))]
    made = reloaded(steps, minutes=14)
    (suspended,), (resumed,) = (made.watching().of(kind, symbol=BTC) for kind in (SymbolSuspended, SymbolResumed))
    assert suspended.at_ms < resumed.at_ms <= START_MS + 11 * MINUTE_MS
    assert resumed.reason == "it is configured again"


def test_a_symbol_that_the_exchange_does_not_list_is_refused_and_nothing_changes() -> None:
    async def misspelt(live: Live) -> None:
        head = live.made.log.head
        with pytest.raises(ConfigError, match=r"SOLUSD is not a USDT-margined perpetual.*did you mean SOLUSDT"):
            await live.reload(BTC, ETH, "SOLUSD")
        assert live.made.log.head == head

    made = reloaded([(6.3, misspelt)], minutes=8)
    assert not made.watching().candles(SOL)
