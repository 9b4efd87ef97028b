"""`papertape up`: run an engine and its page, and restart either if it dies."""

from __future__ import annotations

import logging
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from papertape.cli.config.places import DATA_VARIABLE
from papertape.cli.environment.streams import write_message
from papertape.cli.environment.variables import check_variables
from papertape.cli.keeper.child import PAGE
from papertape.cli.keeper.hang_detector import HangDetector
from papertape.cli.keeper.process_supervisor import INHERITED_FD, ProcessSupervisor, Program
from papertape.cli.keeper.status_board import KEEPER, new_board
from papertape.cli.keeper.systemd import VARIABLES, SystemdNotifier
from papertape.cli.page_token import resolve_access, web_variables
from papertape.cli.run_options import RunOptions, check_market, config_with_options, logs_folder
from papertape.cli.service.listen_socket import INHERITED, open_listener, url_of
from papertape.cli.service.log_admission import admit_log
from papertape.cli.service.log_files import ALREADY_PRINTED, logs
from papertape.cli.service.log_files import ROOT as LOGGER
from papertape.engine.child_processes import own_command, own_environment
from papertape.engine.control_socket import ANSWER_BYTES_MAX, ControlReply, StatusRequest, socket_path
from papertape.events.sqlite_file import log_missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from papertape.cli.config.sections import Config

SUPERVISOR_LOGGER: Final = f"{LOGGER}.keeper"
ANSWER_S_MAX: Final = 1.0


def run_supervised(
    options: RunOptions, host: str | None, port: int | None, other: Path | None = None, *, as_json: bool
) -> int:
    """Run both until the engine finishes or a signal arrives; return the exit code. `other` is a log to compare with.

    Raise ConfigError, UsageError or LogMissing before anything is started.
    """
    config = config_with_options(options)
    if other is not None and not other.exists():
        raise log_missing(other)
    check_variables(config, os.environ)
    check_market(config)
    db = options.db or config.database
    admit_log(db, config, new_log=options.new_log)
    host = config.web.host if host is None else host
    access = resolve_access(web_variables(os.environ, config.folder), host)
    with open_listener(host, config.web.port if port is None else port) as listening:
        url = url_of(listening)
        lines = access.announcement(url)
        for line in lines:
            _print(line, as_json=as_json)
        environment = _environment(config)
        page_text = "\n".join(lines).removeprefix("papertape: ")
        engine = _engine_program(options, {**environment, PAGE: page_text}, as_json)
        access_variables = {INHERITED: str(INHERITED_FD), **access.variables()}
        page = _page_program(options, config, other, listening, {**environment, **access_variables})
        control = socket_path(db)
        notify, board = SystemdNotifier(os.environ, lambda: _is_trading(control)), new_board()
        detectors = HangDetector(lambda: _status(control) is not None), HangDetector(lambda: _serves(listening))
        with logs(config.logs, logs_folder(config), "keeper", lambda: 0):
            logging.getLogger(SUPERVISOR_LOGGER).info("running the engine and the page of %s at %s", db, url)
            both = (engine, detectors[0]), (page, detectors[1])
            code = ProcessSupervisor(*both, _reporter(config, as_json=as_json), notify, board).run()
            logging.getLogger(SUPERVISOR_LOGGER).info("ended with %d", code)
            return code


def _engine_program(options: RunOptions, environment: Mapping[str, str], as_json: bool) -> Program:
    arguments = run_arguments(options, as_json=as_json)
    return Program("engine", own_command("papertape", "run", *arguments), environment, "engine")


def _page_program(
    options: RunOptions,
    config: Config,
    other: Path | None,
    listening: socket.socket,
    environment: Mapping[str, str],
) -> Program:
    db = options.db or config.database
    compared = [] if other is None else ["--compare", str(other)]
    return Program(
        "page",
        own_command("papertape", "ui", "--db", str(db), *page_arguments(options, config), *compared),
        environment,
        "page",
        inherits=listening.fileno(),
        is_silent=True,
    )


def _environment(config: Config) -> dict[str, str]:
    """Return the environment of a supervised process: without systemd's variables, with the data folder."""
    own = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    data = {DATA_VARIABLE: config.data_folder} if config.data_folder else {}
    return {**own_environment(own), **data, KEEPER: str(os.getpid())}


def _reporter(config: Config, *, as_json: bool) -> Callable[[str], None]:
    """Return the function that reports to the owner and to the log files."""
    logger = logging.getLogger(SUPERVISOR_LOGGER)

    def report_line(text: str) -> None:
        if config.logs.format == "json":
            logger.warning(text)
        else:
            _print(f"papertape: {text}", as_json=as_json)
            logger.warning(text, extra=ALREADY_PRINTED)

    return report_line


def _is_trading(control: Path) -> bool:
    """Return whether the engine answers and has replayed its log."""
    status = _status(control)
    return status is not None and not status.get("replaying")


def _status(control: Path) -> dict[str, object] | None:
    """Return the engine's status from its control socket; None if it does not answer in time."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(ANSWER_S_MAX)
        try:
            client.connect(str(control))
            client.sendall(msgspec.json.encode(StatusRequest()) + b"\n")
            with client.makefile("rb") as lines:
                return msgspec.json.decode(lines.readline(ANSWER_BYTES_MAX), type=ControlReply).status
        except (OSError, msgspec.MsgspecError):
            return None


def _serves(listening: socket.socket) -> bool:
    """Return whether the page gives any answer on its listening socket."""
    with socket.socket(listening.family, socket.SOCK_STREAM) as client:
        client.settimeout(ANSWER_S_MAX)
        try:
            client.connect(listening.getsockname())
            client.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return bool(client.recv(1))
        except OSError:
            return False


def _print(text: str, *, as_json: bool) -> None:
    """Print a line for the owner, to stderr if stdout carries events as JSON."""
    write_message(f"{text}\n", sys.stderr if as_json else sys.stdout)


def run_arguments(options: RunOptions, *, as_json: bool) -> list[str]:
    """Return the arguments of `run` with the same options."""
    repeated: Mapping[str, Sequence[str]] = {
        "--candles": options.candles,
        "--funding": options.funding,
        "--open-interest": options.open_interest,
        "--signals": options.signals,
        "--set": options.sets,
    }
    single = {"--feed": options.feed, "--speed": options.speed, "--db": options.db, "--seed": options.seed}
    arguments = _config_arguments(options)
    for option, values in repeated.items():
        arguments += [part for value in values for part in (option, value)]
    for option, argument in single.items():
        arguments += [] if argument is None else [option, str(argument)]
    return [*arguments, *(["--until-end"] if options.until_end else []), *(["--json"] if as_json else [])]


def page_arguments(options: RunOptions, config: Config) -> list[str]:
    """Return the arguments that give the page the engine's configuration."""
    feed = config.feed
    sets = [*options.sets, f"feed.kind={feed.kind}", f"feed.speed={feed.speed}", f"feed.sim.seed={feed.sim.seed}"]
    sets += [f"feed.ccxt.exchange={feed.ccxt.exchange}"] if feed.kind == "ccxt" else []
    sets += [f"feed.file.candles={','.join(feed.file.candles)}"] if options.candles else []
    return [*_config_arguments(options), *(part for one in sets for part in ("--set", one))]


def _config_arguments(options: RunOptions) -> list[str]:
    return [] if options.config is None else ["--config", str(options.config)]
