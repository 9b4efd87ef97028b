"""The contract specification of a symbol that only files describe: derived, and recorded with the run."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from engine.feeds.columns import CandleColumns
from events.facts import ContractListed

LOT_WORTH_USDT_MAX: Final = Decimal(10)
MINIMUM_NOTIONAL_USDT: Final = 5.0
MAINTENANCE_TIERS: Final = ((0.0, 0.01),)
"""One tier from 0 USDT on, with 1 % maintenance margin."""
PRICE_DECIMALS_MAX: Final = 12
"""Prices written by a program can have 17; in ticks that fine they would leave the 64-bit integers."""
TICK_PROBE_ROWS_MAX: Final = 1_000
DEFAULT_GROUP: Final = "crypto"


def derived_contract(symbol: str, candles: CandleColumns, group: str = DEFAULT_GROUP) -> ContractListed:
    """The contract that the candles of a file suggest.

    Tick: as many decimals as the most finely written price of the first 1,000 rows. Lot: the largest power
    of ten worth at most 10 USDT at the first open.
    """
    decimals = min(PRICE_DECIMALS_MAX, max(candles.price_decimals[:TICK_PROBE_ROWS_MAX]))
    lot_numerator, lot_denominator = lot_ratio(candles.open[0])
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


def lot_ratio(price_usdt: float) -> tuple[int, int]:
    """The largest power of ten coins worth at most 10 USDT at this price, as a ratio of integers."""
    exponent = (LOT_WORTH_USDT_MAX / Decimal(repr(price_usdt))).adjusted()
    return (10**exponent, 1) if exponent >= 0 else (1, 10**-exponent)
