"""`decide` decides on an input and applies it; `apply` applies what was recorded and decides nothing.

An input is whatever comes from outside: a market fact, a configuration, a human's command. Its consequences
follow it in the log until the next input: that is a group. The two ways end in the same state, to the bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from msgspec.structs import replace

from papertape.engine.kernel.codes import (
    CANDLE,
    DELISTED,
    ENDED,
    ENTRY,
    FUNDING,
    GLOBAL_LOSS,
    MANUAL,
    NOT_TRADABLE,
    OPEN_INTEREST,
    TRADABLE,
    WARM_UP,
)
from papertape.engine.kernel.evolve import evolve
from papertape.engine.kernel.fills import cancel_entry
from papertape.engine.kernel.kill_switch import cancel_entries, roll_day, trip_global, update_total
from papertape.engine.kernel.series import observe_candle, observe_open_interest, observe_series, observe_settlement
from papertape.engine.kernel.stages import mark_to_market, place_exit
from papertape.engine.kernel.state import Decision, Fact
from papertape.engine.reducer.decision_events import DECISION_KINDS, decision_of, event_of
from papertape.engine.reducer.delisting import is_delisted, is_due, settle_position
from papertape.engine.reducer.inputs import apply_input, apply_trip
from papertape.events.errors import EngineFault
from papertape.events.facts import (
    GLOBAL_SCOPE,
    CandleClosed,
    CloseRequested,
    ContractDelisted,
    ContractListed,
    Event,
    FundingRateSettled,
    GapFound,
    KillSwitchReset,
    KillSwitchTripped,
    MarketFact,
    OpenInterestObserved,
    OrderCancelled,
    OrderPlaced,
    PositionClosed,
    PositionOpened,
    SymbolResumed,
    SymbolSuspended,
)
from papertape.events.log import Entry, Recorded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from papertape.engine.kernel.state import Market, Series
    from papertape.engine.reducer.state import EngineState, Runner

MARKET_FACTS = (CandleClosed, FundingRateSettled, OpenInterestObserved)
SYMBOL_FACTS = (*MARKET_FACTS, ContractListed, ContractDelisted, SymbolSuspended, SymbolResumed)


def is_decision(event: Event) -> bool:
    """Whether the engine decided this event, rather than being told it."""
    if isinstance(event, KillSwitchTripped):
        return event.reason != "manual"
    return type(event) in DECISION_KINDS or isinstance(event, GapFound)


def is_new(world: EngineState, event: Event) -> bool:
    """Whether a fact of the market says more than is known of its symbol; feeding one twice changes nothing."""
    if not isinstance(event, SYMBOL_FACTS):
        return True
    index = world.symbols.get(event.symbol)
    if isinstance(event, ContractListed):
        return index is None or replace(world.listed[index], at_ms=event.at_ms) != event
    if index is None:  # The event is about a symbol that waits for its contract; there is nothing to decide.
        return isinstance(event, SymbolSuspended | SymbolResumed)
    market = world.markets[index]
    if isinstance(event, SymbolSuspended | SymbolResumed):
        return (market.suspended == TRADABLE) == isinstance(event, SymbolSuspended)
    if isinstance(event, ContractDelisted):
        return market.suspended != ENDED or any(is_due(world, runner, event) for runner in world.runners)
    if isinstance(event, CandleClosed):
        return event.open_time_ms > market.open_time_ms
    if isinstance(event, FundingRateSettled):
        return event.at_ms > market.rate_time_ms
    return event.at_ms > market.reading_time_ms


def fact_of(world: EngineState, event: MarketFact) -> Fact:
    """A market fact in the kernel's form."""
    index = world.symbols[event.symbol]
    if isinstance(event, CandleClosed):
        return Fact(
            CANDLE,
            index,
            event.timing,
            event.at_ms - event.timeframe_ms,
            event.at_ms,
            event.open,
            event.high,
            event.low,
            event.close,
            event.volume,
        )
    if isinstance(event, FundingRateSettled):
        return Fact(FUNDING, index, 0, event.at_ms, event.at_ms, close=event.rate)
    return Fact(OPEN_INTEREST, index, 0, event.at_ms, event.at_ms, close=event.open_interest_base)


# ---------------------------------------------------------------- react


def decide(world: EngineState, event: Event, seq: int) -> list[Entry]:
    """Take an input that will stand at `seq`, decide, apply; returns it with its consequences.

    Raises CommandRefused for a command that does not fit, and then nothing has changed.
    """
    if isinstance(event, MARKET_FACTS):
        return _decide_on_fact(world, event, seq)
    apply_input(world, event, seq)
    entries = [Entry(event, event.trip_seq if isinstance(event, KillSwitchReset) else 0)]
    if isinstance(event, KillSwitchTripped):
        for runner in world.runners:
            if runner.trip_seq == seq:
                _cancel_entries(world, runner, event.at_ms, entries, seq)
    elif isinstance(event, SymbolSuspended | ContractDelisted):
        _cancel_entries_of(world, event, entries, seq)
        if isinstance(event, ContractDelisted):
            _settle_due(world, event, entries, seq)
    elif isinstance(event, CloseRequested):
        _place_close(world, event, entries, seq)
    return entries


def _decide_on_fact(world: EngineState, event: MarketFact, seq: int) -> list[Entry]:
    """A market fact and everything that follows from it."""
    fact = fact_of(world, event)
    symbol = fact.symbol
    market, readings = world.markets[symbol], world.readings[symbol]
    entries = [Entry(event), *gap_entries(event, market.close_time_ms, seq)]
    _observe_fact(world, fact)
    is_candle = fact.kind == CANDLE
    decides = is_candle and fact.timing != WARM_UP
    for runner in world.runners:
        main = runner.main.series[symbol]
        if main.completed == 1 or market.reset == 1 or not is_candle:
            bars, state, params = runner.main.bars[symbol], runner.states[symbol], runner.params[symbol]
            runner.update_strategy(fact, market, main, bars, readings, state, params)
        if decides and runner.active[symbol]:
            count = _decide_for_runner(world, runner, fact, market, main)
            if count > 0:
                _record(world, runner, runner.out[:count], entries, seq)
    if decides and world.runners:
        _guard(world, fact, entries, seq)
    return entries


def _decide_for_runner(world: EngineState, runner: Runner, fact: Fact, market: Market, main: Series) -> int:
    """Let one runner take a candle; how many decisions stand in its `out`."""
    symbol = fact.symbol
    return runner.decide(
        fact,
        market,
        main,
        runner.filtered.series[symbol],
        world.settlements[symbol],
        runner.desks,
        runner.states[symbol],
        runner.params[symbol],
        runner.account,
        runner.rules,
        world.contracts,
        world.tiers,
        runner.out,
        0,
    )


def _observe_fact(world: EngineState, fact: Fact) -> None:
    """What every runner sees of a fact: the market and the series."""
    symbol = fact.symbol
    market = world.markets[symbol]
    if fact.kind == CANDLE:
        observe_candle(market, fact, world.settlements[symbol])
        for series in world.series.values():
            observe_series(series.series[symbol], series.bars[symbol], fact, market.reset)
    elif fact.kind == FUNDING:
        observe_settlement(market, fact, world.settlements[symbol])
    else:
        observe_open_interest(market, fact, world.readings[symbol])


def gap_entries(event: MarketFact, known_until_ms: int, seq: int) -> list[Entry]:
    """The hole before a candle, told once, with the first candle after it. `known_until_ms` -1: nothing is known."""
    if not isinstance(event, CandleClosed) or known_until_ms < 0 or event.open_time_ms <= known_until_ms:
        return []
    missing = (event.open_time_ms - known_until_ms) // event.timeframe_ms
    return [Entry(GapFound(event.at_ms, event.symbol, known_until_ms, event.open_time_ms, missing), seq)]


def _guard(world: EngineState, fact: Fact, entries: list[Entry], seq: int) -> None:
    """The global kill switch after a candle; it stops every runner that was not stopped before."""
    if not update_total(world.guard, world.maxima, total_equity(world), fact.time_ms):
        return
    decision = Decision()
    trip_global(world.guard, fact.time_ms, decision)
    world.guard.tripped = GLOBAL_LOSS
    world.guard_trip_seq = seq + len(entries)
    entries.append(Entry(event_of(decision, GLOBAL_SCOPE, "", ()), seq))
    for runner in world.runners:
        if runner.account.tripped == 0:
            evolve(runner.desks[0], runner.account, decision)
            runner.trip_seq = world.guard_trip_seq
            _cancel_entries(world, runner, fact.time_ms, entries, seq)


def _cancel_entries(world: EngineState, runner: Runner, at_ms: int, entries: list[Entry], seq: int) -> None:
    """The pending entries of a runner that was just stopped are cancelled."""
    count = cancel_entries(at_ms, runner.account, runner.desks, runner.out, 0)
    _record(world, runner, runner.out[:count], entries, seq)


def _cancel_entries_of(
    world: EngineState, event: SymbolSuspended | ContractDelisted, entries: list[Entry], seq: int
) -> None:
    """The pending entries on a symbol that is not tradable any more are cancelled."""
    symbol = world.symbols.get(event.symbol)
    if symbol is None:
        return
    for runner in world.runners:
        desk, decision = runner.desks[symbol], runner.out[0]
        if desk.order.action == ENTRY:
            cancel_entry(NOT_TRADABLE, event.at_ms, symbol, desk, decision)
            evolve(desk, runner.account, decision)
            _record(world, runner, [decision], entries, seq)


def _settle_due(world: EngineState, event: ContractDelisted, entries: list[Entry], seq: int) -> None:
    """Settle the positions in a delisted contract that are due, or that the owner asked to close."""
    for runner in world.runners:
        if is_due(world, runner, event):
            count = settle_position(world, runner, world.symbols[event.symbol], event.at_ms)
            _record(world, runner, runner.out[:count], entries, seq)


def _place_close(world: EngineState, event: CloseRequested, entries: list[Entry], seq: int) -> None:
    """Place the exit order that a human asked for; it fills like any other if a candle can still arrive."""
    runner, symbol = world.runner(event.strategy), world.symbols[event.symbol]
    if is_delisted(world, symbol):
        count = settle_position(world, runner, symbol, event.at_ms)
        _record(world, runner, runner.out[:count], entries, seq)
        return
    decision = runner.out[0]
    # What an earlier decision has left there is not in a snapshot, and must not get into the log.
    decision.reading = runner.strategy.reading()
    place_exit(symbol, event.at_ms, runner.desks[symbol], runner.account, MANUAL, decision)
    _record(world, runner, [decision], entries, seq)


def total_equity(world: EngineState) -> float:
    """The sum of all accounts' equity, in USDT, in the order of the runners."""
    total = 0.0
    for runner in world.runners:
        total += runner.account.equity_usdt
    return total


# ---------------------------------------------------------------- events and their causes


def _record(world: EngineState, runner: Runner, decisions: Sequence[Decision], entries: list[Entry], seq: int) -> None:
    """Append a runner's decisions as events, each with the seq that led to it."""
    names = list(world.symbols)
    for decision in decisions:
        strategy = runner.strategy
        event = event_of(decision, strategy.name, names[decision.symbol], strategy.exit_reasons)
        cause = cause_of(event, seq, runner.order_seq[decision.symbol], runner.trip_seq)
        record_cause(runner, event, decision.symbol, seq + len(entries))
        entries.append(Entry(event, cause))


def cause_of(event: Event, seq: int, order_seq: int, trip_seq: int) -> int:
    """What led to a decision on the input at `seq`.

    A fill comes from its order, a cancelled entry from its order or the trip, all else from the input.
    """
    if isinstance(event, OrderCancelled):
        match event.reason:
            case "kill_switch":
                return trip_seq
            case "not_tradable":
                return seq
            case "next_candle_missing" | "late_candle" | "margin":
                return order_seq
            case _:
                assert_never(event.reason)
    if isinstance(event, PositionOpened):
        return order_seq
    if isinstance(event, PositionClosed) and event.reason not in ("stop", "target", "delisted"):
        return order_seq
    return seq


def record_cause(runner: Runner, event: Event, symbol: int, seq: int) -> None:
    """Keep what later events will name as their cause."""
    if isinstance(event, OrderPlaced):
        runner.order_seq[symbol] = seq
    elif isinstance(event, KillSwitchTripped):
        runner.trip_seq = seq


# ---------------------------------------------------------------- follow


def apply(world: EngineState, group: Sequence[Recorded]) -> None:
    """Apply a recorded group, an input and its consequences, without deciding anything."""
    head = group[0]
    event = head.event
    fact = None
    if isinstance(event, MARKET_FACTS):
        fact = fact_of(world, event)
        _observe_fact(world, fact)
        for runner in world.runners:
            _apply_fact(world, runner, fact)
    elif not is_decision(event):
        apply_input(world, event, head.seq)
    for recorded in group[1:]:
        apply_decision(world, recorded)
    if fact is not None and fact.kind == CANDLE and fact.timing != WARM_UP:
        _finish(world, fact)


def _apply_fact(world: EngineState, runner: Runner, fact: Fact) -> None:
    """What a runner does with a fact before it decides."""
    symbol = fact.symbol
    market, main = world.markets[symbol], runner.main.series[symbol]
    if main.completed == 1 or market.reset == 1 or fact.kind != CANDLE:
        state, params = runner.states[symbol], runner.params[symbol]
        runner.update_strategy(fact, market, main, runner.main.bars[symbol], world.readings[symbol], state, params)
    if fact.kind == CANDLE and fact.timing != WARM_UP and runner.active[symbol]:
        roll_day(runner.account, fact.open_time_ms)


def apply_decision(world: EngineState, recorded: Recorded) -> None:
    """Apply one recorded decision."""
    event = recorded.event
    if isinstance(event, GapFound):
        return
    if isinstance(event, KillSwitchTripped):
        apply_trip(world, event, recorded.seq)
        return
    runner = world.runner(event.strategy)  # type: ignore[attr-defined]
    symbol = world.symbols[event.symbol]  # type: ignore[attr-defined]
    decision = runner.out[0]
    decision_of(event, symbol, runner.strategy.exit_reasons, decision)
    evolve(runner.desks[symbol], runner.account, decision)
    if decision.reason == DELISTED:  # No later candle in this group revalues the account.
        mark_to_market(runner.account, runner.desks)
    record_cause(runner, event, symbol, recorded.seq)


def _finish(world: EngineState, fact: Fact) -> None:
    """Value every account after a candle, and let the global switch see the total."""
    for runner in world.runners:
        if runner.active[fact.symbol]:
            runner.desks[fact.symbol].mark_usdt = fact.close
            mark_to_market(runner.account, runner.desks)
    if world.runners:
        update_total(world.guard, world.maxima, total_equity(world), fact.time_ms)


def groups(recorded: Iterable[Recorded]) -> Iterable[list[Recorded]]:
    """Events as groups: an input and the decisions that follow it."""
    group: list[Recorded] = []
    for item in recorded:
        if group and not is_decision(item.event):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def fold(world: EngineState, recorded: Iterable[Recorded]) -> None:
    """Follow a stretch of the log that begins with an input."""
    for group in groups(recorded):
        if is_decision(group[0].event):
            raise EngineFault(f"seq {group[0].seq}: a decision without the input that led to it")
        apply(world, group)
