"""The list of studies, and the page of one study."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.errors import UsageError

if TYPE_CHECKING:
    from papertape.projections.studies.reader import StudyFolder, StudySummary, StudyView
    from papertape.ui.page_request import PageRequest


SILENT_MS_MAX = 120_000
"""A running study stores results every few seconds; after this silence its process may have ended."""


class StudiesPage(Struct, frozen=True):
    """The context of the list."""

    studies: tuple[StudySummary, ...]
    folder: str


class StudyPage(Struct, frozen=True):
    """The context of one study. `resume` is the command that continues it."""

    study: StudyView
    resume: str
    silent_ms_max: int = SILENT_MS_MAX


async def studies(request: PageRequest) -> StudiesPage:
    """Load the list."""
    folder = request.site.studies
    if folder is None:
        return StudiesPage((), "")
    return StudiesPage(await asyncio.to_thread(folder.summaries), str(folder.path))


async def study(request: PageRequest) -> StudyPage:
    """Load one study. Raise UsageError for an unknown name, and for a parameter or value that it does not vary."""
    folder, name = request.site.studies, request.path["name"]
    if folder is None:
        raise UsageError(f"there is no study {name!r}; there are: none yet")
    return await asyncio.to_thread(_load, folder, name)


def _load(folder: StudyFolder, name: str) -> StudyPage:
    return StudyPage(folder.study(name), f"papertape sweep --study {name}")
