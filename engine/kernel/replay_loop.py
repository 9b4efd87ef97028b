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


def make_replay(update_strategy: Callable[..., None], digest: str) -> Callable[..., Any]:
    """Make the loop over a stretch of facts for one runner; each `recorded` decision names the fact it answers."""

    def replay_facts(
        facts: Any,
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
        recorded: Any,
        equities: Any,
    ) -> str:
        account, n = accounts[0], 0
        for f in range(len(facts)):
            fact = facts[f]
            s = fact.symbol
            market, main = markets[s], mains[s]
            observe(fact, market, main, bars[s], filters[s], filter_bars[s], two_series, settlements[s], readings[s])
            trading = can_decide(fact.kind, fact.timing) and active[s]
            if trading:
                roll_day(account, fact.open_time_ms)
            update_strategy(fact, market, main, bars[s], readings[s], states[s], params[s])
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
        return digest

    return replay_facts
