"""Measure what building the page's views from nothing costs by part: `python -m benchmarks.programs.fold_parts LOG`.

The parts run one after the other in one thread, in processor time; the log is a copy that nobody else uses.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from papertape.cli.service.gc_freeze import GcFreeze
from papertape.events.checkpoints.postings import Postings
from papertape.events.checkpoints.store import Checkpoint
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.persistence.fold_store import FoldCheckpoints
from papertape.projections.persistence.packing import pack
from papertape.projections.site.followed_log import BATCH_EVENTS_MAX, PAGE_EVENTS_MAX
from papertape.projections.site.timeline import DISTANCE_EVENTS
from papertape.projections.site.views import Views

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.events.log import EventStretch

T = TypeVar("T")


class PartTimes:
    """The processor time of each part, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def run(self, part: str, work: Callable[[], T]) -> T:
        """Run and time a piece of a part."""
        begun = time.process_time()
        done = work()
        self.seconds[part] += time.process_time() - begun
        return done


def measure(db: Path, folder: Path) -> tuple[dict[str, float], int]:
    """Return the processor time of each part in seconds, and the number of events."""
    gc.freeze()  # This and the next line: as the web does.
    gc.callbacks.append(GcFreeze())
    times, views, postings, since_seq = PartTimes(), Views(), Postings(), 0
    kept = FoldCheckpoints(folder, views, sys.exit)
    with closing(SqliteLogReader(db)) as reader:
        pages = reader.stretches(0, PAGE_EVENTS_MAX)
        while (page := times.run("read", partial(next, pages, None))) is not None:
            times.run("fold", partial(_fold, views, page))
            times.run("index in memory", partial(postings.add, page))
            if views.seq - since_seq >= DISTANCE_EVENTS and page.hash:
                place = Checkpoint(views.seq, views.newest_close_ms, page.hash)
                packed = times.run("pack", partial(pack, views))
                times.run("store", partial(kept.save, place, packed))
                times.run("store the index", partial(kept.index.save, place, b"", {}, since_seq, postings))
                since_seq, postings = views.seq, Postings()
    return times.seconds, views.seq


def _fold(views: Views, page: EventStretch) -> None:
    for first in range(0, len(page), BATCH_EVENTS_MAX):
        views.take(page.cut(first, first + BATCH_EVENTS_MAX))


def table(seconds: dict[str, float], events: int) -> str:
    """Return the costs as a table in Markdown, the largest first."""
    costs = sorted(seconds.items(), key=lambda cost: -cost[1])
    rows = [f"| {part} | {spent / events * 1e6:.2f} |" for part, spent in [*costs, ("all", sum(seconds.values()))]]
    return "\n".join(["| part | processor us per event |", "|---|---|", *rows, ""])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        sys.stdout.write(table(*measure(Path(sys.argv[1]), Path(scratch))))
