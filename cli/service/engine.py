"""`papertape run`: the live engine, with a live view on a terminal and one line per notable event elsewhere."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from papertape.cli.config.sections import file_settings, live_settings, strategies_of
from papertape.cli.environment.early_signals import STOP_SIGNALS, call_on_stop, exit_on_signals
from papertape.cli.environment.tasks import leave_within, run_tasks
from papertape.cli.environment.variables import check_variables, prepare_network
from papertape.cli.run_options import RunOptions, check_market, config_with_options, is_attended, logs_folder
from papertape.cli.service.config_reload import ConfigReloader
from papertape.cli.service.engine_status import make_status_report
from papertape.cli.service.fills_file import check_fills_file, write_fills
from papertape.cli.service.log_admission import admit_log, note_log, refuse_vanished
from papertape.cli.service.log_files import ALREADY_PRINTED, ROOT, logs
from papertape.cli.service.log_handover import wait_for_log
from papertape.cli.wiring import make_engine_settings, make_feed, report_files, warn, watched_symbols
from papertape.engine.control_socket import ControlServer
from papertape.engine.hook_overrun import ended_overruns
from papertape.engine.ports.clock import SystemClock
from papertape.engine.process_health import ProcessHealthProbe
from papertape.engine.redecision import BRANCH_FEED
from papertape.engine.reducer.hook_guard import GUARD_CODE
from papertape.engine.sealing import Sealing
from papertape.engine.startup import Engine, open_engine
from papertape.engine.task_supervisor import supervise
from papertape.events.beside import real_path
from papertape.events.errors import ConfigError, PapertapeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from papertape.cli.config.sections import Config
    from papertape.cli.service.engine_services import EngineServices
    from papertape.engine.ports.feed import Feed
    from papertape.engine.reducer.state import EngineState

THREADS_END_S = 0.5
"""How long a thread may delay the exit after the log is closed."""


def start(options: RunOptions, *, as_json: bool) -> None:
    """Run the engine until the market ends or a signal arrives."""
    config = config_with_options(options)
    db = options.db or config.database
    check_variables(config, os.environ)
    check_market(config)
    if options.fills is not None:
        check_fills_file(options.fills, config, options.config, db)
    refuse_vanished(db)
    admit_log(db, config, new_log=options.new_log)
    exit_on_signals(STOP_SIGNALS, lambda _: 0)  # Until the engine is up, there is nothing to shut down.
    run_tasks(lambda: _run(config, db, options, as_json), quick=True)


async def _run(config: Config, db: Path, options: RunOptions, as_json: bool) -> None:
    """Run the engine, with log files."""
    engines: list[Engine] = []
    with logs(config.logs, logs_folder(config), "engine", lambda: engines[0].log.head.seq if engines else 0):
        try:
            with ended_overruns(GUARD_CODE):
                await _run_engine(config, db, options, as_json, engines.append)
            leave_within(THREADS_END_S)
        except PapertapeError:
            logging.getLogger(f"{ROOT}.engine").exception("the engine ended", extra=ALREADY_PRINTED)
            raise


async def _run_engine(
    config: Config, db: Path, options: RunOptions, as_json: bool, up: Callable[[Engine], None]
) -> None:
    """Open the log, and run until the market ends or a signal arrives. Pass the engine to `up` once it is open."""
    if is_attended(config):
        prepare_network(warn)
    clock = SystemClock()
    feed = make_feed(config, clock)
    files = file_settings(config)
    report_files(feed, files.start_ms, files.end_ms, warn)
    contracts = feed.contracts()
    timeframe_ms = contracts[0].timeframe_ms if contracts else live_settings(config).timeframe_ms
    strategies = strategies_of(config)
    settings = make_engine_settings(config, db, timeframe_ms, warn, strategies)
    symbols = watched_symbols(config)
    async with AsyncExitStack() as stack:
        opening = partial(
            open_engine, settings, contracts, clock, warn, symbols, lambda world: refuse_foreign(world, feed.name, db)
        )
        running = await wait_for_log(db, lambda: stack.enter_async_context(opening()))
        up(running)
        note_log(db)
        stop = _stop_on_signals(running)
        services = None
        if is_attended(config):
            from papertape.cli.service.engine_services import start_services  # noqa: PLC0415 - a rehearsal needs none and starts faster.

            services = await stack.enter_async_context(start_services(running, config, feed, db))
        watchers: dict[str, Callable[[], Awaitable[None]]] = {
            "view": lambda: _view(running, config, as_json),
            "commands": running.commands.serve,
        }
        watchers |= running.integrity.watchers()
        watchers |= Sealing(running.log, running.bus, clock, warn).watchers()
        watchers |= services.watchers() if services is not None else {}
        running.commands.reload = ConfigReloader(options, config, db, running, feed, strategies, services).reload
        control = _control_server(running, config, db, services)
        await control.open()
        stack.push_async_callback(control.close)
        work = partial(_work, running, feed, stop, options, db, services)
        await supervise(work, watchers, lambda: running.log.head.seq, ("alerts",))


def _control_server(running: Engine, config: Config, db: Path, services: EngineServices | None) -> ControlServer:
    """Return the server that accepts commands and reports the status."""
    health = ProcessHealthProbe(real_path(db).parent, running.loop.latencies) if services is None else services.health
    return ControlServer(
        db, running.commands, warn, make_status_report(running, health, services), may_crash=config.feed.kind == "sim"
    )


def refuse_foreign(world: EngineState, feed: str, db: Path) -> None:
    """Raise ConfigError if a log was recorded from another feed, or is a what-if branch."""
    if world.anchor is not None and world.anchor.feed == BRANCH_FEED:
        raise ConfigError(f"{db} is a what-if branch, which no engine continues; use another log (--db)")
    if world.anchor is not None and world.anchor.feed != feed:
        raise ConfigError(
            f"{db} was recorded from the feed {world.anchor.feed}; use another log for the feed {feed} (--db)"
        )


async def _work(
    running: Engine, feed: Feed, stop: asyncio.Event, options: RunOptions, db: Path, services: EngineServices | None
) -> None:
    """Run the loop over the feed. Without `--until-end` the engine stays up after the market has ended."""
    await running.loop.run(feed)
    running.market_ended = not stop.is_set()
    if services is not None:
        services.market_ended = True
    if options.fills is not None:
        try:
            await asyncio.to_thread(write_fills, options.fills, db, stop.is_set)
        except UsageError:
            await running.finish("asked to stop" if stop.is_set() else "the market ended")
            raise
    why = "asked to stop" if stop.is_set() or not options.until_end else "the market ended"
    if not options.until_end:
        await stop.wait()
    await running.finish(why)


def _stop_on_signals(running: Engine) -> asyncio.Event:
    """Stop the loop on SIGTERM and SIGINT; return the event of the stop."""
    stop = asyncio.Event()

    def request_stop() -> None:
        stop.set()
        running.loop.stop()

    call_on_stop(request_stop)
    return stop


def _view(running: Engine, config: Config, as_json: bool) -> Awaitable[None]:
    """Show the engine: as a live view on a terminal, as lines elsewhere."""
    if sys.stdout.isatty() and not as_json:
        from papertape.cli.render.dashboard import watch  # noqa: PLC0415 - rich is imported only for a terminal.

        return watch(running, config)
    from papertape.cli.render.event_lines import print_events  # noqa: PLC0415 - likewise.

    return print_events(running, as_json)
