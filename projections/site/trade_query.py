"""A filter for closed trades, with orders and pages."""

from __future__ import annotations

from itertools import islice
from math import fsum
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.events.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from papertape.projections.folds.trades import Trades, TradeView


ORDERS: Final[Mapping[str, str]] = {
    "symbol": "symbol",
    "closed": "exit_time_ms",
    "held": "holding_ms",
    "size": "quantity_base",
    "entry": "entry_price_usdt",
    "exit": "exit_price_usdt",
    "reason": "reason",
    "net": "net_usdt",
    "r": "r_multiple",
    "gross": "gross_usdt",
    "fees": "fees_usdt",
    "funding": "funding_usdt",
    "slippage": "slippage_usdt",
    "best": "best_usdt",
    "worst": "worst_usdt",
    "opened": "opened_seq",
    "seq": "seq",
}
"""The field of each order; with a minus before its name, the largest comes first."""
NEWEST: Final = "-closed"


class TradeFilter(Struct, frozen=True):
    """Which trades match; an empty field matches all. `result` is `won` or `lost` (a flat trade is neither).

    `from_ms` and `until_ms` are the first and last moments of the exit, `first_seq` and `last_seq` its first and last
    events; None is no bound.
    """

    strategy: str = ""
    symbol: str = ""
    side: str = ""
    reason: str = ""
    result: str = ""
    from_ms: int = 0
    until_ms: int | None = None
    first_seq: int = 0
    last_seq: int | None = None

    def matches(self, trade: TradeView) -> bool:
        """Return whether a trade matches."""
        named = (
            (self.strategy, trade.strategy),
            (self.symbol, trade.symbol),
            (self.side, trade.side),
            (self.reason, trade.reason),
        )
        within = self.from_ms <= trade.exit_time_ms and (self.until_ms is None or trade.exit_time_ms <= self.until_ms)
        within = within and self.first_seq <= trade.seq and (self.last_seq is None or trade.seq <= self.last_seq)
        return within and all(required in ("", value) for required, value in named) and self._has_result(trade.net_usdt)

    def _has_result(self, net_usdt: float) -> bool:
        return not self.result or (net_usdt > 0.0 if self.result == "won" else net_usdt < 0.0)


class TradesPage(Struct, frozen=True):
    """One page of the matching trades, counted from 1; counts and sums cover all matching trades, in USDT.

    `reasons` are the exit reasons of all trades, as choices for the filter.
    """

    trades: tuple[TradeView, ...]
    page: int
    pages: int
    chosen: int
    wins: int
    gross_usdt: float
    fees_usdt: float
    funding_usdt: float
    slippage_usdt: float
    net_usdt: float
    mean_r: float | None
    reasons: tuple[str, ...]

    @property
    def win_rate_percent(self) -> float | None:
        """How many of the matching trades won, in percent; None without trades."""
        return self.wins / self.chosen * 100.0 if self.chosen else None


def trades_page(trades: Trades, choice: TradeFilter, page: int, size: int, order: str = NEWEST) -> TradesPage:
    """Return a page of `size` trades; a page beyond the end is the last one. Raises UsageError for an unknown order."""
    name = ORDERS.get(order.removeprefix("-"))
    if name is None:
        raise UsageError(
            f"unknown order {order!r}; known orders: {', '.join(ORDERS)}, each also as -{next(iter(ORDERS))}"
        )
    all_trades = trades.closed(choice.strategy or None)
    is_filtered = choice != TradeFilter(choice.strategy)
    matching = [trade for trade in all_trades if choice.matches(trade)] if is_filtered else list(all_trades)
    pages = max((len(matching) + size - 1) // size, 1)
    page = min(max(page, 1), pages)
    first = (page - 1) * size
    return TradesPage(
        trades=tuple(_ordered(matching, name, descending=order.startswith("-"))[first : first + size]),
        page=page,
        pages=pages,
        chosen=len(matching),
        wins=len([trade for trade in matching if trade.net_usdt > 0.0]),
        gross_usdt=_sum(matching, "gross_usdt"),
        fees_usdt=_sum(matching, "fees_usdt"),
        funding_usdt=_sum(matching, "funding_usdt"),
        slippage_usdt=_sum(matching, "slippage_usdt"),
        net_usdt=_sum(matching, "net_usdt"),
        mean_r=_sum(matching, "r_multiple") / len(matching) if matching else None,
        reasons=tuple(sorted({trade.reason for trade in all_trades})),
    )


def _ordered(trades: Sequence[TradeView], name: str, *, descending: bool) -> list[TradeView]:
    """Sort trades by a field, those of the same value newest first; trades without a value come last."""
    newest = sorted(trades, key=attrgetter("seq"), reverse=True)
    known = [trade for trade in newest if getattr(trade, name) is not None]
    return [
        *sorted(known, key=attrgetter(name), reverse=descending),
        *(one for one in newest if getattr(one, name) is None),
    ]


def newest_trades(trades: Trades, choice: TradeFilter, before_seq: int, limit: int) -> tuple[TradeView, ...]:
    """Return at most `limit` matching trades that closed before an event (0: no bound), newest first."""
    earlier = (one for one in trades.newest(choice.strategy or None) if before_seq == 0 or one.seq < before_seq)
    return tuple(islice((one for one in earlier if choice.matches(one)), limit))


def _sum(trades: Sequence[TradeView], name: str) -> float:
    return fsum(map(attrgetter(name), trades))
