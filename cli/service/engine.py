"""`papertape run`: the live engine, with a live view on a terminal and one line per event of interest elsewhere."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from papertape.cli.config.sections import bitget_settings, file_settings
from papertape.cli.environment.tasks import leave_within, run_tasks
from papertape.cli.environment.variables import check_variables, prepare_network
from papertape.cli.run_options import RunOptions, config_with_options, is_attended, logs_folder
from papertape.cli.service.engine_status import make_status_report
from papertape.cli.service.log_admission import admit_log, note_log, refuse_vanished
from papertape.cli.service.log_files import ROOT, TOLD, logs
from papertape.cli.service.log_handover import wait_for_log
from papertape.cli.wiring import make_engine_settings, make_feed, report_files, warn
from papertape.engine.control_socket import ControlServer
from papertape.engine.ports.clock import SystemClock
from papertape.engine.process_health import ProcessHealthProbe
from papertape.engine.startup import Engine, open_engine
from papertape.engine.task_supervisor import supervise
from papertape.events.beside import real_path
from papertape.events.errors import ConfigError, PapertapeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from papertape.cli.config.sections import Config
    from papertape.cli.service.engine_services import EngineServices
    from papertape.engine.ports.feed import Feed
    from papertape.engine.reducer.state import EngineState

THREADS_END_S = 0.5
"""The log is closed by then."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_early_signals: list[int] = []
"""Those that came before the engine was up. Python drops the exception of one that comes inside a destructor or the
callback of a weak reference, as every import runs one: who takes over the signals looks here too."""


def start(asked: RunOptions, *, as_json: bool) -> None:
    """Run the engine until the market ends or a signal comes."""
    config = config_with_options(asked)
    db = asked.db or config.database
    check_variables(config, os.environ)
    refuse_vanished(db)
    admit_log(db, config, new_log=asked.new_log)
    for number in STOP_SIGNALS:
        signal.signal(number, _leave)
    run_tasks(lambda: _run(config, db, asked.until_end, as_json), quick=True)


def _leave(number: int, frame: object) -> None:  # noqa: ARG001
    """Leave on a signal before the engine is up: nothing has begun that would have to be ended."""
    _early_signals.append(number)
    raise SystemExit(0)


async def _run(config: Config, db: Path, until_end: bool, as_json: bool) -> None:
    """Run, and keep what is said on the way in the log files."""
    known: list[Engine] = []
    with logs(config.logs, logs_folder(config), "engine", lambda: known[0].log.head.seq if known else 0):
        try:
            await _run_engine(config, db, until_end, as_json, known.append)
            leave_within(THREADS_END_S)
        except PapertapeError:
            logging.getLogger(f"{ROOT}.engine").exception("the engine ended", extra=TOLD)
            raise


async def _run_engine(config: Config, db: Path, until_end: bool, as_json: bool, up: Callable[[Engine], None]) -> None:
    """Take the log, and run until the market ends or a signal comes. `up` hears of the engine when it is there."""
    if is_attended(config):
        prepare_network(warn)
    clock = SystemClock()
    feed = make_feed(config, clock)
    files = file_settings(config)
    report_files(feed, files.start_ms, files.end_ms, warn)
    contracts = feed.contracts()
    timeframe_ms = contracts[0].timeframe_ms if contracts else bitget_settings(config).timeframe_ms
    settings = make_engine_settings(config, db, timeframe_ms, warn)
    symbols = () if contracts else config.feed.bitget.symbols
    async with AsyncExitStack() as stack:
        made = partial(
            open_engine, settings, contracts, clock, warn, symbols, lambda world: refuse_foreign(world, feed.name, db)
        )
        running = await wait_for_log(db, lambda: stack.enter_async_context(made()))
        up(running)
        note_log(db)
        stop = _stop_on_signals(running)
        attended = None
        if is_attended(config):
            from papertape.cli.service.engine_services import attendance  # noqa: PLC0415 - a rehearsal has no companions, and starts sooner.

            attended = await stack.enter_async_context(attendance(running, config, feed, db))
        watchers: dict[str, Callable[[], Awaitable[None]]] = {
            "view": lambda: _view(running, config, as_json),
            "commands": running.commands.serve,
        }
        watchers |= running.integrity.watchers()
        watchers |= attended.watchers() if attended is not None else {}
        door = _door(running, config, db, attended)
        await door.open()
        stack.push_async_callback(door.close)
        work = partial(_work, running, feed, stop, until_end, attended)
        await supervise(work, watchers, lambda: running.log.head.seq, ("alerts",))


def _door(running: Engine, config: Config, db: Path, attended: EngineServices | None) -> ControlServer:
    """Where commands come in and the status goes out."""
    signs = ProcessHealthProbe(real_path(db).parent, running.loop.latencies) if attended is None else attended.signs
    return ControlServer(
        db, running.commands, warn, make_status_report(running, signs, attended), may_crash=config.feed.kind == "sim"
    )


def refuse_foreign(world: EngineState, feed: str, db: Path) -> None:
    """A log goes on with the market it began with. Raises ConfigError for another one."""
    if world.anchor is not None and world.anchor.feed != feed:
        raise ConfigError(
            f"{db} was recorded from the feed {world.anchor.feed}; the feed {feed} needs a log of its own (--db)"
        )


async def _work(
    running: Engine, feed: Feed, stop: asyncio.Event, until_end: bool, attended: EngineServices | None
) -> None:
    """The loop over the feed; without `--until-end` the engine stays up when the market has ended."""
    await running.loop.run(feed)
    running.market_ended = not stop.is_set()
    if attended is not None:
        attended.market_ended = True
    why = "asked to stop" if stop.is_set() or not until_end else "the market ended"
    if not until_end:
        await stop.wait()
    await running.finish(why)


def _stop_on_signals(running: Engine) -> asyncio.Event:
    """SIGTERM and SIGINT ask the loop to stop."""
    stop = asyncio.Event()

    def request_stop() -> None:
        stop.set()
        running.loop.stop()

    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, request_stop)
    if _early_signals:
        request_stop()
    return stop


def _view(running: Engine, config: Config, as_json: bool) -> Awaitable[None]:
    """What the owner sees: a live view on a terminal, lines elsewhere."""
    if sys.stdout.isatty() and not as_json:
        from papertape.cli.render.dashboard import watch  # noqa: PLC0415 - rich is imported only for a terminal

        return watch(running, config)
    from papertape.cli.render.event_lines import print_events  # noqa: PLC0415 - likewise

    return print_events(running, as_json)
