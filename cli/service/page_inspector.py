"""The kernel asked what it knew as of an event, for the pages: conditions, charts, digests, causes."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec.structs import asdict, replace

from papertape.cli.explainer import condition_views, make_explainer
from papertape.engine.inspect.chart_reader import ChartReader
from papertape.engine.inspect.entry_conditions import EntryConditions, entry_conditions
from papertape.engine.inspect.state_history import StateHistory
from papertape.engine.reducer.snapshot_codec import state_digest
from papertape.events.beside import sibling_path
from papertape.events.errors import LogBusy, LogReplaced, PapertapeError, UsageError
from papertape.events.log_thread import LogThread
from papertape.events.snapshots import SnapshotStore
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.site.last_evaluation import last_hold_reasons
from papertape.projections.site.ports import (
    CandleView,
    ChartView,
    ConditionsView,
    Progress,
    ReadinessView,
    SettlementView,
)
from papertape.projections.text.causes import cause_chain, explain_chain
from papertape.projections.text.reasons import hold_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from papertape.engine.inspect.chart_fold import Candle, Chart
    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState
    from papertape.events.log import LogReader, Recorded
    from papertape.projections.site.ports import Timeline
    from papertape.projections.text.causes import CauseChain
    from papertape.projections.text.event_lines import Contracts


T = TypeVar("T")

LOOK_S_MAX: Final = 5.0
"""Nobody waits longer for the log to be read; whoever asks again finds it further."""
AGAIN_S: Final = 1.0


class _InspectedLog:
    """Everything that was read of one file; another file begins with another one of these."""

    def __init__(self, db: Path, strategies: Mapping[str, Strategy]) -> None:
        self.file = _identity(db)
        self.thread = LogThread(lambda: SqliteLogReader(db))
        snapshots = SnapshotStore(sibling_path(db, ".snapshots"), lambda _: None, only_looks=True)
        self.past, self.charts = StateHistory(self.thread, strategies, snapshots), ChartReader(self.thread)


class LogInspector:
    """`projections.site.ports.Inspector` of the log at a path. It only reads. Close it at the end."""

    def __init__(
        self, db: Path, strategies: Mapping[str, Strategy], timeline: Timeline, look_s_max: float = LOOK_S_MAX
    ) -> None:
        self._db, self._strategies, self._timeline, self._look_s_max = db, strategies, timeline, look_s_max
        self._log = _InspectedLog(db, strategies)
        self._closed = False

    def progress(self, seq: int) -> Progress:
        """See `projections.site.ports.Inspector.progress`."""
        return Progress(self._log.past.known_until(seq), seq)

    async def run(self) -> None:
        """Read the log beside everything else, as it grows, so that no look has far to go; until it is closed.

        What cannot be folded here is no fault of the pages: whoever looks is told.
        """
        while not self._closed:
            past = self._now().past
            try:
                # The head comes first: until it is there nobody looks back.
                await self._timeline.wait_beyond(self._timeline.head_seq - 1)
                laid_seq = await past.prefold(self._timeline.head_seq)
                await self._timeline.wait_beyond(laid_seq + past.checkpoints.distance_events)
            except (LogBusy, LogReplaced):
                await asyncio.sleep(AGAIN_S)
            except PapertapeError:
                return

    async def conditions(self, seq: int, strategy: str, symbols: Sequence[str]) -> tuple[ConditionsView, ...]:
        """See `projections.site.ports.Inspector.conditions`."""
        found = await self._look(seq, lambda world: [(one, entry_conditions(world, strategy, one)) for one in symbols])
        views = self._timeline.views
        then = views if views.seq == seq else await self._timeline.as_of(seq)
        shown = [conditions_view(side, strategy, symbol, seq) for symbol, sides in found for side in sides]
        return tuple(
            replace(one, holds=one.holds + last_hold_reasons(then, strategy, one.symbol, one.side)) for one in shown
        )

    async def chart(
        self, seq: int, symbol: str, timeframe_ms: int, candles: int, before_ms: int | None = None
    ) -> ChartView:
        """See `projections.site.ports.Inspector.chart`."""
        contract = self._contracts().get(symbol)
        if contract is None:
            there = ", ".join(self._contracts()) or "none yet"
            raise UsageError(f"there is no symbol {symbol!r}; there are: {there}")
        if not 1 <= seq <= self._timeline.head_seq:
            raise UsageError(f"there is no event {seq:,}: the log holds the events 1 to {self._timeline.head_seq:,}")
        found = await self._now().charts.chart(seq, symbol, contract.timeframe_ms, timeframe_ms, candles, before_ms)
        return _chart_view(found, symbol, timeframe_ms)

    async def digest(self, seq: int) -> str:
        """See `projections.site.ports.Inspector.digest`."""
        return await self._look(seq, state_digest)

    async def why(self, seq: int) -> CauseChain:
        """See `projections.site.ports.Inspector.why`."""
        chain = await self._now().thread.run(partial(_chain, seq, self._contracts()))
        await self._timeline.wait_beyond(seq - 1)  # What was configured up to there is known then.
        return explain_chain(chain, self._timeline.views.in_force, make_explainer(self._strategies))

    def close(self) -> None:
        """Let go of the log. Closing twice is harmless."""
        self._closed = True
        self._log.thread.close()

    async def _look(self, seq: int, ask: Callable[[EngineState], T]) -> T:
        past = self._now().past
        try:
            async with asyncio.timeout(self._look_s_max):
                return await past.query(seq, ask)
        except TimeoutError:
            so_far = f"event {past.known_until(seq):,} of {seq:,}"
            raise LogBusy(f"the log is being read up to there for the first time: {so_far}; ask again") from None

    def _contracts(self) -> Contracts:
        return self._timeline.views.contracts.by_symbol

    def _now(self) -> _InspectedLog:
        """What is known of the file that stands at the path: another one is read from its beginning."""
        found = _identity(self._db)
        if found is not None and found != self._log.file:
            self._log.thread.close()
            self._log = _InspectedLog(self._db, self._strategies)
        return self._log


def _identity(db: Path) -> tuple[int, int] | None:
    """Which file stands at a path; None where none does."""
    try:
        found = db.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _chain(seq: int, contracts: Contracts, reader: LogReader) -> CauseChain:
    """The causes of an event. Raises UsageError where there is none."""

    def lookup(at: int) -> Recorded:
        found = reader.read(at - 1, 1) if at > 0 else []
        if not found:
            raise UsageError(f"there is no event {at:,}: the log ends at {reader.head().seq:,}")
        return found[0]

    return cause_chain(seq, lookup, contracts)


# ---------------------------------------------------------------- the engine's Structs as those of the pages


def conditions_view(one: EntryConditions, strategy: str, symbol: str, seq: int) -> ConditionsView:
    """One side's conditions in words."""
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


def _chart_view(found: Chart, symbol: str, timeframe_ms: int) -> ChartView:
    return ChartView(
        symbol=symbol,
        timeframe_ms=timeframe_ms,
        seq=found.seq,
        candles=tuple(map(_candle_view, found.candles)),
        vwap=tuple(one.vwap for one in found.candles),
        rsi=tuple(one.rsi for one in found.candles),
        funding=tuple(SettlementView(*one) for one in found.funding),
    )


def _candle_view(one: Candle) -> CandleView:
    prices = (one.open, one.high, one.low, one.close)
    return CandleView(one.open_time_ms, *prices, one.volume, complete=one.complete, late=one.late)
