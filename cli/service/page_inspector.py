"""The engine's knowledge as of an event, for the pages: conditions, charts, digests, causes."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec.structs import asdict, replace

from papertape.cli.explainer import condition_views, make_explainer
from papertape.cli.wiring import warn
from papertape.engine.inspect.chart_indicators import INDICATOR_LINES
from papertape.engine.inspect.chart_reader import ChartReader
from papertape.engine.inspect.checkpoints import StateCheckpoints, states_file
from papertape.engine.inspect.entry_conditions import EntryConditions, entry_conditions
from papertape.engine.inspect.plot_reader import PLOT_EVENTS_MAX, PlotQuery, PlotReader
from papertape.engine.inspect.state_history import StateHistory
from papertape.engine.reducer.snapshot_codec import state_digest
from papertape.engine.strategy_registry import code_digest
from papertape.events.beside import sibling_path
from papertape.events.checkpoints.store import CheckpointStore
from papertape.events.errors import LogBusy, LogReplaced, PapertapeError, UsageError
from papertape.events.log_thread import LogThread
from papertape.events.snapshots import SnapshotStore
from papertape.events.sqlite_log import SqliteLogReader
from papertape.events.units import SERIES_MS
from papertape.projections.site.last_evaluation import last_hold_reasons
from papertape.projections.site.ports import (
    CandleView,
    ChartView,
    ConditionsView,
    PlotLine,
    PlotView,
    Progress,
    ReadinessView,
    SettlementView,
)
from papertape.projections.text.causes import cause_chain, explain_chain
from papertape.projections.text.reasons import hold_words, plot_note

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from papertape.engine.inspect.chart_fold import Candle, Chart
    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState
    from papertape.events.log import LogReader, Recorded
    from papertape.projections.site.ports import Timeline
    from papertape.projections.text.causes import CauseChain
    from papertape.projections.text.event_lines import Contracts


T = TypeVar("T")

QUERY_S_MAX: Final = 5.0
"""The longest wait for the log to be read. Reading continues, so a later request gets further."""
RETRY_AFTER_S: Final = 1.0
STATES_FOLDER: Final = "states"


class _InspectedLog:
    """Everything that was read from one file."""

    def __init__(self, db: Path, strategies: Mapping[str, Strategy]) -> None:
        self.file = _identity(db)
        self.thread = LogThread(lambda: SqliteLogReader(db))
        snapshots = SnapshotStore(sibling_path(db, ".snapshots"), lambda _: None, only_looks=True)
        file = states_file(sibling_path(db, ".folds") / STATES_FOLDER, code_digest(strategies.values()))
        self.states = StateCheckpoints(CheckpointStore(file, warn))
        self.history = StateHistory(self.thread, strategies, snapshots, self.states)
        self.charts = ChartReader(self.thread)
        self.plots = PlotReader(self.thread, self.history)

    def close(self) -> None:
        """Close all files."""
        self.thread.close()
        self.states.store.close()


class LogInspector:
    """`projections.site.ports.Inspector` of the log at a path. It only reads. Close it at the end."""

    def __init__(
        self, db: Path, strategies: Mapping[str, Strategy], timeline: Timeline, query_s_max: float = QUERY_S_MAX
    ) -> None:
        self._db, self._strategies, self._timeline, self._query_s_max = db, strategies, timeline, query_s_max
        self._log = _InspectedLog(db, strategies)
        self._closed = False

    def progress(self, seq: int) -> Progress:
        """See `projections.site.ports.Inspector.progress`."""
        return Progress(self._log.history.known_until(seq), seq)

    async def run(self) -> None:
        """Fold the log in the background as it grows, so that queries are fast, until this is closed.

        A log that cannot be folded is not an error of the page: each query reports it.
        """
        while not self._closed:
            history = self._current_log().history
            try:
                # The timeline reads to its head first: until then nobody queries the past.
                await self._timeline.wait_beyond(self._timeline.head_seq - 1)
                folded_seq = await history.prefold(self._timeline.head_seq)
                await self._timeline.wait_beyond(folded_seq + history.checkpoints.distance_events)
            except (LogBusy, LogReplaced):
                await asyncio.sleep(RETRY_AFTER_S)
            except PapertapeError:
                return

    async def conditions(self, seq: int, strategy: str, symbols: Sequence[str]) -> tuple[ConditionsView, ...]:
        """See `projections.site.ports.Inspector.conditions`."""
        by_symbol = await self._query(
            seq, lambda world: [(one, entry_conditions(world, strategy, one)) for one in symbols]
        )
        newest = self._timeline.views
        views = newest if newest.seq == seq else await self._timeline.as_of(seq)
        shown = [conditions_view(side, strategy, symbol, seq) for symbol, sides in by_symbol for side in sides]
        return tuple(
            replace(one, holds=one.holds + last_hold_reasons(views, strategy, one.symbol, one.side)) for one in shown
        )

    async def chart(
        self,
        seq: int,
        symbol: str,
        timeframe_ms: int,
        candles: int,
        before_ms: int | None = None,
        strategy: str | None = None,
    ) -> ChartView:
        """See `projections.site.ports.Inspector.chart`."""
        contracts = await self._contracts()
        contract = contracts.get(symbol)
        if contract is None:
            symbols = ", ".join(contracts) or "none yet"
            raise UsageError(f"there is no symbol {symbol!r}; the log has: {symbols}")
        if not 1 <= seq <= self._timeline.head_seq:
            raise UsageError(f"there is no event {seq:,}: the log contains events 1 to {self._timeline.head_seq:,}")
        asked_ms = 0 if strategy is None else self._asked_ms(strategy)
        charts = self._current_log().charts
        chart = await charts.chart(seq, symbol, contract.timeframe_ms, timeframe_ms, candles, before_ms)
        view = _chart_view(chart, symbol, timeframe_ms)
        if strategy is None:
            return view
        if not chart.candles:
            return replace(view, plot=PlotView(strategy, ()))
        opens_ms = tuple(one.open_time_ms for one in chart.candles)
        query = PlotQuery(strategy, symbol, timeframe_ms, asked_ms, opens_ms, seq, before_ms)
        return replace(view, plot=await self._plot(query))

    async def _plot(self, query: PlotQuery) -> PlotView:
        """Return a strategy's readings; none yet if the log has to be read for longer than a page waits."""
        try:
            plot = await self._within_limit(query.seq, self._current_log().plots.plot(query))
        except LogBusy as busy:
            return PlotView(query.strategy, (), f"{query.strategy}: {busy}", pending=True)
        lines = tuple(
            PlotLine(name, place, values) for (name, place), values in zip(plot.places, plot.lines, strict=True)
        )
        note = plot_note(query.strategy, plot.obstacle.reason, plot.obstacle.detail)
        if not note and plot.is_cut:
            note = f"older readings are not shown: more than {PLOT_EVENTS_MAX:,} events would have to be read"
        return PlotView(query.strategy, lines, note)

    def _asked_ms(self, strategy: str) -> int:
        """Return the timeframe on whose closes a strategy is asked. Raise UsageError for an unknown one."""
        configured = self._timeline.views.runners.get(strategy)
        if configured is None:
            there = ", ".join(self._timeline.views.runners)
            raise UsageError(f"no strategy {strategy!r} runs; there are: {there or 'none yet'}")
        return SERIES_MS[configured.series[0]] if configured.series else SERIES_MS["1h"]

    async def digest(self, seq: int) -> str:
        """See `projections.site.ports.Inspector.digest`."""
        return await self._query(seq, state_digest)

    async def why(self, seq: int) -> CauseChain:
        """See `projections.site.ports.Inspector.why`."""
        chain = await self._current_log().thread.run(partial(_chain, seq, await self._contracts()))
        folding = self._timeline.folding
        if folding is not None and folding.seq < seq:
            return chain
        await self._timeline.wait_beyond(seq - 1)  # Then the configurations up to there are known.
        return explain_chain(chain, self._timeline.views.in_force, make_explainer(self._strategies))

    def close(self) -> None:
        """Close the log. Closing twice is harmless."""
        self._closed = True
        self._log.close()

    async def _query(self, seq: int, read: Callable[[EngineState], T]) -> T:
        return await self._within_limit(seq, self._current_log().history.query(seq, read))

    async def _within_limit(self, seq: int, answer: Awaitable[T]) -> T:
        """Wait for an answer that needs the state as of an event. Raise LogBusy with the progress if it takes long."""
        history = self._current_log().history
        try:
            async with asyncio.timeout(self._query_s_max):
                return await answer
        except TimeoutError:
            so_far = f"event {history.known_until(seq):,} of {seq:,}"
            raise LogBusy(f"the log is being read up to there for the first time: {so_far}; ask again") from None

    async def _contracts(self) -> Contracts:
        timeline = self._timeline
        views = timeline.views if timeline.folding is None else await timeline.unfolded()
        return views.contracts.by_symbol

    def _current_log(self) -> _InspectedLog:
        """Return what was read from the file at the path; start again if it is another file."""
        file = _identity(self._db)
        if file is not None and file != self._log.file:
            self._log.close()
            self._log = _InspectedLog(self._db, self._strategies)
        return self._log


def _identity(db: Path) -> tuple[int, int] | None:
    """Return the device and inode of a file; None if it does not exist."""
    try:
        status = db.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _chain(seq: int, contracts: Contracts, reader: LogReader) -> CauseChain:
    """Return the causes of an event. Raise UsageError for an event that is not in the log."""

    def lookup(at: int) -> Recorded:
        events = reader.read(at - 1, 1) if at > 0 else []
        if not events:
            raise UsageError(f"there is no event {at:,}: the log ends at {reader.head().seq:,}")
        return events[0]

    return cause_chain(seq, lookup, contracts)


# ---------------------------------------------------------------- the engine's Structs as views of the pages


def conditions_view(one: EntryConditions, strategy: str, symbol: str, seq: int) -> ConditionsView:
    """Return one side's conditions as a view."""
    return ConditionsView(
        strategy=strategy,
        symbol=symbol,
        side=one.side,
        seq=seq,
        at_ms=one.at_ms,
        explained=one.explained,
        conditions=condition_views(one.conditions),
        readiness=tuple(ReadinessView(**asdict(frame)) for frame in one.readiness),
        holds=tuple(hold_words(hold.reason, hold.detail) for hold in one.holds),
    )


def _chart_view(chart: Chart, symbol: str, timeframe_ms: int) -> ChartView:
    return ChartView(
        symbol=symbol,
        timeframe_ms=timeframe_ms,
        seq=chart.seq,
        candles=tuple(map(_candle_view, chart.candles)),
        vwap=tuple(one.vwap for one in chart.candles),
        rsi=tuple(one.rsi for one in chart.candles),
        funding=tuple(SettlementView(*one) for one in chart.funding),
        lines=tuple(
            PlotLine(name, place, tuple(one.others[at] for one in chart.candles))
            for at, (name, place) in enumerate(INDICATOR_LINES)
        ),
    )


def _candle_view(one: Candle) -> CandleView:
    prices = (one.open, one.high, one.low, one.close)
    return CandleView(one.open_time_ms, *prices, one.volume, complete=one.complete, late=one.late)
