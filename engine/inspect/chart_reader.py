"""Charts as of any event, read from the log: only the candles shown and what their indicators need.

A binary search finds an interval in the log, as a symbol's candles are in order of time. A chart that was read is kept
and continued, so the same chart a moment later costs the new events only.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.engine.inspect.chart_fold import CANDLES_MAX, WARM_UP_CANDLES, Chart, ChartFold
from papertape.engine.inspect.windows import KeptWindows
from papertape.events.errors import UsageError
from papertape.events.facts import CandleClosed
from papertape.events.log import READ_EVENTS_MAX
from papertape.events.units import CHART_TIMEFRAMES_MS

if TYPE_CHECKING:
    from papertape.events.log import LogReader
    from papertape.events.log_thread import LogThread

STEP_EVENTS_MAX: Final = 16_384
"""Events read in one turn of the thread, about 20 ms, before others get theirs."""
CHART_EVENTS_MAX: Final = 2_000_000
"""No chart reads more of the log than this; a longer one begins later."""
NEAR_EVENTS: Final = 2_048
CANDLES_KEPT_MIN: Final = 256
CHARTS_MAX: Final = 32


class _Window(Struct):
    """A fold that has reached `seq` and began after `first_seq`; it keeps `count` candles."""

    fold: ChartFold
    count: int
    first_seq: int
    seq: int

    def can_continue(self, seq: int, candles: int) -> bool:
        """Return whether continuing from here is shorter than starting over."""
        return self.count >= candles and 0 <= seq - self.seq <= max(STEP_EVENTS_MAX, self.seq - self.first_seq)


class ChartReader:
    """The charts of one log."""

    def __init__(self, thread: LogThread) -> None:
        self._thread = thread
        self._windows: KeptWindows[_Window] = KeptWindows(CHARTS_MAX)

    async def chart(
        self,
        seq: int,
        symbol: str,
        base_ms: int,
        timeframe_ms: int,
        candles: int,
        before_ms: int | None = None,
    ) -> Chart:
        """Return the last candles of a symbol as of an event; `base_ms` is the log's own timeframe.

        With `before_ms`, return the last candles that were complete before that market time. Raise UsageError for an
        unavailable timeframe or number of candles, and LogDamaged.
        """
        _check(base_ms, timeframe_ms, candles)
        if before_ms is not None:
            until_seq = await self._thread.run(partial(seq_until, symbol, before_ms - before_ms % timeframe_ms, seq))
            chart = await self._read(until_seq, symbol, base_ms, timeframe_ms, candles, forming=False)
            return Chart(seq, chart.candles, chart.funding)
        return await self._read(seq, symbol, base_ms, timeframe_ms, candles)

    async def _read(
        self, seq: int, symbol: str, base_ms: int, timeframe_ms: int, candles: int, *, forming: bool = True
    ) -> Chart:
        windows = self._windows.of((symbol, timeframe_ms))
        async with windows.turn:
            window = windows.nearest(lambda one: one.can_continue(seq, candles))
            if window is None:
                count = min(CANDLES_MAX, _rounded_up(candles))
                window = await self._thread.run(partial(_new_window, symbol, base_ms, timeframe_ms, count, seq))
                windows.put(window)
            while not await self._thread.run(partial(_step, window, seq)):
                pass
            return await self._thread.run(lambda _: window.fold.chart(seq, candles, forming=forming))


def _check(base_ms: int, timeframe_ms: int, candles: int) -> None:
    frames = {name: ms for name, ms in CHART_TIMEFRAMES_MS.items() if ms >= base_ms}
    if timeframe_ms not in frames.values():
        raise UsageError(f"there are no candles of {timeframe_ms} ms; there are {', '.join(frames)}")
    if not 1 <= candles <= CANDLES_MAX:
        raise UsageError(f"a chart has 1 to {CANDLES_MAX:,} candles, not {candles:,}")


def _rounded_up(candles: int) -> int:
    """Return a power of two, so that a few more candles do not start over."""
    return max(CANDLES_KEPT_MIN, 1 << (candles - 1).bit_length())


# ---------------------------------------------------------------- in the thread


def _new_window(symbol: str, base_ms: int, timeframe_ms: int, count: int, seq: int, reader: LogReader) -> _Window:
    """Return an empty window at the position in the log from which it must read."""
    newest_ms = _newest_open_ms(reader, symbol, seq)
    from_ms = newest_ms - newest_ms % timeframe_ms - (count - 1 + WARM_UP_CANDLES) * timeframe_ms
    after_seq = max(seq_before(reader, symbol, from_ms, seq), seq - CHART_EVENTS_MAX)
    if after_seq == 0:
        from_ms = 0  # The whole log: the indicators are exact from their first candle on.
    else:  # The first event may be inside a candle; the next one begins at a boundary.
        opened_ms = next_open_ms(reader, symbol, after_seq, seq)
        from_ms = max(from_ms, -(-(opened_ms or 0) // timeframe_ms) * timeframe_ms)
    fold = ChartFold(symbol, timeframe_ms, base_ms, count, from_ms, whole=after_seq == 0)
    return _Window(fold, count, after_seq, after_seq)


def _step(window: _Window, seq: int, reader: LogReader) -> bool:
    """Read on for one turn; return whether the event is reached."""
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
    """Return the open time of a symbol's newest candle up to an event, 0 if there is none."""
    until = seq
    while until > 0:
        after = max(0, until - (NEAR_EVENTS if until == seq else READ_EVENTS_MAX))
        for recorded in reversed(reader.read(after, until - after)):
            if type(recorded.event) is CandleClosed and recorded.event.symbol == symbol:
                return recorded.event.open_time_ms
        until = after
    return 0


def seq_before(reader: LogReader, symbol: str, open_ms: int, until_seq: int) -> int:
    """Return a seq at most some thousand events before a symbol's first candle that opened at or after a time."""
    low, high = 0, until_seq
    while high - low > NEAR_EVENTS:
        middle = (low + high) // 2
        next_ms = next_open_ms(reader, symbol, middle, high)
        if next_ms is not None and next_ms < open_ms:
            low = middle
        else:
            high = middle
    return low


def seq_until(symbol: str, open_ms: int, until_seq: int, reader: LogReader) -> int:
    """Return the seq before a symbol's first candle that opened at or after a time, else `until_seq`."""
    for commit in reader.commits(seq_before(reader, symbol, open_ms, until_seq)):
        for seq, event in enumerate(commit.events, commit.seq):
            if seq > until_seq:
                return until_seq
            if type(event) is CandleClosed and event.symbol == symbol and event.open_time_ms >= open_ms:
                return seq - 1
    return until_seq


def next_open_ms(reader: LogReader, symbol: str, after_seq: int, until_seq: int) -> int | None:
    """Return the open time of a symbol's first candle after an event; None if none follows up to `until_seq`."""
    for commit in reader.commits(after_seq):
        for own_seq, event in enumerate(commit.events, commit.seq):
            if own_seq > until_seq:
                return None
            if own_seq > after_seq and type(event) is CandleClosed and event.symbol == symbol:
                return event.open_time_ms
    return None
