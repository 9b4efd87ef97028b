"""Runs of market facts, which make up most of a log: a fold takes a whole run at once.

Only candles change anything in the folds. Candles are calm if they are on time, in order and of one timeframe: then
most of them need not be looked at, because the newest candle of each symbol is enough.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import cached_property
from itertools import compress, islice
from operator import attrgetter, gt
from typing import TYPE_CHECKING, Final, cast

from papertape.events.facts import CandleClosed, Event, FundingRateSettled, OpenInterestObserved, Timing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from papertape.events.log import EventStretch

CANDLES_MIN: Final = 4
"""Fewer candles are folded just as quickly one by one."""
_MARKET: Final = frozenset({CandleClosed, FundingRateSettled, OpenInterestObserved})
_ON_TIME: Final = {Timing.ON_TIME}
_symbol, _at_ms, _timing, _timeframe_ms = map(attrgetter, ("symbol", "at_ms", "timing", "timeframe_ms"))


class CandleStretch:
    """The candles of a stretch of the log, with their fields in columns and their places in the stretch.

    `kinds` are the types of all events, `other_places` the places of those that are not market facts.
    """

    def __init__(self, stretch: EventStretch) -> None:
        events, times = stretch.events, stretch.recorded_at_ms
        types = list(map(type, events))
        self.stretch, self.kinds = stretch, cast("frozenset[type[Event]]", frozenset(types))
        others = {kind: kind not in _MARKET for kind in self.kinds}
        self.other_places: Sequence[int] = ()
        if any(others.values()):
            self.other_places = list(compress(range(len(types)), map(others.__getitem__, types)))
        self.places: Sequence[int] = range(len(events))
        if len(self.kinds) > 1 or CandleClosed not in self.kinds:
            are_candles = [kind is CandleClosed for kind in types]
            self.places = list(compress(self.places, are_candles))
            events, times = list(compress(events, are_candles)), list(compress(times, are_candles))
        self.candles, self.recorded_at_ms = cast("list[CandleClosed]", events), times
        self.symbols: list[str] = list(map(_symbol, events))
        self.at_ms: list[int] = list(map(_at_ms, events))

    @cached_property
    def firsts(self) -> list[int]:
        """The numbers of the first candle and of every one that is later than its predecessor."""
        return [0, *compress(range(1, len(self.at_ms)), map(gt, islice(self.at_ms, 1, None), self.at_ms))]

    @cached_property
    def is_even(self) -> bool:
        """Whether all candles are on time, in order and of one timeframe."""
        return (
            self.at_ms == sorted(self.at_ms)
            and set(map(_timing, self.candles)) <= _ON_TIME
            and len(set(map(_timeframe_ms, self.candles))) <= 1
        )

    def are_calm(self, market_ms: int) -> bool:
        """Return whether all candles are calm after the market time `market_ms`."""
        return self.is_even and (not self.at_ms or self.at_ms[0] >= market_ms)

    def newest_multiples_ms(self, timeframe_ms: int) -> dict[str, int]:
        """Return the newest close of each symbol that is a multiple of a timeframe, for those with one."""
        multiples_ms = {at_ms for at_ms in map(self.at_ms.__getitem__, self.firsts) if at_ms % timeframe_ms == 0}
        chosen = map(multiples_ms.__contains__, self.at_ms)
        return dict(compress(zip(self.symbols, self.at_ms, strict=True), chosen))


class MarketRun:
    """Consecutive candles, funding rates and open-interest readings at the places `begin` to before `end` of a stretch.

    `firsts` are the places among its candles of the first one and of every one that is later than its predecessor;
    `newest` has the last candle of each symbol.
    """

    __slots__ = ("at_ms", "begin", "candles", "columns", "end", "first", "firsts", "last_seq", "newest", "symbols")

    def __init__(self, columns: CandleStretch, begin: int, end: int) -> None:
        first, last = bisect_left(columns.places, begin), bisect_left(columns.places, end)
        self.columns, self.begin, self.end, self.first = columns, begin, end, first
        self.last_seq = columns.stretch.first_seq + end - 1
        self.candles, self.symbols = columns.candles[first:last], columns.symbols[first:last]
        self.at_ms = columns.at_ms[first:last]
        self.newest = dict(zip(self.symbols, self.candles, strict=True))
        later = columns.firsts[bisect_left(columns.firsts, first + 1) : bisect_left(columns.firsts, last)]
        self.firsts = [0, *(number - first for number in later)]

    def places_of(self, symbols: AbstractSet[str]) -> Sequence[int]:
        """Return the places of the candles of some symbols."""
        if symbols >= self.newest.keys():
            return range(len(self.candles))
        return [place for place, symbol in enumerate(self.symbols) if symbol in symbols]

    def place_at(self, at_ms: int) -> int:
        """Return the place in the stretch of the first calm candle that closes at or after a time; the end if none."""
        candle = bisect_left(self.at_ms, at_ms)
        return self.columns.places[self.first + candle] if candle < len(self.at_ms) else self.end
