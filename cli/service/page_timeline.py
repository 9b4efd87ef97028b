"""The page's timeline of a log: followed read-only, with its views saved between two runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.cli.kept_views import VIEWS_FOLDER
from papertape.events.beside import sibling_path
from papertape.events.log_thread import LogThread
from papertape.events.sqlite_log import SqliteLogReader
from papertape.events.tail import make_tail
from papertape.projections.persistence.fold_store import FoldCheckpoints
from papertape.projections.site.timeline import LogTimeline
from papertape.projections.site.views import Views

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from papertape.projections.alerts.settings import AlertSettings


def timeline_of(
    db: Path, timeframes_ms: Mapping[str, int], settings: AlertSettings, warn: Callable[[str], None]
) -> LogTimeline:
    """Return the views over time of the log at `db`, which need not exist yet. The caller must run and close it.

    `timeframes_ms` holds the timeframe of each strategy, `settings` the alerts that the owner receives. The
    checkpoints of the views are in a folder beside the log.
    """
    by_strategy = dict(timeframes_ms)
    folder = sibling_path(db, ".folds") / VIEWS_FOLDER
    return LogTimeline(
        lambda: (make_tail(db), LogThread(lambda: SqliteLogReader(db))),
        lambda: Views(dict(by_strategy), settings),
        FoldCheckpoints(folder, Views(), warn, (by_strategy, settings)),
    )
