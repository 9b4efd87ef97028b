"""Closed trades chosen by what they have in common, the newest first, in pages."""

from __future__ import annotations

from itertools import islice
from math import fsum
from operator import attrgetter
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projections.trades import Trades, TradeView


class Choice(Struct, frozen=True):
    """Which trades are meant; what is empty leaves all. `result` is `won` or `lost` (a flat trade is neither).

    `from_ms` and `until_ms` are the first and the last moment of the exit, 0 leaves all.
    """

    strategy: str = ""
    symbol: str = ""
    side: str = ""
    reason: str = ""
    result: str = ""
    from_ms: int = 0
    until_ms: int = 0

    def takes(self, trade: TradeView) -> bool:
        """Whether a trade is meant."""
        named = (
            (self.strategy, trade.strategy),
            (self.symbol, trade.symbol),
            (self.side, trade.side),
            (self.reason, trade.reason),
        )
        within = self.from_ms <= trade.exit_time_ms and (self.until_ms == 0 or trade.exit_time_ms <= self.until_ms)
        return within and all(wanted in ("", has) for wanted, has in named) and self._ended_so(trade.net_usdt)

    def _ended_so(self, net_usdt: float) -> bool:
        return not self.result or (net_usdt > 0.0 if self.result == "won" else net_usdt < 0.0)


class TradesPage(Struct, frozen=True):
    """One page of the chosen trades. Pages count from 1; counts and sums are of all chosen ones, in USDT.

    `reasons` are those of all exits there are, for choosing.
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
    reasons: tuple[str, ...]


def trades_page(trades: Trades, choice: Choice, page: int, size: int) -> TradesPage:
    """A page of `size` trades; a page beyond the end is the last one."""
    all_trades = trades.closed(choice.strategy or None)
    unasked = choice == Choice(choice.strategy)
    chosen = list(all_trades) if unasked else [trade for trade in all_trades if choice.takes(trade)]
    pages = max((len(chosen) + size - 1) // size, 1)
    page = min(max(page, 1), pages)
    end = len(chosen) - (page - 1) * size
    return TradesPage(
        trades=tuple(reversed(chosen[max(end - size, 0) : end])),
        page=page,
        pages=pages,
        chosen=len(chosen),
        wins=len([trade for trade in chosen if trade.net_usdt > 0.0]),
        gross_usdt=_sum(chosen, "gross_usdt"),
        fees_usdt=_sum(chosen, "fees_usdt"),
        funding_usdt=_sum(chosen, "funding_usdt"),
        slippage_usdt=_sum(chosen, "slippage_usdt"),
        net_usdt=_sum(chosen, "net_usdt"),
        reasons=tuple(sorted({trade.reason for trade in all_trades})),
    )


def newest(trades: Trades, choice: Choice, before_seq: int, limit: int) -> tuple[TradeView, ...]:
    """At most `limit` of the chosen trades that closed before an event (0: all of them), the newest first."""
    earlier = (
        one for one in reversed(trades.closed(choice.strategy or None)) if before_seq == 0 or one.seq < before_seq
    )
    return tuple(islice((one for one in earlier if choice.takes(one)), limit))


def _sum(trades: Sequence[TradeView], name: str) -> float:
    return fsum(map(attrgetter(name), trades))
