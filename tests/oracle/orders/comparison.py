"""Everything that the engine and the oracle recorded of one run, and where it left them, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from papertape.engine.kernel.answers import rung_at
from papertape.engine.kernel.codes import ENTRY, FIRST_EXIT_REASON, REASON_NAMES
from papertape.events.facts import Closing, OrderPlaced, PositionReduced

from .engine_runs import cancellations_of, fills_of, moves_of, payments_of, refusals_of, trades_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from papertape.engine.kernel.answers import Ladder
    from papertape.engine.kernel.state import SymbolState
    from papertape.engine.reducer.state import EngineState
    from papertape.events.facts import Event

    from .holding import Holding, Part, Record
    from .simulate import Outcome

EXITS = {**REASON_NAMES, 0: "", FIRST_EXIT_REASON: "told"}
"""The reasons of ends by their codes, with that of the dictated strategy."""


def check_alike(outcome: Outcome, world: EngineState, events: Sequence[Event]) -> None:
    """Compare everything that both recorded; sums over parts may differ in the order of their additions."""
    log = outcome.log
    assert fills_of(events) == log.fills
    assert refusals_of(events) == log.refusals
    assert cancellations_of(events) == log.cancellations
    assert placements_of(events) == [placement_of(placed) for placed in log.placements]
    assert moves_of(events) == [(move["symbol"], move["time"], move["what"]) for move in log.moves]
    assert payments_of(events) == log.funding_payments
    check_trades(trades_of(events), log.trades)
    assert parts_of(events) == [pytest.approx(numbers_of(part), rel=1e-9, abs=1e-9) for part in log.parts]
    account, rules = world.runner("dictated").account, world.runner("dictated").rules
    assert (account.cash_usdt, account.equity_usdt) == (outcome.cash, outcome.final_equity)
    last = {shown["symbol"]: shown for shown in outcome.views}
    for symbol, desk in zip(world.symbols, world.runner("dictated").desks, strict=True):
        held = outcome.holdings.get(symbol)
        is_valued = world.runner("dictated").strategy.series[0] == "1m"
        check_desk(desk, held, symbol in outcome.entries, last.get(symbol), is_valued=is_valued)
        margin = 0.0 if held is None else held.quantity * held.average / rules.leverage
        assert desk.position.margin_usdt == pytest.approx(margin, rel=1e-9)


def check_trades(ours: list[Record], theirs: list[Record]) -> None:
    """Compare trades: one opening and one closing fill to the bit, more of them to 1e-9."""
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        if other["parts"] == 1 and other["quantity_base"] == other["max_quantity_base"]:
            assert one == other
        else:
            exact = {name: other[name] for name in ("quantity_base", "max_quantity_base")}
            close = {k: pytest.approx(v, rel=1e-9, abs=1e-9) for k, v in other.items() if isinstance(v, float)}
            assert one == other | close | exact


def check_desk(
    desk: SymbolState, holding: Holding | None, has_entry: bool, shown: Record | None, *, is_valued: bool
) -> None:
    """Compare what waits and what is held at the end, and what a view offers of it; `is_valued` at that very close."""
    position = desk.position
    assert (desk.order.action == ENTRY) == has_entry
    assert (position.side != 0) == (holding is not None)
    if shown is not None:
        assert desk.candles_since_exit == shown["candles_since_exit"]
        assert EXITS[desk.last_exit_reason] == shown["last_exit_reason"]
    if holding is None:
        return
    assert position.stop_price_usdt == holding.stop
    assert REASON_NAMES[position.stop_reason] == holding.stop_reason
    assert (position.best_usdt, position.worst_usdt) == (holding.best, holding.worst)
    assert (position.max_base, position.units, position.age_candles) == (holding.largest, holding.sizes, holding.age)
    assert max(0.0, holding.liquidation or 0.0) == position.liquidation_price_usdt
    assert position.reduce_fraction == (holding.reduce or 0.0)
    assert position.target_price_usdt == (holding.rungs[0].price if holding.rungs else 0.0)
    assert live_of(position.targets) == [(rung.number, rung.price, rung.part) for rung in holding.rungs]
    assert live_of(position.adds) == [(rests.number, rests.add.price, rests.add.size) for rests in holding.adds]
    sums = (position.fee_usdt, position.slippage_usdt, position.funding_usdt, position.risk_usdt, position.targets_left)
    theirs = (holding.fees, holding.slippage, holding.funding, holding.r1, holding.left)
    assert sums == pytest.approx(theirs, rel=1e-9, abs=1e-9)
    if shown is not None and is_valued:
        assert position.result_r == pytest.approx(shown["result_r"], rel=1e-9, abs=1e-9)


def live_of(ladder: Ladder) -> list[tuple[int, float, float]]:
    """Number, price and size of the rungs that rest."""
    rungs = [(k + 1, rung_at(ladder, k)) for k in range(ladder.count)]
    return [(number, rung.price_usdt, rung.size) for number, rung in rungs if rung.live == 1]


def parts_of(events: Iterable[Event]) -> list[tuple[float, ...]]:
    """The closing fills among events."""
    return [_part(event) for event in events if isinstance(event, PositionReduced | Closing)]


def _part(event: PositionReduced | Closing) -> tuple[float, ...]:
    prefix = "part_" if isinstance(event, Closing) else ""
    names = ("quantity_base", "price_usdt", "gross_usdt", "fees_usdt", "funding_usdt", "slippage_usdt")
    return tuple(getattr(event, prefix + name) for name in names)


def numbers_of(part: Part) -> tuple[float, ...]:
    """The same of the oracle's part."""
    return (part.quantity, part.price, part.gross, part.fees, part.funding, part.slippage)


def placements_of(events: Iterable[Event]) -> list[tuple[Any, ...]]:
    """What was placed besides exits: symbol, time, action, rung, kind, price, quantity, planned price, risk."""
    return [_placement(event) for event in events if isinstance(event, OrderPlaced) and event.action != "exit"]


def _placement(event: OrderPlaced) -> tuple[Any, ...]:
    place = (event.symbol, event.at_ms, event.action)
    if event.action == "reduce":
        return (*place, event.reduce_fraction)
    order = (*place, event.rung, event.kind, event.price_usdt)
    return order if event.action == "add" else (*order, event.quantity_base, event.planned_price_usdt, event.risk_usdt)


def placement_of(placed: Record) -> tuple[Any, ...]:
    """The same of the oracle's record."""
    return tuple(placed.values())
