"""Progress of long-running work on stderr: a bar on a terminal, lines elsewhere with `-v`, JSON for a page."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from papertape.cli.environment.stderr_level import is_quiet, is_verbose
from papertape.cli.environment.streams import write_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LINES: Final = "PAPERTAPE_PROGRESS"
"""The environment variable with which a page asks its child for lines of JSON."""
PAGE_LINE_S: Final = 0.25
LINE_S: Final = 5.0
"""The time between two lines of progress for a reader."""


class ProgressLine(Struct, frozen=True, tag="progress"):
    """How much of a task is done."""

    what: str
    done: int
    total: int


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that moves the bar to the given count; without a terminal or a page it does nothing."""
    if os.environ.get(LINES):
        yield _lines(lambda done: msgspec.json.encode(ProgressLine(what, done, total)).decode(), PAGE_LINE_S)
        return
    if is_quiet() or not sys.stderr.isatty():
        yield _lines(lambda done: f"{what}: {done:,} of {total:,}", LINE_S) if is_verbose() else lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    from papertape.cli.render.console import stderr  # noqa: PLC0415 - only for a terminal.

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr(), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


def _lines(text: Callable[[int], str], every_s: float) -> Callable[[int], None]:
    """Return a function that writes a line at the first call, and then at most every few seconds."""
    due_s = 0.0

    def write(done: int) -> None:
        nonlocal due_s
        now_s = time.monotonic()
        if now_s >= due_s:
            due_s = now_s + every_s
            write_message(f"{text(done)}\n", sys.stderr)

    write(0)
    return write
