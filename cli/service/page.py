"""`papertape ui`: the pages and the API of one log, as a process of its own that only reads it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.api.app import application
from papertape.api.gate import Gate
from papertape.api.hosts import AllowedHosts
from papertape.api.server import CONNECTIONS_MAX, serve
from papertape.api.streams import Streams
from papertape.cli.config.sections import config_digest, load_config, strategies_of
from papertape.cli.environment.streams import write_message
from papertape.cli.environment.tasks import leave_within, run_tasks
from papertape.cli.keeper.status_board import KEEPER, own_board
from papertape.cli.page_token import PageAccess, resolve_access, web_variables
from papertape.cli.render.config import summary
from papertape.cli.render.strategies import strategy_views
from papertape.cli.run_options import logs_folder
from papertape.cli.service.engine_client import EngineClient
from papertape.cli.service.gc_freeze import GcFreeze
from papertape.cli.service.listen_socket import open_listener, url_of
from papertape.cli.service.log_files import ROOT, logs
from papertape.cli.service.page_comparison import LogComparer
from papertape.cli.service.page_inspector import LogInspector
from papertape.cli.service.page_timeline import timeline_of
from papertape.cli.service.unlogged_messages import UnloggedMessages, unlogged_path
from papertape.cli.wiring import warn
from papertape.engine.task_supervisor import supervise
from papertape.events.errors import LogMissing
from papertape.events.facts import EngineStopped
from papertape.events.sqlite_file import holds_log
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.site.ports import Site, SiteSettings
from papertape.projections.site.readiness import BACKTEST_ENDED
from papertape.ui.pages import not_found_page, pages

if TYPE_CHECKING:
    import socket

    from papertape.cli.config.sections import Config

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
FILES_BESIDE_CONNECTIONS_MAX = 200
ENDS_WITHIN_S = 1.8
"""A page only reads, so nothing is lost when reading a large log is interrupted."""
LOGGER = f"{ROOT}.page"
COMMIT = "PAPERTAPE_COMMIT"
OF_A_BACKTEST = "a backtest: each strategy's page shows the parameters and limits that it ran under"
"""The environment variable with the commit an image was made of."""


class PageServerSettings(Struct, frozen=True):
    """What is served, where, and to whom."""

    config: Config
    db: Path
    listening: socket.socket
    entrance: PageAccess
    comparer: LogComparer | None
    config_given: bool
    """The configuration is that of the log because somebody said so; else it may be anybody's."""


def show(
    db: Path | None,
    config: Path | None,
    sets: list[str],
    host: str | None,
    port: int | None,
    other: Path | None,
) -> None:
    """Serve until a signal comes. `other` is a log that is shown beside this one.

    Raises LogMissing for a log that there is not, unless an engine is about to make it; ConfigError for an address that
    others reach without a token; UsageError where it cannot be listened on.
    """
    loaded = load_config(config, sets)
    path = db or loaded.database
    if not path.exists() and KEEPER not in os.environ:
        raise LogMissing(f"there is no log at {path}")
    if other is not None and not other.exists():
        raise LogMissing(f"there is no log at {other}")
    _allow_connections()
    with open_listener(host or loaded.web.host, loaded.web.port if port is None else port) as listening:
        found = resolve_access(web_variables(os.environ, loaded.folder), listening.getsockname()[0])
        _say(f"papertape: {url_of(listening)}")
        if found.made:
            _say(f"commands need this token: {found.made}")
        comparer = None if other is None else LogComparer(path, other, config)
        given = config is not None or KEEPER in os.environ
        serving = PageServerSettings(loaded, path, listening, found, comparer, given)
        run_tasks(lambda: _served(serving), quick=True)


def _allow_connections() -> None:
    """Every connection is an open file: ask the system for as many as may be needed, as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + FILES_BESIDE_CONNECTIONS_MAX
    if soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard > 0 else wanted, hard))


def _say(text: str) -> None:
    """Tell the owner. A reader who left is no fault."""
    write_message(f"{text}\n")


async def _served(serving: PageServerSettings) -> None:
    """Follow the log and serve its views until a signal comes."""
    gc.freeze()  # What the imports left behind stays: no collection holds up the pages by walking through it.
    gc.callbacks.append(GcFreeze())
    config, db, web = serving.config, serving.db, serving.config.web
    stop = asyncio.Event()

    def end() -> None:
        stop.set()
        leave_within(ENDS_WITHIN_S)

    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, end)
    strategies = strategies_of(config)
    timeframes_ms = {name: strategy.timeframe_ms for name, strategy in strategies.items()}
    timeline = timeline_of(db, timeframes_ms, config.alerts, warn)
    with closing(timeline), closing(LogInspector(db, strategies, timeline)) as inspector:
        engine, views = EngineClient(db), strategy_views(strategies)
        told = UnloggedMessages(unlogged_path(db))
        said = site_settings(config, db, given=serving.config_given)
        board = own_board(os.environ)
        outage = (lambda: "") if board is None else (lambda: board.read("outage"))
        site = Site(said, timeline, inspector, engine, views, serving.comparer, told.read, outage)
        streams = Streams(timeline, web.streams_max)
        hosts = AllowedHosts(serving.listening.getsockname()[0], web.trusted_hosts)
        gate = Gate(serving.entrance.token, hosts, reading_open=serving.entrance.reading_open)
        app = application(site, gate, streams, pages(site, streams), not_found_page(site))

        async def work() -> None:
            await serve(app, serving.listening, streams, stop, web.proxies)
            inspector.close()
            timeline.close()

        # Who looks at a log by hand leaves nothing behind; two pages never write one file.
        folder = logs_folder(config) if KEEPER in os.environ else None
        with logs(config.logs, folder, "page", lambda: timeline.head_seq):
            logging.getLogger(LOGGER).info("serves %s at %s", db, url_of(serving.listening))
            watchers = {"timeline": timeline.run, "inspector": inspector.run}
            await supervise(work, watchers, lambda: timeline.head_seq)
            logging.getLogger(LOGGER).info("ended")


def site_settings(config: Config, db: Path, *, given: bool) -> SiteSettings:
    """What the pages say of the installation.

    The configuration here is not what a backtest ran under; where none was given it may not be the engine's either.
    """
    over = is_backtest(db)
    return SiteSettings(
        version=version("papertape"),
        database=str(db),
        simulated=config.feed.kind == "sim" and not over,
        config_text=OF_A_BACKTEST if over else summary(config, str(db.absolute())),
        config_digest="" if given or over else config_digest(config),
        commands_allowed=not over,
        commit=os.environ.get(COMMIT, ""),
    )


def is_backtest(db: Path) -> bool:
    """Whether a log is that of a backtest that is over: no engine will ever run on it. A log to come is none."""
    if not holds_log(db):
        return False
    with closing(SqliteLogReader(db)) as reader:
        head_seq = reader.head().seq
        last = reader.read(head_seq - 1, 1) if head_seq else []
    return any(isinstance(one.event, EngineStopped) and one.event.reason == BACKTEST_ENDED for one in last)
