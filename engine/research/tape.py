"""A tape: all market facts of a run in their binding order, by CPython as Structs or for numba as rows."""

from __future__ import annotations

from bisect import bisect_left
from itertools import chain, repeat
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from engine.core.codes import CANDLE, FUNDING, ON_TIME, OPEN_INTEREST, WARM_UP
from engine.core.state import Fact
from events.facts import CandleClosed, ContractListed, FundingRateSettled, MarketFact, OpenInterestObserved, Timing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.feeds.columns import CandleColumns, SeriesColumns
    from engine.feeds.file import FileFeed


class Tape(Struct):
    """Tables by symbol, in configured order, and the part of them that counts.

    Candles that open before `start_ms` are warm-up; those that open at or after `end_ms` are left out.
    """

    contracts: list[ContractListed]
    candles: list[CandleColumns]
    funding: list[SeriesColumns | None]
    open_interest: list[SeriesColumns | None]
    start_ms: int | None = None
    end_ms: int | None = None

    def structs(self) -> list[Fact]:
        """The facts as Structs."""
        found = list(chain.from_iterable(self._parts()))
        if len(self.candles) > 1 or any(self.funding) or any(self.open_interest):
            found.sort(key=attrgetter("time_ms", "kind", "symbol"))
        return found

    def _parts(self) -> Iterator[Iterator[Fact]]:
        """Every table as facts."""
        for symbol, table in enumerate(self.candles):
            yield self._candle_structs(symbol, table)
        for kind, tables in ((FUNDING, self.funding), (OPEN_INTEREST, self.open_interest)):
            for symbol, series in enumerate(tables):
                if series is not None:
                    yield self._series_structs(kind, symbol, series)

    def _candle_structs(self, symbol: int, table: CandleColumns) -> Iterator[Fact]:
        """One symbol's candles, made without a line of Python a row."""
        opens = table.open_time_ms
        count = len(opens) if self.end_ms is None else bisect_left(opens, self.end_ms)
        warm_up = 0 if self.start_ms is None else min(count, bisect_left(opens, self.start_ms))
        timings = chain(repeat(WARM_UP, warm_up), repeat(ON_TIME, count - warm_up))
        closes_ms = map(table.timeframe_ms.__add__, opens)
        return map(Fact, repeat(CANDLE), repeat(symbol), timings, opens, closes_ms, *table.values())

    def _series_structs(self, kind: int, symbol: int, series: SeriesColumns) -> Iterator[Fact]:
        """One symbol's settlements or readings."""
        for time_ms, value in zip(series.time_ms, series.value, strict=True):
            if self.end_ms is not None and time_ms >= self.end_ms:
                return
            yield Fact(kind, symbol, 0, time_ms, time_ms, close=value)

    def rows(self) -> Any:
        """The facts as one structured array."""
        from engine.research.rows import rows_of  # noqa: PLC0415 - numpy belongs to an extra

        return rows_of(self)


def tape_of(feed: FileFeed, start_ms: int | None = None, end_ms: int | None = None) -> Tape:
    """The tape of a file feed's tables."""
    symbols = list(feed.candles)
    return Tape(
        feed.contracts(),
        [feed.candles[symbol] for symbol in symbols],
        [feed.funding.get(symbol) for symbol in symbols],
        [feed.open_interest.get(symbol) for symbol in symbols],
        start_ms,
        end_ms,
    )


def fact_event(contracts: list[ContractListed], fact: Any) -> MarketFact:
    """A fact of a tape, Struct or row, as the event it is in a log."""
    contract, at_ms = contracts[int(fact.symbol)], int(fact.time_ms)
    if fact.kind == FUNDING:
        return FundingRateSettled(at_ms, contract.symbol, float(fact.close))
    if fact.kind == OPEN_INTEREST:
        return OpenInterestObserved(at_ms, contract.symbol, float(fact.close))
    prices = (float(fact.open), float(fact.high), float(fact.low), float(fact.close), float(fact.volume))
    return CandleClosed(at_ms, contract.symbol, contract.timeframe_ms, *prices, Timing(int(fact.timing)))
