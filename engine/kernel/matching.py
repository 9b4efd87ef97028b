"""The paper exchange inside one base candle: which orders it fills, in which order and at which prices.

Long is described, short mirrors it. At the open: liquidation, exit, a stop gapped over, a reduction, targets gapped
through, a market add, limit adds gapped through, stop adds gapped over. Inside the candle, if its low reaches the stop:
the stop adds and limit adds that were reached, then the stop. Otherwise targets and stop adds in the order of their
prices, then limit adds: nobody profits within the candle from what was added below. Where the order of events is
unknown, the one that is worse for the trader is taken, and the trade is marked as ambiguous.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.answers import rung_at
from papertape.engine.kernel.codes import (
    ENTRY,
    EXIT,
    KILL_SWITCH,
    LATE_CANDLE,
    LIMIT_ORDER,
    MARKET_ORDER,
    NEXT_CANDLE_MISSING,
    NO_REASON,
    ON_TIME,
    POSITION_ENDED,
    STOP_ORDER,
)
from papertape.engine.kernel.fill_prices import (
    ADDED,
    CLOSED,
    LIQUIDATED,
    NOTHING,
    PART,
    STOPPED,
    TARGET_HIT,
    end_fee,
    end_reason,
    fill_price,
)
from papertape.engine.kernel.fills import (
    close_position,
    entry_refusal,
    increase_position,
    open_position,
    part_to_close,
    reduce_position,
    slippage_now,
)
from papertape.engine.kernel.orders import cancel_order, cancel_orders, place_adds, rests
from papertape.engine.kernel.rounding import market_price, traded_through

if TYPE_CHECKING:
    from papertape.engine.kernel.decision import Decisions
    from papertape.engine.kernel.state import (
        Account,
        AccountRules,
        Contract,
        Contracts,
        Desks,
        Fact,
        Order,
        Position,
        SymbolState,
        Tiers,
        TierTables,
    )

# Steps of a candle, in order. A position that was opened at the open begins with OPENED, a market order with a stop
# fraction or an order filled inside the candle further on.
CARRIED = 0
OPENED = 1
AT_REDUCE = 2
AT_TARGETS = 3
AT_MARKET_ADD = 4
AT_LIMIT_ADDS = 5
AT_STOP_ADDS = 6
INSIDE = 7
INSIDE_AFTER_LIMIT = 8
INSIDE_AFTER_STOP = 9
DONE = 10
FILLS_MAX = 16
"""More than one candle can fill: an exit or reduction, four targets, four adds."""


def match_candle(
    fact: Fact,
    turbulent: int,
    timeframe_ms: int,
    desk: SymbolState,
    desks: Desks,
    account: Account,
    rules: AccountRules,
    contracts: Contracts,
    tiers: TierTables,
    out: Decisions,
    n: int,
) -> int:
    """Match orders and position with a candle that is not quiet; return the number of decisions so far."""
    slippage, contract = slippage_now(rules, turbulent), contracts[fact.symbol]
    position, step = desk.position, DONE
    if (fact.open_time_ms != desk.close_ms or fact.timing != ON_TIME) and rests(desk):
        reason = LATE_CANDLE if fact.open_time_ms == desk.close_ms else NEXT_CANDLE_MISSING
        n = cancel_orders(reason, fact.open_time_ms, fact.symbol, desk, account, out, n)
    if position.side != 0:
        step = CARRIED
    elif desk.order.action == ENTRY:
        step, n = _fill_entry(fact, slippage, desk, desks, account, rules, contract, tiers[fact.symbol], out, n)
    if step != DONE:
        n = _walk(step, fact, slippage, desk, desks, account, rules, contract, tiers[fact.symbol], out, n)
        if position.side == 0 and (position.adds.count > 0 or position.reduce_fraction > 0.0):
            n = cancel_orders(POSITION_ENDED, desk.exited_ms, fact.symbol, desk, account, out, n)
    if position.side != 0 and position.adds_due == 1:
        n = place_adds(position.adds, fact.symbol, fact.time_ms, timeframe_ms, desk, account, contract, out, n)
    return n


def is_quiet(fact: Fact, desk: SymbolState) -> bool:
    """Return whether a candle certainly fills nothing of a carried position, and ends no order: most do not."""
    position = desk.position
    side, liquidation, target = position.side, position.liquidation_price_usdt, position.target_price_usdt
    adverse = fact.low if side > 0 else fact.high
    favourable = fact.high if side > 0 else fact.low
    return (
        side != 0
        and touches_nothing(side, position.stop_price_usdt, target, liquidation, fact.open, adverse, favourable)
        and desk.order.action != EXIT
        and position.reduce_fraction == 0.0
        and (position.adds.count == 0 or _adds_are_quiet(fact, adverse, favourable, desk))
    )


def touches_nothing(
    side: int, stop: float, target: float, liquidation: float, opening: float, adverse: float, favourable: float
) -> bool:
    """Return whether a candle with these extremes stays between a position's stop, target and liquidation."""
    return (
        side * (adverse - stop) > 0.0
        and (target == 0.0 or side * (favourable - target) <= 0.0)
        and (liquidation == 0.0 or side * (opening - liquidation) > 0.0)
    )


def _adds_are_quiet(fact: Fact, adverse: float, favourable: float, desk: SymbolState) -> bool:
    """Return whether a candle certainly fills no add, and neither places nor cancels one."""
    position = desk.position
    if position.adds_due == 1 or fact.open_time_ms != desk.close_ms or fact.timing != ON_TIME:
        return False
    for k in range(position.adds.count):
        rung = rung_at(position.adds, k)
        if rung.live == 1:
            if rung.kind == LIMIT_ORDER:
                reached = position.side * (adverse - rung.price_usdt) <= 0.0
            else:
                reached = rung.kind == MARKET_ORDER or position.side * (favourable - rung.price_usdt) >= 0.0
            if reached:
                return False
    return True


# ---------------------------------------------------------------- entries


def _fill_entry(
    fact: Fact,
    slippage: float,
    desk: SymbolState,
    desks: Desks,
    account: Account,
    rules: AccountRules,
    contract: Contract,
    tiers: Tiers,
    out: Decisions,
    n: int,
) -> tuple[int, int]:
    """Fill an entry that the candle reaches, or cancel it; return the step from which the candle goes on, and `n`."""
    order, decision = desk.order, out[n]
    side, opening = order.side, fact.open
    at_ms, step = fact.open_time_ms, DONE
    price, reference = opening, opening
    if account.tripped != 0:
        cancel_order(KILL_SWITCH, ENTRY, 0, at_ms, fact.symbol, desk, account, decision)
        return DONE, n + 1
    if order.kind == LIMIT_ORDER:
        price = reference = order.price_usdt
        if traded_through(opening, price, -side, contract):
            step = OPENED
        elif traded_through(fact.low if side > 0 else fact.high, price, -side, contract):
            step, at_ms = INSIDE_AFTER_LIMIT, fact.time_ms
    elif order.kind == STOP_ORDER:
        if side * (opening - order.price_usdt) >= 0.0:
            step = OPENED
        elif side * ((fact.high if side > 0 else fact.low) - order.price_usdt) >= 0.0:
            step, at_ms, reference = INSIDE_AFTER_STOP, fact.time_ms, order.price_usdt
    else:
        step = INSIDE if order.stop_price_usdt == 0.0 else OPENED
    if step == DONE:
        return DONE, n
    if order.kind != LIMIT_ORDER:
        price = market_price(reference, side, slippage, contract)
    refusal = entry_refusal(price, desk, desks, account, rules, contract, tiers)
    if refusal != NO_REASON:
        cancel_order(refusal, ENTRY, 0, at_ms, fact.symbol, desk, account, decision)
        return DONE, n + 1
    open_position(price, reference, at_ms, fact, desk, account, rules, contract, tiers, decision)
    return step, n + 1


# ---------------------------------------------------------------- the way through a candle


def _walk(
    step: int,
    fact: Fact,
    slippage: float,
    desk: SymbolState,
    desks: Desks,
    account: Account,
    rules: AccountRules,
    contract: Contract,
    tiers: Tiers,
    out: Decisions,
    n: int,
) -> int:
    """Fill everything that the candle reaches, one fill after the other; return the number of decisions so far."""
    position, ambiguous = desk.position, -1
    for _ in range(FILLS_MAX):
        step, what, k, at_open = _next_fill(step, fact, position, desk.order, contract)
        if what == NOTHING:
            break
        if not at_open and ambiguous < 0:
            ambiguous = _is_ambiguous(step, fact, position, contract)
        unclear, at_ms = (0, fact.open_time_ms) if at_open else (ambiguous, fact.time_ms)
        price, reference = fill_price(what, k, at_open, fact.open, slippage, position, rules, contract)
        if what == ADDED:
            increase_position(
                k,
                price,
                reference,
                slippage,
                unclear,
                at_ms,
                fact,
                desk,
                desks,
                account,
                rules,
                contract,
                tiers,
                out[n],
            )
        else:
            reason, fee = end_reason(what, k, position, desk.order), end_fee(what, rules)
            partial = what in (PART, TARGET_HIT)
            quantity = part_to_close(reason, k, price, position, contract) if partial else position.quantity_base
            if quantity >= position.quantity_base:
                close_position(reason, k, price, reference, fee, unclear, at_ms, fact, desk, account, contract, out[n])
                return n + 1
            reduce_position(
                reason,
                k,
                quantity,
                price,
                reference,
                fee,
                unclear,
                at_ms,
                fact,
                desk,
                account,
                rules,
                contract,
                tiers,
                out[n],
            )
        n += 1
    return n


def _next_fill(
    step: int, fact: Fact, position: Position, order: Order, contract: Contract
) -> tuple[int, int, int, bool]:
    """Return the step at which to go on, what is filled next, the index of its rung, -1 if none, and if at the open."""
    side, opening = position.side, fact.open
    stop, liquidation = position.stop_price_usdt, position.liquidation_price_usdt
    if step <= OPENED:
        if liquidation > 0.0 and side * (opening - liquidation) <= 0.0:
            return DONE, LIQUIDATED, -1, True
        if order.action == EXIT:
            return DONE, CLOSED, -1, True
        if side * (opening - stop) <= 0.0:
            return DONE, STOPPED, -1, True
        step = INSIDE if step == OPENED else AT_REDUCE
    if step <= AT_REDUCE and position.reduce_fraction > 0.0:
        return AT_TARGETS, PART, -1, True
    if step <= AT_TARGETS:
        k = _reached_target(opening, position, contract)
        if k >= 0:
            return AT_TARGETS, TARGET_HIT, k, True
    if step <= AT_MARKET_ADD and _has_market_add(position):
        return AT_LIMIT_ADDS, ADDED, 0, True
    if step <= AT_LIMIT_ADDS:
        k = _reached_add(LIMIT_ORDER, opening, position, contract)
        if k >= 0:
            return AT_LIMIT_ADDS, ADDED, k, True
    if step <= AT_STOP_ADDS:
        k = _reached_add(STOP_ORDER, opening, position, contract)
        if k >= 0:
            return AT_STOP_ADDS, ADDED, k, True
    if step == DONE:
        return DONE, NOTHING, -1, False
    return _next_inside(max(step, INSIDE), fact, position, contract)


def _next_inside(step: int, fact: Fact, position: Position, contract: Contract) -> tuple[int, int, int, bool]:
    """Return the same for the way inside the candle, after its open."""
    side, stop = position.side, position.stop_price_usdt
    adverse = fact.low if side > 0 else fact.high
    favourable = fact.high if side > 0 else fact.low
    limit_add = _reached_add(LIMIT_ORDER, adverse, position, contract)
    stop_add = _reached_add(STOP_ORDER, favourable, position, contract)
    if side * (adverse - stop) <= 0.0:
        if stop_add >= 0:
            return step, ADDED, stop_add, False
        if limit_add >= 0 and side * (rung_at(position.adds, limit_add).price_usdt - stop) > 0.0:
            return step, ADDED, limit_add, False
        return step, STOPPED, -1, False
    # After a limit entry inside the candle the high may be over; its close is not.
    target = _reached_target(fact.close if step == INSIDE_AFTER_LIMIT else favourable, position, contract)
    if stop_add >= 0 and (
        target < 0
        or side * (rung_at(position.adds, stop_add).price_usdt - rung_at(position.targets, target).price_usdt) <= 0.0
    ):
        return step, ADDED, stop_add, False
    if target >= 0:
        return step, TARGET_HIT, target, False
    if limit_add >= 0:
        return step, ADDED, limit_add, False
    return DONE, NOTHING, -1, False


def _is_ambiguous(step: int, fact: Fact, position: Position, contract: Contract) -> int:
    """Return 1 if the order of what the candle reached is unknown, before any of it is filled."""
    side = position.side
    adverse = fact.low if side > 0 else fact.high
    favourable = fact.high if side > 0 else fact.low
    stopped = side * (adverse - position.stop_price_usdt) <= 0.0
    if step >= INSIDE_AFTER_LIMIT:
        return 1 if stopped and step == INSIDE_AFTER_STOP else 0
    target = _reached_target(favourable, position, contract) >= 0
    if stopped:
        return 1 if target or _reached_add(STOP_ORDER, favourable, position, contract) >= 0 else 0
    return 1 if target and _reached_add(LIMIT_ORDER, adverse, position, contract) >= 0 else 0


def _reached_target(price_usdt: float, position: Position, contract: Contract) -> int:
    """Return the index of the nearest resting target that a price is through by a tick, -1 if none."""
    for k in range(position.targets.count):
        rung = rung_at(position.targets, k)
        if rung.live == 1:
            return k if traded_through(price_usdt, rung.price_usdt, position.side, contract) else -1
    return -1


def _has_market_add(position: Position) -> bool:
    """Return whether a market add waits for the open; it is always the first add."""
    add = position.adds.first
    return position.adds.count > 0 and add.live == 1 and add.kind == MARKET_ORDER


def _reached_add(kind: int, price_usdt: float, position: Position, contract: Contract) -> int:
    """Return the index of the nearest resting add of a kind that a price reaches, -1 if none.

    A limit add is reached by a price that is through it by a tick, a stop add by one that touches it.
    """
    side = position.side
    for k in range(position.adds.count):
        rung = rung_at(position.adds, k)
        if rung.live == 1 and rung.kind == kind:
            if kind == LIMIT_ORDER:
                reached = traded_through(price_usdt, rung.price_usdt, -side, contract)
            else:
                reached = side * (price_usdt - rung.price_usdt) >= 0.0
            return k if reached else -1
    return -1
