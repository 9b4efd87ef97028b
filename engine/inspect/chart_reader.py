"""Charts as of any event, read from the log: no more of it than the candles shown and what their indicators need.

Where an interval lies in the log is found by halving: a symbol's candles rise in time. What was read is kept and goes
on with the log, so that the same chart a moment later costs the new events only.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.engine.inspect.chart_fold import CANDLES_MAX, WARM_UP_CANDLES, Chart, ChartFold
from papertape.events.errors import UsageError
from papertape.events.facts import CandleClosed
from papertape.events.log import READ_EVENTS_MAX
from papertape.events.units import CHART_TIMEFRAMES_MS

if TYPE_CHECKING:
    from papertape.events.log import LogReader
    from papertape.events.log_thread import LogThread

STEP_EVENTS_MAX: Final = 16_384
"""So many are read in a turn of the thread, about 20 ms, before others have theirs."""
CHART_EVENTS_MAX: Final = 2_000_000
"""More of the log is read for no chart: a longer one begins later."""
NEAR_EVENTS: Final = 2_048
KEPT_MIN: Final = 256
CHARTS_KEPT_MAX: Final = 32


class _Window(Struct):
    """A fold that stands at `seq` and began behind `begun_seq`."""

    fold: ChartFold
    kept: int
    begun_seq: int
    seq: int

    def is_shorter_way(self, seq: int, candles: int) -> bool:
        """Whether going on from here is shorter than beginning anew."""
        return self.kept >= candles and 0 <= seq - self.seq <= max(STEP_EVENTS_MAX, self.seq - self.begun_seq)


class _ChartWindows:
    """The windows of one symbol and timeframe: one near the head, one wherever somebody looked back."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.front: _Window | None = None
        self.back: _Window | None = None

    def nearest(self, seq: int, candles: int) -> _Window | None:
        """The one that is nearest before an event."""
        found = [one for one in (self.front, self.back) if one is not None and one.is_shorter_way(seq, candles)]
        return max(found, key=lambda one: one.seq, default=None)

    def put(self, window: _Window) -> None:
        """Keep a new one in the place of that of its kind."""
        if self.front is None or window.seq >= self.front.seq:
            self.front = window
        else:
            self.back = window


class ChartReader:
    """The charts of one log."""

    def __init__(self, thread: LogThread) -> None:
        self._thread = thread
        self._kept: OrderedDict[tuple[str, int], _ChartWindows] = OrderedDict()

    async def chart(
        self,
        seq: int,
        symbol: str,
        base_ms: int,
        timeframe_ms: int,
        candles: int,
        before_ms: int | None = None,
    ) -> Chart:
        """The last candles of a symbol as of an event; `base_ms` is the timeframe that the log holds.

        With `before_ms` the last ones of those that were complete before that moment of market time. Raises
        UsageError for a timeframe or a number of candles that there is not, LogDamaged.
        """
        _check(base_ms, timeframe_ms, candles)
        if before_ms is not None:
            until_seq = await self._thread.run(partial(_seq_until, symbol, before_ms - before_ms % timeframe_ms, seq))
            found = await self._read(until_seq, symbol, base_ms, timeframe_ms, candles)
            return Chart(seq, tuple(one for one in found.candles if one.complete), found.funding)
        return await self._read(seq, symbol, base_ms, timeframe_ms, candles)

    async def _read(self, seq: int, symbol: str, base_ms: int, timeframe_ms: int, candles: int) -> Chart:
        kept = self._of(symbol, timeframe_ms)
        async with kept.turn:
            window = kept.nearest(seq, candles)
            if window is None:
                made = partial(_begun, symbol, base_ms, timeframe_ms, min(CANDLES_MAX, _rounded_up(candles)), seq)
                window = await self._thread.run(made)
                kept.put(window)
            while not await self._thread.run(partial(_step, window, seq)):
                pass
            return await self._thread.run(lambda _: window.fold.chart(seq, candles))

    def _of(self, symbol: str, timeframe_ms: int) -> _ChartWindows:
        """What is kept of a chart; those that were not asked for the longest are forgotten."""
        key = symbol, timeframe_ms
        kept = self._kept.setdefault(key, _ChartWindows())
        self._kept.move_to_end(key)
        while len(self._kept) > CHARTS_KEPT_MAX:
            self._kept.popitem(last=False)
        return kept


def _check(base_ms: int, timeframe_ms: int, candles: int) -> None:
    there = {name: ms for name, ms in CHART_TIMEFRAMES_MS.items() if ms >= base_ms}
    if timeframe_ms not in there.values():
        raise UsageError(f"there are no candles of {timeframe_ms} ms; there are {', '.join(there)}")
    if not 1 <= candles <= CANDLES_MAX:
        raise UsageError(f"a chart has 1 to {CANDLES_MAX:,} candles, not {candles:,}")


def _rounded_up(candles: int) -> int:
    """A power of two, so that a few candles more do not begin anew."""
    return max(KEPT_MIN, 1 << (candles - 1).bit_length())


# ---------------------------------------------------------------- in the thread


def _begun(symbol: str, base_ms: int, timeframe_ms: int, kept: int, seq: int, reader: LogReader) -> _Window:
    """A window that has not read anything yet, at the place from which it must."""
    newest_ms = _newest_open_ms(reader, symbol, seq)
    from_ms = newest_ms - newest_ms % timeframe_ms - (kept - 1 + WARM_UP_CANDLES) * timeframe_ms
    after_seq = max(seq_before(reader, symbol, from_ms, seq), seq - CHART_EVENTS_MAX)
    if after_seq == 0:
        from_ms = 0  # All that there is: the indicators are exact from their first candle on.
    else:  # What is read first may lie in the middle of a candle; the next one begins at a boundary.
        opened_ms = next_open_ms(reader, symbol, after_seq, seq)
        from_ms = max(from_ms, -(-(opened_ms or 0) // timeframe_ms) * timeframe_ms)
    fold = ChartFold(symbol, timeframe_ms, base_ms, kept, from_ms, whole=after_seq == 0)
    return _Window(fold, kept, after_seq, after_seq)


def _step(window: _Window, seq: int, reader: LogReader) -> bool:
    """Read on for a turn; whether the event is reached."""
    apply, first_seq = window.fold.apply, window.seq
    for commit in reader.commits(window.seq):
        for own_seq, event in enumerate(commit.events, commit.seq):
            if own_seq > seq:
                return True
            if own_seq > window.seq:
                apply(event)
                window.seq = own_seq
        if window.seq - first_seq >= STEP_EVENTS_MAX:
            return window.seq == seq
    return True


def _newest_open_ms(reader: LogReader, symbol: str, seq: int) -> int:
    """When the newest candle of a symbol up to an event opened; 0 where there is none."""
    until = seq
    while until > 0:
        after = max(0, until - (NEAR_EVENTS if until == seq else READ_EVENTS_MAX))
        for recorded in reversed(reader.read(after, until - after)):
            if type(recorded.event) is CandleClosed and recorded.event.symbol == symbol:
                return recorded.event.open_time_ms
        until = after
    return 0


def seq_before(reader: LogReader, symbol: str, open_ms: int, until_seq: int) -> int:
    """A place at most some thousand events before a symbol's first candle that opened at or after a moment."""
    low, high = 0, until_seq
    while high - low > NEAR_EVENTS:
        middle = (low + high) // 2
        found_ms = next_open_ms(reader, symbol, middle, high)
        if found_ms is not None and found_ms < open_ms:
            low = middle
        else:
            high = middle
    return low


def _seq_until(symbol: str, open_ms: int, until_seq: int, reader: LogReader) -> int:
    """Return the seq before a symbol's first candle that opened at or after a time, else `until_seq`."""
    for commit in reader.commits(seq_before(reader, symbol, open_ms, until_seq)):
        for seq, event in enumerate(commit.events, commit.seq):
            if seq > until_seq:
                return until_seq
            if type(event) is CandleClosed and event.symbol == symbol and event.open_time_ms >= open_ms:
                return seq - 1
    return until_seq


def next_open_ms(reader: LogReader, symbol: str, after_seq: int, until_seq: int) -> int | None:
    """When a symbol's first candle behind an event opened; None where none follows up to `until_seq`."""
    for commit in reader.commits(after_seq):
        for own_seq, event in enumerate(commit.events, commit.seq):
            if own_seq > until_seq:
                return None
            if own_seq > after_seq and type(event) is CandleClosed and event.symbol == symbol:
                return event.open_time_ms
    return None
