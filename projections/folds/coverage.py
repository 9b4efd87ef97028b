"""How much of the period each strategy could trade and did, why signals were refused, and whose data ends early.

Without this a result says little: a strategy that a kill switch stopped on the third day was tested for three days,
however long the market went on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from papertape.events.facts import (
    CandleClosed,
    Closing,
    ContractListed,
    KillSwitchReset,
    KillSwitchTripped,
    OrderCancelled,
    OrderRejected,
    PositionIncreased,
    PositionOpened,
    PositionReduced,
    RunnerConfigured,
    RunnerPaused,
    RunnerResumed,
    StrategyFailed,
)
from papertape.projections.folds.fills import FillEvent
from papertape.projections.folds.kill_switches import TripView
from papertape.projections.text.formats import duration, utc
from papertape.projections.text.reasons import reason_words

if TYPE_CHECKING:
    from papertape.events.log import Recorded
    from papertape.projections.folds.portfolio import Portfolio
    from papertape.projections.market_run import CandleStretch

REASONS_SHOWN_MAX = 8


class CoverageView(Struct, frozen=True):
    """One strategy's share in the period of its market, `from_ms` to `until_ms`, both 0 before the first candle.

    `traded_from_ms` is the first fill, `traded_until_ms` the last one or, with an open position, the period's end; both
    are 0 without a fill. `entries_allowed_percent` is the share of the period in which neither a kill switch nor a
    pause kept it from opening positions; None before the first candle. `trips` are oldest first; `resets` is how many
    of them were reset. `refused` counts signals that became no order, `cancelled` entry orders that were never filled,
    `refused_changes` refused changes of the orders of an open position, all by reason.
    """

    strategy: str
    from_ms: int
    until_ms: int
    traded_from_ms: int
    traded_until_ms: int
    entries_allowed_percent: float | None
    trips: tuple[TripView, ...]
    resets: int
    refused: dict[str, int]
    cancelled: dict[str, int]
    refused_changes: dict[str, int]

    @property
    def refused_signals(self) -> int:
        """How many signals did not become an order."""
        return sum(self.refused.values())

    @property
    def refusal_words(self) -> str:
        """Describe the refusals by reason, most frequent first; empty without refusals."""
        return _count_words(self.refused)

    @property
    def cancel_words(self) -> str:
        """Describe the cancelled entry orders by reason, most frequent first."""
        return _count_words(self.cancelled)

    @property
    def change_words(self) -> str:
        """Describe the refused changes of orders by reason, most frequent first."""
        return _count_words(self.refused_changes)


class DataView(Struct, frozen=True):
    """The candles of a symbol, warm-up included, as first open and last close; both 0 without candles.

    `ends_early`: its last candle closed more than one timeframe before the newest one of the market, so what is valued
    at it is valued at an old price.
    """

    symbol: str
    from_ms: int
    until_ms: int
    behind_ms: int
    ends_early: bool

    @property
    def words(self) -> str:
        """Describe when the data ended; only for data that ends early."""
        if not self.until_ms:
            return f"{self.symbol} has no candles in this period"
        return (
            f"the data of {self.symbol} ends at {utc(self.until_ms)} UTC, {duration(self.behind_ms)} before the others"
        )


class _Span(Struct):
    timeframe_ms: int
    from_ms: int = 0
    until_ms: int = 0


class _CoverageState(Struct):
    """The running state behind a `CoverageView`. `blocked_since_ms` is -1 while entries are allowed."""

    blocked_since_ms: int = -1
    blocked_ms: int = 0
    traded_from_ms: int = 0
    traded_until_ms: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    cancelled: dict[str, int] = field(default_factory=dict)
    refused_changes: dict[str, int] = field(default_factory=dict)


class Coverage:
    """Fold the coverage of strategies and symbols, on top of a portfolio that the owner folds first."""

    def __init__(self, portfolio: Portfolio) -> None:
        self._portfolio = portfolio
        self._spans: dict[str, _Span] = {}
        self._shares: dict[str, _CoverageState] = {}

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        event = recorded.event
        match event:
            case CandleClosed():
                self.take_candle(event)
            case ContractListed():
                self._spans.setdefault(event.symbol, _Span(event.timeframe_ms))
            case OrderRejected(action="entry"):
                _add(self._share(event.strategy).refused, event.reason)
            case OrderRejected():
                _add(self._share(event.strategy).refused_changes, event.reason)
            case OrderCancelled(action="entry"):
                _add(self._share(event.strategy).cancelled, event.reason)
            case PositionOpened() | PositionIncreased() | PositionReduced() | Closing():
                self._fold_fill(event)
            case (
                RunnerConfigured()
                | KillSwitchTripped()
                | KillSwitchReset()
                | RunnerPaused()
                | RunnerResumed()
                | StrategyFailed()
            ):
                self._fold_permission()
            case _:
                pass

    def of(self, strategy: str) -> CoverageView:
        """Return one strategy's share. Raises KeyError for an unknown name."""
        curve, share = self._portfolio.equity_curve(strategy), self._share(strategy)
        length_ms = curve.until_ms - curve.from_ms
        blocked_ms = share.blocked_ms + _block_ms(share, curve.from_ms, curve.until_ms)
        has_position = self._portfolio.account(strategy).open_positions > 0
        return CoverageView(
            strategy=strategy,
            from_ms=curve.from_ms,
            until_ms=curve.until_ms,
            traded_from_ms=share.traded_from_ms,
            traded_until_ms=max(share.traded_until_ms, curve.until_ms) if has_position else share.traded_until_ms,
            entries_allowed_percent=(1.0 - blocked_ms / length_ms) * 100.0 if length_ms > 0 else None,
            trips=self._portfolio.switches.trips_of(strategy),
            resets=self._portfolio.switches.resets_of(strategy),
            refused=_most_first(share.refused),
            cancelled=_most_first(share.cancelled),
            refused_changes=_most_first(share.refused_changes),
        )

    def data(self) -> tuple[DataView, ...]:
        """Return every symbol's data, in the order in which the symbols were listed."""
        newest_ms = max((span.until_ms for span in self._spans.values()), default=0)
        return tuple(_data_view(symbol, span, newest_ms) for symbol, span in self._spans.items())

    def early_ends(self) -> tuple[DataView, ...]:
        """Return the symbols whose data ends before the others'."""
        return tuple(view for view in self.data() if view.ends_early)

    def take_candle(self, candle: CandleClosed) -> None:
        """Fold a candle."""
        span = self._spans.get(candle.symbol)
        if span is None:
            span = self._spans[candle.symbol] = _Span(candle.timeframe_ms)
        if not span.from_ms:
            span.from_ms = candle.at_ms - candle.timeframe_ms
        if candle.at_ms > span.until_ms:  # noqa: PLR1730 - max() is slower, and this runs for every candle.
            span.until_ms = candle.at_ms

    def take_candles(self, columns: CandleStretch) -> None:
        """Fold calm candles between which no contract was listed."""
        for symbol, at_ms in dict(zip(columns.symbols, columns.at_ms, strict=True)).items():
            span = self._spans.get(symbol)
            if span is None or not span.from_ms:
                self.take_candle(columns.candles[columns.symbols.index(symbol)])
            self._spans[symbol].until_ms = at_ms

    def _fold_fill(self, event: FillEvent) -> None:
        share = self._share(event.strategy)
        share.traded_from_ms = share.traded_from_ms or event.at_ms
        share.traded_until_ms = max(share.traded_until_ms, event.at_ms)

    def _fold_permission(self) -> None:
        """Start or end the time in which a strategy may not open positions; a global trip affects several."""
        at_ms = self._portfolio.at_ms
        for strategy in self._portfolio.equity.ledger.accounts:
            share, allowed = self._share(strategy), self._portfolio.switches.standing(strategy).state == "active"
            if allowed and share.blocked_since_ms >= 0:
                share.blocked_ms += _block_ms(share, self._portfolio.equity.from_ms(strategy), at_ms)
                share.blocked_since_ms = -1
            elif not allowed and share.blocked_since_ms < 0:
                share.blocked_since_ms = at_ms

    def _share(self, strategy: str) -> _CoverageState:
        return self._shares.setdefault(strategy, _CoverageState())


def _block_ms(share: _CoverageState, from_ms: int, until_ms: int) -> int:
    """Return the length of the current block, without the time before the strategy's period."""
    if share.blocked_since_ms < 0 or not from_ms:
        return 0
    return max(until_ms - max(share.blocked_since_ms, from_ms), 0)


def _add(counts: dict[str, int], reason: str) -> None:
    counts[reason] = counts.get(reason, 0) + 1


def _count_words(counts: dict[str, int]) -> str:
    shown = [f"{count:,} x {reason_words(reason)}" for reason, count in counts.items()]
    more = len(shown) - REASONS_SHOWN_MAX
    return ", ".join([*shown[:REASONS_SHOWN_MAX], *([f"{more} more reasons"] if more > 0 else [])])


def _most_first(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _data_view(symbol: str, span: _Span, newest_ms: int) -> DataView:
    behind_ms = newest_ms - span.until_ms
    return DataView(symbol, span.from_ms, span.until_ms, behind_ms, behind_ms > span.timeframe_ms)
