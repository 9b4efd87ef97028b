"""The file of `papertape run --fills`: every fill of the log, written when the recorded market has ended."""

from __future__ import annotations

import sys
from contextlib import closing
from itertools import takewhile
from typing import TYPE_CHECKING

from papertape.cli.environment.streams import say
from papertape.cli.offline.output_files import check_output, log_files, read_files, whole_file
from papertape.events.errors import UsageError
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.folds.fills import write_fills_csv
from papertape.projections.folds.trades import Trades
from papertape.projections.host import fold

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from papertape.cli.config.sections import Config


def check_fills_file(path: Path, config: Config, config_path: Path | None, db: Path) -> None:
    """Raise UsageError for a market that is not recorded, or a file that cannot be written or that the run reads."""
    if config.feed.kind != "file":
        raise UsageError(
            f"--fills needs recorded candles; with the feed {config.feed.kind}, use papertape trades --fills"
        )
    check_output("--fills", path, [*read_files(config, config_path), *log_files(db)])


def write_fills(path: Path, db: Path, is_stopped: Callable[[], bool]) -> None:
    """Write every fill of a log, oldest first; write nothing if the engine is stopped meanwhile. Raise UsageError."""
    trades = Trades()
    with closing(SqliteLogReader(db)) as reader:
        commits = takewhile(lambda _: not is_stopped(), reader.commits())
        fold([trades], (recorded for commit in commits for recorded in commit.recorded()))
    if not is_stopped():
        fills = trades.fills()
        with whole_file("--fills", path) as file:
            write_fills_csv(file, fills)
        say(f"{len(fills):,} fills written to {path}\n", sys.stderr)
