"""Old shapes of facts, and the functions that convert each to a newer shape.

When `X.1` in `events.facts` gets a new shape, the new class takes the tag `X.2` there, the old class moves here under a
name of its own (`X1`, `tag="X.1"`), and `UPCASTERS` gets the function that converts one to the other. A function may
return a shape that is now old itself: the codec follows the chain. Entries are never removed, because a log remains
readable for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import asdict

from papertape.events.facts import (
    ContractListed,
    Event,
    KillSwitchTripped,
    Liquidated,
    OrderCancelled,
    OrderPlaced,
    OrderRejected,
    PositionClosed,
    PositionOpened,
    RunnerConfigured,
    Target,
)

Upcaster = Callable[[Any], Event]


class ContractListed1(Event, frozen=True, tag="ContractListed.1"):
    """A contract without the exchange's fees."""

    symbol: str
    timeframe_ms: int
    tick_numerator: int
    tick_denominator: int
    lot_numerator: int
    lot_denominator: int
    minimum_notional_usdt: float
    maintenance_tiers: tuple[tuple[float, float], ...]
    group: str
    source: str


class KillSwitchTripped1(Event, frozen=True, tag="KillSwitchTripped.1"):
    """A trip that no human could cause."""

    scope: str
    reason: str
    base_usdt: float
    peak_usdt: float
    equity_usdt: float
    threshold_percent: float


class OrderPlaced1(Event, frozen=True, tag="OrderPlaced.1"):
    """A market order with one stop and one target."""

    strategy: str
    symbol: str
    action: str
    side: str
    reason: str
    quantity_base: float
    planned_price_usdt: float
    stop_fraction: float
    target_fraction: float
    risk_usdt: float
    score: float
    readings: dict[str, float]


class OrderRejected1(Event, frozen=True, tag="OrderRejected.1"):
    """A refused entry."""

    strategy: str
    symbol: str
    side: str
    reason: str
    score: float
    readings: dict[str, float]


class OrderCancelled1(Event, frozen=True, tag="OrderCancelled.1"):
    """A cancelled entry."""

    strategy: str
    symbol: str
    side: str
    reason: str


class PositionOpened1(Event, frozen=True, tag="PositionOpened.1"):
    """A market entry was filled at the open of its candle; the position has one target."""

    strategy: str
    symbol: str
    side: str
    quantity_base: float
    price_usdt: float
    reference_price_usdt: float
    fee_usdt: float
    slippage_usdt: float
    stop_price_usdt: float
    target_price_usdt: float
    liquidation_price_usdt: float
    margin_usdt: float
    risk_usdt: float


class Closing1(Event, frozen=True):
    """The end of a position that one fill opened and one fill closed."""

    strategy: str
    symbol: str
    side: str
    reason: str
    quantity_base: float
    entry_time_ms: int
    entry_price_usdt: float
    price_usdt: float
    reference_price_usdt: float
    fee_usdt: float
    gross_usdt: float
    fees_usdt: float
    funding_usdt: float
    slippage_usdt: float
    net_usdt: float
    r_multiple: float
    ambiguous: bool


class PositionClosed1(Closing1, frozen=True, tag="PositionClosed.1"):
    """A position was closed by one fill."""


class Liquidated1(Closing1, frozen=True, tag="Liquidated.1"):
    """A position that one fill had opened was liquidated."""


class RunnerConfigured1(Event, frozen=True, tag="RunnerConfigured.1"):
    """A runner's settings without what its file says about the strategy."""

    strategy: str
    symbols: tuple[str, ...]
    parameters: dict[str, int | float]
    symbol_parameters: dict[str, dict[str, int | float]]
    risk: dict[str, int | float]
    code_digest: str


def without_human(old: KillSwitchTripped1) -> KillSwitchTripped:
    """Convert a trip: no human caused it."""
    return KillSwitchTripped(**asdict(old))


def with_unknown_fees(old: ContractListed1) -> ContractListed:
    """Convert a contract: its fees are unknown."""
    return ContractListed(**asdict(old))


def with_market_order(old: OrderPlaced1) -> OrderPlaced:
    """Convert an order: it was a market order, and an entry's position could not grow."""
    return OrderPlaced(**asdict(old), units=1.0 if old.action == "entry" else 0.0)


def of_entry(old: OrderRejected1) -> OrderRejected:
    """Convert a refusal: only entries could be refused."""
    return OrderRejected(**asdict(old))


def of_entry_order(old: OrderCancelled1) -> OrderCancelled:
    """Convert a cancellation: only entries could be cancelled."""
    return OrderCancelled(**asdict(old))


def at_the_open(old: PositionOpened1) -> PositionOpened:
    """Convert an opening: a market order was filled at the open, and the one target closes everything."""
    target = Target(old.target_price_usdt, 0.0, 1.0)
    return PositionOpened(**asdict(old), candle_open_ms=old.at_ms, targets=(target,))


def in_one_part(old: Closing1) -> PositionClosed | Liquidated:
    """Convert a close: the closing fill was the whole trade."""
    kind = Liquidated if isinstance(old, Liquidated1) else PositionClosed
    return kind(
        **asdict(old),
        rung=1 if old.reason == "target" else 0,
        parts=1,
        max_quantity_base=old.quantity_base,
        part_quantity_base=old.quantity_base,
        part_price_usdt=old.price_usdt,
        part_gross_usdt=old.gross_usdt,
        part_fees_usdt=old.fees_usdt,
        part_funding_usdt=old.funding_usdt,
        part_slippage_usdt=old.slippage_usdt,
        part_net_usdt=old.net_usdt,
    )


def without_names(old: RunnerConfigured1) -> RunnerConfigured:
    """Convert a configuration: what the file said was not recorded."""
    return RunnerConfigured(**asdict(old))


UPCASTERS: Mapping[type[Event], Upcaster] = {
    ContractListed1: with_unknown_fees,
    KillSwitchTripped1: without_human,
    Liquidated1: in_one_part,
    OrderCancelled1: of_entry_order,
    OrderPlaced1: with_market_order,
    OrderRejected1: of_entry,
    PositionClosed1: in_one_part,
    PositionOpened1: at_the_open,
    RunnerConfigured1: without_names,
}
