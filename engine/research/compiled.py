"""The kernel compiled: one loop a strategy over a tape of facts, built from the very functions that run live.

The loop is a closure over plain functions, so that numba's disk cache can hold it. That cache does not see
a change inside functions of other files; `digest`, a digest of all kernel and strategy sources, is therefore
part of the closure.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import TYPE_CHECKING, Any

from numba import njit
from numba.extending import register_jitable

import engine.core.evolve
import engine.core.exchange
import engine.core.guard
import engine.core.indicators
import engine.core.margin
import engine.core.rounding
import engine.core.series
import engine.core.sizing
import engine.core.strategy
import engine.core.trade
from engine.core.codes import CANDLE, FUNDING, WARM_UP
from engine.core.series import watch_candle, watch_reading, watch_series, watch_settlement
from engine.core.trade import make_look, make_trade

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from engine.core.strategy import Strategy

KERNEL_MODULES = (
    engine.core.evolve,
    engine.core.exchange,
    engine.core.guard,
    engine.core.indicators,
    engine.core.margin,
    engine.core.rounding,
    engine.core.series,
    engine.core.sizing,
    engine.core.trade,
)
IGNORED = ("ignore_bar", "ignore_settlement", "ignore_reading", "ignore_reset", "never_leave", "clip")


@cache
def make_known() -> None:
    """Make the kernel's plain functions known to numba, once a process."""
    for module in KERNEL_MODULES:
        _make_module_known(module)
    for name in IGNORED:
        register_jitable(getattr(engine.core.strategy, name))


def _make_module_known(module: ModuleType) -> None:
    """Every plain function a module defines itself."""
    for _, function in inspect.getmembers(module, inspect.isfunction):
        if function.__module__ == module.__name__:
            register_jitable(function)


def compile_loop(strategy: Strategy, digest: str) -> Callable[..., Any]:
    """The compiled `advance` of one strategy, from the disk cache when nothing has changed."""
    make_known()
    _make_module_known(inspect.getmodule(strategy.hooks.enter))  # type: ignore[arg-type]
    look, trade = register_jitable(make_look(strategy.hooks)), register_jitable(make_trade(strategy.hooks))
    return njit(cache=True)(make_advance(look, trade, digest))  # type: ignore[no-any-return]


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
        n = 0
        account = accounts[0]
        f = first
        while f < end and n + room < len(out):
            fact = facts[f]
            s = fact.symbol
            market = markets[s]
            if fact.kind == CANDLE:
                watch_candle(market, fact, settlements[s])
                watch_series(mains[s], bars[s], fact, market.reset)
                if two_series:
                    watch_series(filters[s], filter_bars[s], fact, market.reset)
            elif fact.kind == FUNDING:
                watch_settlement(market, fact, settlements[s])
            else:
                watch_reading(market, fact, readings[s])
            if fact.kind != CANDLE or mains[s].completed == 1 or market.reset == 1:
                look(fact, market, mains[s], bars[s], readings[s], states[s], params[s])
            if fact.kind == CANDLE and fact.timing != WARM_UP and active[s]:
                before = n
                n = trade(
                    fact,
                    market,
                    mains[s],
                    filters[s],
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
                for k in range(before, n):
                    out[k].fact = f
            equities[f - first] = account.equity_usdt
            f += 1
        return f, n, digest

    return advance
