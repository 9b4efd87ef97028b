"""The engine's run of a tape with the dictated strategy, as the records that the oracle makes."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from papertape.engine.research.cpython_kernel import PlainEngine
from papertape.engine.research.guarded import run_tape
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.strategy_registry import load_strategies
from papertape.events.facts import (
    Closing,
    FundingPaid,
    OrderCancelled,
    OrderRejected,
    PositionIncreased,
    PositionOpened,
    PositionReduced,
    StopMoved,
    TargetsMoved,
)
from tests.support import NO_LIMITS, configured_world

from .account import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from papertape.engine.kernel.risk_settings import RiskSettings
    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState
    from papertape.events.facts import Event
    from tests.reducer.random_market import RandomTape

    from .holding import Record

FOLDER = Path(__file__).parents[1] / "dictated"


@cache
def dictated_strategies(series: str = "1m") -> Mapping[str, Strategy]:
    """The dictated strategy, asked on the candles of one series."""
    return {"dictated": replace(load_strategies([FOLDER])["dictated"], series=(series,))}


def dictated_world(tape: RandomTape, risk: RiskSettings = NO_LIMITS, series: str = "1m") -> EngineState:
    """A world with one account of the dictated strategy."""
    return configured_world(tape.contracts, {"dictated": RunnerSettings(risk=risk)}, dictated_strategies(series))


def engine_events(
    tape: RandomTape, risk: RiskSettings = NO_LIMITS, engine: str = "python", series: str = "1m"
) -> tuple[EngineState, list[Event]]:
    """The world at the end of a tape, and every decision on the way."""
    world = dictated_world(tape, risk, series)
    if engine == "python":
        outcome = run_tape(world, PlainEngine(world, tape))
    else:
        from papertape.engine.research.compiled_kernel import CompiledEngine  # noqa: PLC0415 - belongs to an extra
        from tests.research.ways import compile_shared  # noqa: PLC0415 - likewise

        compile_shared()
        outcome = run_tape(world, CompiledEngine(world, tape))
    return world, [item.event for item in outcome.decided]


def fill_of(event: Event, average: float) -> Record | None:
    """A line of `--fills`, if the event is a fill; `average` is the position's before it."""
    if isinstance(event, PositionOpened):
        quantity, price = event.quantity_base, event.price_usdt
        what: tuple[Any, ...] = ("open", event.kind, 0, quantity, price, event.fee_usdt, 0.0, quantity, price)
    elif isinstance(event, PositionIncreased):
        numbers = (event.quantity_base, event.price_usdt, event.fee_usdt, 0.0)
        what = ("increase", event.kind, event.rung, *numbers, event.position_base, event.entry_price_usdt)
    elif isinstance(event, PositionReduced):
        numbers = (event.quantity_base, event.price_usdt, event.fee_usdt, event.gross_usdt)
        what = ("reduce", event.reason, event.rung, *numbers, event.position_base, average)
    elif isinstance(event, Closing):
        numbers = (event.part_quantity_base, event.part_price_usdt, event.fee_usdt, event.part_gross_usdt)
        what = ("close", event.reason, event.rung, *numbers, 0.0, 0.0)
    else:
        return None
    action, reason, rung, *rest = what
    buys = (event.side == "long") == (action in ("open", "increase"))
    line = (event.strategy, event.symbol, event.at_ms, action, reason, rung, "buy" if buys else "sell", *rest)
    return dict(zip(COLUMNS, line, strict=True))


def fills_of(events: Iterable[Event]) -> list[Record]:
    """The fills among events."""
    averages: dict[str, float] = {}
    fills = []
    for event in events:
        symbol = getattr(event, "symbol", "")
        fill = fill_of(event, averages.get(symbol, 0.0))
        if fill is not None:
            averages[symbol] = fill["average_usdt"]
            fills.append(fill)
    return fills


def trades_of(events: Iterable[Event]) -> list[Record]:
    """The trades among events, with the columns of the trades CSV."""
    return [
        {
            "strategy": event.strategy,
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
            "parts": event.parts,
            "max_quantity_base": event.max_quantity_base,
        }
        for event in events
        if isinstance(event, Closing)
    ]


def refusals_of(events: Iterable[Event]) -> list[Record]:
    """The refusals among events."""
    return [
        {
            "strategy": event.strategy,
            "symbol": event.symbol,
            "time": event.at_ms,
            "action": event.action,
            "side": event.side,
            "reason": event.reason,
        }
        for event in events
        if isinstance(event, OrderRejected)
    ]


def cancellations_of(events: Iterable[Event]) -> list[Record]:
    """The cancellations among events."""
    return [
        {
            "strategy": event.strategy,
            "symbol": event.symbol,
            "side": event.side,
            "action": event.action,
            "rung": event.rung,
            "reason": event.reason,
            "time": event.at_ms,
        }
        for event in events
        if isinstance(event, OrderCancelled)
    ]


def payments_of(events: Iterable[Event]) -> list[Record]:
    """The funding payments among events."""
    return [
        {"symbol": event.symbol, "time": event.settled_at_ms, "amount": event.amount_usdt}
        for event in events
        if isinstance(event, FundingPaid)
    ]


def moves_of(events: Iterable[Event]) -> list[tuple[str, int, str]]:
    """Where and when a stop or the targets were moved."""
    names = {StopMoved: "stop", TargetsMoved: "targets"}
    return [
        (event.symbol, event.at_ms, names[type(event)])
        for event in events
        if isinstance(event, StopMoved | TargetsMoved)
    ]
