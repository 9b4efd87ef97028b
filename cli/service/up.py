"""`papertape up`: the engine and its page, kept alive together."""

from __future__ import annotations

import logging
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from papertape.cli.environment.streams import write_message
from papertape.cli.environment.variables import check_variables
from papertape.cli.keeper.child import PAGE
from papertape.cli.keeper.hang_detector import HangDetector
from papertape.cli.keeper.process_supervisor import INHERITED_FD, ProcessSupervisor, Program
from papertape.cli.keeper.status_board import KEEPER, new_board
from papertape.cli.keeper.systemd import VARIABLES, SystemdNotifier
from papertape.cli.page_token import SESSION_VARIABLE, resolve_access, web_variables
from papertape.cli.run_options import RunOptions, config_with_options, logs_folder
from papertape.cli.service.listen_socket import HANDED, open_listener, url_of
from papertape.cli.service.log_admission import admit_log
from papertape.cli.service.log_files import ROOT as LOGGER
from papertape.cli.service.log_files import TOLD, logs
from papertape.engine.control_socket import ANSWER_BYTES_MAX, ControlReply, StatusRequest, socket_path
from papertape.engine.programs import own_command, own_environment
from papertape.events.errors import LogMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from papertape.cli.config.sections import Config

KEEPER_LOGGER: Final = f"{LOGGER}.keeper"
DOOR_S_MAX: Final = 1.0


def run_supervised(
    asked: RunOptions, host: str | None, port: int | None, other: Path | None = None, *, as_json: bool
) -> int:
    """Run both until the engine's work is done or a signal comes; the exit code. `other` is a log the page compares.

    Raises ConfigError, UsageError and LogMissing for what cannot be, before anything is started.
    """
    config = config_with_options(asked)
    if other is not None and not other.exists():
        raise LogMissing(f"there is no log at {other}")
    check_variables(config, os.environ)
    admit_log(asked.db or config.database, config, new_log=asked.new_log)
    host = config.web.host if host is None else host
    entered = resolve_access(web_variables(os.environ, config.folder), host)
    with open_listener(host, config.web.port if port is None else port) as listening:
        url, made = url_of(listening), entered.made
        page = url + (f"  commands need this token: {made}" if made else "")
        _say(f"papertape: {url}", as_json=as_json)
        if made:
            _say(f"commands need this token: {made}", as_json=as_json)
        own = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        base = {**own_environment(own), KEEPER: str(os.getpid())}
        arguments = run_arguments(asked, as_json=as_json)
        engine = Program("engine", own_command("papertape", "run", *arguments), {**base, PAGE: page}, "engine")
        database = asked.db or config.database
        web = Program(
            "page",
            own_command("papertape", "ui", "--db", str(database), *_page_arguments(asked, config), *_beside(other)),
            {**base, HANDED: str(INHERITED_FD), **({SESSION_VARIABLE: made} if made else {})},
            "page",
            inherits=listening.fileno(),
            is_silent=True,
        )
        door = socket_path(database)
        notify, board = SystemdNotifier(os.environ, lambda: _trades(door)), new_board()
        pulses = HangDetector(lambda: _status(door) is not None), HangDetector(lambda: _serves(listening))
        with logs(config.logs, logs_folder(config), "keeper", lambda: 0):
            logging.getLogger(KEEPER_LOGGER).info("keeps the engine and the page of %s at %s", database, url)
            both = (engine, pulses[0]), (web, pulses[1])
            code = ProcessSupervisor(*both, _teller(config, as_json=as_json), notify, board).run()
            logging.getLogger(KEEPER_LOGGER).info("ended with %d", code)
            return code


def _teller(config: Config, *, as_json: bool) -> Callable[[str], None]:
    """Tells the owner, and the log files: as an object on stderr where that is how everything is said."""
    logger = logging.getLogger(KEEPER_LOGGER)

    def report_line(text: str) -> None:
        if config.logs.format == "json":
            logger.warning(text)
        else:
            _say(f"papertape: {text}", as_json=as_json)
            logger.warning(text, extra=TOLD)

    return report_line


def _trades(door: Path) -> bool:
    """Whether an engine answers at its door and has gone through its log."""
    said = _status(door)
    return said is not None and not said.get("replaying")


def _status(door: Path) -> dict[str, object] | None:
    """What the engine says of itself at its door; None where none answers in time."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
        visitor.settimeout(DOOR_S_MAX)
        try:
            visitor.connect(str(door))
            visitor.sendall(msgspec.json.encode(StatusRequest()) + b"\n")
            with visitor.makefile("rb") as lines:
                return msgspec.json.decode(lines.readline(ANSWER_BYTES_MAX), type=ControlReply).status
        except (OSError, msgspec.MsgspecError):
            return None


def _serves(listening: socket.socket) -> bool:
    """Return whether the page gives any answer on its listening socket."""
    with socket.socket(listening.family, socket.SOCK_STREAM) as visitor:
        visitor.settimeout(DOOR_S_MAX)
        try:
            visitor.connect(listening.getsockname())
            visitor.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return bool(visitor.recv(1))
        except OSError:
            return False


def _say(text: str, *, as_json: bool) -> None:
    """Tell the owner; stdout belongs to the events where they are objects. A reader who left is no fault."""
    stream = sys.stderr if as_json else sys.stdout
    write_message(f"{text}\n", stream)


def run_arguments(asked: RunOptions, *, as_json: bool) -> list[str]:
    """The command line of `run` that asks for the same."""
    several: Mapping[str, Sequence[str]] = {
        "--candles": asked.candles,
        "--funding": asked.funding,
        "--open-interest": asked.open_interest,
        "--set": asked.sets,
    }
    single = {"--feed": asked.feed, "--speed": asked.speed, "--db": asked.db, "--seed": asked.seed}
    arguments = _config_arguments(asked)
    for option, values in several.items():
        arguments += [part for value in values for part in (option, value)]
    for option, said in single.items():
        arguments += [] if said is None else [option, str(said)]
    return [*arguments, *(["--until-end"] if asked.until_end else []), *(["--json"] if as_json else [])]


def _page_arguments(asked: RunOptions, config: Config) -> list[str]:
    """What the page has to know of the configuration as it is asked for."""
    feed = config.feed
    sets = [*asked.sets, f"feed.kind={feed.kind}", f"feed.speed={feed.speed}", f"feed.sim.seed={feed.sim.seed}"]
    sets += [f"feed.file.candles={','.join(feed.file.candles)}"] if asked.candles else []
    return [*_config_arguments(asked), *(part for one in sets for part in ("--set", one))]


def _beside(other: Path | None) -> list[str]:
    return [] if other is None else ["--compare", str(other)]


def _config_arguments(asked: RunOptions) -> list[str]:
    return [] if asked.config is None else ["--config", str(asked.config)]
