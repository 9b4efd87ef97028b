"""The loop over a tape for one runner, and the one that shows totals to the global kill switch.

Both are plain closures: CPython runs them as they are, numba compiles them (`engine.research.compiled`). What
is captured besides functions is `digest`, which ties a compiled loop to the sources it was made from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.core.codes import CANDLE, FUNDING, WARM_UP
from engine.core.guard import guard_total
from engine.core.series import watch_candle, watch_reading, watch_series, watch_settlement

if TYPE_CHECKING:
    from collections.abc import Callable


def make_advance(look: Callable[..., None], trade: Callable[..., int], digest: str) -> Callable[..., Any]:
    """The loop over a stretch of tape for one runner; it stops early when `out` may run full."""

    def advance(
        facts: Any,
        first: int,
        end: int,
        room: int,
        markets: Any,
        mains: Any,
        bars: Any,
        filters: Any,
        filter_bars: Any,
        two_series: bool,
        settlements: Any,
        readings: Any,
        active: Any,
        desks: Any,
        states: Any,
        params: Any,
        accounts: Any,
        rules: Any,
        contracts: Any,
        tiers: Any,
        out: Any,
        equities: Any,
    ) -> tuple[int, int, str]:
        n, numbered, full, account = 0, 0, len(out) - room, accounts[0]
        for f in range(first, end):
            if n >= full:
                return f, n, digest
            fact = facts[f]
            s = fact.symbol
            market, main, filtered = markets[s], mains[s], filters[s]
            is_candle = fact.kind == CANDLE
            if is_candle:
                watch_candle(market, fact, settlements[s])
                watch_series(main, bars[s], fact, market.reset)
                if two_series:
                    watch_series(filtered, filter_bars[s], fact, market.reset)
            elif fact.kind == FUNDING:
                watch_settlement(market, fact, settlements[s])
            else:
                watch_reading(market, fact, readings[s])
            if main.completed == 1 or market.reset == 1 or not is_candle:
                look(fact, market, main, bars[s], readings[s], states[s], params[s])
            if is_candle and fact.timing != WARM_UP and active[s]:
                n = trade(
                    fact,
                    market,
                    main,
                    filtered,
                    settlements[s],
                    desks,
                    states[s],
                    params[s],
                    account,
                    rules[0],
                    contracts,
                    tiers,
                    out,
                    n,
                )
                while numbered < n:
                    out[numbered].fact = f
                    numbered += 1
            equities[f - first] = account.equity_usdt
        return end, n, digest

    return advance


def make_guard_watch(digest: str) -> Callable[..., Any]:
    """Show the totals of a stretch to the global switch; returns the fact on which it trips, or the end."""

    def watch(facts: Any, first: int, end: int, totals: Any, guards: Any, maxima: Any) -> tuple[int, str]:
        guard = guards[0]
        for f in range(first, end):
            fact = facts[f]
            if fact.kind == CANDLE and fact.timing != WARM_UP:
                if guard_total(guard, maxima, totals[f - first], fact.time_ms):
                    return f, digest
        return end, digest

    return watch
