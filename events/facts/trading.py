"""Facts of trading: orders, fills, funding."""

from __future__ import annotations

from msgspec import Struct

from papertape.events.facts.base import Action, AnswerKind, CancelReason, Event, OrderKind, RejectionReason, Side


class Target(Struct, frozen=True, array_like=True):
    """A resting limit order that closes a part of a position.

    Before the entry is filled a target may be a `fraction` of the fill price; its price is then 0. `part` is the share
    of the position that it closes.
    """

    price_usdt: float
    fraction: float
    part: float


class PlannedAdd(Struct, frozen=True, array_like=True):
    """An order that will enlarge the position once its entry is filled.

    `size` is in first fills; the order expires after so many candles of the strategy's timeframe, 0 means never.
    """

    kind: OrderKind
    price_usdt: float
    size: float
    expires_candles: int


class OrderPlaced(Event, frozen=True, tag="OrderPlaced.2"):
    """An order that was decided on the close at `at_ms` and can be filled from the next candle on.

    `side` is the side of the position. `reason` is `signal`, except for an exit, which has one of the engine's or the
    strategy's own. `readings` are the numbers that led to the decision.

    A market order is filled at the next open. A limit or stop order rests at `price_usdt` until `expires_at_ms` (0:
    for as long as its position). An entry carries the plan of its position: the stop as a fraction of the fill price
    or as a price, targets, adds, and the numbers of the trailing and the break-even stop. `units` is how large the
    position may become, or the size of an add, in first fills. `reduce_fraction` is the part that a reduce order
    closes. What does not belong to an order is 0.
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
    kind: OrderKind = "market"
    price_usdt: float = 0.0
    expires_at_ms: int = 0
    expires_candles: int = 0
    rung: int = 0
    units: float = 0.0
    reduce_fraction: float = 0.0
    stop_price_usdt: float = 0.0
    trail_fraction: float = 0.0
    trail_after_fraction: float = 0.0
    breakeven_after_fraction: float = 0.0
    targets: tuple[Target, ...] = ()
    adds: tuple[PlannedAdd, ...] = ()


class OrderRejected(Event, frozen=True, tag="OrderRejected.2"):
    """An answer of a strategy that became no order, and the limit that refused it.

    `action` says whether it asked for an entry, or for a change of the orders of an open position.
    """

    strategy: str
    symbol: str
    side: Side
    reason: RejectionReason
    score: float
    readings: dict[str, float]
    action: AnswerKind = "entry"


class OrderCancelled(Event, frozen=True, tag="OrderCancelled.2"):
    """An order that was never filled, and why; `rung` is the number of an add or a target, else 0."""

    strategy: str
    symbol: str
    side: Side
    reason: CancelReason
    action: Action = "entry"
    rung: int = 0


class StopMoved(Event, frozen=True, tag="StopMoved.1"):
    """A strategy moved the stop of its position, or gave its trailing and break-even new numbers.

    A stop that trails moves without an event: where it is follows from the fills and the candles.
    """

    strategy: str
    symbol: str
    side: Side
    from_price_usdt: float
    stop_price_usdt: float
    trail_fraction: float
    trail_after_fraction: float
    breakeven_after_fraction: float


class TargetsMoved(Event, frozen=True, tag="TargetsMoved.1"):
    """A strategy replaced the targets of its position; each closes its part of the present quantity."""

    strategy: str
    symbol: str
    side: Side
    targets: tuple[Target, ...]


class PositionOpened(Event, frozen=True, tag="PositionOpened.2"):
    """An entry was filled, in the candle that opened at `candle_open_ms`.

    `reference_price_usdt` is the price before slippage; `target_price_usdt` is that of the nearest target, 0 if there
    is none; a liquidation price of 0 means none.
    """

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
    kind: OrderKind = "market"
    candle_open_ms: int = 0
    targets: tuple[Target, ...] = ()


class PositionIncreased(Event, frozen=True, tag="PositionIncreased.1"):
    """An add was filled: `quantity_base` at `price_usdt`.

    The position is then of `position_base` at the average price `entry_price_usdt`, with the liquidation price and the
    margin given; `risk_usdt` is what the add contributes to the trade's risk. `ambiguous`: a target lay in the candle.
    """

    strategy: str
    symbol: str
    side: Side
    kind: OrderKind
    rung: int
    units: float
    quantity_base: float
    price_usdt: float
    reference_price_usdt: float
    fee_usdt: float
    slippage_usdt: float
    position_base: float
    entry_price_usdt: float
    liquidation_price_usdt: float
    margin_usdt: float
    risk_usdt: float
    ambiguous: bool


class PositionReduced(Event, frozen=True, tag="PositionReduced.1"):
    """A part of a position was closed by a target or by an order to reduce it.

    `fee_usdt` is the fee of this fill; `fees_usdt`, `funding_usdt` and `slippage_usdt` add the part's share of what the
    position had paid; net = gross - fees + funding. `position_base`, the liquidation price and the margin are those of
    the rest. `rung` is the number of the target, or 0.
    """

    strategy: str
    symbol: str
    side: Side
    reason: str
    rung: int
    quantity_base: float
    entry_price_usdt: float
    price_usdt: float
    reference_price_usdt: float
    fee_usdt: float
    gross_usdt: float
    fees_usdt: float
    funding_usdt: float
    slippage_usdt: float
    net_usdt: float
    position_base: float
    liquidation_price_usdt: float
    margin_usdt: float
    ambiguous: bool


class Closing(Event, frozen=True):
    """What an exit and a liquidation have in common: the end of a trade, which lasts from flat to flat.

    `reason` is one of the engine's own or of the strategy's. Quantity, average prices, gross, `fees_usdt`,
    `funding_usdt` (positive if received), `slippage_usdt`, net and R are those of the whole trade; net = gross - fees +
    funding. `parts` counts the fills that closed it, `max_quantity_base` is how large it was. `ambiguous`: the order of
    its fills within a candle is unknown, and the worse one was taken.

    `fee_usdt`, `reference_price_usdt` and everything named `part_` are those of the closing fill alone.
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
    rung: int
    parts: int
    max_quantity_base: float
    part_quantity_base: float
    part_price_usdt: float
    part_gross_usdt: float
    part_fees_usdt: float
    part_funding_usdt: float
    part_slippage_usdt: float
    part_net_usdt: float


class PositionClosed(Closing, frozen=True, tag="PositionClosed.2"):
    """A position was closed by stop, target, delisting or an exit order."""


class Liquidated(Closing, frozen=True, tag="Liquidated.2"):
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
