"""Closed trades, in the order of closing, and the trades file. A trade runs from flat to flat, in one or more parts."""

from __future__ import annotations

import csv
from bisect import bisect_left
from itertools import islice
from typing import TYPE_CHECKING, TextIO

from msgspec import Struct, structs

from papertape.events.errors import UsageError
from papertape.events.facts import Closing, OrderPlaced, PositionIncreased, PositionOpened, PositionReduced, Side
from papertape.projections.folds.fills import FillEvent, FillView, csv_cell, fill_of
from papertape.projections.folds.performance import TradeFigures, TradeSums, trade_figures
from papertape.projections.persistence.append_only import AppendOnlyList

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from papertape.events.log import Recorded
    from papertape.projections.folds.excursions import Excursion, Excursions

CSV_COLUMNS = (
    "strategy",
    "symbol",
    "side",
    "quantity_base",
    "entry_time_ms",
    "entry_price_usdt",
    "exit_time_ms",
    "exit_price_usdt",
    "reason",
    "gross_usdt",
    "fees_usdt",
    "funding_usdt",
    "slippage_usdt",
    "net_usdt",
    "r_multiple",
    "ambiguous",
    "parts",
    "max_quantity_base",
)


class TradeView(Struct, frozen=True):
    """One closed trade (exchange model, section 9): net = gross - fees + funding, all in USDT.

    The quantity is the sum of the opening fills, entry and exit price are the averages of the opening and the closing
    fills; `parts` counts the closing fills, `max_quantity_base` is how large the position was. `fees_usdt` covers all
    fills, `funding_usdt` is positive when received, `slippage_usdt` is already part of gross, `r_multiple` is net over
    the risk taken at the signal and by adds. The fields from `seq` on are not columns of the file: the seqs of the
    closing, the opening and the entry order (0 without a log), the entry's reason, the risk in USDT, the excursion
    (None if it was not folded), and the fills in their order.
    """

    strategy: str
    symbol: str
    side: Side
    quantity_base: float
    entry_time_ms: int
    entry_price_usdt: float
    exit_time_ms: int
    exit_price_usdt: float
    reason: str
    gross_usdt: float
    fees_usdt: float
    funding_usdt: float
    slippage_usdt: float
    net_usdt: float
    r_multiple: float
    ambiguous: bool
    parts: int
    max_quantity_base: float
    seq: int = 0
    opened_seq: int = 0
    order_seq: int = 0
    entry_reason: str = ""
    risk_usdt: float = 0.0
    best_usdt: float | None = None
    worst_usdt: float | None = None
    fills: tuple[FillView, ...] = ()

    @property
    def holding_ms(self) -> int:
        """How long the position was open."""
        return self.exit_time_ms - self.entry_time_ms

    @property
    def turnover_usdt(self) -> float:
        """The notional of all fills, N = q*P."""
        return self.quantity_base * (self.entry_price_usdt + self.exit_price_usdt)


class _Entry(Struct, frozen=True):
    """The known facts of a trade before it closes, the orders of its entry and its fills among them."""

    order_seq: int = 0
    reason: str = ""
    opened_seq: int = 0
    risk_usdt: float = 0.0
    fills: tuple[FillView, ...] = ()


class Trades:
    """Fold of the closed trades. `excursions`, if given, must be folded first by its owner."""

    def __init__(self, excursions: Excursions | None = None) -> None:
        self._excursions = excursions
        self._all: AppendOnlyList[TradeView] = AppendOnlyList()
        self._by_strategy: dict[str, AppendOnlyList[TradeView]] = {}
        self._sums = TradeSums()
        self._sums_by_strategy: dict[str, TradeSums] = {}
        self._fills: AppendOnlyList[FillView] = AppendOnlyList()
        self._entries: dict[tuple[str, str], _Entry] = {}

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        event = recorded.event
        match event:
            case OrderPlaced(action="entry"):
                self._entries[event.strategy, event.symbol] = _Entry(recorded.seq, event.reason)
            case PositionOpened():
                key = (event.strategy, event.symbol)
                order = self._entries.get(key, _Entry())
                fills = (self._fill(event, recorded.seq),)
                self._entries[key] = structs.replace(
                    order, opened_seq=recorded.seq, risk_usdt=event.risk_usdt, fills=fills
                )
            case PositionIncreased() | PositionReduced():
                self._add_fill(event, recorded.seq)
            case Closing():
                self._close(event, recorded.seq)
            case _:
                pass

    def _fill(self, event: FillEvent, seq: int) -> FillView:
        fill = fill_of(event, seq)
        self._fills.append(fill)
        return fill

    def _add_fill(self, event: PositionIncreased | PositionReduced, seq: int) -> None:
        key = (event.strategy, event.symbol)
        entry, fill = self._entries.get(key, _Entry()), self._fill(event, seq)
        risk_usdt = entry.risk_usdt + (event.risk_usdt if isinstance(event, PositionIncreased) else 0.0)
        self._entries[key] = structs.replace(entry, risk_usdt=risk_usdt, fills=(*entry.fills, fill))

    def _close(self, event: Closing, seq: int) -> None:
        entry, fill = self._entries.pop((event.strategy, event.symbol), _Entry()), self._fill(event, seq)
        ended = None if self._excursions is None else self._excursions.ended
        trade = _trade(event, seq, structs.replace(entry, fills=(*entry.fills, fill)), ended)
        self._all.append(trade)
        self._by_strategy.setdefault(event.strategy, AppendOnlyList()).append(trade)
        self._sums.add(trade)
        self._sums_by_strategy.setdefault(event.strategy, TradeSums()).add(trade)

    def count(self, strategy: str | None = None) -> int:
        """Return how many trades a strategy has closed, or all of them."""
        return len(self._all if strategy is None else self._by_strategy.get(strategy, ()))

    def figures(self, strategy: str | None = None, symbol: str | None = None) -> TradeFigures:
        """Return the measures of the closed trades of one strategy or all; those of one symbol need all its trades."""
        if symbol is not None:
            return trade_figures(self.closed(strategy, symbol))
        return (self._sums if strategy is None else self._sums_by_strategy.get(strategy, TradeSums())).figures()

    def closed(self, strategy: str | None = None, symbol: str | None = None) -> tuple[TradeView, ...]:
        """Return the closed trades, oldest first, of one strategy or all, on one symbol or all."""
        trades = self._all if strategy is None else self._by_strategy.get(strategy, ())
        return tuple(trade for trade in trades if symbol is None or trade.symbol == symbol)

    def closed_by(self, seq: int) -> TradeView:
        """Return the trade that an event closed. Raise UsageError if it closed none."""
        place = bisect_left(self._all, seq, key=lambda trade: trade.seq)
        if place == len(self._all) or self._all[place].seq != seq:
            raise UsageError(f"no trade closed at event {seq:,}")
        return self._all[place]

    def newest(self, strategy: str | None = None, symbol: str | None = None) -> Iterator[TradeView]:
        """Yield the closed trades, newest first, of one strategy or all, on one symbol or all."""
        trades = self._all if strategy is None else self._by_strategy.get(strategy, AppendOnlyList())
        return (trade for trade in trades.latest(len(trades)) if symbol is None or trade.symbol == symbol)

    def latest(self, limit: int) -> tuple[TradeView, ...]:
        """Return the last `limit` trades of all strategies, newest first."""
        return tuple(islice(self.newest(), limit))

    def fills(self, strategy: str | None = None, symbol: str | None = None) -> tuple[FillView, ...]:
        """Return the fills in their order, also those of open positions, of one strategy or all."""
        return tuple(
            fill
            for fill in self._fills
            if (strategy is None or fill.strategy == strategy) and (symbol is None or fill.symbol == symbol)
        )


def _trade(event: Closing, seq: int, entry: _Entry, ended: Excursion | None) -> TradeView:
    return TradeView(
        strategy=event.strategy,
        symbol=event.symbol,
        side=event.side,
        quantity_base=event.quantity_base,
        entry_time_ms=event.entry_time_ms,
        entry_price_usdt=event.entry_price_usdt,
        exit_time_ms=event.at_ms,
        exit_price_usdt=event.price_usdt,
        reason=event.reason,
        gross_usdt=event.gross_usdt,
        fees_usdt=event.fees_usdt,
        funding_usdt=event.funding_usdt,
        slippage_usdt=event.slippage_usdt,
        net_usdt=event.net_usdt,
        r_multiple=event.r_multiple,
        ambiguous=event.ambiguous,
        parts=event.parts,
        max_quantity_base=event.max_quantity_base,
        seq=seq,
        opened_seq=entry.opened_seq,
        order_seq=entry.order_seq,
        entry_reason=entry.reason,
        risk_usdt=entry.risk_usdt,
        best_usdt=None if ended is None else ended.best_usdt,
        worst_usdt=None if ended is None else ended.worst_usdt,
        fills=entry.fills,
    )


def write_trades_csv(file: TextIO, trades: Iterable[TradeView]) -> None:
    """Write the trades with a header; floats in their shortest exact form, `ambiguous` as 0 or 1."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows([csv_cell(getattr(trade, column)) for column in CSV_COLUMNS] for trade in trades)
