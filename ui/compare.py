"""Two logs side by side, chosen from the library, with the first decision in which they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.events.errors import LogBusy, UsageError

if TYPE_CHECKING:
    from papertape.projections.folds.log_diff import Comparison
    from papertape.projections.site.library import LibraryEntry
    from papertape.ui.page_request import PageRequest

WAIT_S: Final = 2.0
"""A longer comparison continues in its thread; the page asks again."""


class ComparePage(Struct, frozen=True):
    """The context of the page; `comparison` is None while two logs are read, and as long as none are chosen."""

    comparison: Comparison | None
    logs: tuple[LibraryEntry, ...] = ()
    a: str = ""
    b: str = ""
    is_reading: bool = False


async def compare(request: PageRequest) -> ComparePage:
    """Compare the chosen logs, or this log with that of `--compare`. Raise what reading a log raises."""
    library, comparer = request.site.library, request.site.comparer
    view = None if library is None else await library.view()
    logs = () if view is None else tuple(one for one in view.entries if one.is_log)
    own = next((one.id for one in logs if one.address == "/"), "")
    a, b = request.parameter("a") or own, request.parameter("b")
    if library is not None and b:
        if a == b:
            raise UsageError("both are the same log; choose two")
        try:
            found = await library.comparison(a, b, WAIT_S)
        except LogBusy:
            found = None
        return ComparePage(found, logs, a, b, is_reading=found is None)
    return ComparePage(None if comparer is None else await comparer.comparison(), logs, a, b)
