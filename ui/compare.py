"""Two logs side by side, with the first decision in which they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from papertape.projections.folds.log_diff import Comparison
    from papertape.ui.page_request import PageRequest


class ComparePage(Struct, frozen=True):
    """The context of the page; `comparison` is None without a second log."""

    comparison: Comparison | None


async def compare(request: PageRequest) -> ComparePage:
    """Compare this log with the other one. Raise what reading a log raises."""
    comparer = request.site.comparer
    return ComparePage(None if comparer is None else await comparer.comparison())
