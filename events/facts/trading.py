"""Facts of trading: orders, fills, funding."""

from __future__ import annotations

from papertape.events.facts.base import Action, CancelReason, Event, RejectionReason, Side


class OrderPlaced(Event, frozen=True, tag="OrderPlaced.1"):
    """A market order for the next candle's open, decided on the close at `at_ms`.

    `side` is the side of the position. `reason` is `signal` for an entry; for an exit it is one of the engine's or the
    strategy's own. `readings` are the numbers that led to the decision. The plan of an exit order is zero.
    """

    strategy: str
    symbol: str
    action: Action
    side: Side
    reason: str
    quantity_base: float
    planned_price_usdt: float
    stop_fraction: float
    target_fraction: float
    risk_usdt: float
    score: float
    readings: dict[str, float]


class OrderRejected(Event, frozen=True, tag="OrderRejected.1"):
    """A signal that became no order, and the limit that refused it."""

    strategy: str
    symbol: str
    side: Side
    reason: RejectionReason
    score: float
    readings: dict[str, float]


class OrderCancelled(Event, frozen=True, tag="OrderCancelled.1"):
    """An entry order that was never filled, and why."""

    strategy: str
    symbol: str
    side: Side
    reason: CancelReason


class PositionOpened(Event, frozen=True, tag="PositionOpened.1"):
    """An entry was filled. `reference_price_usdt` is the price before slippage; a liquidation price of 0 means none."""

    strategy: str
    symbol: str
    side: Side
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


class Closing(Event, frozen=True):
    """What an exit and a liquidation have in common.

    `reason` is one of the engine's own or of the strategy's. `fee_usdt` is the closing fee; `fees_usdt`, `funding_usdt`
    (positive if received) and `slippage_usdt` are those of the whole trade; net = gross - fees + funding. `ambiguous`:
    stop and target lay in one candle.
    """

    strategy: str
    symbol: str
    side: Side
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


class PositionClosed(Closing, frozen=True, tag="PositionClosed.1"):
    """A position was closed by stop, target, delisting or an exit order."""


class Liquidated(Closing, frozen=True, tag="Liquidated.1"):
    """The exchange liquidated a position: the whole margin is lost."""


class FundingPaid(Event, frozen=True, tag="FundingPaid.1"):
    """Funding booked on an open position: `amount_usdt` is negative when the position paid."""

    strategy: str
    symbol: str
    side: Side
    settled_at_ms: int
    rate: float
    quantity_base: float
    price_usdt: float
    amount_usdt: float
