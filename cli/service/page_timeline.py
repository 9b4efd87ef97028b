"""The page's timeline of a log: followed read-only, with its views saved between two runs."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from papertape.events.beside import sibling_path
from papertape.events.errors import LogError
from papertape.events.log_thread import LogThread
from papertape.events.snapshots import SnapshotStore
from papertape.events.sqlite_log import SqliteLogReader
from papertape.events.tail import make_tail
from papertape.projections.persistence.fold_store import FoldStore
from papertape.projections.site.timeline import LogTimeline
from papertape.projections.site.views import Views

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from papertape.projections.alerts.settings import AlertSettings

FOLDS_FOLDER = "web"


class _Hashes:
    """The hashes of a log's rows. They are read once a minute, so the log is opened and closed each time."""

    def __init__(self, db: Path) -> None:
        self._db = db

    def hash_at(self, seq: int) -> bytes | None:
        """See `projections.persistence.fold_store.RowHashReader`. Return None while the log cannot be read."""
        try:
            with closing(SqliteLogReader(self._db)) as reader:
                return reader.hash_at(seq)
        except LogError:
            return None


def timeline_of(
    db: Path, timeframes_ms: Mapping[str, int], settings: AlertSettings, warn: Callable[[str], None]
) -> LogTimeline:
    """Return the views over time of the log at `db`, which need not exist yet. The caller must run and close it.

    `timeframes_ms` holds the timeframe of each strategy, `settings` the alerts that the owner receives. The views are
    saved in a folder beside the log.
    """
    by_strategy = dict(timeframes_ms)
    snapshots = SnapshotStore(sibling_path(db, ".folds") / FOLDS_FOLDER, warn)
    store = FoldStore(snapshots, _Hashes(db), lambda: int(time.time() * 1_000.0), warn, (by_strategy, settings))
    return LogTimeline(
        lambda: (make_tail(db), LogThread(lambda: SqliteLogReader(db))),
        lambda: Views(dict(by_strategy), settings),
        store,
    )
