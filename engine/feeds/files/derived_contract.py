"""Derive the contract specification of a symbol that only files describe; it is recorded with the run."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from papertape.engine.feeds.files.columns import CandleColumns
from papertape.events.facts import ContractListed

LOT_WORTH_USDT_MAX: Final = Decimal(10)
MINIMUM_NOTIONAL_USDT: Final = 5.0
MAINTENANCE_TIERS: Final = ((0.0, 0.01),)
"""One tier from 0 USDT on, with 1 % maintenance margin."""
PRICE_DECIMALS_MAX: Final = 12
"""Prices written by a program can have 17 decimals; counted in such ticks they would not fit into 64 bits."""
TICKS_MAX: Final = 1 << 53
"""Up to here a float represents every number of ticks exactly."""
LOT_WORTH_AT_HIGH_USDT_MAX: Final = Decimal(100)
"""A small account could not trade a lot that is worth more at the file's highest price."""
DEFAULT_GROUP: Final = "crypto"


def derived_contract(symbol: str, candles: CandleColumns, group: str = DEFAULT_GROUP) -> ContractListed:
    """Return the contract that the candles of a file suggest.

    The tick has as many decimals as the most precise price of the file. The lot is the largest power of ten that is
    worth at most 10 USDT at the first open and at most 100 USDT at the highest price of the file.
    """
    highest_usdt = max(candles.high)
    decimals = min(PRICE_DECIMALS_MAX, candles.price_decimals)
    while decimals > 0 and highest_usdt * 10**decimals > TICKS_MAX:
        decimals -= 1
    lots = lot_ratio(candles.open[0]), lot_ratio(highest_usdt, LOT_WORTH_AT_HIGH_USDT_MAX)
    lot_numerator, lot_denominator = min(lots, key=lambda ratio: ratio[0] / ratio[1])
    return ContractListed(
        at_ms=candles.open_time_ms[0],
        symbol=symbol,
        timeframe_ms=candles.timeframe_ms,
        tick_numerator=1,
        tick_denominator=10**decimals,
        lot_numerator=lot_numerator,
        lot_denominator=lot_denominator,
        minimum_notional_usdt=MINIMUM_NOTIONAL_USDT,
        maintenance_tiers=MAINTENANCE_TIERS,
        group=group,
        source="file",
    )


def lot_ratio(price_usdt: float, worth_usdt_max: Decimal = LOT_WORTH_USDT_MAX) -> tuple[int, int]:
    """Return the largest power of ten coins worth at most `worth_usdt_max` at this price, as a ratio of integers."""
    exponent = (worth_usdt_max / Decimal(repr(price_usdt))).adjusted()
    return (10**exponent, 1) if exponent >= 0 else (1, 10**-exponent)
