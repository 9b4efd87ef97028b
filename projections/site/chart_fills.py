"""Fills on a chart: every fill of the trades and open positions of a symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from papertape.projections.folds.fills import FillView
    from papertape.projections.folds.portfolio import PositionView
    from papertape.projections.folds.trades import TradeView


def fills(
    trades: Iterable[TradeView], positions: Iterable[PositionView], symbol: str, from_ms: int, until_ms: int
) -> tuple[FillView, ...]:
    """Return the fills of a symbol within a span of market time, both ends included, in log order."""
    found = [fill for trade in trades for fill in trade.fills]
    found += [fill for position in positions for fill in position.fills]
    shown = (fill for fill in found if fill.symbol == symbol and from_ms <= fill.time_ms <= until_ms)
    return tuple(sorted(shown, key=lambda fill: fill.seq))
