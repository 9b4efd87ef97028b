"""`decide`: one runner's answer to one candle, in stages whose order never changes.

0 day roll and funding due, 1 and 2 the orders that the candle fills, 3 the trailing stop, and indicators, 4 expiry and
the strategy's exit or changes, 5 the mark and the kill switch, 6 the strategy's entry. The indicators belong to
`observe`, which runs first: stages 0 to 2 use only what was known at the open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.changes import renew_answer
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
from papertape.engine.kernel.fills import book_funding
from papertape.engine.kernel.kill_switch import check_account_limits, roll_day
from papertape.engine.kernel.margin import equity
from papertape.engine.kernel.matching import is_quiet, match_candle
from papertape.engine.kernel.orders import cancel_orders, expires_by, place_exit, rests
from papertape.engine.kernel.references import REFERENCES_READY, completed_any
from papertape.engine.kernel.series import is_ready
from papertape.engine.kernel.signals import have_arrived
from papertape.engine.kernel.sizing import place_entry
from papertape.engine.kernel.strategy import WITHOUT_VIEW, as_plan, clear_reading, copy_reading, ignore_fact
from papertape.engine.kernel.trailing import follow_symbol

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.engine.kernel.answers import Answer
    from papertape.engine.kernel.decision import Decisions, Notes
    from papertape.engine.kernel.state import (
        Account,
        AccountRules,
        Contracts,
        Desks,
        Fact,
        Market,
        Needs,
        Series,
        Settlements,
        SymbolState,
        TierTables,
    )
    from papertape.engine.kernel.strategy import Hooks
    from papertape.engine.kernel.view import MarketData


def exit_reason(answer: int, count: int) -> int:
    """Return the reason that `leave` gave, or UNNAMED_EXIT if it is not one of the strategy's `count` reasons."""
    for reason in range(FIRST_EXIT_REASON, FIRST_EXIT_REASON + count):
        if answer == reason:
            return reason
    return UNNAMED_EXIT


def mark_to_market(account: Account, desks: Desks) -> None:
    """Value the account at the last closes."""
    account.equity_usdt = equity(account, desks)
    if account.equity_usdt > account.peak_usdt:
        account.peak_usdt = account.equity_usdt


def mark_symbol(fact: Fact, desk: SymbolState) -> None:
    """Note the close of a symbol's last candle, and when it was."""
    desk.mark_usdt = fact.close
    desk.close_ms = fact.time_ms


def make_strategy_update(hooks: Hooks, bind: Callable[..., Any]) -> Callable[..., None]:
    """Bind a strategy's observing hooks into `update_strategy(...)`, which shows it a fact that was observed.

    `bind` binds one of the hooks so that it gets its view (see `bind_observing`).

    This alone determines when a strategy is shown what: every settlement, every open-interest reading, every candle
    that completes one of its series, and a long hole before the first candle behind it. A signal has no hook. It
    reads what was observed, and changes the strategy's state only.
    """
    observing = (hooks.observe, hooks.on_funding, hooks.on_open_interest, hooks.on_gap)
    observe, on_funding, on_open_interest, on_gap = (WITHOUT_VIEW.get(hook) or bind(hook) for hook in observing)
    sees_candles = hooks.observe is not ignore_fact or hooks.on_gap is not ignore_fact

    def update_strategy(fact: Fact, data: MarketData, state: Any, params: Any) -> None:
        kind = fact.kind
        if kind == CANDLE:
            if sees_candles and data.market.reset == 1:
                on_gap(fact.time_ms, data, state, params)
            if sees_candles and completed_any(data.series):
                observe(fact.time_ms, data, state, params)
        elif kind == FUNDING:
            on_funding(fact.time_ms, data, state, params)
        elif kind == OPEN_INTEREST:
            on_open_interest(fact.time_ms, data, state, params)

    return update_strategy


def trade_candle(
    fact: Fact,
    candle: Series,
    market: Market,
    settlements: Settlements,
    desk: SymbolState,
    desks: Desks,
    account: Account,
    rules: AccountRules,
    contracts: Contracts,
    tiers: TierTables,
    out: Decisions,
    n: int,
) -> int:
    """Take a candle into orders and position: funding, fills, trailing stop, expiry. Return the new count."""
    if market.booked != market.due:
        n = book_funding(market, settlements, fact, desk, account, out, n)
    if not is_quiet(fact, desk):
        turbulent, timeframe_ms = candle.turbulent_at_open, candle.timeframe_ms
        n = match_candle(fact, turbulent, timeframe_ms, desk, desks, account, rules, contracts, tiers, out, n)
    follow_symbol(fact, candle, desk, rules, contracts[fact.symbol])
    if rests(desk) and expires_by(fact.time_ms, desk):
        n = cancel_orders(EXPIRED, fact.time_ms, fact.symbol, desk, account, out, n)
    return n


def mark_account(fact: Fact, account: Account, desks: Desks, rules: AccountRules, out: Decisions, n: int) -> int:
    """Value the account at the last closes, and trip its kill switch at a limit. Return the new count."""
    mark_to_market(account, desks)
    return n if account.tripped != 0 else check_account_limits(fact.time_ms, account, desks, rules, out, n)


def may_enter(data: MarketData, account: Account, needs: Needs, signals: int) -> bool:
    """Return whether a flat strategy is asked for an entry: nothing stops it, and all that it needs is known."""
    return (
        account.tripped + account.paused + data.market.suspended == 0
        and is_ready(data.series, needs)
        and (signals == 0 or have_arrived(data.signals, signals))
    )


def make_decide(
    enter: Callable[..., Any],
    leave: Callable[..., Any],
    change: Callable[..., int],
    counts: tuple[int, int, int, int],
    renew: Callable[[Answer], None] = renew_answer,
) -> Callable[..., int]:
    """Bind a strategy's deciding hooks into `decide(...)`.

    `enter` and `leave` are bound by `bind_hook`, `change` asks `manage`, and `renew` clears an answer. `counts` are the
    strategy's exit reasons, the first fills that a position may grow to, its signals and its references.

    `decide` answers a candle that was observed and shown. It writes decisions to `out[n:]` and the readings behind them
    to `notes[n:]`, applies each by `evolve`, and returns the new count. Else it changes only `answer`, the account's
    day, equity and peak, and the mark, age, extremes, value and trailing stop, which follow from the candle alone.
    """
    exit_reasons, units_max, signals, references = counts
    references_ready = REFERENCES_READY[references]

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
        answer: Answer,
        out: Decisions,
        notes: Notes,
        n: int,
    ) -> int:
        first, candle, desk, contract = n, data.series[0].candle, desks[fact.symbol], contracts[fact.symbol]
        position, order, due = desk.position, desk.order, data.settlements
        if fact.open_time_ms >= account.day_end_ms:
            roll_day(account, fact.open_time_ms)
        if position.side != 0 or order.action != NO_ORDER:
            n = trade_candle(fact, candle, data.market, due, desk, desks, account, rules, contracts, tiers, out, n)
            for k in range(first, n):
                clear_reading(notes[k])
        elif candle.completed == 1:
            follow_symbol(fact, candle, desk, rules, contract)
        acting = candle.completed == 1 and fact.timing == ON_TIME
        if acting and position.side != 0 and order.action == NO_ORDER:
            renew(answer)
            reason = leave(fact.time_ms, data, state, account, desk, params, answer)
            if reason is not None and reason != NO_REASON:
                copy_reading(answer.reading, notes[n])
                place_exit(fact.symbol, fact.time_ms, desk, account, exit_reason(reason, exit_reasons), out[n])
                n += 1
            else:
                n = change(fact, data, desk, state, params, account, contract, answer, out, notes, n)
        mark_symbol(fact, desk)
        if account.positions > 0 or n != first:
            n = mark_account(fact, account, desks, rules, out, n)
        asks = acting and position.side == 0 and order.action == NO_ORDER and may_enter(data, account, needs, signals)
        if asks and (references == 0 or references_ready(data, needs)):
            renew(answer)
            side = enter(fact.time_ms, data, state, account, desk, params, answer)
            if side is not None and side != 0:
                copy_reading(answer.reading, notes[n])
                plan, row = as_plan(answer), out[n]
                place_entry(side, plan, fact, candle, units_max, account, desks, rules, contracts, tiers, row)
                n += 1
        return n

    return decide
