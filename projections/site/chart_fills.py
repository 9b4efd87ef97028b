"""Fills on a chart: where positions were entered and exited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.facts import Action, Side

if TYPE_CHECKING:
    from collections.abc import Iterable

    from papertape.projections.folds.portfolio import PositionView
    from papertape.projections.folds.trades import TradeView


class FillView(Struct, frozen=True):
    """One fill with its event's `seq`. `net_usdt` is the result of the whole trade, None for an entry."""

    seq: int
    at_ms: int
    strategy: str
    symbol: str
    side: Side
    action: Action
    price_usdt: float
    quantity_base: float
    reason: str
    net_usdt: float | None


def fills(
    trades: Iterable[TradeView], positions: Iterable[PositionView], symbol: str, from_ms: int, until_ms: int
) -> tuple[FillView, ...]:
    """Return the fills of a symbol within a span of market time, both ends included, in log order."""
    fills = [_opened(one, one.opened_seq) for one in positions]
    for trade in trades:
        fills.append(_opened(trade, trade.opened_seq, trade.entry_reason))
        exit_ms, price_usdt = trade.exit_time_ms, trade.exit_price_usdt
        fills.append(_fill(trade, trade.seq, exit_ms, "exit", price_usdt, trade.reason, trade.net_usdt))
    shown = (fill for fill in fills if fill.symbol == symbol and from_ms <= fill.at_ms <= until_ms)
    return tuple(sorted(shown, key=lambda fill: fill.seq))


def _opened(source: TradeView | PositionView, seq: int, reason: str = "") -> FillView:
    return _fill(source, seq, source.entry_time_ms, "entry", source.entry_price_usdt, reason)


def _fill(
    source: TradeView | PositionView,
    seq: int,
    at_ms: int,
    action: Action,
    price_usdt: float,
    reason: str,
    net_usdt: float | None = None,
) -> FillView:
    size = source.quantity_base
    return FillView(seq, at_ms, source.strategy, source.symbol, source.side, action, price_usdt, size, reason, net_usdt)
