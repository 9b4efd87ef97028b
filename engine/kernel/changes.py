"""The answer of `manage`: move the stop, replace targets or adds, set the trailing, reduce the position.

An answer is taken as a whole, or refused as a whole with the first reason that speaks against it. What equals that
which stands already changes nothing and is not recorded. A stop is never loosened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from papertape.engine.kernel.answers import RUNGS_MAX, clear_answer, rung_at
from papertape.engine.kernel.codes import (
    CHANGE,
    KILL_SWITCH,
    LADDER,
    NO_REASON,
    NOT_A_NUMBER,
    NOT_TRADABLE,
    ORDER_REJECTED,
    PAUSED,
    REPLACED,
    STOP_MOVED,
    STOP_ORDER,
    STOP_THROUGH_MARKET,
    TARGET_THROUGH_MARKET,
    TARGETS_MOVED,
    UNITS,
)
from papertape.engine.kernel.evolve import evolve
from papertape.engine.kernel.orders import cancel_orders, place_adds, place_reduce
from papertape.engine.kernel.plans import (
    TOLERANCE,
    has_valid_trailing,
    is_add_ladder,
    is_amount,
    is_price,
    is_target_ladder,
    last_target,
    round_adds,
    round_targets,
    sum_of_sizes,
    towards_loss,
)
from papertape.engine.kernel.strategy import as_plan, clear_reading, copy_reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import Struct

    from papertape.engine.kernel.answers import Answer, Ladder, Plan
    from papertape.engine.kernel.decision import Decision, Decisions, Notes
    from papertape.engine.kernel.state import Account, Contract, Fact, Market, Position, SymbolState
    from papertape.engine.kernel.view import MarketData


def renew_answer(answer: Answer) -> None:
    """Clear an answer and its reading, so that only what the strategy writes now counts."""
    clear_answer(answer)
    clear_reading(answer.reading)


def make_renewal(reading: type[Struct]) -> Callable[[Answer], None]:
    """Make `renew_answer` for CPython, which copies a reading of zeros three times as fast as it clears one."""
    zeros = reading(**dict.fromkeys(reading.__struct_fields__, 0))

    def renew(answer: Answer) -> None:
        clear_answer(answer)
        answer.reading = replace(zeros)

    return renew


def keep_answer(answer: Answer) -> None:
    """Leave an answer as it is, for a hook that reads nothing of it."""


def make_change(manage: Callable[..., None] | None, units_max: int) -> Callable[..., int]:
    """Bind a strategy's `manage`, bound by `bind_hook`, into `change(...)`, which asks it and decides on its answer.

    A strategy without `manage` gets a function that changes nothing, so it costs nothing in a compiled loop.
    """
    if manage is None:
        return keep_orders
    ask = manage

    def change(
        fact: Fact,
        data: MarketData,
        desk: SymbolState,
        state: Any,
        params: Any,
        account: Account,
        contract: Contract,
        answer: Answer,
        out: Decisions,
        notes: Notes,
        n: int,
    ) -> int:
        timeframe_ms, first = data.series[0].candle.timeframe_ms, n
        renew_answer(answer)
        ask(fact.time_ms, data, state, account, desk, params, answer)
        n = change_orders(as_plan(answer), fact, timeframe_ms, units_max, data.market, desk, account, contract, out, n)
        for k in range(first, n):
            if out[k].kind == ORDER_REJECTED:
                copy_reading(answer.reading, notes[k])
            else:
                clear_reading(notes[k])
        return n

    return change


def keep_orders(*arguments: Any) -> int:
    """Change nothing, for a strategy without `manage`: return the number of decisions so far, the last argument."""
    return int(arguments[-1])


def change_orders(
    answer: Plan,
    fact: Fact,
    timeframe_ms: int,
    units_max: int,
    market: Market,
    desk: SymbolState,
    account: Account,
    contract: Contract,
    out: Decisions,
    n: int,
) -> int:
    """Decide on the answer of `manage` and apply it; return the number of decisions so far."""
    position = desk.position
    barred = _bar(account, market)
    if answer.adds.named == 1 and answer.adds.count > 0 and barred != NO_REASON:
        answer.adds.named = 0
        _refuse(barred, fact, desk, out[n])
        n += 1
    reason = _fault(answer, fact.close, units_max, position, contract)
    if reason != NO_REASON:
        _refuse(reason, fact, desk, out[n])
        return n + 1
    if position.side * (answer.stop_price_usdt - position.stop_price_usdt) <= 0.0 or answer.stop_price_usdt == 0.0:
        answer.stop_price_usdt = position.stop_price_usdt
    if answer.trailing_named == 0:
        answer.trail_fraction = position.trail_fraction
        answer.trail_after_fraction = position.trail_after_fraction
        answer.breakeven_after_fraction = position.breakeven_after_fraction
    if _moves_stop(answer, position):
        _move_stop(answer, fact, desk, account, out[n])
        n += 1
    if answer.targets.named == 1 and not _are_targets(answer.targets, position.targets):
        _move_targets(answer, fact, desk, account, out[n])
        n += 1
    if answer.adds.named == 1 and not _are_adds(answer.adds, position.adds):
        n = cancel_orders(REPLACED, fact.time_ms, fact.symbol, desk, account, out, n)
        n = place_adds(answer.adds, fact.symbol, fact.time_ms, timeframe_ms, desk, account, contract, out, n)
    if answer.reduce_fraction > 0.0:
        place_reduce(answer.reduce_fraction, fact.symbol, fact.time_ms, desk, account, contract, out[n])
        n += 1
    return n


def _bar(account: Account, market: Market) -> int:
    """Return what keeps the runner from adding to a position, 0 if nothing does."""
    if account.tripped != 0:
        return KILL_SWITCH
    if account.paused != 0:
        return PAUSED
    return NOT_TRADABLE if market.suspended != 0 else NO_REASON


def _refuse(reason: int, fact: Fact, desk: SymbolState, decision: Decision) -> None:
    """Refuse a change; it has no score."""
    decision.kind = ORDER_REJECTED
    decision.symbol = fact.symbol
    decision.at_ms = fact.time_ms
    decision.action = CHANGE
    decision.side = desk.position.side
    decision.reason = reason
    decision.score = 0.0


def _fault(answer: Plan, close: float, units_max: int, position: Position, contract: Contract) -> int:
    """Return the reason that refuses an answer, 0 if it is valid; put its prices on the grid."""
    side = position.side
    if not _is_number(answer, close, side, contract):
        return NOT_A_NUMBER
    stop = position.stop_price_usdt
    if answer.stop_price_usdt > 0.0 and side * (answer.stop_price_usdt - stop) > 0.0:
        stop = answer.stop_price_usdt
        if side * (stop - close) >= 0.0:
            return STOP_THROUGH_MARKET
    targets = answer.targets if answer.targets.named == 1 else position.targets
    if answer.targets.named == 1:
        for k in range(min(targets.count, RUNGS_MAX)):
            if side * (rung_at(targets, k).price_usdt - close) <= 0.0:
                return TARGET_THROUGH_MARKET
        if not is_target_ladder(targets, close, side, contract):
            return LADDER
    target = last_target(targets, close, side, contract)
    if answer.adds.named == 0:
        return LADDER if answer.targets.named == 1 and _has_farther_add(position.adds, target, side) else NO_REASON
    if not is_add_ladder(answer.adds, side, close, stop, target, 1):
        return LADDER
    units = position.units + sum_of_sizes(answer.adds)
    return UNITS if units > units_max + TOLERANCE else NO_REASON


def _has_farther_add(adds: Ladder, target: float, side: int) -> bool:
    """Return whether a resting stop add is not nearer than the last target of a full ladder, 0 if that is not full."""
    for k in range(adds.count):
        rung = rung_at(adds, k)
        if rung.live == 1 and rung.kind == STOP_ORDER and target != 0.0 and side * (target - rung.price_usdt) <= 0.0:
            return True
    return False


def _is_number(answer: Plan, close: float, side: int, contract: Contract) -> bool:
    """Return whether every number of an answer is finite and in its range; put its prices on the grid."""
    answer.reduce_fraction = answer.reduce_fraction * 1.0
    answer.stop_price_usdt = answer.stop_price_usdt * 1.0
    if not is_amount(answer.reduce_fraction) or answer.reduce_fraction > 1.0:
        return False
    if answer.stop_price_usdt != 0.0:
        if not is_price(answer.stop_price_usdt, contract):
            return False
        answer.stop_price_usdt = towards_loss(answer.stop_price_usdt, side, contract)
    if answer.trailing_named == 1 and not has_valid_trailing(answer):
        return False
    if answer.adds.named == 1 and not round_adds(answer.adds, side, contract):
        return False
    if answer.targets.named == 0:
        return True
    for k in range(min(answer.targets.count, RUNGS_MAX)):
        if not is_price(rung_at(answer.targets, k).price_usdt * 1.0, contract):
            return False
    return round_targets(answer.targets, close, side, contract)


# ---------------------------------------------------------------- what is new


def _moves_stop(answer: Plan, position: Position) -> bool:
    return (
        answer.stop_price_usdt != position.stop_price_usdt
        or answer.trail_fraction != position.trail_fraction
        or answer.trail_after_fraction != position.trail_after_fraction
        or answer.breakeven_after_fraction != position.breakeven_after_fraction
    )


def _are_targets(named: Ladder, standing: Ladder) -> bool:
    """Return whether targets equal those that stand: the ladder as it was set, with no rung filled or dropped."""
    if named.count != standing.count:
        return False
    for k in range(named.count):
        new, old = rung_at(named, k), rung_at(standing, k)
        if old.live == 0 or new.price_usdt != old.price_usdt or new.size != old.size:
            return False
    return True


def _are_adds(named: Ladder, standing: Ladder) -> bool:
    """Return whether adds equal those that still rest, in their order."""
    k = 0
    for j in range(standing.count):
        old = rung_at(standing, j)
        if old.live == 0:
            continue
        if k >= named.count:
            return False
        new = rung_at(named, k)
        if new.kind != old.kind or new.price_usdt != old.price_usdt or new.size != old.size:
            return False
        if new.expires_candles != old.expires_candles:
            return False
        k += 1
    return k == named.count


def _move_stop(answer: Plan, fact: Fact, desk: SymbolState, account: Account, decision: Decision) -> None:
    position = desk.position
    decision.kind = STOP_MOVED
    decision.symbol = fact.symbol
    decision.at_ms = fact.time_ms
    decision.side = position.side
    decision.from_price_usdt = position.stop_price_usdt
    decision.stop_price_usdt = answer.stop_price_usdt
    decision.trail_fraction = answer.trail_fraction
    decision.trail_after_fraction = answer.trail_after_fraction
    decision.breakeven_after_fraction = answer.breakeven_after_fraction
    evolve(desk, account, decision)


def _move_targets(answer: Plan, fact: Fact, desk: SymbolState, account: Account, decision: Decision) -> None:
    decision.kind = TARGETS_MOVED
    decision.symbol = fact.symbol
    decision.at_ms = fact.time_ms
    decision.side = desk.position.side
    decision.targets.count = answer.targets.count
    for k in range(answer.targets.count):
        rung, named = rung_at(decision.targets, k), rung_at(answer.targets, k)
        rung.price_usdt = named.price_usdt
        rung.fraction = 0.0
        rung.size = named.size
    evolve(desk, account, decision)
