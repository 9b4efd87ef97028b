"""A tape: all market facts of a run in their binding order, as columns: plain arrays for CPython, numpy's for numba."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from itertools import groupby
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from papertape.engine.kernel.codes import CANDLE, EXTERNAL_SIGNAL, FUNDING, ON_TIME, OPEN_INTEREST, WARM_UP
from papertape.engine.kernel.state import Fact, FactColumns
from papertape.engine.reducer.signals import remember_signal
from papertape.events.facts import (
    CandleClosed,
    ContractListed,
    Event,
    FundingRateSettled,
    OpenInterestObserved,
    SignalReceived,
    Timing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from papertape.engine.feeds.files.columns import CandleColumns, SeriesColumns
    from papertape.engine.feeds.files.feed import FileFeed
    from papertape.engine.feeds.files.signals_csv import SignalSeries
    from papertape.engine.reducer.state import EngineState


MARKET_CHANGE = 4
"""The kind of a fact that no loop sees: it changes a contract or its status. Its number is in `open_time_ms`."""


class Tape(Struct):
    """Tables by symbol, in configured order, and the period that counts.

    Candles that open before `start_ms` are warm-up; those that open at or after `end_ms` are left out.
    """

    contracts: list[ContractListed]
    candles: list[CandleColumns]
    funding: list[SeriesColumns | None]
    open_interest: list[SeriesColumns | None]
    start_ms: int | None = None
    end_ms: int | None = None
    signals: list[SignalSeries] = []

    @property
    def signal_names(self) -> list[str]:
        """The names of the series of signals, by their number."""
        return [series.name for series in self.signals]

    @property
    def disorder(self) -> str:
        """Why sets cannot be traded over this tape without walking it fact by fact; empty for files."""
        return ""

    def columns(self) -> FactColumns:
        """Return plain arrays: candles by their close in the symbols' order, funding, open interest, signals."""
        parts = list(self._parts())
        if len(parts) == 1:
            return parts[0]
        joined = FactColumns(*(_joined(columns) for columns in zip(*parts, strict=True)))
        places = list(zip(joined.time_ms, joined.kind, joined.symbol, strict=True))
        order = sorted(range(joined.total), key=places.__getitem__)
        *sorted_, _ = (array(column.typecode, map(column.__getitem__, order)) for column in joined)
        return FactColumns._make([*sorted_, run_ends(*sorted_[:3])])

    def total(self) -> int:
        """Return the number of facts."""
        series = (one.time_ms for one in (*self.funding, *self.open_interest) if one is not None)
        return sum(self.count_rows(times_ms)[0] for times_ms in (*(one.open_time_ms for one in self.candles), *series))

    def count_candles(self, symbol: int) -> tuple[int, int]:
        """Return how many candles of a symbol count, and how many warm-up candles it begins with."""
        return self.count_rows(self.candles[symbol].open_time_ms)

    def places(self, facts: FactColumns, symbol: int, rows: set[int]) -> set[int]:
        """Return the indices, in the tape's facts, of rows of a symbol's candles."""
        table = self.candles[symbol]
        return {_index_of(facts, symbol, table.open_time_ms[row] + table.timeframe_ms) for row in rows}

    def first_at(self, facts: FactColumns, time_ms: int, first: int) -> int:
        """Return the index of the first fact from `first` on that is not before a time, the number of facts if none."""
        return bisect_left(facts.time_ms, time_ms, first)

    def changes(self, facts: FactColumns) -> dict[int, Event]:  # noqa: ARG002 - files hold none
        """Return what changes a contract or its status in the course of the tape, by the index of its fact."""
        return {}

    def event_at(self, number: int, time_ms: int, value: float) -> Event:
        """Return the event of a fact that is a signal, or that `changes` names; `number` is its open time."""
        return self.signals[number].event_of(time_ms, value)

    def structs(self) -> list[Fact]:
        """Return the facts as Structs."""
        return list(map(Fact, *self.columns()[:-1]))

    def arrays(self) -> FactColumns:
        """Return the facts as numpy arrays."""
        from papertape.engine.research.rows import columns_of  # noqa: PLC0415 - numpy belongs to an extra

        return columns_of(self)

    def _parts(self) -> Iterator[FactColumns]:
        """Yield every table as facts."""
        for symbol, table in enumerate(self.candles):
            yield self._candles(symbol, table)
        for kind, tables in ((FUNDING, self.funding), (OPEN_INTEREST, self.open_interest)):
            for symbol, series in enumerate(tables):
                if series is not None:
                    yield self._series(kind, symbol, series)
        symbols = [contract.symbol for contract in self.contracts]
        for number, signals in enumerate(self.signals):
            yield self._signals(number, symbols.index(signals.symbol), signals.columns)

    def _candles(self, symbol: int, table: CandleColumns) -> FactColumns:
        """Return one symbol's candles."""
        count, warm_up = self.count_rows(table.open_time_ms)
        opens_ms = table.open_time_ms[:count]
        made: list[Any] = [array("b", [CANDLE]) * count, array("H", [symbol]) * count]
        made.append(array("b", [WARM_UP]) * warm_up + array("b", [ON_TIME]) * (count - warm_up))
        made += [opens_ms, array("q", map(table.timeframe_ms.__add__, opens_ms))]
        made += [column[:count] for column in table.values()]
        made.append(array("i", [warm_up]) * warm_up + array("i", [count]) * (count - warm_up))
        return FactColumns._make(made)

    def _series(self, kind: int, symbol: int, series: SeriesColumns) -> FactColumns:
        """Return one symbol's settlements or readings."""
        count, _ = self.count_rows(series.time_ms)
        times_ms, empty = series.time_ms[:count], array("d", bytes(8 * count))
        heads = array("b", [kind]) * count, array("H", [symbol]) * count, array("b", [ON_TIME]) * count
        return FactColumns(
            *heads, times_ms, times_ms, empty, empty, empty, series.value[:count], empty, array("i", bytes(4 * count))
        )

    def _signals(self, number: int, symbol: int, series: SeriesColumns) -> FactColumns:
        """Return one series of signals; its number stands in the column of open times."""
        facts = self._series(EXTERNAL_SIGNAL, symbol, series)
        return facts._replace(open_time_ms=array("q", [number]) * facts.total)

    def count_rows(self, times_ms: Sequence[int]) -> tuple[int, int]:
        """Return how many of a table's rows count, and how many of those are warm-up."""
        count = len(times_ms) if self.end_ms is None else bisect_left(times_ms, self.end_ms)
        return count, 0 if self.start_ms is None else min(count, bisect_left(times_ms, self.start_ms))


def run_ends(kinds: array[int], symbols: array[int], timings: array[int]) -> array[int]:
    """Compute `FactColumns.run_end`."""
    ends = array("i")
    warm_ups = map(WARM_UP.__eq__, timings)
    for _, run in groupby(zip(kinds, symbols, warm_ups, strict=True)):
        length = sum(1 for _ in run)
        ends += array("i", [len(ends) + length]) * length
    return ends


def _joined(columns: Sequence[array[Any]]) -> array[Any]:
    """Return columns concatenated."""
    first, *others = columns
    whole = first[:]
    for other in others:
        whole += other
    return whole


def tape_of(feed: FileFeed, start_ms: int | None = None, end_ms: int | None = None) -> Tape:
    """Return the tape of a file feed's tables."""
    symbols = list(feed.candles)
    return Tape(
        feed.contracts(),
        [feed.candles[symbol] for symbol in symbols],
        [feed.funding.get(symbol) for symbol in symbols],
        [feed.open_interest.get(symbol) for symbol in symbols],
        start_ms,
        end_ms,
        feed.signals,
    )


def _index_of(facts: FactColumns, symbol: int, close_ms: int) -> int:
    """Return the index of the candle of a symbol that closes at `close_ms`, in facts sorted by time."""
    index = bisect_left(facts.time_ms, close_ms)
    while facts.kind[index] != CANDLE or facts.symbol[index] != symbol:
        index += 1
    return index


def fact_event(tape: Tape, fact: Fact) -> Any:
    """Return a fact of a tape as the event that a log holds."""
    if fact.kind in (EXTERNAL_SIGNAL, MARKET_CHANGE):
        return tape.event_at(int(fact.open_time_ms), int(fact.time_ms), float(fact.close))
    contract, at_ms = tape.contracts[int(fact.symbol)], int(fact.time_ms)
    if fact.kind == FUNDING:
        return FundingRateSettled(at_ms, contract.symbol, float(fact.close))
    if fact.kind == OPEN_INTEREST:
        return OpenInterestObserved(at_ms, contract.symbol, float(fact.close))
    prices = (float(fact.open), float(fact.high), float(fact.low), float(fact.close), float(fact.volume))
    return CandleClosed(at_ms, contract.symbol, contract.timeframe_ms, *prices, Timing(int(fact.timing)))


def remember_signals(state: EngineState, tape: Tape, facts: FactColumns) -> None:
    """Let the state remember the signals of a tape, as it does when they arrive one by one."""
    if tape.signal_names:
        for index in range(facts.total):
            if facts.kind[index] == EXTERNAL_SIGNAL:
                event = fact_event(tape, facts.at(index))
                assert isinstance(event, SignalReceived), "a signal's fact is its event"
                remember_signal(state.signals, event)
