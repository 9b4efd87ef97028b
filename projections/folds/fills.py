"""Fills: every execution of an order, in the order of filling, and the fills file."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Literal, TextIO, assert_never

from msgspec import Struct

from papertape.events.facts import Closing, PositionIncreased, PositionOpened, PositionReduced, Side

if TYPE_CHECKING:
    from collections.abc import Iterable

FillAction = Literal["open", "increase", "reduce", "close"]
OrderSide = Literal["buy", "sell"]
FillEvent = PositionOpened | PositionIncreased | PositionReduced | Closing
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
"""With one of these a spreadsheet takes text for a formula."""
FILL_COLUMNS = (
    "strategy",
    "symbol",
    "time_ms",
    "action",
    "reason",
    "rung",
    "side",
    "quantity_base",
    "price_usdt",
    "fee_usdt",
    "gross_usdt",
    "position_base",
    "average_usdt",
)


class FillView(Struct, frozen=True):
    """One fill (orders in parts, section 8): so much was bought or sold at a price, for a fee.

    `reason` is the kind of the order for a fill that opens or increases a position, else why it was closed or reduced;
    `rung` is the number of the add or target, else 0. `gross_usdt` is the result that the fill realises.
    `position_base` and `average_usdt` are the position's size and average entry price after the fill, both 0 when it is
    closed.
    """

    strategy: str
    symbol: str
    time_ms: int
    action: FillAction
    reason: str
    rung: int
    side: OrderSide
    quantity_base: float
    price_usdt: float
    fee_usdt: float
    gross_usdt: float
    position_base: float
    average_usdt: float
    seq: int = 0


def fill_of(event: FillEvent, seq: int) -> FillView:
    """Return the fill that an event records."""
    match event:
        case PositionOpened():
            fill = _opening(event, seq)
        case PositionIncreased():
            fill = _increase(event, seq)
        case PositionReduced():
            fill = _reduction(event, seq)
        case Closing():
            fill = _closing(event, seq)
        case _:
            assert_never(event)
    return fill


def _opening(event: PositionOpened, seq: int) -> FillView:
    return FillView(
        event.strategy,
        event.symbol,
        event.at_ms,
        "open",
        event.kind,
        0,
        entry_side(event.side),
        event.quantity_base,
        event.price_usdt,
        event.fee_usdt,
        0.0,
        event.quantity_base,
        event.price_usdt,
        seq,
    )


def _increase(event: PositionIncreased, seq: int) -> FillView:
    return FillView(
        event.strategy,
        event.symbol,
        event.at_ms,
        "increase",
        event.kind,
        event.rung,
        entry_side(event.side),
        event.quantity_base,
        event.price_usdt,
        event.fee_usdt,
        0.0,
        event.position_base,
        event.entry_price_usdt,
        seq,
    )


def _reduction(event: PositionReduced, seq: int) -> FillView:
    return FillView(
        event.strategy,
        event.symbol,
        event.at_ms,
        "reduce",
        event.reason,
        event.rung,
        exit_side(event.side),
        event.quantity_base,
        event.price_usdt,
        event.fee_usdt,
        event.gross_usdt,
        event.position_base,
        event.entry_price_usdt,
        seq,
    )


def _closing(event: Closing, seq: int) -> FillView:
    return FillView(
        event.strategy,
        event.symbol,
        event.at_ms,
        "close",
        event.reason,
        event.rung,
        exit_side(event.side),
        event.part_quantity_base,
        event.part_price_usdt,
        event.fee_usdt,
        event.part_gross_usdt,
        0.0,
        0.0,
        seq,
    )


def entry_side(side: Side) -> OrderSide:
    """Return the side of an order that opens or increases a position."""
    return "buy" if side == "long" else "sell"


def exit_side(side: Side) -> OrderSide:
    """Return the side of an order that reduces or closes a position."""
    return "sell" if side == "long" else "buy"


def write_fills_csv(file: TextIO, fills: Iterable[FillView]) -> None:
    """Write the fills with a header; floats in their shortest exact form."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(FILL_COLUMNS)
    writer.writerows([csv_cell(getattr(fill, column)) for column in FILL_COLUMNS] for fill in fills)


def csv_cell(value: str | float | bool) -> str:
    """Return a value as a file holds it: floats in their shortest exact form, a flag as 0 or 1.

    Text that a spreadsheet would take for a formula is preceded by an apostrophe.
    """
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return repr(value)
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(FORMULA_SIGNS) else text
