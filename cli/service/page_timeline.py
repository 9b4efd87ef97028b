"""A log that is looked at by a process of its own: followed read-only, its views kept from one look to the next."""

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

KEPT_FOLDER = "web"


class _Hashes:
    """The hashes of a log's rows: asked once a minute, so the log is opened and closed each time."""

    def __init__(self, db: Path) -> None:
        self._db = db

    def hash_at(self, seq: int) -> bytes | None:
        """See `projections.persistence.fold_store.RowHashReader`; a log that cannot be read now has no hash now."""
        try:
            with closing(SqliteLogReader(self._db)) as reader:
                return reader.hash_at(seq)
        except LogError:
            return None


def timeline_of(
    db: Path, timeframes_ms: Mapping[str, int], settings: AlertSettings, warn: Callable[[str], None]
) -> LogTimeline:
    """The views of the log at `db` over time, also of one that comes later. Somebody must run and close it.

    `timeframes_ms` says on whose close each strategy is evaluated, `settings` of what the owner is told. What is kept
    lies in a folder beside the log.
    """
    given = dict(timeframes_ms)
    store = SnapshotStore(sibling_path(db, ".folds") / KEPT_FOLDER, warn)
    keeping = FoldStore(store, _Hashes(db), lambda: int(time.time() * 1_000.0), warn, (given, settings))
    return LogTimeline(
        lambda: (make_tail(db), LogThread(lambda: SqliteLogReader(db))), lambda: Views(dict(given), settings), keeping
    )
