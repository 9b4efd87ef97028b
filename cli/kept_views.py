"""The views at the head of a log, from the page's newest checkpoint instead of from its first event."""

from __future__ import annotations

from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from papertape.cli.log_reader import progress
from papertape.events.beside import sibling_path
from papertape.events.errors import SnapshotRefused
from papertape.projections.persistence.fold_store import FoldCheckpoints
from papertape.projections.site.views import Views

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papertape.cli.log_reader import OpenedLog

VIEWS_FOLDER = "web"


@contextmanager
def kept_views(reader: OpenedLog) -> Iterator[Views | None]:
    """Yield the views at the head; None if there is no checkpoint that makes this cheaper than folding the log."""
    folder = sibling_path(reader.db, ".folds") / VIEWS_FOLDER
    checkpoints = FoldCheckpoints(folder, Views(), lambda _: None, only_reads=True)
    with closing(checkpoints.store):
        views, head = None, reader.head()
        with suppress(SnapshotRefused):
            newest = checkpoints.store.newest(head.seq)
            if newest is not None and newest.seq > head.seq // 2 and reader.hash_at(newest.seq) == newest.hash:
                views = checkpoints.load(newest.seq)
                first_seq = views.seq
                with progress(head.seq - first_seq) as step:
                    for stretch in reader.stretches(first_seq):
                        views.take(stretch)
                        step(views.seq - first_seq)
                        if views.seq >= head.seq:
                            break  # An engine may go on writing.
        yield views
