"""The request for a page: the views at one moment, now or as of an event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.errors import UsageError
from papertape.projections.site.ports import newest_views
from papertape.projections.text.formats import moment_ms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.projections.site.ports import EngineStatus, Progress, Site
    from papertape.projections.site.views import Views
    from papertape.ui.search_cache import SearchCache

QUERY_CHARS_MAX = 200
SEQ_DIGITS_MAX = 18


class PageRequest(Struct, frozen=True):
    """A request for a page. `live` is False for a page as of an event; `now_ms` is the machine's clock in UTC ms.

    `first_fold` is the progress of the first fold if the views hold names only (`Timeline.unfolded`).
    `part` is the requested part of the page, empty for all of it. `path` and `query` are the parameters of its address.
    """

    site: Site
    views: Views
    live: bool
    now_ms: int
    engine: EngineStatus | None
    part: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    searches: SearchCache
    first_fold: Progress | None = None

    @property
    def head_seq(self) -> int:
        """The newest event of the log; it advances while the page is rendered."""
        return max(self.site.timeline.head_seq, self.seq)

    @property
    def folding(self) -> Progress | None:
        """The progress of the first fold of the log, for a live page; None once it is complete."""
        return self.first_fold or (self.site.timeline.folding if self.live else None)

    @property
    def outage(self) -> str:
        """Why the engine is down, for a live page; empty if it runs or the reason is unknown."""
        return self.site.outage() if self.live else ""

    @property
    def seq(self) -> int:
        """The last event of the views."""
        return self.views.seq

    def parameter(self, name: str) -> str:
        """Return a query parameter, empty if it is missing."""
        return self.query.get(name, "").strip()[:QUERY_CHARS_MAX]

    def number(self, name: str, default: int) -> int:
        """Return a query parameter as a whole number of at least 0. Raise UsageError for anything else."""
        text = self.parameter(name)
        if not text:
            return default
        if not _is_seq(text):
            raise UsageError(f"{name}={text!r} is not a whole number")
        return int(text)


async def views_of(site: Site, as_of: str) -> tuple[Views, bool]:
    """Return the views as of a seq or a UTC time and False, or the newest views and True if `as_of` is empty.

    Raise UsageError for an invalid moment or one outside the log, and LogBusy while the views are being built.
    """
    if not as_of:
        return newest_views(site.timeline), True
    seq = int(as_of) if _is_seq(as_of) else await site.timeline.seq_at(_at_ms(as_of))
    return await site.timeline.as_of(seq), False


def _is_seq(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= SEQ_DIGITS_MAX


def _at_ms(text: str) -> int:
    at_ms = moment_ms(text)
    if at_ms is None:
        raise UsageError(f"as_of={text!r} is neither an event's number nor a time such as 2025-01-31T12:00")
    return at_ms
