"""`projections.site.library.Library`: the listing, comparisons of two of its logs, and the followed logs."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from papertape.cli.library.engines import EngineSource, engines_view
from papertape.cli.library.listing import entry_id, find_log, with_result
from papertape.cli.service.page_comparison import LogComparer
from papertape.events.errors import LogBusy

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.cli.library.listing import LibraryIndex, LibraryListing
    from papertape.cli.library.opened_logs import OpenedLogs
    from papertape.projections.folds.log_diff import Comparison
    from papertape.projections.site.library import EnginesView, LibraryView
    from papertape.projections.site.ports import Site

CACHED_S: Final = 1.0
PAIRS_MAX: Final = 4
"""How many comparisons are remembered."""
Pair = tuple["Path", "Path"]


class PageLibrary:
    """The library of one page process. `opened` must be set before the first request, as it finds logs here."""

    opened: OpenedLogs

    def __init__(self, listing: LibraryListing, site: Site, db: Path, config: Path | None) -> None:
        """List with `listing`; `site` shows the page's own log `db`, `config` is the configuration file."""
        self._listing, self._site, self._db, self._config = listing, site, db, config
        self._lock = asyncio.Lock()
        self._index: LibraryIndex | None = None
        self._read_at_s = 0.0
        self._comparers: OrderedDict[Pair, LogComparer] = OrderedDict()
        self._comparing: dict[Pair, asyncio.Future[Comparison]] = {}

    async def index(self) -> LibraryIndex:
        """Return the listing of a moment ago."""
        async with self._lock:
            if self._index is None or time.monotonic() - self._read_at_s > CACHED_S:
                self._index = await asyncio.to_thread(self._listing.read)
                self._read_at_s = time.monotonic()
            return self._index

    async def find(self, number: str) -> Path:
        """Return the path of a log. Raise UsageError for an unknown id."""
        return find_log(await self.index(), number)

    async def view(self) -> LibraryView:
        """See `projections.site.library.Library.view`."""
        view = (await self.index()).view
        own = entry_id(self._db.resolve())
        entries = []
        for entry in view.entries:
            opened = self.opened.opened(entry.id)
            site = self._site if entry.id == own else None if opened is None or opened.fault else opened.site
            if site is None or site.timeline.folding is not None:
                entries.append(entry)
            else:
                portfolio = site.timeline.views.portfolio.view()
                entries.append(with_result(entry, portfolio.equity_usdt - portfolio.capital_usdt, portfolio.seq))
        return replace(view, entries=tuple(entries))

    async def comparison(self, a: str, b: str, wait_s: float) -> Comparison | None:
        """See `projections.site.library.Library.comparison`."""
        index = await self.index()
        pair = find_log(index, a), find_log(index, b)
        task = self._comparing.get(pair)
        if task is None:
            if not all(one.done() for one in self._comparing.values()):
                raise LogBusy("two other logs are being compared; ask again in a moment")
            task = asyncio.ensure_future(self._comparer(pair).comparison())
            self._comparing = {pair: task}  # Nobody came back for an earlier result.
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        done, _ = await asyncio.wait({task}, timeout=wait_s)
        if not done:
            return None
        self._comparing.pop(pair, None)
        return task.result()

    async def engines(self) -> EnginesView:
        """See `projections.site.library.Library.engines`."""
        sources = [EngineSource(entry_id(self._db.resolve()), self._db, "/", self._site)]
        for number, path in self.opened.named.items():
            opened = self.opened.opened(number)
            fault = self.opened.faults.get(number, "") if opened is None else opened.fault
            sources.append(
                EngineSource(number, path, f"/open/{number}/", None if opened is None else opened.site, fault)
            )
        return await engines_view(sources)

    @property
    def is_several(self) -> bool:
        """Whether the page was started with more than one log."""
        return bool(self.opened.named)

    async def close(self) -> None:
        """Forget the comparisons in progress."""
        for task in self._comparing.values():
            task.cancel()
        await asyncio.gather(*self._comparing.values(), return_exceptions=True)

    def _comparer(self, pair: Pair) -> LogComparer:
        comparer = self._comparers.pop(pair, None) or LogComparer(*pair, self._config)
        self._comparers[pair] = comparer
        while len(self._comparers) > PAIRS_MAX:
            self._comparers.popitem(last=False)
        return comparer
