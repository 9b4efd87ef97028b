"""The law of compatibility: one market entry with stop and target as fractions earns what it always did, to the bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from papertape.events.facts import Closing, OrderCancelled, OrderRejected
from tests.kernel.scenario import BUY, LEAVE, SELL
from tests.reducer.random_market import Recipe, market, recipes
from tests.reducer.runs import EAGER, played
from tests.support import examples

from .tapes import oracle_run

if TYPE_CHECKING:
    from tests.oracle.files import Candle
    from tests.reducer.random_market import RandomTape

    from .answers import Answer


class Obedient:
    """What the engine's scripted strategy does: long, short and out as the volume says."""

    def __init__(self, parameters: dict[str, float]) -> None:
        self.stop, self.target = (parameters[name] / 100.0 for name in ("stop_percent", "target_percent"))

    def enter(self, _symbol: str, candle: Candle) -> Answer | None:
        """A market entry with its stop and one target."""
        if candle.volume not in (BUY, SELL):
            return None
        side = 1 if candle.volume == BUY else -1
        return {"side": side, "stop_fraction": self.stop, "target_fractions": [(self.target, 1.0)]}

    def leave(self, _symbol: str, candle: Candle) -> str | None:
        """Out when told so."""
        return "told" if candle.volume == LEAVE else None

    def manage(self, _symbol: str, _candle: Candle) -> Answer | None:
        """Never."""
        return None


def check_same(tape: RandomTape) -> int:
    """Compare both of the pair with the engine; return the number of trades."""
    run = played(tape)
    trades = 0
    for name in ("scripted", "second"):
        outcome = oracle_run(tape, Obedient(EAGER[name]), strategy=name, units_max=1.0)
        own = [event for event in run.events() if getattr(event, "strategy", "") == name]
        closed = [event for event in own if isinstance(event, Closing)]
        assert [
            {
                "symbol": event.symbol,
                "side": event.side,
                "quantity_base": event.quantity_base,
                "entry_time_ms": event.entry_time_ms,
                "entry_price_usdt": event.entry_price_usdt,
                "exit_time_ms": event.at_ms,
                "exit_price_usdt": event.price_usdt,
                "reason": event.reason,
                "gross_usdt": event.gross_usdt,
                "fees_usdt": event.fees_usdt,
                "funding_usdt": event.funding_usdt,
                "slippage_usdt": event.slippage_usdt,
                "net_usdt": event.net_usdt,
                "r_multiple": event.r_multiple,
                "ambiguous": int(event.ambiguous),
                "strategy": name,
                "parts": 1,
                "max_quantity_base": event.quantity_base,
            }
            for event in closed
        ] == outcome.log.trades
        assert [e.reason for e in own if isinstance(e, OrderRejected)] == [r["reason"] for r in outcome.log.refusals]
        cancelled = [e for e in own if isinstance(e, OrderCancelled)]
        assert [e.reason for e in cancelled] == [c["reason"] for c in outcome.log.cancellations]
        runner = run.world.runner(name)
        assert (runner.account.cash_usdt, runner.account.equity_usdt) == (outcome.cash, outcome.final_equity)
        trades += len(closed)
    return trades


@examples(20)
@given(recipes(told_of=0.2))
def test_the_simplest_strategy_earns_what_the_engine_gives_it(recipe: Recipe) -> None:
    check_same(market(recipe))


@pytest.mark.parametrize("seed", range(3))
def test_busy_markets_have_many_trades(seed: int) -> None:
    assert check_same(market(Recipe(seed, symbols=3, told_of=0.3, holes=3, late_share=0.02, move_percent=1.0))) > 30
