"""The market of a log for `--log`: read with a progress bar, its period checked, with a note on what it leaves out."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from papertape.cli.log_reader import progress
from papertape.cli.wiring import check_period, note
from papertape.engine.research.recorded_tape import RecordedTape, tape_of_log
from papertape.events.sqlite_log import SqliteLogReader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


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
