"""Why a strategy's last evaluation of a symbol led to no entry although all conditions may be met."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.projections.text.reasons import reason_words

if TYPE_CHECKING:
    from papertape.projections.site.views import Views


def last_hold_reasons(views: Views, strategy: str, symbol: str, side: str) -> tuple[str, ...]:
    """Say that the last evaluated candle was late, or that its signal on this side was refused.

    All conditions may be met in these cases without an order: the candle was late, or a limit refused the signal.
    """
    evaluated_ms = views.evaluated_ms.get((strategy, symbol))
    if evaluated_ms is None:
        return ()
    reasons: list[str] = []
    if views.freshness[symbol].late_at_ms == evaluated_ms:
        reasons.append("its last evaluated candle arrived late: nothing is opened on it")
    refusal = views.refusals.get((strategy, symbol))
    if refusal is not None and (refusal.at_ms, refusal.side) == (evaluated_ms, side):
        reasons.append(f"refused at its last evaluation: {reason_words(refusal.reason)}")
    return tuple(reasons)
