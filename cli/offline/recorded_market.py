"""The market of a log for `--log`: read with a progress bar, its period checked, with a note on what it leaves out."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Protocol

from papertape.cli.log_reader import progress
from papertape.cli.wiring import check_period, note
from papertape.engine.research.recorded_tape import RecordedTape, tape_of_log
from papertape.events.errors import UsageError
from papertape.events.sqlite_log import SqliteLogReader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class SourceOptions(Protocol):
    """The options of the command line that name a market."""

    @property
    def candles(self) -> list[str]:
        """The files of candles."""

    @property
    def funding(self) -> list[str]:
        """The files of settlements."""

    @property
    def open_interest(self) -> list[str]:
        """The files of open interest."""

    @property
    def signals(self) -> list[str]:
        """The files of signals."""

    @property
    def log(self) -> Path | None:
        """The log."""

    @property
    def symbols(self) -> Sequence[str]:
        """The symbols of the log."""


def check_source(options: SourceOptions) -> None:
    """Raise UsageError for market files beside a log, and for symbols without one."""
    files = {
        "--candles": options.candles,
        "--funding": options.funding,
        "--open-interest": options.open_interest,
        "--signals": options.signals,
    }
    given = [name for name, values in files.items() if values]
    if options.log is not None and given:
        raise UsageError(f"--log and {given[0]} name two markets: the log holds its own candles, funding and signals")
    if options.log is None and options.symbols:
        raise UsageError("--symbol selects symbols of a log and needs --log; with files, leave some out")


def log_tape(path: Path, symbols: Sequence[str], start_ms: int | None, end_ms: int | None) -> RecordedTape:
    """Return the market of a log. Raise like `tape_of_log`, and UsageError if no candle opens in the period."""
    with closing(SqliteLogReader(path)) as reader:
        head = reader.head()
    with progress(head.seq) as step:
        tape = tape_of_log(path, symbols, start_ms, end_ms, step)
    check_period(tape.candles, start_ms, end_ms)
    if tape.commands:
        note(f"{path} holds {tape.commands} commands of its owner (pause, close, kill, reset); they are not repeated")
    return tape
