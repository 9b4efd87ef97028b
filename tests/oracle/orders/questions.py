"""Stages 4 to 6 of one base candle: expiry, `leave`, `manage`, the mark, and `enter` (sections 2, 4 and 6)."""

from __future__ import annotations

from typing import Protocol

from tests.oracle.exchange import fraction
from tests.oracle.files import Candle

from .account import Account, RestingEntry
from .answers import Answer, Change, change_of, entry_of
from .candle_stages import record_adds
from .direction import farther
from .holding import Holding, RestingAdd
from .refusals import change_refusal, entry_refusal, planned_entry
from .sizing import Plan, plan_entry


class Script(Protocol):
    """What the strategy says on a candle that completed its timeframe; None (or "") says nothing."""

    def enter(self, symbol: str, candle: Candle) -> Answer | None: ...
    def leave(self, symbol: str, candle: Candle) -> str | None: ...
    def manage(self, symbol: str, candle: Candle) -> Answer | None: ...


def after_close(account: Account, symbol: str, candle: Candle, completed: set[int], script: Script) -> None:
    """Stages 4 to 6; stage 3 is done by the caller."""
    now = candle.open_time + account.views[symbol].base
    asked = account.timeframe in completed and not candle.late
    if account.timeframe in completed:
        grow_older(account, symbol, now)
    expire(account, symbol, now)
    holding = account.holdings.get(symbol)
    if asked and holding is not None and holding.exit_reason is None:
        holding.exit_reason = script.leave(symbol, candle) or None
        answer = script.manage(symbol, candle) if holding.exit_reason is None else None
        if answer is not None:
            manage(account, holding, answer, candle.close, now)
    mark(account, symbol, now)
    if asked and not account.tripped and symbol not in account.holdings and symbol not in account.entries:
        answer = script.enter(symbol, candle)
        if answer is not None:
            ask_entry(account, symbol, answer, candle.close, now)


def grow_older(account: Account, symbol: str, now: int) -> None:
    """Section 10: `age_candles` are "completions of the strategy's timeframe with t_c > time of the first fill",
    `candles_since_exit` "completions with t_c > exit time; none before the first trade"."""
    holding, exited = account.holdings.get(symbol), account.exits.get(symbol)
    if holding is not None and now > holding.entry_time:
        holding.age += 1
    if exited is not None and now > exited[0]:
        account.candles_since_exit[symbol] += 1


def expire(account: Account, symbol: str, now: int) -> None:
    """ "it dies at stage 4, before the questions, of the first base candle with t_c >= placed + n*timeframe, after that
    candle's fills, recorded as `expired` at that t_c" """
    rests, holding = account.entries.get(symbol), account.holdings.get(symbol)
    if rests is not None and rests.is_expired(now, account.timeframe):
        account.cancel_entry(symbol, "expired", now)
    if holding is None:
        return
    for add in [rests for rests in holding.adds if rests.is_expired(now, account.timeframe)]:
        holding.adds.remove(add)
        account.record_cancellation(symbol, holding.d, "add", add.number, "expired", now)


def mark(account: Account, symbol: str, now: int) -> None:
    """Stage 5, with the strategy's kill switch of model 12."""
    equity = account.marked = account.equity_now()
    account.equity.append((now, symbol, equity))
    if account.tripped:
        return
    session_limit = account.session_base * fraction(account.values, "max_session_loss_percent")
    day_limit = account.day_base * fraction(account.values, "max_daily_loss_percent")
    for reason, base, limit in (
        ("session_loss", account.session_base, session_limit),
        ("daily_loss", account.day_base, day_limit),
    ):
        if base - equity >= limit:
            account.log.trips.append({"scope": account.strategy, "time": now, "reason": reason, "equity": equity})
            account.trip(now)
            return


# section 6


def manage(account: Account, holding: Holding, answer: Answer, close: float, now: int) -> None:
    """ "One answer is taken whole or refused whole with the first reason". "While a switch is tripped, paused or
    suspended, the adds of an answer are dropped first, with that reason; the rest holds." """
    d, symbol = holding.d, holding.symbol
    if account.tripped and answer.get("adds"):
        answer = {name: value for name, value in answer.items() if name != "adds"}
        account.refuse(symbol, now, "change", d, "kill_switch")
    change = change_of(answer, d, account.contracts[symbol].tick)
    reason: str | None = "not_a_number"
    if change is not None:
        standing = Change(targets=holding.ladder if holding.rungs else (), adds=tuple(a.add for a in holding.adds))
        reason = change_refusal(change, d, close, holding.stop, holding.sizes, account.units_max, standing)
    if change is None or reason is not None:
        account.refuse(symbol, now, "change", d, reason or "")
        return
    take_change(account, holding, change, now)


def take_change(account: Account, holding: Holding, change: Change, now: int) -> None:
    """ "What is accepted is recorded as `StopMoved`, `TargetsMoved`, `OrderPlaced` (add, reduce), `OrderCancelled`
    (`replaced`)." """
    record = {"symbol": holding.symbol, "time": now}
    tightens = change.stop_price is not None and farther(holding.d, change.stop_price, holding.stop)
    if tightens and change.stop_price is not None:
        holding.stop, holding.stop_reason = change.stop_price, "stop"
    trails_anew = change.trailing is not None and change.trailing != holding.trailing
    if change.trailing is not None:
        holding.trailing = change.trailing
    if tightens or trails_anew:
        account.log.moves.append({**record, "what": "stop", "price": holding.stop})
    if change.targets is not None and not is_same_ladder(holding, change):
        holding.set_ladder(change.targets)
        account.log.moves.append({**record, "what": "targets", "ladder": change.targets})
    if change.adds is not None and change.adds != tuple(rests.add for rests in holding.adds):
        account.cancel_adds(holding, "replaced", now)
        holding.adds = [RestingAdd(i, add, now) for i, add in enumerate(change.adds, start=1)]
        record_adds(account, holding, now)
    if change.reduce is not None:
        holding.reduce = change.reduce
        account.log.placements.append({**record, "action": "reduce", "fraction": change.reduce})


def is_same_ladder(holding: Holding, change: Change) -> bool:
    """ "Equal to what rests (targets: the ladder as it was set, no rung filled or dropped): nothing" """
    untouched = len(holding.rungs) == len(holding.ladder)
    return untouched and change.targets == holding.ladder


# stage 6


def ask_entry(account: Account, symbol: str, answer: Answer, close: float, now: int) -> None:
    """ "Refusals of an entry, in this order" """
    d, contract = answer["side"], account.contracts[symbol]
    entry = entry_of(answer, contract.tick)
    if entry is None:
        account.refuse(symbol, now, "entry", d, "not_a_number")
        return
    s = account.slippage(symbol)
    planned = planned_entry(entry, close, s, contract.tick)
    reason = entry_refusal(entry, close, planned, account.units_max, contract.tick) or limit_refusal(account, d)
    plan = Plan(reason=reason)
    if reason is None:
        free = account.available()
        plan = plan_entry(account.values, contract, entry, planned, s, account.marked, free, account.units_max)
    if plan.reason is not None:
        account.refuse(symbol, now, "entry", d, plan.reason)
        return
    account.entries[symbol] = RestingEntry(entry, plan, now)
    record = {"symbol": symbol, "time": now, "action": "entry", "rung": 0, "kind": entry.kind, "price": entry.price}
    account.log.placements.append({**record, "quantity": plan.quantity, "planned": plan.price, "r1": plan.r1})


def limit_refusal(account: Account, d: int) -> str | None:
    """ "`max_positions` (open + pending entries >= n_max), `correlation`"; "A resting entry [...] counts" """
    directions = [holding.d for holding in account.holdings.values()]
    directions += [rests.entry.d for rests in account.entries.values()]
    if len(directions) >= account.values["max_concurrent_positions"]:
        return "max_positions"
    return "correlation" if directions.count(d) >= account.values["max_same_direction"] else None
