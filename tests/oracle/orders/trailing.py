"""Section 7: the best price of a position, and the stop that follows it."""

from __future__ import annotations

from tests.oracle.exchange import Values, fraction
from tests.oracle.files import Candle
from tests.oracle.rounding import Step

from .direction import best_price, farther, grid_above, grid_below, reached, worst_price
from .holding import Holding


def begin_extremes(holding: Holding, candle: Candle, kind: str, inside: bool) -> None:
    """ "of the fill's candle the high too (it came at or after the fill), but for a limit filled inside it
    max(E, close)"; section 10: `worst` is its "mirror [...]; of the fill's candle the low, for a stop filled inside
    min(E, close)"."""
    d, entry, close = holding.d, holding.average, candle.close
    holding.best, holding.worst = best_price(d, candle), worst_price(d, candle)
    if inside and kind == "limit":
        holding.best = close if farther(d, close, entry) else entry
    if inside and kind == "stop":
        holding.worst = close if farther(-d, close, entry) else entry


def follow_extremes(holding: Holding, candle: Candle) -> None:
    """ "best is kept from the fill on, used or not: highest high of the candles after the fill's" """
    d = holding.d
    if farther(d, best_price(d, candle), holding.best):
        holding.best = best_price(d, candle)
    if farther(-d, worst_price(d, candle), holding.worst):
        holding.worst = worst_price(d, candle)


def trail(holding: Holding, values: Values, close: float, tick: Step) -> None:
    """ "After each base candle, late ones and the entry's too: 1. [...] 2. [...]" """
    d, entry, rule = holding.d, holding.average, holding.trailing
    if rule.fraction > 0 and (rule.after == 0 or reached(d, holding.best, entry * (1.0 + d * rule.after))):
        x = grid_below(d, holding.best * (1.0 - d * rule.fraction), tick)
        if farther(d, x, holding.stop):
            holding.stop, holding.stop_reason = x, "trailing_stop"
    if rule.breakeven > 0 and reached(d, holding.best, entry * (1.0 + d * rule.breakeven)):
        cost = 2.0 * (fraction(values, "taker_fee_percent") + fraction(values, "slippage_percent"))
        x = grid_above(d, entry * (1.0 + d * cost), tick)
        if farther(d, x, holding.stop) and farther(-d, x, close):
            holding.stop, holding.stop_reason = x, "breakeven_stop"
