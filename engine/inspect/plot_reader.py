"""A strategy's readings at the candles of a chart, as of any event.

A window begins with a copy of the state before the chart's first candle and is kept and continued, so that the same
chart a moment later costs the new events only.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.engine.inspect.chart_reader import seq_before, seq_until
from papertape.engine.inspect.plot_fold import PlotFold
from papertape.engine.inspect.windows import KeptWindows
from papertape.engine.reducer.reducer import groups

if TYPE_CHECKING:
    from papertape.engine.inspect.plot_fold import Plot
    from papertape.engine.inspect.state_history import StateHistory
    from papertape.engine.inspect.windows import WindowPair
    from papertape.events.log import LogReader
    from papertape.events.log_thread import LogThread

STEP_EVENTS_MAX: Final = 2_048
"""Events folded in one turn of the thread, 30 to 80 ms, before others get theirs."""
PLOT_EVENTS_MAX: Final = 131_072
"""No plot folds more of the log than this, 2 to 5 s of work; the readings of a longer chart begin later."""
PLOTS_MAX: Final = 8
"""Each window holds a state, a few hundred KB per symbol."""


class PlotQuery(Struct, frozen=True):
    """The readings of a strategy at the candles of a chart, at least one, which opened at `opens_ms`, as of an event.

    With `before_ms`, those of candles that were complete before that market time. `asked_ms` is the strategy's own
    timeframe.
    """

    strategy: str
    symbol: str
    timeframe_ms: int
    asked_ms: int
    opens_ms: tuple[int, ...]
    seq: int
    before_ms: int | None = None

    @property
    def from_ms(self) -> int:
        """The market time from which on its readings are needed: those of the first candle may be a little older."""
        return self.opens_ms[0] - (self.asked_ms if self.asked_ms > self.timeframe_ms else 0)


class _PlotWindow(Struct):
    """A fold that has reached the input at `seq`, read on after `read_seq`, and began after `first_seq`."""

    fold: PlotFold
    from_ms: int
    is_cut: bool
    first_seq: int
    seq: int
    read_seq: int

    def can_continue(self, seq: int, from_ms: int) -> bool:
        """Return whether continuing from here is shorter than starting over."""
        lag = seq - self.seq
        return self.from_ms <= from_ms and 0 <= lag <= max(STEP_EVENTS_MAX, self.seq - self.first_seq)


class PlotReader:
    """The readings of one log's strategies; `history` gives the states from which the windows begin."""

    def __init__(self, thread: LogThread, history: StateHistory, events_max: int = PLOT_EVENTS_MAX) -> None:
        self._thread, self._history, self._events_max = thread, history, events_max
        self._windows: KeptWindows[_PlotWindow] = KeptWindows(PLOTS_MAX)

    async def plot(self, query: PlotQuery) -> Plot:
        """Return a strategy's readings. Raise like `StateHistory.query`.

        Whoever is cancelled loses nothing: what was folded is kept, and the next query continues it.
        """
        seq = query.seq
        if query.before_ms is not None:
            boundary_ms = query.before_ms - query.before_ms % query.timeframe_ms
            seq = await self._thread.run(partial(seq_until, query.symbol, boundary_ms, seq))
        windows = self._windows.of((query.strategy, query.symbol, query.timeframe_ms))
        async with windows.turn:
            window = windows.nearest(lambda one: one.can_continue(seq, query.from_ms))
            if window is None:
                window = await self._begin(query, seq)
                windows.put(window)
            while not await self._thread.run(partial(_step, windows, window, seq)):
                pass
            return await self._thread.run(lambda _: window.fold.plot(query.opens_ms, is_cut=window.is_cut))

    async def _begin(self, query: PlotQuery, seq: int) -> _PlotWindow:
        """Return a window at the last commit before the chart's first candle."""
        first_seq, is_cut = await self._thread.run(partial(_first_seq, query, seq, self._events_max))
        state = await self._history.copy(first_seq)
        fold = PlotFold(state, query.strategy, query.symbol, query.timeframe_ms)
        return _PlotWindow(fold, query.from_ms, is_cut, first_seq, first_seq, first_seq)


# ---------------------------------------------------------------- in the thread


def _first_seq(query: PlotQuery, seq: int, events_max: int, reader: LogReader) -> tuple[int, bool]:
    """Return the end of the last commit before the first readings, or of the one `events_max` events ago and True."""
    wanted_seq = seq_before(reader, query.symbol, query.from_ms, seq)
    after_seq = max(wanted_seq, seq - events_max)
    commit = next(iter(reader.commits(after_seq)), None)
    return after_seq if commit is None else min(after_seq, commit.seq - 1), after_seq > wanted_seq


def _step(windows: WindowPair[_PlotWindow], window: _PlotWindow, seq: int, reader: LogReader) -> bool:
    """Fold on for one turn; return whether the event is reached."""
    is_reached = None
    try:
        is_reached = _fold_on(window, seq, reader)
    finally:
        if is_reached is None:
            windows.drop(window)  # An input that was applied in part leaves no valid state.
    return is_reached


def _fold_on(window: _PlotWindow, seq: int, reader: LogReader) -> bool:
    """Apply the inputs up to an event with all their consequences; return False if a turn is over before."""
    began_seq = window.read_seq
    for commit in reader.commits(began_seq):
        for group in groups(commit.recorded()):
            if group[0].seq > seq:
                return True
            if group[0].seq > window.read_seq:
                window.fold.apply(group)
                window.seq, window.read_seq = group[0].seq, group[-1].seq
        if window.read_seq - began_seq >= STEP_EVENTS_MAX:
            return window.read_seq >= seq
    return True
