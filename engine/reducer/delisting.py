"""The end of a contract: the exchange no longer lists it, so no candle can fill orders on it.

A position is settled at the contract's last close with the taker fee and no slippage, 24 hours after its last candle or
as soon as its owner asks to close it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.codes import DELISTED, ENDED, EXIT, MANUAL, POSITION_ENDED
from papertape.engine.kernel.decide import mark_to_market
from papertape.engine.kernel.fills import close_position
from papertape.engine.kernel.kill_switch import check_account_limits
from papertape.engine.kernel.orders import cancel_orders
from papertape.engine.kernel.state import Fact
from papertape.events.units import DAY_MS

if TYPE_CHECKING:
    from papertape.engine.reducer.state import EngineState, Runner
    from papertape.events.facts import ContractDelisted

SETTLED_AFTER_MS = DAY_MS


def is_delisted(state: EngineState, symbol: int) -> bool:
    """Return whether the exchange has delisted a symbol's contract."""
    return state.markets[symbol].suspended == ENDED


def is_due(state: EngineState, runner: Runner, event: ContractDelisted) -> bool:
    """Return whether this event settles a runner's position in the contract."""
    symbol = state.symbols[event.symbol]
    desk = runner.desks[symbol]
    wanted = desk.order.action == EXIT and desk.order.reason == MANUAL
    over = event.at_ms >= state.markets[symbol].close_time_ms + SETTLED_AFTER_MS
    return desk.position.side != 0 and (wanted or over)


def settle_position(state: EngineState, runner: Runner, symbol: int, at_ms: int) -> int:
    """Settle a runner's position at the last close, apply it, and return the number of decisions in its `out`.

    The fee may trip the runner's kill switch.
    """
    account, desks, out, price = runner.account, runner.desks, runner.out, state.markets[symbol].close
    desk, fee, fact = desks[symbol], runner.rules.taker_fee, Fact(symbol=symbol)
    close_position(DELISTED, -1, price, price, fee, 0, at_ms, fact, desk, account, state.contracts[symbol], out[0])
    count = cancel_orders(POSITION_ENDED, at_ms, symbol, desk, account, out, 1)
    mark_to_market(account, desks)
    return count if account.tripped else check_account_limits(at_ms, account, desks, runner.rules, out, count)
