"""The logs that a page process follows besides its own, each with all pages and views under its own address.

They are read-only: no command reaches an engine through them. The logs that the page was started with are followed from
the start; of those that are opened from the library, the ones used last stay open, so memory is bounded.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse

from papertape.api.app import inner_application
from papertape.api.gate import Access
from papertape.api.problems import problem
from papertape.api.streams import Streams
from papertape.cli.library.listing import OPEN
from papertape.cli.library.log_header import note_result
from papertape.cli.render.strategies import strategy_views
from papertape.cli.service.engine_client import EngineClient
from papertape.cli.service.log_files import ROOT
from papertape.cli.service.page_inspector import LogInspector
from papertape.cli.service.page_timeline import timeline_of
from papertape.cli.wiring import warn
from papertape.events.errors import CommandRefused, LogBusy, PapertapeError, UsageError
from papertape.projections.site.ports import Site
from papertape.projections.studies.reader import StudyFolder, studies_folder
from papertape.ui.pages import error_page, not_found_page, opened_pages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from papertape.api.gate import Gate
    from papertape.cli.config.sections import Config
    from papertape.engine.kernel.strategy import Strategy
    from papertape.events.commands import Accepted, Command
    from papertape.events.signals import SignalBatch, SignalsRecorded
    from papertape.projections.site.ports import SiteSettings

    ErrorPage = Callable[[Request, str, int], Awaitable[Response]]

LOGGER: Final = logging.getLogger(f"{ROOT}.page")
OPENED_MAX: Final = 4
"""How many logs of the library are open at once."""
STREAMS_MAX: Final = 32
FAULT_KEPT_S: Final = 5.0
"""How long a log is shown as unreadable before it is tried again."""
READ_ONLY: Final = "this log is opened read-only; commands go to the page that its engine was started with"


class ReadOnlyEngine(EngineClient):
    """The engine of a log that is open read-only: it reports its status and accepts nothing."""

    async def submit(self, command: Command) -> Accepted:  # noqa: ARG002
        """Raise UsageError."""
        raise UsageError(READ_ONLY)

    async def receive(self, batch: SignalBatch) -> SignalsRecorded:  # noqa: ARG002
        """Raise UsageError."""
        raise UsageError(READ_ONLY)

    async def crash(self) -> None:
        """Raise CommandRefused."""
        raise CommandRefused(READ_ONLY)


class LibraryLog:
    """One log with its site. `follow` it; `fault` says why it cannot be read, empty if it can."""

    def __init__(
        self, number: str, db: Path, settings: SiteSettings, config: Config, strategies: dict[str, Strategy]
    ) -> None:
        self.number, self.db = number, db
        self.fault, self.fault_at_s = "", 0.0
        timeframes_ms = {name: strategy.timeframe_ms for name, strategy in strategies.items()}
        self.timeline = timeline_of(db, timeframes_ms, config.alerts, warn)
        self.inspector = LogInspector(db, strategies, self.timeline)
        self.site = Site(
            settings,
            self.timeline,
            self.inspector,
            ReadOnlyEngine(db),
            strategy_views(strategies),
            studies=StudyFolder(studies_folder(db)),
        )
        self.streams = Streams(self.timeline, STREAMS_MAX)

    async def follow(self) -> None:
        """Follow the log until it is closed; a log that cannot be read ends it with `fault`, a bug with its error."""
        try:
            await asyncio.gather(self.timeline.run(), self.inspector.run())
        except PapertapeError as error:
            self._note_fault(str(error))
        finally:
            await self.streams.close()

    def note_bug(self, following: asyncio.Future[None]) -> None:
        """Show that a bug has ended `follow`, so that no view of the log stays as it was without saying so."""
        error = None if following.cancelled() else following.exception()
        if error is not None:
            self._note_fault(f"a bug in papertape: {type(error).__name__}; the page's log has the details")
            LOGGER.error("following %s failed", self.db, exc_info=error)

    def _note_fault(self, text: str) -> None:
        self.fault, self.fault_at_s = text, time.monotonic()

    async def close(self) -> None:
        """Close the log, and note its result beside it."""
        await self.streams.close()
        if not self.fault:
            await note_known_result(self.db, self.site)
        self.inspector.close()
        self.timeline.close()


async def note_known_result(db: Path, site: Site) -> None:
    """Note beside a log what its views say about its result, for libraries that list it later."""
    timeline = site.timeline
    if timeline.folding is None and timeline.views.seq:
        portfolio = timeline.views.portfolio.view()
        with suppress(PapertapeError):  # It has just been replaced or unmounted.
            await asyncio.to_thread(note_result, db, portfolio.equity_usdt - portfolio.capital_usdt, portfolio.seq)


class OpenedLogs:
    """Serves opened logs under `/open/ID/`. Run `run` beside the server; `close` it at the end."""

    def __init__(
        self,
        main: Site,
        gate: Gate,
        config: Config,
        strategies: dict[str, Strategy],
        settings_of: Callable[[Path], SiteSettings],
        find: Callable[[str], Awaitable[Path]],
        named: dict[str, Path],
    ) -> None:
        """`find` returns the path of a log of the library by its id; `named` are the other logs of the command line."""
        self._config, self._strategies, self._settings_of, self._find = config, strategies, settings_of, find
        self._gate = gate
        self._error_page: ErrorPage = error_page(main)
        self._apps: dict[str, Callable[[Scope, Receive, Send], Awaitable[None]]] = {}
        self._logs: OrderedDict[str, LibraryLog] = OrderedDict()
        self._following: dict[str, asyncio.Future[None]] = {}
        self._lock = asyncio.Lock()
        self._ending = False
        self.named = named
        self.faults: dict[str, str] = {}
        """Why logs of the command line cannot be opened, by their ids."""

    def opened(self, number: str) -> LibraryLog | None:
        """Return a log if it is open."""
        return self._logs.get(number)

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the logs of the command line; end all streams after `stop`, so that the server can end."""
        for number, path in self.named.items():
            try:
                await self._open(number, path)
            except PapertapeError as error:
                self.faults[number] = str(error)
        await stop.wait()
        self._ending = True
        for one in tuple(self._logs.values()):
            await one.streams.close()

    async def close(self) -> None:
        """Close all logs."""
        self._ending = True
        async with self._lock:
            for number in tuple(self._logs):
                await self._drop(number)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the log that the address names."""
        await (await self._answer(scope))(scope, receive, send)

    async def _answer(self, scope: Scope) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
        number, slash, _ = scope["path"].removeprefix(scope["root_path"] + "/").partition("/")
        connection = HTTPConnection(scope)
        is_page = "text/html" in connection.headers.get("accept", "")
        if (refusal := self._gate.refusal(Access.PAGE if is_page else Access.READ, connection)) is not None:
            return refusal
        if not slash:
            return RedirectResponse(f"{scope['root_path']}/{number}/", 307)
        try:
            opened = await self._get(number)
        except UsageError as error:
            return await self._refusal(scope, str(error), 404, is_page=is_page)
        except PapertapeError as error:
            return await self._refusal(scope, str(error), 503, is_page=is_page)
        if opened.fault:
            return await self._refusal(scope, opened.fault, 503, is_page=is_page)
        app = self._apps[number]

        async def serve(_: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "root_path": f"{scope['root_path']}/{number}"}, receive, send)

        return serve

    async def _refusal(self, scope: Scope, text: str, status: int, *, is_page: bool) -> Response:
        return (
            await self._error_page(Request(scope), text, status)
            if is_page and scope["type"] == "http"
            else problem(status, text)
        )

    async def _get(self, number: str) -> LibraryLog:
        """Return a log, opened now if necessary. Raise UsageError for an unknown id, LogError for a damaged file."""
        found = self._logs.get(number)
        if found is None or (found.fault and time.monotonic() - found.fault_at_s > FAULT_KEPT_S):
            path = self.named.get(number) or await self._find(number)
            await self._open(number, path)
        self._logs.move_to_end(number)
        return self._logs[number]

    async def _open(self, number: str, path: Path) -> None:
        async with self._lock:
            known = self._logs.get(number)
            if self._ending:
                raise LogBusy("the page is shutting down")
            if known is not None and not known.fault:
                return
            if known is not None:
                await self._drop(number)
            others = [one for one in self._logs if one not in self.named]
            if number not in self.named and len(others) >= OPENED_MAX:
                await self._drop(others[0])
            settings = await asyncio.to_thread(self._settings_of, path)
            self.faults.pop(number, None)
            base = f"{OPEN}/{number}"
            own = replace(settings, simulated=False, commands_allowed=False, base=base)
            opened = LibraryLog(number, path, own, self._config, self._strategies)
            self._logs[number] = opened
            self._apps[number] = inner_application(
                opened.site,
                self._gate,
                opened.streams,
                opened_pages(opened.site, opened.streams),
                not_found_page(opened.site),
            )
            self._following[number] = asyncio.ensure_future(opened.follow())
            self._following[number].add_done_callback(opened.note_bug)

    async def _drop(self, number: str) -> None:
        opened = self._logs.pop(number)
        del self._apps[number]
        await opened.close()
        following = self._following.pop(number)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
