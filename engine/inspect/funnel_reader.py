"""Read the funnel of a span from a log, beginning at the newest snapshot before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.engine.inspect.funnel import FunnelFold, FunnelReport
from papertape.engine.recovery import ProgressReporter, usable_snapshots
from papertape.engine.reducer.state import new_state
from papertape.events.errors import UsageError
from papertape.events.facts import CandleClosed, Timing
from papertape.events.log import READ_EVENTS_MAX
from papertape.events.units import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState
    from papertape.events.log import LogReader
    from papertape.events.snapshots import SnapshotStore

DAYS_DEFAULT: Final = 7.0


class FunnelQuery(Struct, frozen=True):
    """A span in market time, and what of it: `until_ms` None is the newest candle, `from_ms` None is `days` before it.

    `strategy` and `symbol` None are all.
    """

    from_ms: int | None = None
    until_ms: int | None = None
    days: float = DAYS_DEFAULT
    strategy: str | None = None
    symbol: str | None = None


def read_funnel(
    reader: LogReader,
    snapshots: SnapshotStore | None,
    strategies: Mapping[str, Strategy],
    query: FunnelQuery,
    on_progress: Callable[[int], None] = lambda _: None,
) -> FunnelReport:
    """Return the funnel of a span. Raise UsageError for an empty span and for an unknown strategy or symbol.

    It takes about 10 s per million events that are folded, and as long again per million questions.
    """
    head_seq = reader.head().seq
    until_ms = newest_candle_ms(reader, head_seq) if query.until_ms is None else query.until_ms
    from_ms = until_ms - int(query.days * DAY_MS) if query.from_ms is None else query.from_ms
    if until_ms <= from_ms:
        raise UsageError("the span ends before it begins")
    state, seq = _state_before(reader, snapshots, strategies, from_ms)
    funnel = FunnelFold(from_ms, until_ms, query.strategy, query.symbol)
    for _ in funnel.fold(state, ProgressReporter(seq, on_progress).events(reader, head_seq)):
        pass
    _check_names(state, query)
    return funnel.report()


def newest_candle_ms(reader: LogReader, until_seq: int) -> int:
    """Return the close of the last candle at or before an event. Raise UsageError if there is none."""
    while until_seq > 0:
        after = max(0, until_seq - READ_EVENTS_MAX)
        for recorded in reversed(reader.read(after, until_seq - after)):
            if isinstance(recorded.event, CandleClosed) and recorded.event.timing is not Timing.WARM_UP:
                return recorded.event.at_ms
        until_seq = after
    raise UsageError("the log holds no candle yet")


def _state_before(
    reader: LogReader, snapshots: SnapshotStore | None, strategies: Mapping[str, Strategy], from_ms: int
) -> tuple[EngineState, int]:
    """Return the newest known state in which no candle has closed after a time, and its seq."""
    for state, seq in usable_snapshots(reader, snapshots, strategies):
        if all(market.close_time_ms <= from_ms for market in state.markets):
            return state, seq
    return new_state(strategies), 0


def _check_names(state: EngineState, query: FunnelQuery) -> None:
    """Raise UsageError for a strategy or symbol that the log does not have."""
    names = [runner.strategy.name for runner in state.runners]
    if query.strategy is not None and query.strategy not in names:
        raise UsageError(f"no strategy {query.strategy!r} runs; there are: {', '.join(names) or 'none yet'}")
    if query.symbol is not None and query.symbol not in state.symbols:
        raise UsageError(f"there is no symbol {query.symbol!r}; there are: {', '.join(state.symbols) or 'none yet'}")
