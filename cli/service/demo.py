"""`papertape demo`: the same as `make run`, from an installed package and in any folder."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from papertape.cli.config.overrides import load_config_of_log
from papertape.cli.config.places import DATA_VARIABLE, xdg_folder
from papertape.cli.environment.streams import write_message
from papertape.cli.offline.new_project import EXAMPLES
from papertape.cli.run_options import RunOptions
from papertape.cli.service.up import run_supervised
from papertape.events.durable import make_folder
from papertape.events.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

FILE = EXAMPLES / "demo.toml"


def run_demo(host: str | None, port: int | None, *, as_json: bool) -> int:
    """Run the demo until Ctrl-C; return the exit code. Raise UsageError if its data cannot be kept."""
    os.environ.setdefault(DATA_VARIABLE, str(xdg_folder("XDG_DATA_HOME")))
    db = load_config_of_log(FILE).database
    _require_folder(db.parent)
    write_message(f"papertape: this demo is recorded in {db}\n", sys.stderr if as_json else sys.stdout)
    options = RunOptions(FILE, None, [], [], [], None, None, until_end=False, seed=None, sets=[])
    return run_supervised(options, host, port, as_json=as_json)


def _require_folder(folder: Path) -> None:
    try:
        make_folder(folder)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written: {error.strerror}; name another folder with --data-dir"
        ) from error
