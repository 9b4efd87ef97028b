"""The loop that follows a record: it observes facts and applies recorded decisions, and decides nothing.

Like `engine.kernel.tape_loop` it is a plain closure for CPython and numba; it calls only the strategy's observing
hooks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.decide import mark_symbol, mark_to_market
from papertape.engine.kernel.evolve import evolve
from papertape.engine.kernel.kill_switch import roll_day
from papertape.engine.kernel.observe import can_decide, observe
from papertape.engine.kernel.trailing import comes_after_fills, follow_symbol

if TYPE_CHECKING:
    from collections.abc import Callable


def make_follow(update_strategy: Callable[..., None]) -> Callable[..., None]:
    """Make the function that observes one fact and shows it to the strategy."""

    def follow(data: Any, fact: Any, slots: Any, state: Any, params: Any) -> None:
        observe(fact, data, slots)
        update_strategy(fact, data, state, params)

    return follow


def make_replay(follow: Callable[..., None], show: Callable[..., None]) -> Callable[..., Any]:
    """Make the loop over a stretch of facts for one runner; each `recorded` decision names the fact it answers.

    `follow` is `make_follow`'s, bound by `with_data` to the numbers of series and references; `show` is `make_show`'s.
    """

    def replay_facts(
        facts: Any,
        markets: Any,
        series: Any,
        bars: Any,
        references: Any,
        settlements: Any,
        readings: Any,
        signals: Any,
        slots: Any,
        active: Any,
        desks: Any,
        states: Any,
        params: Any,
        accounts: Any,
        rules: Any,
        contracts: Any,
        recorded: Any,
        equities: Any,
    ) -> None:
        account, n = accounts[0], 0
        others = (series, bars, markets, references)
        for f in range(len(facts)):
            fact = facts[f]
            s = fact.symbol
            main = series[0][s]
            trading = can_decide(fact.kind, fact.timing) and active[s]
            if trading:
                roll_day(account, fact.open_time_ms)
            rings = settlements[s], readings[s], signals[s]
            follow(series, bars, s, others, markets[s], rings, fact, slots, states[s], params[s])
            show(fact, others, settlements, readings, signals, states, params)
            unfollowed = trading
            while n < len(recorded) and recorded[n].fact == f:
                decision = recorded[n]
                if unfollowed and comes_after_fills(decision.kind, decision.reason):
                    follow_symbol(fact, main, desks[s], rules[0], contracts[s])
                    unfollowed = False
                evolve(desks[decision.symbol], account, decision)
                n += 1
            if unfollowed:
                follow_symbol(fact, main, desks[s], rules[0], contracts[s])
            if trading:
                mark_symbol(fact, desks[s])
                mark_to_market(account, desks)
            equities[f] = account.equity_usdt

    return replay_facts
