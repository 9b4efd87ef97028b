"""One decision of a runner with all its numbers, before it becomes an event of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from papertape.engine.kernel.answers import Ladder
from papertape.engine.kernel.writes import ease_writes

if TYPE_CHECKING:
    from collections.abc import Sequence


class Decision(Struct, array_like=True):
    """One decision with all its numbers; the fields are named as in the events they become.

    `fact` is the index of the fact it answers. `kind` is what was decided, `order_kind` how an order is filled.
    """

    fact: int = 0
    kind: int = 0
    symbol: int = 0
    action: int = 0
    order_kind: int = 0
    side: int = 0
    reason: int = 0
    rung: int = 0
    ambiguous: int = 0
    parts: int = 0
    expires_candles: int = 0
    at_ms: int = 0
    candle_open_ms: int = 0
    expires_at_ms: int = 0
    entry_time_ms: int = 0
    settled_at_ms: int = 0
    quantity_base: float = 0.0
    position_base: float = 0.0
    max_quantity_base: float = 0.0
    planned_price_usdt: float = 0.0
    stop_fraction: float = 0.0
    target_fraction: float = 0.0
    risk_usdt: float = 0.0
    score: float = 0.0
    units: float = 0.0
    reduce_fraction: float = 0.0
    entry_price_usdt: float = 0.0
    price_usdt: float = 0.0
    reference_price_usdt: float = 0.0
    fee_usdt: float = 0.0
    fees_usdt: float = 0.0
    gross_usdt: float = 0.0
    slippage_usdt: float = 0.0
    funding_usdt: float = 0.0
    net_usdt: float = 0.0
    r_multiple: float = 0.0
    part_quantity_base: float = 0.0
    part_price_usdt: float = 0.0
    part_gross_usdt: float = 0.0
    part_fees_usdt: float = 0.0
    part_funding_usdt: float = 0.0
    part_slippage_usdt: float = 0.0
    part_net_usdt: float = 0.0
    from_price_usdt: float = 0.0
    stop_price_usdt: float = 0.0
    target_price_usdt: float = 0.0
    liquidation_price_usdt: float = 0.0
    margin_usdt: float = 0.0
    rate: float = 0.0
    amount_usdt: float = 0.0
    base_usdt: float = 0.0
    peak_usdt: float = 0.0
    equity_usdt: float = 0.0
    threshold_percent: float = 0.0
    trail_fraction: float = 0.0
    trail_after_fraction: float = 0.0
    breakeven_after_fraction: float = 0.0
    targets: Ladder = field(default_factory=Ladder)
    adds: Ladder = field(default_factory=Ladder)


class NotedDecision(Decision, array_like=True):
    """A decision with the numbers that the strategy had before it."""

    reading: Any = None


if TYPE_CHECKING:
    Decisions = Sequence[Decision]
    Notes = Sequence[Any]


ease_writes(vars())
