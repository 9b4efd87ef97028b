"""`papertape whynot`: what keeps each strategy from an entry at a moment, or the funnel of entries over a span."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from papertape.cli.arguments import moment_ms
from papertape.cli.config.overrides import load_config
from papertape.cli.config.sections import strategies_of
from papertape.cli.log_reader import check_names, read_backwards
from papertape.cli.offline.replay import seq_at
from papertape.cli.progress import progress_bar
from papertape.cli.render.console import emit
from papertape.cli.render.whynot_report import WhyNotReport
from papertape.cli.service.page_inspector import conditions_view
from papertape.engine.inspect.entry_conditions import entry_conditions
from papertape.engine.inspect.funnel_reader import DAYS_DEFAULT, FunnelQuery, read_funnel
from papertape.engine.recovery import recover
from papertape.events.beside import sibling_path
from papertape.events.errors import UsageError
from papertape.events.facts import CandleClosed, OrderRejected, Timing
from papertape.events.snapshots import SnapshotStore
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.text.reasons import reason_words

if TYPE_CHECKING:
    from papertape.cli.config.sections import Config
    from papertape.engine.inspect.funnel import FunnelReport
    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState
    from papertape.events.log import LogReader
    from papertape.projections.site.ports import ConditionsView

LOOK_BACK_EVENTS_MAX = 20_000
"""How far back the last answer of a strategy is looked for."""
LATE = "its last evaluated candle arrived late: nothing is opened on it"


class Selection(Struct, frozen=True):
    """The strategies and symbols to show; None means all."""

    strategy: str | None
    symbol: str | None


def show_moment(db: Path | None, config: Path | None, selection: Selection, at: str | None, *, as_json: bool) -> None:
    """Show what keeps strategies from an entry at a market time, an event (`#4711`), or now."""
    loaded = load_config(config)
    path = db or loaded.database
    with closing(SqliteLogReader(path)) as reader:
        check_names(reader, selection.symbol, selection.strategy)
        report = moment_report(reader, path, strategies_of(loaded), selection, _seq(reader, at))
    if as_json:
        emit(report)
        return
    from papertape.cli.render.whynot import print_moment  # noqa: PLC0415 - tables are slow to import.

    print_moment(report)


def moment_report(
    reader: SqliteLogReader, path: Path, strategies: dict[str, Strategy], selection: Selection, seq: int
) -> WhyNotReport:
    """Return what keeps strategies from an entry as of an event."""
    with progress_bar("replaying", seq) as on_progress:
        state = recover(reader, _snapshots(path), strategies, seq, on_progress).state
    at_ms = max((market.close_time_ms for market in state.markets), default=0)
    pairs = [
        (runner.strategy.name, symbol)
        for runner in state.runners
        for symbol, index in state.symbols.items()
        if runner.active[index]
        and selection.strategy in (None, runner.strategy.name)
        and selection.symbol in (None, symbol)
    ]
    views = [view for strategy, symbol in pairs for view in _sides(reader, state, strategy, symbol, seq)]
    return WhyNotReport(seq, max(0, at_ms), tuple(views))


def _snapshots(path: Path) -> SnapshotStore:
    """Return the engine's snapshots, which are only read."""
    return SnapshotStore(sibling_path(path, ".snapshots"), lambda _: None, only_looks=True)


def _sides(reader: SqliteLogReader, state: EngineState, strategy: str, symbol: str, seq: int) -> list[ConditionsView]:
    """Return both sides of one strategy on one symbol, with what became of its last evaluation."""
    last = _last_answer(reader, strategy, symbol, state.runner(strategy).strategy.timeframe_ms, seq)
    views = [conditions_view(side, strategy, symbol, seq) for side in entry_conditions(state, strategy, symbol)]
    return [replace(view, holds=(*view.holds, *last.get(view.side, ()))) for view in views]


def _last_answer(
    reader: SqliteLogReader, strategy: str, symbol: str, timeframe_ms: int, seq: int
) -> dict[str, list[str]]:
    """Return why the last evaluated candle led to no entry although all conditions may be met, by side."""
    answers: dict[str, list[str]] = {"long": [], "short": []}
    oldest = max(0, seq - LOOK_BACK_EVENTS_MAX)
    for recorded in read_backwards(reader, seq):
        event = recorded.event
        if isinstance(event, OrderRejected) and (event.strategy, event.symbol) == (strategy, symbol):
            answers[event.side].append(f"refused at its last evaluation: {reason_words(event.reason)}")
        if isinstance(event, CandleClosed) and event.symbol == symbol and event.at_ms % timeframe_ms == 0:
            if event.timing is Timing.LATE:
                answers = {side: [*texts, LATE] for side, texts in answers.items()}
            return answers
        if recorded.seq <= oldest:
            break
    return {}


def _seq(reader: SqliteLogReader, at: str | None) -> int:
    """Return the event of `--at`: `#4711`, the last one before a market time, or the newest."""
    head_seq = reader.head().seq
    if at is None:
        return head_seq
    if at.startswith("#") and at[1:].isdigit():
        seq = int(at[1:])
        if not 1 <= seq <= head_seq:
            raise UsageError(f"--at {at}: the log contains events 1 to {head_seq}")
        return seq
    return seq_at(reader, moment_ms(at, "--at"), head_seq)


def show_funnel(db: Path | None, config: Path | None, query: FunnelQuery, *, as_json: bool) -> None:
    """Show the funnel of entries over a span."""
    loaded = load_config(config)
    path = db or loaded.database
    with closing(SqliteLogReader(path)) as reader:
        check_names(reader, query.symbol, query.strategy)
        report = funnel_report(reader, path, loaded, query)
    if as_json:
        emit(report)
        return
    from papertape.cli.render.funnel import print_funnel  # noqa: PLC0415 - tables are slow to import.

    print_funnel(report)


def funnel_report(reader: LogReader, path: Path, config: Config, query: FunnelQuery) -> FunnelReport:
    """Return the funnel of a span of a log, with a progress bar."""
    with progress_bar("reading the log", reader.head().seq) as on_progress:
        return read_funnel(reader, _snapshots(path), strategies_of(config), query, on_progress)


def funnel_query(
    selection: Selection, from_text: str | None, to_text: str | None, days: float | None
) -> FunnelQuery | None:
    """Return the span that the options name, None if they name none."""
    if from_text is None and to_text is None and days is None:
        return None
    if from_text is not None and days is not None:
        raise UsageError("use either --from or --days, not both")
    return FunnelQuery(
        from_ms=None if from_text is None else moment_ms(from_text, "--from"),
        until_ms=None if to_text is None else moment_ms(to_text, "--to"),
        days=DAYS_DEFAULT if days is None else days,
        strategy=selection.strategy,
        symbol=selection.symbol,
    )
