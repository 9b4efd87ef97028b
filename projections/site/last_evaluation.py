"""What came of a strategy's last look at a symbol, where that alone keeps it from an entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.projections.text.reasons import reason_words

if TYPE_CHECKING:
    from papertape.projections.site.views import Views


def last_hold_reasons(views: Views, strategy: str, symbol: str, side: str) -> tuple[str, ...]:
    """Words for a close on which nothing may be opened, and for a signal on this side that was refused on it.

    All conditions may be met then, and yet there is no order: a limit said no, or the candle came late.
    """
    looked_ms = views.evaluated_ms.get((strategy, symbol))
    if looked_ms is None:
        return ()
    found: list[str] = []
    if views.seen[symbol].late_at_ms == looked_ms:
        found.append("the candle it looked at last came late: nothing is opened on it")
    refusal = views.refusals.get((strategy, symbol))
    if refusal is not None and (refusal.at_ms, refusal.side) == (looked_ms, side):
        found.append(f"refused at its last look: {reason_words(refusal.reason)}")
    return tuple(found)
