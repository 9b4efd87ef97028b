"""`decide`: one runner's answer to one candle, in stages whose order never changes.

0 day roll and funding due, 1 the pending order at the open, 2 stop, target and liquidation, 3 indicators,
4 the strategy's exit, 5 the mark and the kill switch, 6 the strategy's entry. Stage 3 is `observe`, which runs first:
stages 0 to 2 use only what was known at the open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.codes import (
    CANDLE,
    EXIT,
    FIRST_EXIT_REASON,
    FUNDING,
    NO_ORDER,
    NO_REASON,
    ON_TIME,
    OPEN_INTEREST,
    ORDER_PLACED,
    UNNAMED_EXIT,
)
from papertape.engine.kernel.evolve import evolve
from papertape.engine.kernel.fills import book_funding, slippage_now, trade_candle
from papertape.engine.kernel.kill_switch import check_account_limits, roll_day
from papertape.engine.kernel.margin import equity
from papertape.engine.kernel.sizing import size_entry
from papertape.engine.kernel.strategy import clear_reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.engine.kernel.state import (
        Account,
        AccountRules,
        Bars,
        Contracts,
        Decision,
        Decisions,
        Desks,
        Fact,
        Market,
        Needs,
        Readings,
        Series,
        Settlements,
        SymbolState,
        TierTables,
    )
    from papertape.engine.kernel.strategy import Hooks


def profit_after_costs(desk: SymbolState, close: float, slippage: float, rules: AccountRules) -> float:
    """Return the profit of leaving at this close after all costs of the trade, in USDT; the price is not rounded."""
    position = desk.position
    side, quantity = position.side, position.quantity_base
    price = close * (1.0 - side * slippage)
    gross = quantity * side * (price - position.entry_price_usdt)
    return gross - position.fee_usdt + position.funding_usdt - quantity * price * rules.taker_fee


def place_exit(symbol: int, at_ms: int, desk: SymbolState, account: Account, reason: int, decision: Decision) -> None:
    """Order the exit of the position at the next open."""
    decision.kind = ORDER_PLACED
    decision.symbol = symbol
    decision.action = EXIT
    decision.side = desk.position.side
    decision.reason = reason
    decision.at_ms = at_ms
    decision.quantity_base = desk.position.quantity_base
    decision.planned_price_usdt = 0.0
    decision.stop_fraction = 0.0
    decision.target_fraction = 0.0
    decision.risk_usdt = 0.0
    decision.score = 0.0
    evolve(desk, account, decision)


def exit_reason(answer: int, count: int) -> int:
    """Return the reason that `leave` gave, or UNNAMED_EXIT if it is not one of the strategy's `count` reasons."""
    for reason in range(FIRST_EXIT_REASON, FIRST_EXIT_REASON + count):
        if answer == reason:
            return reason
    return UNNAMED_EXIT


def clear_answer(decision: Decision) -> None:
    """Clear the row of earlier answers, so that only what the strategy writes now counts."""
    decision.stop_fraction = 0.0
    decision.target_fraction = 0.0
    decision.score = 0.0
    clear_reading(decision.reading)


def is_ready(main: Series, filtered: Series, needs: Needs) -> bool:
    """Return whether both series have the complete candles that a strategy needs before it may enter."""
    return main.row + 1 >= needs.candles and filtered.row + 1 >= needs.filter_candles


def mark_to_market(account: Account, desks: Desks) -> None:
    """Value the account at the last closes."""
    account.equity_usdt = equity(account, desks)
    if account.equity_usdt > account.peak_usdt:
        account.peak_usdt = account.equity_usdt


def make_strategy_update(hooks: Hooks) -> Callable[..., None]:
    """Bind a strategy's observing hooks into `update_strategy(...)`, which shows it a fact that was observed.

    This alone determines when a strategy is shown what: every settlement, every open-interest reading, every candle
    that completes one of its timeframe, and the reset after a long hole. It reads the market, the series and the
    readings, and changes the strategy's state only.
    """
    observe, settle, measure, reset = hooks.observe, hooks.settle, hooks.measure, hooks.reset

    def update_strategy(
        fact: Fact, market: Market, main: Series, bars: Bars, readings: Readings, state: Any, params: Any
    ) -> None:
        if fact.kind == CANDLE:
            if market.reset == 1:
                reset(state)
            if main.completed == 1:
                observe(state, main, bars, params)
        elif fact.kind == FUNDING:
            settle(state, fact.time_ms, fact.close, params)
        elif fact.kind == OPEN_INTEREST:
            measure(state, market, main, readings, params)

    return update_strategy


def make_decide(hooks: Hooks, exit_reasons: int) -> Callable[..., int]:
    """Bind a strategy's deciding hooks into `decide(...)`; `exit_reasons` is the number of its own exit reasons.

    `decide` answers a candle that was observed and shown to the strategy. It reads the fact, the market, the series,
    the settlements, the strategy's state and parameters, the rules and the contracts. It writes its decisions to
    `out[n:]`, applies each at once by `evolve`, and returns the new count. Apart from that it changes only the
    account's day, equity and peak, and the symbol's mark.

    The strategy may enter if it is flat, nothing stops the runner, and both series have the candles it needs.
    """
    enter, leave = hooks.enter, hooks.leave

    def decide(
        fact: Fact,
        market: Market,
        main: Series,
        filtered: Series,
        settlements: Settlements,
        desks: Desks,
        state: Any,
        params: Any,
        needs: Needs,
        account: Account,
        rules: AccountRules,
        contracts: Contracts,
        tiers: TierTables,
        out: Decisions,
        n: int,
    ) -> int:
        first = n
        desk = desks[fact.symbol]
        if fact.open_time_ms >= account.day_end_ms:
            roll_day(account, fact.open_time_ms)
        if desk.position.side != 0 or desk.order.action != NO_ORDER:
            n = book_funding(market, settlements, fact, desk, account, out, n)
            n = trade_candle(fact, main.turbulent_at_open, desk, desks, account, rules, contracts, tiers, out, n)
        acting = main.completed == 1 and fact.timing == ON_TIME
        if acting and desk.position.side != 0 and desk.order.action == NO_ORDER:
            profit_usdt = profit_after_costs(desk, fact.close, slippage_now(rules, main.turbulent), rules)
            clear_answer(out[n])
            reason = leave(state, market, main, filtered, desk, profit_usdt, params, out[n])
            if reason is not None and reason != NO_REASON:
                place_exit(fact.symbol, fact.time_ms, desk, account, exit_reason(reason, exit_reasons), out[n])
                n += 1
        desk.mark_usdt = fact.close
        if account.positions > 0 or n != first:
            mark_to_market(account, desks)
            if account.tripped == 0:
                n = check_account_limits(fact.time_ms, account, desks, rules, out, n)
        if (
            acting
            and desk.position.side == 0
            and desk.order.action == NO_ORDER
            and account.tripped + account.paused + market.suspended == 0
            and is_ready(main, filtered, needs)
        ):
            decision = out[n]
            clear_answer(decision)
            side = enter(state, market, main, filtered, desk, params, decision)
            if side is not None and side != 0:
                slippage = slippage_now(rules, main.turbulent)
                size_entry(side, fact, slippage, account, desks, rules, contracts, tiers, decision)
                evolve(desk, account, decision)
                n += 1
        return n

    return decide
