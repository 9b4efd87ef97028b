"""Builds the library of a page, the logs opened from it, and its jobs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.cli.library.data_folders import data_folders
from papertape.cli.library.jobs import JobQueue
from papertape.cli.library.library import PageLibrary
from papertape.cli.library.listing import LibraryListing, entry_id
from papertape.cli.library.opened_logs import OpenedLogs
from papertape.engine.ports.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.api.gate import Gate
    from papertape.cli.config.sections import Config
    from papertape.cli.library.job_plan import PlannedJob
    from papertape.engine.kernel.strategy import Strategy
    from papertape.projections.site.library import BacktestRequest, SweepRequest
    from papertape.projections.site.ports import Site, SiteSettings

SWITCHED_OFF: Final = "jobs are switched off here: web.jobs = 'off' in the configuration"


class LibrarySources(Struct, frozen=True):
    """The page's own log, the others of the command line, and the configuration with its `--set`."""

    db: Path
    others: tuple[Path, ...]
    config: Config
    sets: tuple[str, ...]
    settings_of: Callable[[Path], SiteSettings]


def make_library(
    sources: LibrarySources, site: Site, gate: Gate, strategies: dict[str, Strategy]
) -> tuple[PageLibrary, OpenedLogs, JobQueue]:
    """Give a site its library and jobs; the caller must run and close the opened logs and the jobs."""
    config, logs = sources.config, (sources.db, *sources.others)
    folders = data_folders(logs)
    backups = tuple(dict.fromkeys((folder / config.backup.folder).resolve() for folder in folders))
    file = Path(config.file) if config.file else None
    library = PageLibrary(LibraryListing(logs, folders, backups), site, sources.db, file)
    named = {entry_id(path.resolve()): path for path in sources.others}
    opened = OpenedLogs(site, gate, config, strategies, sources.settings_of, library.find, named)
    library.opened = opened
    sets = tuple(one for one in sources.sets if not one.startswith("feed."))

    async def plan(request: BacktestRequest | SweepRequest) -> PlannedJob:
        # The parts of research are slow to import, and few pages need them.
        from papertape.cli.library.job_plan import JobPlanner  # noqa: PLC0415

        index, planner = await library.index(), JobPlanner(sources.db, file, sets, jobs.outputs())
        return await asyncio.to_thread(planner.plan, request, index, SystemClock().now_ms())

    jobs = JobQueue(plan, SystemClock().now_ms, "" if config.web.jobs == "on" else SWITCHED_OFF)
    site.library, site.jobs = library, jobs
    return library, opened, jobs
