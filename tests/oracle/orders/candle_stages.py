"""Stages 0 to 2 of one base candle, and trailing: what happens before a strategy is asked (sections 4, 5 and 7)."""

from __future__ import annotations

from tests.oracle.account import DAY
from tests.oracle.exchange import MINIMUM_NOTIONAL, fraction
from tests.oracle.files import Candle
from tests.oracle.rounding import floor_size

from .account import Account, RestingEntry
from .direction import best_price, fallen_to, farther, sold
from .holding import Holding, RestingAdd, Rung
from .matching import (
    Match,
    adds_at_open,
    adds_inside,
    is_stop_reached,
    match_order,
    rising_events,
    targets_through,
)
from .refusals import is_full
from .sizing import entry_fee_rate, is_beyond_liquidation, loss_per_unit, tied_pending
from .trailing import begin_extremes, follow_extremes, trail


def before_close(account: Account, symbol: str, candle: Candle) -> None:
    """Everything of a candle that uses only what was known at t_o; then trailing."""
    s = account.slippage(symbol)
    roll_day(account, candle)
    book_funding(account, symbol, candle)
    known_until = account.last_close_time.get(symbol, candle.open_time)
    if candle.open_time > known_until:
        account.cancel_openers(symbol, "next_candle_missing", candle.open_time)
    elif candle.late:
        account.cancel_openers(symbol, "late_candle", candle.open_time)
    account.last_close_time[symbol] = candle.open_time + account.views[symbol].base
    holding, rests = account.holdings.get(symbol), account.entries.get(symbol)
    if holding is not None:
        at_open(account, holding, candle, s)
        if symbol in account.holdings:
            inside(account, holding, candle, s)
        follow_extremes(holding, candle)
    elif rests is not None:
        fill_entry(account, symbol, rests, candle, s)
    holding = account.holdings.get(symbol)
    if holding is not None:
        trail(holding, account.values, candle.close, account.contracts[symbol].tick)


def roll_day(account: Account, candle: Candle) -> None:
    """Model 12: "the day base becomes the equity as it stands, before that candle's funding" """
    day = candle.open_time // DAY
    if account.day is None or day > account.day:
        account.day, account.day_base = day, account.equity_now()


def book_funding(account: Account, symbol: str, candle: Candle) -> None:
    """Section 5: "the time of a fill is the **open** of its candle: who was filled inside the candle before T pays at
    T. The whole q pays." """
    settlements = account.views[symbol].settlements
    while account.settlements_booked[symbol] < len(settlements):
        time, rate = settlements[account.settlements_booked[symbol]]
        if time > candle.open_time:
            return
        account.settlements_booked[symbol] += 1
        holding = account.holdings.get(symbol)
        if holding is None or not holding.funding_from < time:
            continue
        amount = -holding.d * holding.quantity * candle.open * rate
        account.cash += amount
        holding.funding += amount
        account.log.funding_payments.append({"symbol": symbol, "time": time, "amount": amount})


# section 4: the entry and its candle


def fill_entry(account: Account, symbol: str, rests: RestingEntry, candle: Candle, s: float) -> None:
    """ "At the fill of an entry: `margin` (model 11 stage 1), then, when the stop is a price and d*(E - SL) > 0,
    `stop_beyond_liquidation` with the real E; the entry is then cancelled." """
    entry, quantity, contract = rests.entry, rests.plan.quantity, account.contracts[symbol]
    match = match_order(entry.d, entry.kind, entry.price, candle, s, contract)
    if match is None:
        return
    time = time_of(account, symbol, candle, match.at_open)
    stop = entry.stop_from(match.price, contract.tick)
    needed = tied_pending(account.values, entry.kind, quantity, match.price)
    if needed > account.available(without=symbol):
        account.cancel_entry(symbol, "margin", time)
        return
    is_loss = entry.stop_price is not None and farther(entry.d, match.price, stop)
    if is_loss and is_beyond_liquidation(account.values, contract, entry.d, quantity, match.price, stop):
        account.cancel_entry(symbol, "stop_beyond_liquidation", time)
        return
    fee = quantity * match.price * entry_fee_rate(account.values, entry.kind)
    holding = Holding(
        symbol=symbol,
        d=entry.d,
        quantity=quantity,
        average=match.price,
        stop=stop,
        r1=rests.plan.r1,
        entry_time=time,
        funding_from=candle.open_time,
        fees=fee,
        slippage=quantity * abs(match.price - match.reference),
        trailing=entry.trailing,
    )
    holding.set_ladder(entry.targets_from(match.price, contract.tick))
    account.open_position(symbol, holding, entry.kind, time, fee)
    live_through_entry_candle(account, holding, rests, candle, match, s)
    if symbol in account.holdings:
        begin_extremes(holding, candle, entry.kind, inside=not match.at_open)
        now = candle.open_time + account.views[symbol].base
        holding.adds = [RestingAdd(i, add, now) for i, add in enumerate(entry.adds, start=1)]
        record_adds(account, holding, now)


def live_through_entry_candle(
    account: Account, holding: Holding, rests: RestingEntry, candle: Candle, match: Match, s: float
) -> None:
    """ "What the entry's candle does to the new position" """
    entry, contract, d = rests.entry, account.contracts[holding.symbol], holding.d
    then = candle.open_time + account.views[holding.symbol].base
    best = best_price(d, candle)
    if match.at_open:
        by_the_model = entry.kind == "market" and entry.stop_price is None
        if not by_the_model and end_at_open(account, holding, candle, s):
            return
        stop_is_ambiguous, reach = bool(targets_through(holding, best, contract)), best
    elif entry.kind == "limit":
        stop_is_ambiguous, reach = False, candle.close
    else:
        stop_is_ambiguous, reach = True, best
    if is_stop_reached(holding, candle):
        holding.ambiguous = holding.ambiguous or stop_is_ambiguous
        stop_out(account, holding, holding.stop, s, then)
        return
    for rung in targets_through(holding, reach, contract):
        fill_target(account, holding, rung, then)


def end_at_open(account: Account, holding: Holding, candle: Candle, s: float) -> bool:
    """Model 8.1 and 8.3: "O <= liq: liquidation; O <= SL: stopped at O slipped, time t_o"."""
    if is_liquidated(holding, candle):
        liquidate(account, holding, candle.open_time)
        return True
    if fallen_to(holding.d, candle.open, holding.stop):
        stop_out(account, holding, candle.open, s, candle.open_time)
        return True
    return False


# section 5: a position carried into the candle


def at_open(account: Account, holding: Holding, candle: Candle, s: float) -> None:
    """ "1 At the open, time t_o: liquidation · exit · stop gapped over · reduce · targets gapped through by a tick,
    nearest first, at their price · market add · limit adds gapped through, nearest first · stop adds gapped over,
    nearest first." """
    symbol, o, now = holding.symbol, candle.open, candle.open_time
    contract, taker = account.contracts[symbol], fraction(account.values, "taker_fee_percent")
    market = sold(holding.d, o, s, contract.tick)
    if holding.exit_reason is not None and not is_liquidated(holding, candle):
        account.decrease(holding, holding.quantity, market, taker, abs(market - o), now, holding.exit_reason)
        return
    if end_at_open(account, holding, candle, s):
        return
    if holding.reduce is not None:
        fraction_of, holding.reduce = holding.reduce, None
        quantity = floor_size(holding.quantity * fraction_of, contract.lot)
        close_part(account, holding, quantity, market, taker, abs(market - o), now, "reduced", "reduce", 0)
    for rung in targets_through(holding, o, contract):
        fill_target(account, holding, rung, now)
    for rests in adds_at_open(holding, candle, s, contract):
        fill_add(account, holding, rests, candle, s)


def inside(account: Account, holding: Holding, candle: Candle, s: float) -> None:
    """ "2 Inside, time t_c" """
    d, contract = holding.d, account.contracts[holding.symbol]
    then = candle.open_time + account.views[holding.symbol].base
    targets = targets_through(holding, best_price(d, candle), contract)
    stops = adds_inside(holding, "stop", candle, s, contract)
    limits = adds_inside(holding, "limit", candle, s, contract)
    if is_stop_reached(holding, candle):
        for rests in [*stops, *(a for a in limits if farther(d, a.add.price, holding.stop))]:
            fill_add(account, holding, rests, candle, s)
        holding.ambiguous = holding.ambiguous or bool(targets or stops)
        stop_out(account, holding, holding.stop, s, then)
        return
    holding.ambiguous = holding.ambiguous or bool(targets and limits)
    for event in rising_events(d, targets, stops):
        if isinstance(event, Rung):
            fill_target(account, holding, event, then)
        else:
            fill_add(account, holding, event, candle, s)
    for rests in limits:
        fill_add(account, holding, rests, candle, s)


def time_of(account: Account, symbol: str, candle: Candle, at_the_open: bool) -> int:
    """t_o for a fill at the open, t_c for one inside."""
    return candle.open_time if at_the_open else candle.open_time + account.views[symbol].base


def is_liquidated(holding: Holding, candle: Candle) -> bool:
    """ "O <= liq" """
    return holding.liquidation is not None and fallen_to(holding.d, candle.open, holding.liquidation)


def liquidate(account: Account, holding: Holding, now: int) -> None:
    """Model 5: "exit price X = E - d*(E/L) (the bankruptcy price, not rounded), close fee 0" """
    bankruptcy = holding.average - holding.d * (holding.average / account.values["leverage"])
    account.decrease(holding, holding.quantity, bankruptcy, 0.0, 0.0, now, "liquidation")


def stop_out(account: Account, holding: Holding, reference: float, s: float, time: int) -> None:
    """The stop closes all: "by what last tightened SL: `trailing_stop`, `breakeven_stop`, else `stop`"."""
    price = sold(holding.d, reference, s, account.contracts[holding.symbol].tick)
    taker = fraction(account.values, "taker_fee_percent")
    slipped = abs(price - reference)
    account.decrease(holding, holding.quantity, price, taker, slipped, time, holding.stop_reason)


def fill_target(account: Account, holding: Holding, rung: Rung, time: int) -> None:
    """A target at its price, with the maker fee, while the position lasts."""
    if holding.quantity == 0.0:
        return
    holding.rungs.remove(rung)
    quantity = holding.part_of_target(rung, is_full(holding.ladder), account.contracts[holding.symbol])
    maker, reason = fraction(account.values, "maker_fee_percent"), holding.target_reason(rung)
    if close_part(account, holding, quantity, rung.price, maker, 0.0, time, reason, "target", rung.number):
        holding.left = holding.left - rung.part


def close_part(
    account: Account,
    holding: Holding,
    quantity: float,
    price: float,
    rate: float,
    slipped: float,
    time: int,
    reason: str,
    action: str,
    rung: int,
) -> bool:
    """ "A part of less than one lot fills nothing: cancelled (`below_minimum`; F stays)." """
    contract = account.contracts[holding.symbol]
    if quantity < contract.lot.a / contract.lot.b:
        account.record_cancellation(holding.symbol, holding.d, action, rung, "below_minimum", time)
        return False
    account.decrease(holding, holding.part_at(quantity, price, contract), price, rate, slipped, time, reason, rung)
    return True


def fill_add(account: Account, holding: Holding, rests: RestingAdd, candle: Candle, s: float) -> None:
    """Section 3: "An add is checked at its fill, in this order, else cancelled with the reason" """
    if holding.quantity == 0.0 or rests not in holding.adds:
        return
    symbol, d, kind, contract = holding.symbol, holding.d, rests.add.kind, account.contracts[holding.symbol]
    match = match_order(d, kind, rests.add.price, candle, s, contract)
    assert match is not None, "the caller found it filled"
    time = time_of(account, symbol, candle, match.at_open)
    quantity = floor_size(holding.opening[0][0] * rests.add.size, contract.lot)
    reason = add_refusal(account, holding, kind, quantity, match.price)
    if reason is not None:
        holding.adds.remove(rests)
        account.record_cancellation(symbol, d, "add", rests.number, reason, time)
        return
    holding.r1 += quantity * loss_per_unit(account.values, kind, match.price, holding.stop, s)
    account.increase(holding, rests, quantity, match.price, time, quantity * abs(match.price - match.reference))


def add_refusal(account: Account, holding: Holding, kind: str, quantity: float, price: float) -> str | None:
    """ "`below_minimum` (q < lot or q*E < 5 USDT), `margin` (q*E/L + (f + t)*(q*E) > available - free*Q, Q = the
    account's at its last stage 5), `stop_beyond_liquidation` (with E', liq' of the enlarged position: d*(E' - SL) > 0
    and |E' - liq'| < 1.5*|E' - SL|)" """
    values, contract = account.values, account.contracts[holding.symbol]
    if quantity < contract.lot.a / contract.lot.b or quantity * price < MINIMUM_NOTIONAL:
        return "below_minimum"
    free = fraction(values, "free_margin_percent") * account.marked
    if tied_pending(values, kind, quantity, price) > account.available() - free:
        return "margin"
    whole, average = holding.enlarged(quantity, price, contract)
    if farther(holding.d, average, holding.stop) and is_beyond_liquidation(
        values, contract, holding.d, whole, average, holding.stop
    ):
        return "stop_beyond_liquidation"
    return None


def record_adds(account: Account, holding: Holding, now: int) -> None:
    """ "Adds named by `enter` are placed at the close (before stage 3) of the candle that filled the entry" """
    for rests in holding.adds:
        record = {"symbol": holding.symbol, "time": now, "action": "add", "rung": rests.number}
        account.log.placements.append({**record, "kind": rests.add.kind, "price": rests.add.price})
