"""The exchange's list of contracts: an odd row costs its own symbol only, and an ended contract is told as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace

from papertape.engine.command_queue import command_events
from papertape.engine.feeds.live.contracts import UNCONFIGURED
from papertape.engine.ports.feed import ResumePoint
from papertape.engine.reducer.reducer import decide, fold
from papertape.engine.reducer.snapshot_codec import state_digest
from papertape.engine.reducer.state import EngineState, new_state
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.startup import EngineSettings, configuration_changes, unconfigured_positions
from papertape.engine.verify import verify
from papertape.events.commands import Close
from papertape.events.errors import ConfigError
from papertape.events.facts import (
    CandleClosed,
    ContractDelisted,
    ContractListed,
    Event,
    FeedConnected,
    FeedLost,
    PositionClosed,
    PositionOpened,
    SymbolResumed,
    SymbolSuspended,
    Timing,
)
from papertape.events.memory_log import MemoryEventLog
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS
from papertape.sandbox.bitget.faults import BitgetFault
from papertape.sandbox.bitget.market import SimTwinMarket
from tests.feeds.bitget_runs import (
    BTC,
    ETH,
    NOW_MS,
    SPARSE,
    START_MS,
    Plan,
    Then,
    WatchedTwin,
    assert_candles_are_the_history,
    assert_within_limits,
    twin_of,
    watched,
)
from tests.feeds.test_bitget_engine import Traded, Volumes, live
from tests.sandbox.virtual_time import VirtualClock, run
from tests.support import NO_LIMITS, STRATEGIES

E = TypeVar("E", bound=Event)
BOTH = (BTC, ETH)
ODD_ROWS: list[tuple[dict[str, Any], str]] = [
    ({"sizeMultiplier": "0"}, "sizeMultiplier '0'"),
    ({"minTradeUSDT": ""}, "minTradeUSDT ''"),
    ({"priceEndStep": None}, "priceEndStep missing"),
]


def odd(changes: dict[str, Any], symbol: str = ETH) -> Callable[[WatchedTwin], None]:
    """A contract's row becomes odd."""
    return lambda twin: twin.faults.on(BitgetFault.ODD_CONTRACT, symbol=symbol, value=changes)


def end(twin: WatchedTwin, symbol: str = ETH) -> None:
    """The exchange ends a contract: it is listed no more, and nothing of it is streamed."""
    twin.faults.on(BitgetFault.DELISTED, symbol=symbol)
    twin.faults.on(BitgetFault.SILENT_SYMBOL, symbol=symbol)


# ---------------------------------------------------------------- odd rows


@pytest.mark.parametrize(("changes", "fault"), ODD_ROWS)
def test_a_contract_that_cannot_be_read_is_named_and_the_others_start(changes: dict[str, Any], fault: str) -> None:
    seen = watched(minutes=4, symbols=BOTH, before=odd(changes))
    (suspended,) = seen.of(SymbolSuspended)
    assert (suspended.symbol, suspended.reason) == (ETH, f"its contract cannot be read ({fault})")
    assert [contract.symbol for contract in seen.of(ContractListed)] == [BTC]
    assert_candles_are_the_history(seen, (BTC,))
    assert seen.candles(ETH) == [] and seen.of(FeedLost) == []


@pytest.mark.parametrize("value", ["", "2.5", None])
def test_a_funding_interval_that_is_odd_costs_nothing(value: str | None) -> None:
    seen = watched(minutes=4, symbols=BOTH, before=odd({"fundInterval": value}))
    assert_candles_are_the_history(seen, BOTH)
    assert seen.of(SymbolSuspended) == []


def test_a_symbol_joins_when_its_contract_can_be_read() -> None:
    repaired = [(7.0, lambda twin: twin.faults.off(BitgetFault.ODD_CONTRACT))]
    seen = watched(minutes=20, symbols=BOTH, before=odd({"sizeMultiplier": "0"}), then=repaired)
    (resumed,) = seen.of(SymbolResumed)
    listed = next(fact for fact in seen.of(ContractListed) if fact.symbol == ETH)
    assert seen.facts.index(resumed) < seen.facts.index(listed) < seen.facts.index(seen.candles(ETH)[0])
    assert_candles_are_the_history(seen, (ETH,), from_ms=seen.candles(ETH)[0].open_time_ms)
    assert seen.candles(ETH, Timing.WARM_UP) and seen.candles(ETH, Timing.ON_TIME)
    assert_within_limits(seen.twin)


def test_where_no_contract_can_be_read_the_feed_waits_for_one() -> None:
    repaired = [(7.0, lambda twin: twin.faults.off(BitgetFault.ODD_CONTRACT))]
    seen = watched(minutes=20, symbols=(ETH,), before=odd({"sizeMultiplier": "0"}), then=repaired)
    assert [type(fact) for fact in seen.facts[:1]] == [SymbolSuspended]
    assert seen.candles(ETH, Timing.ON_TIME)
    assert_within_limits(seen.twin)


def test_a_symbol_that_the_log_knows_goes_on_while_its_contract_cannot_be_read() -> None:
    known = {symbol: ResumePoint(NOW_MS - 3 * MINUTE_MS) for symbol in BOTH}
    seen = watched(minutes=4, symbols=BOTH, before=odd({"sizeMultiplier": "0"}), seen=known)
    (suspended,) = seen.of(SymbolSuspended)
    assert (suspended.symbol, suspended.reason) == (ETH, "its contract cannot be read (sizeMultiplier '0')")
    assert_candles_are_the_history(seen, BOTH, from_ms=NOW_MS - 2 * MINUTE_MS)


def test_a_symbol_that_is_not_there_is_still_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"BTCUSD .*did you mean BTCUSDT"):
        watched(minutes=2, market=SimTwinMarket(BOTH), symbols=("BTCUSD", ETH), before=odd({"sizeMultiplier": "0"}))


# ---------------------------------------------------------------- ended contracts


def test_an_ended_contract_is_told_when_it_is_missing_twice_and_the_others_go_on() -> None:
    seen = watched(minutes=25, symbols=BOTH, then=[(4.2, end)])
    told = seen.of(ContractDelisted)
    assert {one.symbol for one in told} == {ETH}
    assert told[0].at_ms >= START_MS + 9 * MINUTE_MS
    assert_candles_are_the_history(seen, (BTC,))
    assert seen.of(FeedLost) == []
    refused = [one for one in seen.twin.asked if f"symbol={ETH}" in one.target and one.at_ms > told[0].at_ms]
    assert refused == [], "nobody asks for what has ended"


def test_a_contract_that_is_missing_once_is_traded_on() -> None:
    back = [(4.2, end), (8.7, lambda twin: twin.faults.clear())]
    seen = watched(minutes=25, symbols=BOTH, then=back)
    assert seen.of(ContractDelisted) == []
    assert_candles_are_the_history(seen, BOTH)


@pytest.mark.system
def test_a_lost_feed_does_not_name_an_ended_contract_as_its_reason() -> None:
    """Both are away at once: the exchange fails, and when it answers again one contract is no more."""

    def away(twin: WatchedTwin) -> None:
        end(twin)
        twin.faults.on(BitgetFault.EMPTY_DATA, symbol=BTC, for_s=400.0)
        twin.faults.on(BitgetFault.SILENT_SYMBOL, symbol=BTC, for_s=400.0)

    seen = watched(minutes=20, symbols=BOTH, then=[(4.2, away)])
    assert seen.of(FeedLost) and all(ETH not in lost.reason for lost in seen.of(FeedLost))
    assert seen.of(FeedConnected)
    assert_candles_are_the_history(seen, (BTC,))


# ---------------------------------------------------------------- with an engine

RISK = replace(NO_LIMITS, leverage=1.0)
HOLDING = {"scripted": RunnerSettings({"stop_percent": 60.0, "target_percent": 90.0}, risk=RISK)}
FIRST = Plan(minutes=6, symbols=BOTH, market=Volumes(BOTH), behaviour=SPARSE)


def later(minutes: float, hours_later: float, symbols: Sequence[str], before: Then = lambda _twin: None) -> Plan:
    """Another life of the engine, on the same market."""
    start_ms = START_MS + int(hours_later * HOUR_MS)
    return replace(FIRST, minutes=minutes, start_ms=start_ms, symbols=symbols, before=before)


def lived(*plans: Plan) -> Traded:
    """An engine that lives several times, with hours between its lives, and one log."""
    logs: list[MemoryEventLog] = []

    async def main(clock: VirtualClock, plan: Plan) -> Traded:
        logs.append(logs[0] if logs else MemoryEventLog(clock_ms=lambda: 0))
        async with twin_of(plan, clock) as twin:
            made = Traded(twin, logs[0], [])
            plan.before(twin)
            await live(plan, made, HOLDING, clock, plan.start_ms + int(plan.minutes * MINUTE_MS))
            return made

    for plan in plans:
        made = run(partial(main, plan=plan), plan.start_ms)
    assert verify(made.log.reader(), None, STRATEGIES).difference is None
    assert state_digest(world_of(made)) == verify(made.log.reader(), None, STRATEGIES).digest
    return made


def world_of(made: Traded) -> EngineState:
    """The state at the end of a log."""
    world = new_state(STRATEGIES)
    fold(world, made.recorded)
    return world


def of(made: Traded, kind: type[E], symbol: str) -> list[E]:
    """The events of a kind about a symbol."""
    return [event for event in made.events if isinstance(event, kind) and event.symbol == symbol]  # type: ignore[attr-defined]


def test_a_position_in_an_ended_contract_is_settled_a_day_after_its_last_candle() -> None:
    made = lived(FIRST, later(25, 2, BOTH, end), later(25, 26, BOTH, end))
    (opened,), (closed,) = of(made, PositionOpened, ETH), of(made, PositionClosed, ETH)
    last = of(made, CandleClosed, ETH)[-1]
    assert closed.reason == "delisted"
    assert (closed.price_usdt, closed.quantity_base) == (last.close, opened.quantity_base)
    assert last.at_ms + DAY_MS <= closed.at_ms <= START_MS + 26 * HOUR_MS + 11 * MINUTE_MS
    assert len(of(made, ContractDelisted, ETH)) == 2, "once when it was found, once when the position was due"
    assert not of(made, PositionClosed, BTC) and len(of(made, PositionOpened, BTC)) == 1


def test_the_owner_settles_a_position_in_an_ended_contract_at_any_time() -> None:
    made = lived(FIRST, later(12, 2, BOTH, end))
    assert of(made, ContractDelisted, ETH) and not of(made, PositionClosed, ETH)
    world = world_of(made)
    (request,) = command_events(world, Close("anna", "delisted", symbol=ETH))
    ended = [entry.event for entry in decide(world, request, made.recorded[-1].seq + 1)]
    assert isinstance(ended[1], PositionClosed) and ended[1].reason == "delisted"


def test_an_ended_symbol_that_was_taken_out_of_the_configuration_is_settled_too() -> None:
    made = lived(FIRST, later(25, 26, (BTC,), end))
    (closed,) = of(made, PositionClosed, ETH)
    assert closed.reason == "delisted"
    assert of(made, SymbolSuspended, ETH)


def test_a_symbol_that_was_taken_out_is_watched_until_its_position_ends() -> None:
    made = lived(FIRST, later(12, 2, (BTC,)))
    (suspended,) = of(made, SymbolSuspended, ETH)
    assert suspended.reason == UNCONFIGURED.format("feed.bitget")
    assert of(made, CandleClosed, ETH)[-1].at_ms > START_MS + 2 * HOUR_MS + 9 * MINUTE_MS
    assert world_of(made).runners[0].active == [True, True], "its stop and target stay in force"
    assert len(of(made, PositionOpened, ETH)) == 1
    assert unconfigured_positions(world_of(made), (BTC,)) == {ETH: ["scripted"]}


def test_a_symbol_that_was_taken_out_without_a_position_is_not_watched() -> None:
    quiet = replace(FIRST, market=SimTwinMarket(BOTH))
    made = lived(quiet, replace(later(6, 2, (BTC,)), market=quiet.market))
    assert of(made, CandleClosed, ETH)[-1].at_ms < START_MS + HOUR_MS


def test_a_strategy_keeps_a_symbol_in_which_it_holds_a_position() -> None:
    world = world_of(lived(FIRST))
    chosen = {"scripted": replace(HOLDING["scripted"], symbols=(BTC,))}
    with pytest.raises(ConfigError, match=r"scripted.only_symbols: scripted holds a position in ETHUSDT"):
        configuration_changes(world, EngineSettings(Path(), "test", STRATEGIES, chosen), [], BOTH, START_MS)
