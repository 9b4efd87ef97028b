"""Promises broken on purpose: each entry replaces a few names of the program, and some schedule has to notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from papertape.cli.keeper.restart_policy import ENDED_WELL, PermanentStop, RestartPolicy
from papertape.engine import loop as engine_loop
from papertape.engine import recovery
from papertape.engine.background_process import closed_within
from papertape.engine.feeds.bitget import connection
from papertape.engine.feeds.bitget.connection import StreamConnection
from papertape.engine.feeds.live.session import FeedSession
from papertape.engine.feeds.live.symbol_cursor import SymbolCursor
from papertape.engine.kernel import decide as kernel_decide
from papertape.engine.loop import Loop
from papertape.engine.reducer import reducer
from papertape.engine.reducer.reducer import fold
from papertape.engine.reducer.snapshot_codec import decode
from papertape.engine.sealing import Sealing
from papertape.engine.task_restarts import TaskRestarter
from papertape.events.errors import LogError, LogWriteFailed
from papertape.events.facts import CandleClosed, Event
from papertape.events.segments.folder import sealed_folder
from papertape.events.segments.segment_file import segment_path
from papertape.events.sqlite_log import SqliteEventLog
from papertape.events.tasks import failure_of
from papertape.projections.telegram.delivery import Notifier
from papertape.projections.telegram.delivery_queues import DeliveryReceipts

if TYPE_CHECKING:
    from papertape.events.segments.segment_file import SegmentInfo
    from tests.simulation.seams import Seam

WRITING_S: Final = 5.0


class Broken(Struct, frozen=True):
    """A promise, what breaks it, a schedule that notices, and how what that says begins."""

    name: str
    promise: str
    seams: Callable[[], list[Seam]]
    noticed_by: int = 0
    shows: str = ""


def _rows_apart() -> list[Seam]:
    whole = Loop._commit

    async def commit(self: Loop, entries: list[Any]) -> int:
        for entry in entries:
            await whole(self, [entry])
        return self._head_seq

    return [(Loop, "_commit", commit)]


def _state_after_failure() -> list[Seam]:
    order = Loop.order

    async def go_on(self: Loop, make: Any) -> Any:
        try:
            return await order(self, make)
        except LogWriteFailed:
            self.log._refusal, self.log._tail, self._is_ahead = "", self.log.head, False  # type: ignore[attr-defined]
            return None

    return [(Loop, "order", go_on)]


def _repeats_taken() -> list[Seam]:
    is_new, late_facts = reducer.is_new, SymbolCursor.late_facts

    def always(state: Any, event: Event) -> bool:
        return isinstance(event, CandleClosed) or is_new(state, event)

    def from_before(self: SymbolCursor, *given: Any) -> Any:
        facts = late_facts(self, *given)
        return facts[:1] + facts

    return [(engine_loop, "is_new", always), (SymbolCursor, "late_facts", from_before)]


def _late_on_time() -> list[Seam]:
    candle = SymbolCursor.candle
    return [(SymbolCursor, "candle", lambda self, row, *, on_time: candle(self, row, on_time=True))]  # noqa: ARG005


def _hole_forgotten() -> list[Seam]:
    advance = FeedSession._advance

    def jump(self: FeedSession, cursors: Any, results: Any, until_ms: int) -> Any:
        for window in results.values.values():
            if len(window.rows) > 6:
                del window.rows[2]
        return advance(self, cursors, results, until_ms)

    return [(FeedSession, "_advance", jump)]


def _cursor_before_answer() -> list[Seam]:
    async def send(self: Notifier, queue: Any, message: Any) -> None:
        self._advance(queue, message)
        await self._post(message, queue.receipts)

    return [(Notifier, "_send", send)]


def _repeats_unmarked() -> list[Seam]:
    return [(DeliveryReceipts, "may_have_come", lambda _self, _seq, _part: False)]


def _switch_forgotten() -> list[Seam]:
    def forgetful(content: bytes, strategies: Any) -> Any:
        state = decode(content, strategies)
        for runner in state.runners:
            runner.account.tripped = 0
        return state

    return [(recovery, "decode", forgetful)]


def _tail_not_replayed() -> list[Seam]:
    def fold_nothing(state: Any, events: Any) -> None:
        has_snapshot = bool(state.runners)
        passed = list(events)
        fold(state, iter(() if has_snapshot else passed))

    return [(recovery, "fold", fold_nothing)]


def _entries_while_tripped() -> list[Seam]:
    may_enter = kernel_decide.may_enter

    def careless(data: Any, account: Any, needs: Any, signals: int) -> bool:
        tripped, account.tripped = account.tripped, 0
        try:
            return may_enter(data, account, needs, signals)
        finally:
            account.tripped = tripped

    return [(kernel_decide, "may_enter", careless)]


def _keeper_gives_up() -> list[Seam]:
    def next_step(self: RestartPolicy, run: Any) -> Any:
        if run.code == ENDED_WELL:
            return PermanentStop(run.code)
        return PermanentStop(run.code, "it failed") if run.code > 0 else self._after_fault()

    return [(RestartPolicy, "next_step", next_step)]


def _service_left_dead() -> list[Seam]:
    async def once(self: TaskRestarter, name: str, make: Any) -> None:
        if await failure_of(make) is not None:
            self.dead.add(name)

    return [(TaskRestarter, "run_with_restarts", once)]


def _streams_left_open() -> list[Seam]:
    async def run(self: StreamConnection) -> str:
        socket = await vars(connection)["connect"](self._settings.ws_url, open_timeout=10.0)
        return await self._serve(socket)

    return [(StreamConnection, "run", run)]


def _catalogue_before_file() -> list[Seam]:
    add = SqliteEventLog.add_segment

    async def enter_then_write(self: SqliteEventLog, info: SegmentInfo) -> None:
        path = segment_path(sealed_folder(self.path), info)
        unnamed = path.rename(path.with_name(".unnamed"))
        await add(self, info)
        await asyncio.sleep(WRITING_S)
        unnamed.rename(path)

    return [(SqliteEventLog, "add_segment", enter_then_write)]


def _sealing_gives_up() -> list[Seam]:
    async def once(self: Sealing, first_after_s: float, *_: float) -> None:
        if not await closed_within(self._bus, first_after_s):
            with suppress(LogError, OSError):
                await self._seal_all()
        await self._bus.wait_closed()

    return [(Sealing, "watch", once)]


BROKEN: Final = (
    Broken("rows apart", "a candle and its consequences are one row", _rows_apart, 3, "decisions"),
    Broken(
        "state after failure", "nobody decides on a state that is not in the log", _state_after_failure, 2, "candles"
    ),
    Broken("repeats taken", "a candle is in the log once", _repeats_taken, 0, "candles"),
    Broken("late on time", "a late candle is marked and opens no position", _late_on_time, 2, "candles"),
    Broken("hole forgotten", "every candle that the exchange closed is in the log", _hole_forgotten, 4, "candles"),
    Broken(
        "cursor before answer", "an alert is done when the chat has accepted it", _cursor_before_answer, 0, "alerts"
    ),
    Broken("repeats unmarked", "what may have arrived before is marked", _repeats_unmarked, 5, "alerts"),
    Broken("switch forgotten", "a tripped switch survives a restart", _switch_forgotten, 3, "state"),
    Broken("tail not replayed", "a start folds all events after the snapshot", _tail_not_replayed, 3, "state"),
    Broken("entries while tripped", "no entry between a trip and its reset", _entries_while_tripped, 0, "entries"),
    Broken("keeper gives up", "an engine is restarted for as long as it takes", _keeper_gives_up, 0, "not well again"),
    Broken("service left dead", "a service that fails is started again", _service_left_dead, 14, "not well again"),
    Broken("streams left open", "a connection that is given up is closed", _streams_left_open, 3, "bounds"),
    Broken(
        "catalogue before file", "a segment is durable before the catalogue lists it", _catalogue_before_file, 17, "log"
    ),
    Broken("sealing gives up", "what could not be sealed is sealed later", _sealing_gives_up, 1, "not well again"),
)
