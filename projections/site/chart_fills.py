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
    fills = [fill for trade in trades if trade.symbol == symbol for fill in (_entry(trade), _exit(trade))]
    fills += [_opened(one) for one in positions if one.symbol == symbol]
    return tuple(sorted((one for one in fills if from_ms <= one.at_ms <= until_ms), key=lambda one: one.seq))


def _entry(trade: TradeView) -> FillView:
    return FillView(
        trade.opened_seq,
        trade.entry_time_ms,
        trade.strategy,
        trade.symbol,
        trade.side,
        "entry",
        trade.entry_price_usdt,
        trade.quantity_base,
        trade.entry_reason,
        None,
    )


def _exit(trade: TradeView) -> FillView:
    return FillView(
        trade.seq,
        trade.exit_time_ms,
        trade.strategy,
        trade.symbol,
        trade.side,
        "exit",
        trade.exit_price_usdt,
        trade.quantity_base,
        trade.reason,
        trade.net_usdt,
    )


def _opened(position: PositionView) -> FillView:
    return FillView(
        position.opened_seq,
        position.entry_time_ms,
        position.strategy,
        position.symbol,
        position.side,
        "entry",
        position.entry_price_usdt,
        position.quantity_base,
        "",
        None,
    )
