"""Recorded markets: candles, settlements and open interest from files, merged by time and played back."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final

from msgspec import Struct

from papertape.engine.feeds.files import csv_polars
from papertape.engine.feeds.files.columns import CandleColumns, SeriesColumns, join_candles, join_series
from papertape.engine.feeds.files.containers import broken_file_error
from papertape.engine.feeds.files.coverage import coverage_warnings
from papertape.engine.feeds.files.csv_reader import QuickReader, read_candles, read_funding, read_open_interest
from papertape.engine.feeds.files.derived_contract import DEFAULT_GROUP, derived_contract
from papertape.engine.feeds.files.signals_csv import SignalSeries, read_signals
from papertape.engine.feeds.files.table_source import TableSource, table_source
from papertape.engine.feeds.playback import PlaybackStep, play_back
from papertape.engine.ports.clock import Clock
from papertape.engine.ports.feed import NOTHING_SEEN, RefusalLog, ResumePoint
from papertape.events.facts import (
    CandleClosed,
    ContractListed,
    FeedConnected,
    FeedFact,
    FundingRateSettled,
    OpenInterestObserved,
    Timing,
)

TIME_END_MS: Final = 1 << 62
_CANDLE, _FUNDING, _OPEN_INTEREST, _SIGNAL = 0, 1, 2, 3

_Ranked = tuple[int, int, int, FeedFact]
"""A fact and its rank: time, kind, place of its symbol or of its series of signals.

Ranks are unique, so facts are never compared.
"""


class FileSettings(Struct, frozen=True, kw_only=True):
    """The files, the part of them to play back, and the speed.

    Files are named `exchange_SYMBOL_kind_...` or given as `SYMBOL=path`; the order of the candle files is the order
    of the symbols. Candles that open before `start_ms` only warm up; those from `end_ms` on are not delivered.
    `speed` is market seconds per wall second; 0 is as fast as the consumer takes facts. `timeframe_ms` overrides the
    timeframe that is recognised.
    """

    candles: tuple[Path | str, ...]
    funding: tuple[Path | str, ...] = ()
    open_interest: tuple[Path | str, ...] = ()
    signals: tuple[Path | str, ...] = ()
    start_ms: int | None = None
    end_ms: int | None = None
    speed: float = 0.0
    timeframe_ms: int | None = None
    groups: Mapping[str, str] = {}


class FileFeed:
    """The feed of recorded files. The constructor reads all files, clean ones by the `quick` reader.

    `notes` describe how files of other programs were read. Raise `MarketDataError` for a file that is not a table,
    names no symbol, has another timeframe than the first, or holds settlements or readings of a symbol without
    candles.
    """

    name = "file"

    def __init__(self, settings: FileSettings, clock: Clock, quick: QuickReader = csv_polars.candles) -> None:
        self._settings = settings
        self._clock = clock
        start_ms, end_ms = settings.start_ms, settings.end_ms
        self._limits_ms = (0 if start_ms is None else start_ms, TIME_END_MS if end_ms is None else end_ms)
        self.candles = _candles_by_symbol(settings, quick)
        self.funding = _series_by_symbol(settings.funding, read_funding, self.candles)
        self.open_interest = _series_by_symbol(settings.open_interest, read_open_interest, self.candles)
        signals = read_signals(list(map(Path, settings.signals)), list(self.candles))
        self.signals = signals.series
        self.refusals = RefusalLog()
        for candles in self.candles.values():
            self.refusals.extend(candles.refusals)
        for series in (*self.funding.values(), *self.open_interest.values()):
            self.refusals.extend(series.refusals)
        self.refusals.extend(signals.refusals)
        tables: list[CandleColumns | SeriesColumns] = [
            *self.candles.values(),
            *self.funding.values(),
            *self.open_interest.values(),
        ]
        self.notes = [*(note for table in tables for note in table.notes), *signals.notes]

    def warnings(self, start_ms: int | None = None, end_ms: int | None = None) -> list[str]:
        """Return warnings about the files: mixed units, rates in percent, and series that cover only some candles."""
        warnings = [warning for candles in self.candles.values() for warning in candles.warnings]
        for series in (*self.funding.values(), *self.open_interest.values()):
            warnings += series.warnings
        for name, of_symbol in (("settlements", self.funding), ("readings of open interest", self.open_interest)):
            for symbol, columns in of_symbol.items():
                warnings += coverage_warnings(f"{symbol} {name}", columns, self.candles[symbol], start_ms, end_ms)
        for one in self.signals:
            title, candles = f"{one.symbol} signals {one.name}", self.candles[one.symbol]
            warnings += coverage_warnings(title, one.columns, candles, start_ms, end_ms)
        return warnings

    def contracts(self) -> list[ContractListed]:
        """Return the specifications derived from the files, in the order of the candle files."""
        groups = self._settings.groups
        return [
            derived_contract(symbol, columns, groups.get(symbol, DEFAULT_GROUP))
            for symbol, columns in self.candles.items()
        ]

    def facts(self, seen: Mapping[str, ResumePoint], anchor: FeedConnected | None) -> AsyncIterator[list[FeedFact]]:  # noqa: ARG002
        """Yield the facts not yet seen, in batches. The anchor is ignored: a file does not run on."""
        return play_back(self.name, self._steps(seen), self._clock)

    def _steps(self, seen: Mapping[str, ResumePoint]) -> Iterator[PlaybackStep]:
        start_ms, _ = self._limits_ms
        for at_ms, ranked in groupby(self._merged(seen), key=itemgetter(0)):
            # The history before the start is delivered at once.
            speed = self._settings.speed if at_ms > start_ms else 0.0
            yield PlaybackStep(at_ms, [fact for _, _, _, fact in ranked], speed)

    def _merged(self, seen: Mapping[str, ResumePoint]) -> Iterator[_Ranked]:
        _, end_ms = self._limits_ms
        streams: list[Iterator[_Ranked]] = []
        for place, (symbol, columns) in enumerate(self.candles.items()):
            newest = seen.get(symbol, NOTHING_SEEN)
            streams.append(_candle_facts(symbol, place, columns, newest.candle_open_ms, self._limits_ms))
            if rates := self.funding.get(symbol):
                limits_ms = newest.funding_ms, end_ms
                streams.append(_series_facts(FundingRateSettled, symbol, place, rates, limits_ms))
            if readings := self.open_interest.get(symbol):
                limits_ms = newest.open_interest_ms, end_ms
                streams.append(_series_facts(OpenInterestObserved, symbol, place, readings, limits_ms))
        for place, signals in enumerate(self.signals):
            seen_ms = seen.get(signals.symbol, NOTHING_SEEN).signals_ms.get((signals.source, signals.name), -1)
            streams.append(_signal_facts(place, signals, seen_ms, end_ms))
        return merge(*streams)


def _candle_facts(
    symbol: str, place: int, columns: CandleColumns, seen_ms: int, limits_ms: tuple[int, int]
) -> Iterator[_Ranked]:
    step_ms, times = columns.timeframe_ms, columns.open_time_ms
    start_ms, end_ms = limits_ms
    opens, highs, lows, closes, volumes = columns.values()
    for row in range(bisect_right(times, seen_ms), bisect_left(times, end_ms)):
        at_ms = times[row] + step_ms
        timing = Timing.WARM_UP if times[row] < start_ms else Timing.ON_TIME
        candle = CandleClosed(
            at_ms, symbol, step_ms, opens[row], highs[row], lows[row], closes[row], volumes[row], timing
        )
        yield at_ms, _CANDLE, place, candle


def _series_facts(
    kind: type[FundingRateSettled | OpenInterestObserved],
    symbol: str,
    place: int,
    series: SeriesColumns,
    limits_ms: tuple[int, int],
) -> Iterator[_Ranked]:
    seen_ms, end_ms = limits_ms
    rank = _FUNDING if kind is FundingRateSettled else _OPEN_INTEREST
    for row in range(bisect_right(series.time_ms, seen_ms), bisect_left(series.time_ms, end_ms)):
        at_ms = series.time_ms[row]
        yield at_ms, rank, place, kind(at_ms, symbol, series.value[row])


def _signal_facts(place: int, signals: SignalSeries, seen_ms: int, end_ms: int) -> Iterator[_Ranked]:
    times = signals.columns.time_ms
    for row in range(bisect_right(times, seen_ms), bisect_left(times, end_ms)):
        yield times[row], _SIGNAL, place, signals.event(row)


def _by_symbol(paths: Sequence[Path | str]) -> dict[str, list[TableSource]]:
    sources: dict[str, list[TableSource]] = {}
    for one in map(table_source, paths):
        sources.setdefault(one.symbol, []).append(one)
    return sources


def _candles_by_symbol(settings: FileSettings, quick: QuickReader) -> dict[str, CandleColumns]:
    joined = {
        symbol: join_candles([read_candles(source.path, settings.timeframe_ms, quick) for source in sources])
        for symbol, sources in _by_symbol(settings.candles).items()
    }
    if not joined:
        raise broken_file_error("no file", "candles of at least one symbol are needed")
    first, *others = joined.values()
    for columns in others:
        if columns.timeframe_ms != first.timeframe_ms:
            raise broken_file_error(
                columns.source, f"timeframe {columns.timeframe_ms} ms, but {first.source} has {first.timeframe_ms}"
            )
    return joined


def _series_by_symbol(
    paths: Sequence[Path | str], read: Callable[[Path], SeriesColumns], candles: Mapping[str, CandleColumns]
) -> dict[str, SeriesColumns]:
    sources = _by_symbol(paths)
    for symbol, files in sources.items():
        if symbol not in candles:
            raise broken_file_error(str(files[0].path), f"there are no candles of its symbol {symbol}")
    return {symbol: join_series([read(file.path) for file in files]) for symbol, files in sources.items()}
