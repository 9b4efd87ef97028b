"""`papertape ui`: serve the pages and the API of one log, in a process that only reads it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
from contextlib import closing, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.api.app import application
from papertape.api.gate import Access, Gate
from papertape.api.hosts import AllowedHosts
from papertape.api.login_link import LoginLink
from papertape.api.routes import GuardedMount
from papertape.api.server import CONNECTIONS_MAX, serve
from papertape.api.streams import Streams
from papertape.cli.config.overrides import load_config_of_log
from papertape.cli.config.sections import config_digest, strategies_of
from papertape.cli.config.summary import summary
from papertape.cli.environment.early_signals import call_on_stop
from papertape.cli.environment.streams import write_message
from papertape.cli.environment.tasks import leave_within, run_tasks
from papertape.cli.keeper.status_board import KEEPER, own_board
from papertape.cli.library.assembly import LibrarySources, make_library
from papertape.cli.library.listing import OPEN
from papertape.cli.library.opened_logs import note_known_result
from papertape.cli.page_token import PageAccess, resolve_access, web_variables
from papertape.cli.render.strategies import strategy_views
from papertape.cli.run_options import logs_folder, of_log
from papertape.cli.service.engine_client import EngineClient
from papertape.cli.service.funnel_process import FunnelProcesses
from papertape.cli.service.gc_freeze import GcFreeze
from papertape.cli.service.listen_socket import open_listener, url_of
from papertape.cli.service.log_files import ROOT, logs
from papertape.cli.service.page_comparison import LogComparer
from papertape.cli.service.page_inspector import LogInspector
from papertape.cli.service.page_timeline import timeline_of
from papertape.cli.service.unlogged_messages import UnloggedMessages, unlogged_path
from papertape.cli.wiring import warn
from papertape.engine.task_supervisor import supervise
from papertape.events.errors import LogReplaced, PapertapeError, UsageError
from papertape.events.facts import EngineStopped
from papertape.events.sqlite_file import holds_log, log_missing
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.site.ports import Site, SiteSettings
from papertape.projections.site.readiness import FINISHED
from papertape.projections.studies.reader import StudyFolder, studies_folder
from papertape.ui.pages import not_found_page, pages

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from papertape.cli.config.sections import Config
    from papertape.cli.keeper.status_board import StatusBoard
    from papertape.engine.kernel.strategy import Strategy

FILES_BESIDE_CONNECTIONS_MAX = 200
ENDS_WITHIN_S = 1.8
"""A page only reads, so nothing is lost when reading a large log is interrupted."""
REPLACED_S = 1.0
"""The wait for the log that takes the place of one that was replaced."""
LOGS_MAX = 8
LOGGER = f"{ROOT}.page"
COMMIT = "PAPERTAPE_COMMIT"
"""The environment variable with the commit from which an image was built."""
BACKTEST_CONFIG_TEXT = (
    "a backtest or a what-if branch: each strategy's page shows the parameters and limits that it ran under"
)


class PageServerSettings(Struct, frozen=True):
    """The log to serve, its configuration, the socket, and the access to it."""

    load: Callable[[], Config]
    """Reads the configuration, again after a reload."""
    config: Config
    db: Path
    others: tuple[Path, ...]
    """Further logs that are followed; they may be missing."""
    sets: tuple[str, ...]
    listening: socket.socket
    access: PageAccess
    comparer: LogComparer | None
    is_config_named: bool
    """Somebody named the configuration of this log; else it may belong to another one."""


def show(
    dbs: list[Path],
    config: Path | None,
    sets: list[str],
    host: str | None,
    port: int | None,
    other: Path | None,
) -> None:
    """Serve the first log until a signal arrives, and follow the others. `other` is a log to compare with.

    Raise LogMissing for a missing log, unless an engine is about to create it; ConfigError for an address that other
    machines can reach without a token; UsageError for an address that cannot be used.
    """
    loaded = of_log(load_config_of_log(config, sets), dbs[0] if dbs else None)
    path, *more = dbs or [loaded.database]
    if len(dbs) > LOGS_MAX:
        raise UsageError(f"one page follows at most {LOGS_MAX} logs, not {len(dbs)}; the library opens the others")
    for one in (path if KEEPER not in os.environ else None, other):
        if one is not None and not holds_log(one):
            raise log_missing(one)
    _allow_connections()
    with open_listener(host or loaded.web.host, loaded.web.port if port is None else port) as listening:
        access = resolve_access(web_variables(os.environ, loaded.folder), listening.getsockname()[0])
        for line in access.announcement(url_of(listening)):
            write_message(f"{line}\n")
        comparer = None if other is None else LogComparer(path, other, config)
        is_named = config is not None or KEEPER in os.environ
        load = partial(load_config_of_log, config, sets)
        others = tuple(one for one in dict.fromkeys(more) if one.resolve() != path.resolve())
        settings = PageServerSettings(load, loaded, path, others, tuple(sets), listening, access, comparer, is_named)
        run_tasks(lambda: _serve(settings), quick=True)


def _allow_connections() -> None:
    """Raise the limit of open files, as far as the system permits: every connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files_max = CONNECTIONS_MAX + FILES_BESIDE_CONNECTIONS_MAX
    if soft < files_max:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(files_max, hard) if hard > 0 else files_max, hard))


async def _serve(settings: PageServerSettings) -> None:
    """Follow the log and serve its views until a signal arrives."""
    gc.freeze()  # Imported modules stay in memory anyway, so no collection needs to walk through them.
    gc.callbacks.append(GcFreeze())
    config, db, web = settings.config, settings.db, settings.config.web
    stop = asyncio.Event()

    def request_stop() -> None:
        stop.set()
        leave_within(ENDS_WITHIN_S)

    call_on_stop(request_stop)
    strategies = strategies_of(config)
    timeframes_ms = {name: strategy.timeframe_ms for name, strategy in strategies.items()}
    timeline = timeline_of(db, timeframes_ms, config.alerts, warn)
    funnels = FunnelProcesses(db, config.file)
    with closing(timeline), closing(LogInspector(db, strategies, timeline)) as inspector:
        unlogged, board = UnloggedMessages(unlogged_path(db)), own_board(os.environ)
        site = Site(
            site_settings(config, db, is_named=settings.is_config_named),
            timeline,
            inspector,
            EngineClient(db),
            strategy_views(strategies),
            settings.comparer,
            unlogged.read,
            (lambda: "") if board is None else (lambda: board.read("outage")),
            funnels,
            StudyFolder(studies_folder(db)),
        )
        streams = Streams(timeline, web.streams_max)
        gate = _gate(settings, board)
        library, opened, jobs = make_library(
            LibrarySources(db, settings.others, config, settings.sets, partial(site_settings, config, is_named=False)),
            site,
            gate,
            strategies,
        )
        mounted = GuardedMount(OPEN, opened, access=Access.OPEN)  # Each of its routes asks the gate.
        app = application(site, gate, streams, [*pages(site, streams), mounted], not_found_page(site))

        async def work() -> None:
            await serve(app, settings.listening, streams, stop, web.proxies)
            await jobs.close()
            await library.close()
            await opened.close()
            await note_known_result(db, site)
            await funnels.close()
            inspector.close()
            timeline.close()

        # A page that a person starts leaves no files behind, and two pages never write the same file.
        folder = logs_folder(config) if KEEPER in os.environ else None
        with logs(config.logs, folder, "page", lambda: timeline.head_seq):
            logging.getLogger(LOGGER).info("serving %s at %s", db, url_of(settings.listening))
            watchers: dict[str, Callable[[], Awaitable[None]]] = {
                "timeline": timeline.run,
                "inspector": inspector.run,
                "configuration": partial(_follow_configuration, settings, site, strategies),
                "opened logs": partial(opened.run, stop),
                "jobs": jobs.run,
            }
            await supervise(work, watchers, lambda: timeline.head_seq)
            logging.getLogger(LOGGER).info("ended")


def _gate(settings: PageServerSettings, board: StatusBoard | None) -> Gate:
    """Return the gate of the page, for the address that it listens on."""
    access, web = settings.access, settings.config.web
    return Gate(
        access.token,
        AllowedHosts(settings.listening.getsockname()[0], web.trusted_hosts),
        reading_open=access.reading_open,
        signal_token=access.signal_token,
        login_link=login_link(access, board),
        cors_origins=web.cors_origins,
    )


async def _follow_configuration(settings: PageServerSettings, site: Site, strategies: dict[str, Strategy]) -> None:
    """Read the configuration again whenever the engine runs under another one, until the timeline is closed."""
    timeline, seq, known = site.timeline, -1, ""
    while True:
        try:
            reached = await timeline.wait_beyond(seq)
        except LogReplaced:
            await asyncio.sleep(REPLACED_S)
            seq = -1
            continue
        if reached <= seq:
            return
        seq, started = reached, timeline.views.started
        if started is not None and started.config_digest != known:
            if known:
                await asyncio.to_thread(_read_again, settings, site, strategies)
            known = started.config_digest


def _read_again(settings: PageServerSettings, site: Site, strategies: dict[str, Strategy]) -> None:
    """Replace what the site shows of the configuration; a file that is invalid by now changes nothing."""
    try:
        config = settings.load()
        strategies.update(strategies_of(config))
    except PapertapeError as error:
        warn(f"the page shows the configuration as before: {error}")
        return
    site.strategies = strategy_views(strategies)
    site.settings = site_settings(config, settings.db, is_named=settings.is_config_named)


def login_link(access: PageAccess, board: StatusBoard | None) -> LoginLink | None:
    """Return the one-time login, used up if a page that this one replaces saw it used."""
    login = access.login
    if login is None:
        return None
    if board is None:
        return LoginLink(login.text, login.until_s)
    is_used, on_use = bool(board.read("login")), partial(board.write, "login", "used")
    return LoginLink(login.text, login.until_s, is_used=is_used, on_use=on_use)


def site_settings(config: Config, db: Path, *, is_named: bool) -> SiteSettings:
    """Return what the pages show of the installation.

    A backtest ran under another configuration. If nobody named this one, it may not be the engine's either.
    """
    is_over = is_backtest(db)
    return SiteSettings(
        version=version("papertape"),
        database=str(db),
        simulated=config.feed.kind == "sim" and not is_over,
        config_text=BACKTEST_CONFIG_TEXT if is_over else summary(config, str(db.absolute())),
        config_digest="" if is_named or is_over else config_digest(config),
        commands_allowed=not is_over,
        commit=os.environ.get(COMMIT, ""),
    )


def is_backtest(db: Path) -> bool:
    """Return whether a log is that of a backtest or of a what-if branch, on which no engine will ever run."""
    if not holds_log(db):
        return False
    with closing(SqliteLogReader(db)) as reader:
        head_seq = reader.head().seq
        last = reader.read(head_seq - 1, 1) if head_seq else []
    return any(isinstance(one.event, EngineStopped) and one.event.reason in FINISHED for one in last)
