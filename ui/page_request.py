"""What a page looks at: the views of one moment, now or as of an event."""

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
    """One visit. `live` is False for a page as of an event; `now_ms` is the machine's clock when it was asked for.

    `part` is what of the page is asked for, empty for all. `path` and `query` are what its address names.
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

    @property
    def head_seq(self) -> int:
        """The newest event there is. The newest views move while a page is made, so it is asked when it is written."""
        return max(self.site.timeline.head_seq, self.seq)

    @property
    def folding(self) -> Progress | None:
        """The progress of the first fold of the log, for a live page; None once it is complete."""
        return self.site.timeline.folding if self.live else None

    @property
    def outage(self) -> str:
        """The keeper's reason why the engine is down, for a live page; empty if it runs or the reason is unknown."""
        return self.site.outage() if self.live else ""

    @property
    def seq(self) -> int:
        """The event the views stand at."""
        return self.views.seq

    def parameter(self, name: str) -> str:
        """A parameter, empty where it was not given."""
        return self.query.get(name, "").strip()[:QUERY_CHARS_MAX]

    def number(self, name: str, default: int) -> int:
        """A parameter that is a whole number of at least 0. Raises UsageError for anything else."""
        text = self.parameter(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= SEQ_DIGITS_MAX):
            raise UsageError(f"{name}={text!r} is not a whole number")
        return int(text)


async def views_of(site: Site, asked: str) -> tuple[Views, bool]:
    """The views as of `asked` (a seq or a time in UTC) and False; the newest ones and True where it is empty.

    Raises UsageError for what is neither, or not in the log, and LogBusy while the views are being built.
    """
    if not asked:
        return newest_views(site.timeline), True
    seq = int(asked) if _is_seq(asked) else await site.timeline.seq_at(_at_ms(asked))
    return await site.timeline.as_of(seq), False


def _is_seq(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= SEQ_DIGITS_MAX


def _at_ms(text: str) -> int:
    at_ms = moment_ms(text)
    if at_ms is None:
        raise UsageError(f"as_of={text!r} is neither an event's number nor a time like 2025-01-31T12:00")
    return at_ms
