"""Runs of market facts, which make up most of a log: a fold takes a whole run at once.

Only candles change anything in the folds. A run is calm if its candles are on time, in order and of one timeframe: then
most of them need not be looked at, because the newest candle of each symbol is enough.
"""

from __future__ import annotations

from itertools import compress, islice, repeat
from operator import attrgetter, gt, is_
from typing import TYPE_CHECKING, Final, cast

from papertape.events.facts import CandleClosed, FundingRateSettled, OpenInterestObserved, Timing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from papertape.events.log import EventStretch, Recorded

CANDLES_MIN: Final = 4
"""Fewer candles are folded just as quickly one by one."""
_MARKET: Final = frozenset({CandleClosed, FundingRateSettled, OpenInterestObserved})
_symbol, _at_ms, _timing, _timeframe_ms = map(attrgetter, ("symbol", "at_ms", "timing", "timeframe_ms"))


class MarketRun:
    """Consecutive candles, funding rates and open-interest readings, with the candles' fields in columns.

    `firsts` are the places of the first candle and of every one that is later than its predecessor; `newest` has the
    last candle of each symbol.
    """

    __slots__ = ("at_ms", "candles", "firsts", "last_seq", "newest", "recorded_at_ms", "stretch", "symbols")

    def __init__(self, stretch: EventStretch) -> None:
        events, times = stretch.events, stretch.recorded_at_ms
        kinds = list(map(type, events))
        if kinds.count(CandleClosed) < len(events):
            are_candles = [kind is CandleClosed for kind in kinds]
            events, times = list(compress(events, are_candles)), list(compress(times, are_candles))
        self.stretch, self.last_seq = stretch, stretch.last_seq
        self.candles, self.recorded_at_ms = cast("list[CandleClosed]", events), times
        self.symbols: list[str] = list(map(_symbol, events))
        self.at_ms: list[int] = list(map(_at_ms, events))
        self.newest = dict(zip(self.symbols, self.candles, strict=True))
        later = map(gt, islice(self.at_ms, 1, None), self.at_ms)
        self.firsts = [0, *compress(range(1, len(events)), later)]

    def is_calm(self, market_ms: int) -> bool:
        """Return whether a run that follows the market time `market_ms` can be folded at once."""
        candles, times = self.candles, self.at_ms
        if not candles:
            return True
        return (
            times[0] >= market_ms
            and times == sorted(times)
            and all(map(is_, map(_timing, candles), repeat(Timing.ON_TIME)))
            and len(set(map(_timeframe_ms, candles))) == 1
        )

    def recorded(self) -> Iterator[Recorded]:
        """Return the facts one by one."""
        return self.stretch.recorded()

    def places_of(self, symbols: AbstractSet[str]) -> Sequence[int]:
        """Return the places of the candles of some symbols."""
        if symbols >= self.newest.keys():
            return range(len(self.candles))
        return [place for place, symbol in enumerate(self.symbols) if symbol in symbols]

    def split(self, at_ms: int) -> tuple[MarketRun, EventStretch]:
        """Return what comes before the first candle that closes at or after a time, and the rest."""
        if not self.at_ms or self.at_ms[-1] < at_ms:
            return self, self.stretch.cut(len(self.stretch), len(self.stretch))
        events = enumerate(self.stretch.events)
        end = next(place for place, event in events if type(event) is CandleClosed and event.at_ms >= at_ms)
        return MarketRun(self.stretch.cut(0, end)), self.stretch.cut(end, len(self.stretch))


def parts(stretch: EventStretch) -> Iterator[Recorded | MarketRun]:
    """Yield the runs of market facts in a stretch, and the events between them one by one."""
    others = [place for place, kind in enumerate(map(type, stretch.events)) if kind not in _MARKET]
    begin = 0
    for place in (*others, len(stretch)):
        if place - begin >= CANDLES_MIN:
            yield MarketRun(stretch.cut(begin, place))
        else:
            yield from stretch.cut(begin, place).recorded()
        if place < len(stretch):
            yield from stretch.cut(place, place + 1).recorded()
        begin = place + 1
