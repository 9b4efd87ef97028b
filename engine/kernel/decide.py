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
    ORDER_PLACED,
    UNNAMED_EXIT,
)
from papertape.engine.kernel.evolve import evolve
from papertape.engine.kernel.fills import book_funding, slippage_now, trade_candle
from papertape.engine.kernel.kill_switch import check_account_limits, roll_day
from papertape.engine.kernel.margin import equity
from papertape.engine.kernel.sizing import size_entry
from papertape.engine.kernel.strategy import clear_reading, ignore_fact
from papertape.engine.kernel.view import FLAT, as_view, position_view

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.engine.kernel.state import (
        Account,
        AccountRules,
        Contracts,
        Decision,
        Decisions,
        Desks,
        Fact,
        Needs,
        SymbolState,
        TierTables,
    )
    from papertape.engine.kernel.strategy import Hooks
    from papertape.engine.kernel.view import MarketData, SeriesView


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


def is_ready(series: tuple[SeriesView, ...], needs: Needs) -> bool:
    """Return whether every series has the complete candles that a strategy needs before it may enter."""
    for k in range(1, len(series)):
        if series[k].candle.row + 1 < needs.filter_candles:
            return False
    return series[0].candle.row + 1 >= needs.candles


def mark_to_market(account: Account, desks: Desks) -> None:
    """Value the account at the last closes."""
    account.equity_usdt = equity(account, desks)
    if account.equity_usdt > account.peak_usdt:
        account.peak_usdt = account.equity_usdt


def completed_any(series: tuple[SeriesView, ...]) -> bool:
    """Return whether the latest base candle completed a candle of at least one of the series."""
    for one in series:  # noqa: SIM110 - numba compiles no generator
        if one.candle.completed == 1:
            return True
    return False


def make_strategy_update(hooks: Hooks, view_type: type[Any]) -> Callable[..., None]:
    """Bind a strategy's observing hooks into `update_strategy(...)`, which shows it a fact that was observed.

    This alone determines when a strategy is shown what: every settlement, every open-interest reading, every candle
    that completes one of its series, and a long hole before the first candle behind it. It reads what was observed,
    and changes the strategy's state only.
    """
    observe, on_funding = hooks.observe, hooks.on_funding
    on_open_interest, on_gap = hooks.on_open_interest, hooks.on_gap
    sees_candles = observe is not ignore_fact or on_gap is not ignore_fact

    def update_strategy(fact: Fact, data: MarketData, state: Any, params: Any) -> None:
        kind, market, series = fact.kind, data.market, data.series
        completed = kind == CANDLE and sees_candles and completed_any(series)
        gap = kind == CANDLE and sees_candles and market.reset == 1
        if kind == CANDLE and not completed and not gap:
            return
        view = as_view(view_type, (fact.time_ms, series[0].candle, *series, market, data.readings, state))
        if gap:
            on_gap(view, params)
        if completed:
            observe(view, params)
        elif kind == FUNDING:
            on_funding(view, params)
        elif kind != CANDLE:
            on_open_interest(view, params)

    return update_strategy


def make_decide(enter: Callable[..., Any], leave: Callable[..., Any], exit_reasons: int) -> Callable[..., int]:
    """Bind a strategy's deciding hooks into `decide(...)`; `exit_reasons` is the number of its own exit reasons.

    `enter` and `leave` are the hooks, each bound by `make_ask`. `decide` answers a candle that was observed and shown
    to the strategy. It reads the fact, what was observed of its symbol, the strategy's state and parameters, the rules
    and the contracts. It writes its decisions to `out[n:]`, applies each at once by `evolve`, and returns the new
    count. Apart from that it changes only the account's day, equity and peak, and the symbol's mark.

    The strategy may enter if it is flat, nothing stops the runner, and every series has the candles it needs.
    """

    def decide(
        fact: Fact,
        data: MarketData,
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
        desk, candle = desks[fact.symbol], data.series[0].candle
        if fact.open_time_ms >= account.day_end_ms:
            roll_day(account, fact.open_time_ms)
        if desk.position.side != 0 or desk.order.action != NO_ORDER:
            n = book_funding(data.market, data.settlements, fact, desk, account, out, n)
            n = trade_candle(fact, candle.turbulent_at_open, desk, desks, account, rules, contracts, tiers, out, n)
        acting = candle.completed == 1 and fact.timing == ON_TIME
        if acting and desk.position.side != 0 and desk.order.action == NO_ORDER:
            profit_usdt = profit_after_costs(desk, fact.close, slippage_now(rules, candle.turbulent), rules)
            position = position_view(desk, profit_usdt)
            clear_answer(out[n])
            reason = leave(fact.time_ms, data, state, position, account, desk, params, out[n])
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
            and account.tripped + account.paused + data.market.suspended == 0
            and is_ready(data.series, needs)
        ):
            decision = out[n]
            clear_answer(decision)
            side = enter(fact.time_ms, data, state, FLAT, account, desk, params, decision)
            if side is not None and side != 0:
                slippage = slippage_now(rules, candle.turbulent)
                size_entry(side, fact, slippage, account, desks, rules, contracts, tiers, decision)
                evolve(desk, account, decision)
                n += 1
        return n

    return decide
