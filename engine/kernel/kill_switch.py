"""Kill switches: a strategy's session and day, and the global one over a rolling window of hours.

They watch equity, so open losses count. A trip stops entries and cancels pending ones; it closes no position, and only
a human's reset ends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.codes import (
    DAILY_LOSS,
    GLOBAL_LOSS,
    KILL_SWITCH,
    KILL_SWITCH_TRIPPED,
    NO_REASON,
    SESSION_LOSS,
)
from papertape.engine.kernel.evolve import evolve
from papertape.engine.kernel.orders import cancel_orders, rests
from papertape.events.units import DAY_MS, HOUR_MS

if TYPE_CHECKING:
    from collections.abc import MutableSequence

    from papertape.engine.kernel.decision import Decision, Decisions
    from papertape.engine.kernel.state import Account, AccountRules, Desks, GlobalKillSwitch


def roll_day(account: Account, open_time_ms: int) -> None:
    """Take the current equity as the day's base at the first candle of a UTC day."""
    if open_time_ms >= account.day_end_ms:
        account.day_end_ms = open_time_ms - open_time_ms % DAY_MS + DAY_MS
        account.day_base_usdt = account.equity_usdt


def reached_loss_limit(account: Account, rules: AccountRules) -> int:
    """Return the limit that the account's loss has reached, the session's first; 0 if none."""
    session, day = account.session_base_usdt, account.day_base_usdt
    if session - account.equity_usdt >= session * rules.session_loss:
        return SESSION_LOSS
    if day - account.equity_usdt >= day * rules.daily_loss:
        return DAILY_LOSS
    return NO_REASON


def check_account_limits(
    at_ms: int, account: Account, desks: Desks, rules: AccountRules, out: Decisions, n: int
) -> int:
    """Trip the strategy's kill switch if a limit is reached, and cancel its pending entries."""
    reason = reached_loss_limit(account, rules)
    return n if reason == NO_REASON else trip_account(reason, at_ms, account, desks, rules, out, n)


def trip_account(
    reason: int, at_ms: int, account: Account, desks: Desks, rules: AccountRules, out: Decisions, n: int
) -> int:
    """Trip the strategy's kill switch for a loss, and cancel its pending entries; return the number of decisions."""
    decision = out[n]
    decision.kind = KILL_SWITCH_TRIPPED
    decision.symbol = 0
    decision.reason = reason
    decision.at_ms = at_ms
    decision.base_usdt = account.session_base_usdt if reason == SESSION_LOSS else account.day_base_usdt
    decision.peak_usdt = account.peak_usdt
    decision.equity_usdt = account.equity_usdt
    decision.threshold_percent = rules.session_loss_percent if reason == SESSION_LOSS else rules.daily_loss_percent
    evolve(desks[0], account, decision)
    return cancel_entries(KILL_SWITCH, at_ms, account, desks, out, n + 1)


def cancel_entries(reason: int, at_ms: int, account: Account, desks: Desks, out: Decisions, n: int) -> int:
    """Cancel every pending entry and resting add of a strategy that was stopped."""
    for k in range(len(desks)):
        if rests(desks[k]):
            n = cancel_orders(reason, at_ms, k, desks[k], account, out, n)
    return n


def update_total(guard: GlobalKillSwitch, maxima: MutableSequence[float], total_usdt: float, at_ms: int) -> bool:
    """Update the global kill switch with the sum of all equities after a candle; return whether it trips now.

    `maxima` holds the highest total of each of the last hours, the current one at `guard.hour % guard.hours`.
    """
    # The hour's maximum is never below the last total, so within an hour only a higher one is looked at.
    news = total_usdt > guard.total_usdt
    if at_ms >= guard.hour_end_ms:
        _roll_hours(guard, maxima, at_ms)
        news = True
    guard.total_usdt = total_usdt
    if news:
        _raise_maximum(guard, maxima, total_usdt)
    return guard.tripped == 0 and guard.peak_usdt - total_usdt >= guard.peak_usdt * guard.max_loss


def _raise_maximum(guard: GlobalKillSwitch, maxima: MutableSequence[float], total_usdt: float) -> None:
    """Raise the maxima of the current hour and of the window to the total."""
    slot = guard.hour % guard.hours
    if total_usdt > maxima[slot]:
        maxima[slot] = total_usdt
        if total_usdt > guard.peak_usdt:
            guard.peak_usdt = total_usdt


def _roll_hours(guard: GlobalKillSwitch, maxima: MutableSequence[float], at_ms: int) -> None:
    """Drop the hours that left the window; the total at the very start counts in the first hour."""
    hour = at_ms // HOUR_MS
    if guard.hour < 0:
        maxima[hour % guard.hours] = guard.total_usdt
    else:
        for k in range(guard.hour + 1, min(hour, guard.hour + guard.hours) + 1):
            maxima[k % guard.hours] = 0.0
    guard.hour = hour
    guard.hour_end_ms = (hour + 1) * HOUR_MS
    guard.peak_usdt = 0.0
    for k in range(guard.hours):
        guard.peak_usdt = max(guard.peak_usdt, maxima[k])


def trip_global(guard: GlobalKillSwitch, at_ms: int, decision: Decision) -> None:
    """Decide the trip of the global kill switch, with its numbers."""
    decision.kind = KILL_SWITCH_TRIPPED
    decision.reason = GLOBAL_LOSS
    decision.at_ms = at_ms
    decision.base_usdt = guard.peak_usdt
    decision.peak_usdt = guard.peak_usdt
    decision.equity_usdt = guard.total_usdt
    decision.threshold_percent = guard.max_loss_percent


def reset_global(guard: GlobalKillSwitch, maxima: MutableSequence[float]) -> None:
    """End the global trip: the window starts over from the current total."""
    for k in range(guard.hours):
        maxima[k] = 0.0
    maxima[guard.hour % guard.hours] = guard.total_usdt
    guard.peak_usdt = guard.total_usdt
    guard.tripped = 0
