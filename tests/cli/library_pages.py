"""A page on the example day with a data folder, its library, opened logs and jobs."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx

from papertape.api.app import application
from papertape.api.gate import Access
from papertape.api.routes import GuardedMount
from papertape.api.streams import Streams
from papertape.cli.config.sections import Config
from papertape.cli.library.assembly import LibrarySources, make_library
from papertape.cli.library.listing import OPEN, entry_id
from papertape.cli.service.page import site_settings
from papertape.ui.pages import not_found_page, pages
from tests.cli.written_log import entries, write_log
from tests.patience import PATIENCE_S
from tests.support import STRATEGIES
from tests.web.site import ORIGIN, example_day, gate_of, site_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from papertape.api.gate import Gate
    from papertape.cli.library.opened_logs import OpenedLogs
    from papertape.projections.site.ports import SiteSettings

HTML = {"accept": "text/html"}


@asynccontextmanager
async def serving(
    folder: Path, *named: Path, gate: Gate | None = None, config: Config | None = None
) -> AsyncIterator[tuple[httpx.AsyncClient, OpenedLogs]]:
    """Yield a client of a page on the example day, whose data folder is `folder`, and its opened logs."""
    own, used = await asyncio.to_thread(write_log, folder / "own.db"), config or Config()
    site, checked = site_of(example_day()), gate or gate_of()

    def settings_of(path: Path) -> SiteSettings:
        return site_settings(used, path, is_named=False)

    sources = LibrarySources(own, named, used, (), settings_of)
    library, opened, jobs = make_library(sources, site, checked, dict(STRATEGIES))
    streams, stop = Streams(site.timeline), asyncio.Event()
    mounted = GuardedMount(OPEN, opened, access=Access.OPEN)
    app = application(site, checked, streams, [*pages(site, streams), mounted], not_found_page(site))
    running = asyncio.ensure_future(opened.run(stop))
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as client:
            yield client, opened
    finally:
        stop.set()
        await asyncio.gather(running, jobs.close(), library.close(), opened.close())


async def read_whole(client: httpx.AsyncClient, base: str) -> httpx.Response:
    """Return the arena of an opened log once the log has been read."""
    async with asyncio.timeout(PATIENCE_S):
        while (answer := await client.get(f"{base}/api/v1/arena")).status_code == 503:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return answer


async def write_logs(folder: Path, count: int) -> list[str]:
    """Write logs in a folder and return their addresses. An engine can fold all their events."""
    commits = entries()[:-1]
    paths = [await asyncio.to_thread(write_log, folder / f"log{number}.db", commits) for number in range(count)]
    return [f"/open/{entry_id(path.resolve())}" for path in paths]
