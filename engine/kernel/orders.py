"""Orders that wait: how they are placed, and what cancels them.

A market entry waits for the next open. Limit and stop entries, and the adds of a position, rest until they are filled,
expire, or something cancels them: a hole, a late candle, a kill switch, the end of the position.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.answers import RUNGS_MAX, rung_at
from papertape.engine.kernel.codes import (
    ADD,
    ENTRY,
    EXIT,
    EXPIRED,
    NO_REASON,
    ORDER_CANCELLED,
    ORDER_PLACED,
    POSITION_ENDED,
    REDUCE,
    SIGNAL,
)
from papertape.engine.kernel.evolve import evolve
from papertape.engine.kernel.rounding import quantity_down

if TYPE_CHECKING:
    from papertape.engine.kernel.answers import Ladder
    from papertape.engine.kernel.decision import Decision, Decisions
    from papertape.engine.kernel.state import Account, Contract, SymbolState


# ---------------------------------------------------------------- placing


def clear_plan(decision: Decision) -> None:
    """Clear everything that only the plan of an entry has, so that another order carries nothing of an earlier one."""
    decision.order_kind = 0
    decision.rung = 0
    decision.expires_candles = 0
    decision.expires_at_ms = 0
    decision.planned_price_usdt = 0.0
    decision.price_usdt = 0.0
    decision.stop_fraction = 0.0
    decision.stop_price_usdt = 0.0
    decision.target_fraction = 0.0
    decision.trail_fraction = 0.0
    decision.trail_after_fraction = 0.0
    decision.breakeven_after_fraction = 0.0
    decision.risk_usdt = 0.0
    decision.score = 0.0
    decision.units = 0.0
    decision.reduce_fraction = 0.0
    decision.targets.count = 0
    decision.adds.count = 0


def place_exit(symbol: int, at_ms: int, desk: SymbolState, account: Account, reason: int, decision: Decision) -> None:
    """Order the exit of the position at the next open."""
    clear_plan(decision)
    decision.kind = ORDER_PLACED
    decision.symbol = symbol
    decision.action = EXIT
    decision.side = desk.position.side
    decision.reason = reason
    decision.at_ms = at_ms
    decision.quantity_base = desk.position.quantity_base
    evolve(desk, account, decision)


def place_reduce(
    fraction: float,
    symbol: int,
    at_ms: int,
    desk: SymbolState,
    account: Account,
    contract: Contract,
    decision: Decision,
) -> None:
    """Order the end of a fraction of the position at the next open."""
    clear_plan(decision)
    decision.kind = ORDER_PLACED
    decision.symbol = symbol
    decision.action = REDUCE
    decision.side = desk.position.side
    decision.reason = SIGNAL
    decision.at_ms = at_ms
    decision.reduce_fraction = fraction
    decision.quantity_base = quantity_down(desk.position.quantity_base * fraction, contract)
    evolve(desk, account, decision)


def place_adds(
    planned: Ladder,
    symbol: int,
    at_ms: int,
    timeframe_ms: int,
    desk: SymbolState,
    account: Account,
    contract: Contract,
    out: Decisions,
    n: int,
) -> int:
    """Place planned adds; each expires so many candles after `at_ms`. Return the number of decisions so far."""
    position, first = desk.position, n
    for k in range(planned.count):
        rung, decision = rung_at(planned, k), out[n]
        clear_plan(decision)
        decision.kind = ORDER_PLACED
        decision.symbol = symbol
        decision.action = ADD
        decision.order_kind = rung.kind
        decision.side = position.side
        decision.reason = SIGNAL
        decision.rung = k + 1
        decision.at_ms = at_ms
        decision.units = rung.size
        decision.price_usdt = rung.price_usdt
        decision.planned_price_usdt = rung.price_usdt
        decision.quantity_base = quantity_down(position.first_base * rung.size, contract)
        decision.expires_candles = rung.expires_candles
        decision.expires_at_ms = expiry_ms(at_ms, rung.expires_candles, timeframe_ms)
        n += 1
    # The planned adds may be those of the position, which the first of them starts anew.
    for k in range(first, n):
        evolve(desk, account, out[k])
    return n


def expiry_ms(at_ms: int, candles: int, timeframe_ms: int) -> int:
    """Return when an order placed at `at_ms` expires, 0 if it never does."""
    return at_ms + candles * timeframe_ms if candles > 0 else 0


# ---------------------------------------------------------------- cancelling


def cancel_order(
    reason: int,
    action: int,
    rung: int,
    at_ms: int,
    symbol: int,
    desk: SymbolState,
    account: Account,
    decision: Decision,
) -> None:
    """Decide and apply the end of an order that was not filled; `rung` is the number of an add or a target, else 0."""
    decision.kind = ORDER_CANCELLED
    decision.symbol = symbol
    decision.action = action
    decision.rung = rung
    decision.side = desk.order.side  # That of the entry, which a position that has just ended no longer has.
    decision.reason = reason
    decision.at_ms = at_ms
    evolve(desk, account, decision)


def rests(desk: SymbolState) -> bool:
    """Return whether an entry waits, or an add rests; looking at the number of adds is enough to say no."""
    return desk.order.action == ENTRY or (desk.position.side != 0 and desk.position.adds.count > 0)


def expires_by(at_ms: int, desk: SymbolState) -> bool:
    """Return whether an entry that waits, or an add that rests, expires by this time."""
    if desk.order.action == ENTRY and 0 < desk.order.expires_ms <= at_ms:
        return True
    if desk.position.side != 0:
        for k in range(min(desk.position.adds.count, RUNGS_MAX)):
            rung = rung_at(desk.position.adds, k)
            if rung.live == 1 and 0 < rung.expires_ms <= at_ms:
                return True
    return False


def cancel_orders(
    reason: int, at_ms: int, symbol: int, desk: SymbolState, account: Account, out: Decisions, n: int
) -> int:
    """Cancel a symbol's entry and adds for a reason: if expired, those whose time has come; after a position, a reduce.

    Return the number of decisions so far.
    """
    adds = desk.position.adds
    for slot in range(RUNGS_MAX + 2):
        action, expires_ms = 0, 0
        if slot == 0 and desk.order.action == ENTRY:
            action, expires_ms = ENTRY, desk.order.expires_ms
        elif 0 < slot <= min(adds.count, RUNGS_MAX) and rung_at(adds, slot - 1).live == 1:
            action, expires_ms = ADD, rung_at(adds, slot - 1).expires_ms
        elif slot > RUNGS_MAX and reason == POSITION_ENDED and desk.position.reduce_fraction > 0.0:
            action = REDUCE
        if action != NO_REASON and (reason != EXPIRED or 0 < expires_ms <= at_ms):
            rung = slot if action == ADD else 0
            cancel_order(reason, action, rung, at_ms, symbol, desk, account, out[n])
            n += 1
    return n
