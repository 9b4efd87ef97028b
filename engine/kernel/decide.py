"""`decide`: one runner's answer to one candle, in stages whose order never changes.

0 day roll and funding due, 1 and 2 the orders that the candle fills, 3 the trailing stop, and indicators, 4 expiry and
the strategy's exit or changes, 5 the mark and the kill switch, 6 the strategy's entry. The indicators belong to
`observe`, which runs first: stages 0 to 2 use only what was known at the open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.answers import clear_answer
from papertape.engine.kernel.codes import (
    CANDLE,
    EXPIRED,
    FIRST_EXIT_REASON,
    FUNDING,
    NO_ORDER,
    NO_REASON,
    ON_TIME,
    OPEN_INTEREST,
    UNNAMED_EXIT,
)
from papertape.engine.kernel.evolve import evolve
from papertape.engine.kernel.fills import book_funding, slippage_now
from papertape.engine.kernel.kill_switch import check_account_limits, roll_day
from papertape.engine.kernel.margin import equity
from papertape.engine.kernel.matching import match_candle
from papertape.engine.kernel.orders import cancel_orders, place_exit, rests
from papertape.engine.kernel.sizing import place_entry
from papertape.engine.kernel.strategy import clear_reading, copy_reading
from papertape.engine.kernel.trailing import follow_symbol

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.engine.kernel.answers import Answer
    from papertape.engine.kernel.decision import Decisions
    from papertape.engine.kernel.state import (
        Account,
        AccountRules,
        Bars,
        Contracts,
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


def exit_reason(answer: int, count: int) -> int:
    """Return the reason that `leave` gave, or UNNAMED_EXIT if it is not one of the strategy's `count` reasons."""
    for reason in range(FIRST_EXIT_REASON, FIRST_EXIT_REASON + count):
        if answer == reason:
            return reason
    return UNNAMED_EXIT


def is_ready(main: Series, filtered: Series, needs: Needs) -> bool:
    """Return whether both series have the complete candles that a strategy needs before it may enter."""
    return main.row + 1 >= needs.candles and filtered.row + 1 >= needs.filter_candles


def mark_to_market(account: Account, desks: Desks) -> None:
    """Value the account at the last closes."""
    account.equity_usdt = equity(account, desks)
    if account.equity_usdt > account.peak_usdt:
        account.peak_usdt = account.equity_usdt


def mark_symbol(fact: Fact, desk: SymbolState) -> None:
    """Note the close of a symbol's last candle, and when it was."""
    desk.mark_usdt = fact.close
    desk.close_ms = fact.time_ms


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


def make_decide(hooks: Hooks, change: Callable[..., int], exit_reasons: int, units_max: int) -> Callable[..., int]:
    """Bind a strategy's deciding hooks into `decide(...)`.

    `change` asks `manage` (see `engine.kernel.changes`), `exit_reasons` is the number of the strategy's own exit
    reasons, and `units_max` says how large a position may become, in first fills.

    `decide` answers a candle that was observed and shown to the strategy. It reads the fact, the market, the series,
    the settlements, the strategy's state and parameters, the rules and the contracts; `answer` is scratch. It writes
    its decisions to `out[n:]`, applies each at once by `evolve`, and returns the new count. Apart from that it changes
    only the account's day, equity and peak, and what follows from the candle alone: the symbol's mark, and the age,
    the extremes and the trailing stop of its position.

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
        answer: Answer,
        out: Decisions,
        n: int,
    ) -> int:
        first = n
        desk = desks[fact.symbol]
        position, order = desk.position, desk.order
        if fact.open_time_ms >= account.day_end_ms:
            roll_day(account, fact.open_time_ms)
        if position.side != 0 or order.action != NO_ORDER:
            n = book_funding(market, settlements, fact, desk, account, out, n)
            n = match_candle(
                fact,
                main.turbulent_at_open,
                main.timeframe_ms,
                desk,
                desks,
                account,
                rules,
                contracts,
                tiers,
                out,
                n,
            )
        follow_symbol(fact, main, desk, rules, contracts[fact.symbol])
        if rests(desk):
            n = cancel_orders(EXPIRED, fact.time_ms, fact.symbol, desk, account, out, n)
        acting = main.completed == 1 and fact.timing == ON_TIME
        if acting and position.side != 0 and order.action == NO_ORDER:
            profit_usdt = profit_after_costs(desk, fact.close, slippage_now(rules, main.turbulent), rules)
            clear_answer(answer)
            clear_reading(answer.reading)
            reason = leave(state, market, main, filtered, desk, profit_usdt, params, answer)
            if reason is not None and reason != NO_REASON:
                copy_reading(answer.reading, out[n].reading)
                place_exit(fact.symbol, fact.time_ms, desk, account, exit_reason(reason, exit_reasons), out[n])
                n += 1
            else:
                n = change(
                    fact,
                    market,
                    main,
                    filtered,
                    desk,
                    state,
                    params,
                    account,
                    contracts[fact.symbol],
                    answer,
                    out,
                    n,
                )
        mark_symbol(fact, desk)
        if account.positions > 0 or n != first:
            mark_to_market(account, desks)
            if account.tripped == 0:
                n = check_account_limits(fact.time_ms, account, desks, rules, out, n)
        if (
            acting
            and position.side == 0
            and order.action == NO_ORDER
            and account.tripped + account.paused + market.suspended == 0
            and is_ready(main, filtered, needs)
        ):
            decision = out[n]
            clear_answer(answer)
            clear_reading(answer.reading)
            side = enter(state, market, main, filtered, desk, params, answer)
            if side is not None and side != 0:
                copy_reading(answer.reading, decision.reading)
                slippage = slippage_now(rules, main.turbulent)
                place_entry(
                    side,
                    answer,
                    fact,
                    slippage,
                    main.timeframe_ms,
                    units_max,
                    account,
                    desks,
                    rules,
                    contracts,
                    tiers,
                    decision,
                )
                evolve(desk, account, decision)
                n += 1
        return n

    return decide
