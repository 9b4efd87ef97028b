"""`decide` answers a new input for all runners; `apply` applies a recorded one and decides nothing.

An input comes from outside: a market fact, a configuration, a human's command. Its consequences follow it in the log
until the next input; together they are a group. Both functions end in the same state, to the bit.

They stand one level above the kernel's `observe`, `decide` and `evolve`, which know one runner and one symbol. For a
market fact, `decide` calls the kernel's `observe` functions once, then its `decide` for every runner, and adds what
couples the runners: the global kill switch, and the cause of each event. `apply` observes too, then calls `evolve`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from papertape.engine.kernel.codes import (
    CANDLE,
    ENDED,
    FUNDING,
    GLOBAL_LOSS,
    KILL_SWITCH,
    MANUAL,
    NOT_TRADABLE,
    OPEN_INTEREST,
    PAUSED,
    TRADABLE,
)
from papertape.engine.kernel.decision import Decision
from papertape.engine.kernel.evolve import evolve
from papertape.engine.kernel.kill_switch import cancel_entries, roll_day, trip_global, update_total
from papertape.engine.kernel.observe import can_decide, observe_market
from papertape.engine.kernel.orders import cancel_orders, place_exit, rests
from papertape.engine.kernel.series import observe_series
from papertape.engine.kernel.state import Fact
from papertape.engine.kernel.strategy import clear_reading
from papertape.engine.reducer.applied import (
    apply_decision,
    apply_runner,
    follow_candle,
    mark_account,
    strategy_past_fills,
)
from papertape.engine.reducer.causes import record_decisions
from papertape.engine.reducer.decision_events import DECISION_KINDS, event_of
from papertape.engine.reducer.delisting import is_delisted, is_due, settle_position
from papertape.engine.reducer.inputs import apply_input
from papertape.engine.reducer.parking import cancel_parked_entries, end_warm_up, failure_event, park, park_runner
from papertape.engine.reducer.recorded import RecordedAnswers, recorded_answers
from papertape.engine.reducer.signals import is_repeated
from papertape.engine.reducer.state import market_data
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
    RunnerPaused,
    SignalReceived,
    StrategyFailed,
    SymbolResumed,
    SymbolSuspended,
)
from papertape.events.log import Entry, Recorded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from papertape.engine.kernel.view import MarketData
    from papertape.engine.reducer.state import EngineState, Runner

MARKET_FACTS = (CandleClosed, FundingRateSettled, OpenInterestObserved)
SYMBOL_FACTS = (*MARKET_FACTS, SignalReceived, ContractListed, ContractDelisted, SymbolSuspended, SymbolResumed)


def is_decision(event: Event) -> bool:
    """Return whether the engine decided this event, rather than received it as an input."""
    if isinstance(event, KillSwitchTripped):
        return event.reason != "manual"
    if isinstance(event, StrategyFailed):
        return event.is_hook
    return type(event) in DECISION_KINDS or isinstance(event, GapFound)


def is_new(state: EngineState, event: Event) -> bool:
    """Return whether an event says more than is known of its symbol; a repeated fact must change nothing."""
    if not isinstance(event, SYMBOL_FACTS):
        return True
    index = state.symbols.get(event.symbol)
    if isinstance(event, ContractListed):
        return index is None or replace(state.listed[index], at_ms=event.at_ms) != event
    if index is None:  # The event is about a symbol that waits for its contract; there is nothing to decide.
        return isinstance(event, SymbolSuspended | SymbolResumed)
    if isinstance(event, SignalReceived):
        return not is_repeated(state.signals, event)
    market = state.markets[index]
    if isinstance(event, SymbolSuspended | SymbolResumed):
        return (market.suspended == TRADABLE) == isinstance(event, SymbolSuspended)
    if isinstance(event, ContractDelisted):
        return market.suspended != ENDED or any(is_due(state, runner, event) for runner in state.runners)
    if isinstance(event, CandleClosed):
        return event.open_time_ms > market.open_time_ms
    if isinstance(event, FundingRateSettled):
        return event.at_ms > market.rate_time_ms
    return event.at_ms > market.reading_time_ms


def fact_of(state: EngineState, event: MarketFact) -> Fact:
    """Return a market fact in the kernel's form."""
    index = state.symbols[event.symbol]
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


# ---------------------------------------------------------------- decide


def decide(state: EngineState, event: Event, seq: int, recorded: Sequence[Recorded] = ()) -> list[Entry]:
    """Apply a new input and decide on it; return its log entry, at `seq`, and those of its consequences.

    Raise CommandRefused for a command that does not fit the state; the state is then unchanged. Whoever decides again
    passes the `recorded` consequences: a hook that failed is not called again, and the answers of a strategy without
    its file are taken from them.
    """
    if isinstance(event, MARKET_FACTS):
        return _decide_on_fact(state, event, seq, recorded_answers(state, recorded))
    apply_input(state, event, seq)
    entries = [Entry(event, event.trip_seq if isinstance(event, KillSwitchReset) else 0)]
    if isinstance(event, KillSwitchTripped):
        for runner in state.runners:
            if runner.trip_seq == seq:
                _cancel_entries(state, runner, KILL_SWITCH, event.at_ms, entries, seq)
    elif isinstance(event, RunnerPaused):
        _cancel_entries(state, state.runner(event.strategy), PAUSED, event.at_ms, entries, seq)
    elif isinstance(event, SymbolSuspended | ContractDelisted):
        _cancel_entries_of(state, event, entries, seq)
        if isinstance(event, ContractDelisted):
            _settle_due(state, event, entries, seq)
    elif isinstance(event, CloseRequested):
        _place_close(state, event, entries, seq)
    elif isinstance(event, StrategyFailed):
        cancel_parked_entries(state, state.runner(event.strategy), event.at_ms, entries, seq)
    return entries


def _decide_on_fact(state: EngineState, event: MarketFact, seq: int, known: RecordedAnswers) -> list[Entry]:
    """Observe a market fact and return it with everything that follows from it."""
    fact = fact_of(state, event)
    entries = [Entry(event), *gap_entries(event, state.markets[fact.symbol].close_time_ms, seq)]
    _observe_fact(state, fact)
    decides = can_decide(fact.kind, fact.timing)
    for runner in state.runners:
        name = runner.strategy.name
        if known.failures and name in known.failures:
            runner.guard.muted = True
        data = update_strategy(state, runner, fact)
        if decides and runner.active[fact.symbol]:
            if known.followed and name in known.followed:
                entries += apply_runner(state, runner, fact, known.followed[name])
                continue
            count = decide_for_runner(state, runner, fact, data)
            if count > 0:
                record_decisions(state, runner, runner.out[:count], entries, seq)
        if runner.guard.failure is not None or known.failures:
            failed = known.failures.get(name) or failure_event(state, runner, fact)
            park_runner(state, runner, failed, entries, seq)
    if decides and state.runners:
        _check_global_limit(state, fact, entries, seq)
    return entries


def decide_for_runner(state: EngineState, runner: Runner, fact: Fact, data: MarketData) -> int:
    """Let one runner answer a candle; return the number of decisions in its `out`."""
    symbol = fact.symbol
    return runner.decide(
        fact,
        data,
        runner.desks,
        runner.states[symbol],
        runner.params[symbol],
        runner.needs[symbol],
        runner.account,
        runner.rules,
        state.contracts,
        state.tiers,
        runner.answer,
        runner.out,
        runner.notes,
        0,
    )


def update_strategy(state: EngineState, runner: Runner, fact: Fact) -> MarketData:
    """Show a runner's strategy an observed fact; return what was observed.

    It is shown on the fact's symbol and, if that is a reference, on all others.
    """
    if runner.warm_ms:
        end_warm_up(runner, fact.time_ms)
    data = market_data(state, runner, fact.symbol)
    runner.update_strategy(fact, data, runner.states[fact.symbol], runner.params[fact.symbol])
    if fact.kind == CANDLE and fact.symbol in runner.references:
        for symbol in range(len(runner.states)):
            if symbol != fact.symbol:
                others = market_data(state, runner, symbol)
                runner.update_by_reference(fact, others, runner.states[symbol], runner.params[symbol])
    return data


def _observe_fact(state: EngineState, fact: Fact) -> None:
    """Observe a fact once for all runners: its market, and for a candle the series of every timeframe."""
    symbol = fact.symbol
    market = state.markets[symbol]
    observe_market(fact, market, state.settlements[symbol], state.readings[symbol])
    if fact.kind == CANDLE:
        for series in state.series.values():
            one = series.views[symbol]
            observe_series(one.candle, one.bars, fact, market.reset)


def gap_entries(event: MarketFact, known_until_ms: int, seq: int) -> list[Entry]:
    """Return an entry for the hole before a candle, if there is one; `known_until_ms` is -1 before the first candle."""
    if not isinstance(event, CandleClosed) or known_until_ms < 0 or event.open_time_ms <= known_until_ms:
        return []
    missing = (event.open_time_ms - known_until_ms) // event.timeframe_ms
    return [Entry(GapFound(event.at_ms, event.symbol, known_until_ms, event.open_time_ms, missing), seq)]


def _check_global_limit(state: EngineState, fact: Fact, entries: list[Entry], seq: int) -> None:
    """Update the global kill switch after a candle; a trip stops every runner that is not stopped already."""
    if not update_total(state.guard, state.maxima, total_equity(state), fact.time_ms):
        return
    decision = Decision()
    trip_global(state.guard, fact.time_ms, decision)
    state.guard.tripped = GLOBAL_LOSS
    state.guard_trip_seq = seq + len(entries)
    entries.append(Entry(event_of(decision, GLOBAL_SCOPE, "", ()), seq))
    for runner in state.runners:
        if runner.account.tripped == 0:
            evolve(runner.desks[0], runner.account, decision)
            runner.trip_seq = state.guard_trip_seq
            _cancel_entries(state, runner, KILL_SWITCH, fact.time_ms, entries, seq)


def _cancel_entries(
    state: EngineState, runner: Runner, reason: int, at_ms: int, entries: list[Entry], seq: int
) -> None:
    """Cancel the pending entries and the adds of a runner that was just stopped."""
    count = cancel_entries(reason, at_ms, runner.account, runner.desks, runner.out, 0)
    record_decisions(state, runner, runner.out[:count], entries, seq)


def _cancel_entries_of(
    state: EngineState, event: SymbolSuspended | ContractDelisted, entries: list[Entry], seq: int
) -> None:
    """Cancel the pending entries and the adds on a symbol that is no longer tradable."""
    symbol = state.symbols.get(event.symbol)
    if symbol is None:
        return
    for runner in state.runners:
        desk = runner.desks[symbol]
        if rests(desk):
            count = cancel_orders(NOT_TRADABLE, event.at_ms, symbol, desk, runner.account, runner.out, 0)
            record_decisions(state, runner, runner.out[:count], entries, seq)


def _settle_due(state: EngineState, event: ContractDelisted, entries: list[Entry], seq: int) -> None:
    """Settle the positions in a delisted contract that are due, or that the owner asked to close."""
    for runner in state.runners:
        if is_due(state, runner, event):
            count = settle_position(state, runner, state.symbols[event.symbol], event.at_ms)
            record_decisions(state, runner, runner.out[:count], entries, seq)


def _place_close(state: EngineState, event: CloseRequested, entries: list[Entry], seq: int) -> None:
    """Place the exit order that a human asked for; it fills like any other if a candle can still arrive."""
    runner, symbol = state.runner(event.strategy), state.symbols[event.symbol]
    if is_delisted(state, symbol):
        count = settle_position(state, runner, symbol, event.at_ms)
        record_decisions(state, runner, runner.out[:count], entries, seq)
        return
    decision = runner.out[0]
    # The numbers of an earlier decision are in no snapshot, so they must not get into the log.
    clear_reading(decision.reading)
    place_exit(symbol, event.at_ms, runner.desks[symbol], runner.account, MANUAL, decision)
    record_decisions(state, runner, [decision], entries, seq)


def total_equity(state: EngineState) -> float:
    """Return the sum of all accounts' equity in USDT, added up in the order of the runners."""
    total = 0.0
    for runner in state.runners:
        total += runner.account.equity_usdt
    return total


# ---------------------------------------------------------------- apply


def apply(state: EngineState, group: Sequence[Recorded]) -> None:
    """Apply a recorded group, an input and its consequences, without deciding anything."""
    head = group[0]
    event = head.event
    fact = None
    if isinstance(event, MARKET_FACTS):
        fact = fact_of(state, event)
        _park_failed(state, group)
        _observe_fact(state, fact)
        for runner in state.runners:
            update_strategy(state, runner, fact)
            if can_decide(fact.kind, fact.timing) and runner.active[fact.symbol]:
                roll_day(runner.account, fact.open_time_ms)
    elif not is_decision(event):
        apply_input(state, event, head.seq)
    if fact is None or not can_decide(fact.kind, fact.timing):
        for recorded in group[1:]:
            apply_decision(state, recorded)
        return
    followed: set[str] = set()
    for recorded in group[1:]:
        name = strategy_past_fills(recorded.event)
        if name is not None and name not in followed:
            followed.add(name)
            follow_candle(state, state.runner(name), fact)
        apply_decision(state, recorded)
    for runner in state.runners:
        if runner.strategy.name not in followed:
            follow_candle(state, runner, fact)
    _mark_accounts(state, fact)


def _park_failed(state: EngineState, group: Sequence[Recorded]) -> None:
    """Park the runners whose hooks failed on an input, before any hook is called: one that hung must not hang again."""
    for recorded in group[1:]:
        if isinstance(recorded.event, StrategyFailed):
            park(state.runner(recorded.event.strategy), recorded.event, recorded.seq)


def _mark_accounts(state: EngineState, fact: Fact) -> None:
    """Mark every account to market after a candle, and update the total of the global kill switch."""
    for runner in state.runners:
        if runner.active[fact.symbol]:
            mark_account(runner, fact)
    if state.runners:
        update_total(state.guard, state.maxima, total_equity(state), fact.time_ms)


def groups(recorded: Iterable[Recorded]) -> Iterable[list[Recorded]]:
    """Yield events in groups: an input and the decisions that follow it."""
    group: list[Recorded] = []
    for item in recorded:
        if group and not is_decision(item.event):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def fold(state: EngineState, recorded: Iterable[Recorded]) -> None:
    """Apply a stretch of the log. Raise EngineFault if it does not begin with an input."""
    for group in groups(recorded):
        if is_decision(group[0].event):
            raise EngineFault(f"seq {group[0].seq}: a decision without the input that led to it")
        apply(state, group)
