"""`papertape replay`: show the state as of an event or a market time."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.cli.arguments import moment_ms
from papertape.cli.config.overrides import load_config_of_log
from papertape.cli.config.sections import strategies_of
from papertape.cli.environment.streams import say
from papertape.cli.progress import progress_bar
from papertape.cli.render.console import emit
from papertape.cli.wiring import warn
from papertape.engine.recovery import RecoveredState, recover
from papertape.engine.reducer.snapshot_codec import state_digest
from papertape.engine.startup import snapshot_store
from papertape.events.errors import UsageError
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.folds.contracts import Contracts
from papertape.projections.folds.portfolio import Portfolio, PortfolioView
from papertape.projections.host import fold
from papertape.projections.site.market_time import MarketTimeCutoff

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papertape.cli.config.sections import Config
    from papertape.events.log import Recorded
    from papertape.events.snapshots import SnapshotStore


class ReplayReport(Struct, frozen=True):
    """The state as of one event. `digest` covers everything that the engine knew then."""

    seq: int
    digest: str
    snapshot_seq: int
    replayed_events: int
    took_ms: float
    state: PortfolioView


def show(
    db: Path | None,
    config: Path | None,
    to: int | None,
    at: str | None,
    *,
    only_digest: bool,
    from_start: bool,
    as_json: bool,
) -> None:
    """Fold the log and show the state as of an event."""
    loaded = load_config_of_log(config)
    path = db or loaded.database
    with closing(SqliteLogReader(path)) as reader:
        seq = _as_of(reader, to, None if at is None else moment_ms(at, "--at"))
        store = None if from_start else snapshot_store(path, warn)
        recovered = _recover(loaded, reader, store, seq)
        digest = state_digest(recovered.state)
        if only_digest:
            say(f"{digest}\n")
            return
        portfolio, contracts = Portfolio(), Contracts()
        fold([portfolio, contracts], _until(reader, seq))
    state = portfolio.view()
    if as_json:
        emit(ReplayReport(seq, digest, recovered.snapshot_seq, recovered.replayed_events, recovered.took_ms, state))
        return
    from papertape.cli.render.accounts import show_accounts  # noqa: PLC0415 - tables are slow to import.

    show_accounts(state, contracts.by_symbol, digest, recovered)


def _recover(config: Config, reader: SqliteLogReader, store: SnapshotStore | None, seq: int) -> RecoveredState:
    with progress_bar("replaying", seq) as on_progress:
        return recover(reader, store, strategies_of(config), seq, on_progress)


def _as_of(reader: SqliteLogReader, to: int | None, at_ms: int | None) -> int:
    """Return the seq to replay to: `to`, the last event before a market time, or the head."""
    head = reader.head().seq
    if to is not None and at_ms is not None:
        raise UsageError("use either --to or --at, not both")
    if to is not None:
        if not 1 <= to <= head:
            raise UsageError(f"--to {to}: the log contains events 1 to {head}")
        return to
    return head if at_ms is None else seq_at(reader, at_ms, head)


def seq_at(reader: SqliteLogReader, at_ms: int, head: int) -> int:
    """Return the seq of the last event that was known at `at_ms`. Raise UsageError if the log begins later."""
    moment = MarketTimeCutoff(at_ms)
    for commit in reader.commits():
        for recorded in commit.recorded():
            if not moment.includes(recorded):
                moment.check_begun()
                return recorded.seq - 1
    moment.check_begun()
    return head


def _until(reader: SqliteLogReader, seq: int) -> Iterator[Recorded]:
    """Yield the events up to `seq`."""
    for commit in reader.commits():
        for recorded in commit.recorded():
            if recorded.seq > seq:
                return
            yield recorded
