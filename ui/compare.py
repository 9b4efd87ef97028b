"""Two logs side by side, with the first decision in which they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from papertape.projections.folds.log_diff import Comparison
    from papertape.ui.page_request import PageRequest


class ComparePage(Struct, frozen=True):
    """The page's context; without a second log there is no comparison."""

    found: Comparison | None


async def compare(look: PageRequest) -> ComparePage:
    """This log beside the other one. Raises what reading a log raises."""
    comparer = look.site.comparer
    return ComparePage(None if comparer is None else await comparer.comparison())
