"""Progress of long work: a bar on a terminal, or lines of JSON for the page that started this process."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from papertape.cli.environment.streams import write_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LINES: Final = "PAPERTAPE_PROGRESS"
"""The environment variable with which a page asks its child for lines on stderr."""
LINE_EVERY_S: Final = 0.25


class ProgressLine(Struct, frozen=True, tag="progress"):
    """How much of a piece of work is done."""

    what: str
    done: int
    total: int


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that moves the bar to the given count; without a terminal or a page it does nothing."""
    if os.environ.get(LINES):
        yield _line_writer(what, total)
        return
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    from papertape.cli.render.console import stderr  # noqa: PLC0415 - only for a terminal.

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr(), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


def _line_writer(what: str, total: int) -> Callable[[int], None]:
    """Return a function that writes a few lines a second."""
    due_s = 0.0

    def write(done: int) -> None:
        nonlocal due_s
        now_s = time.monotonic()
        if now_s >= due_s:
            due_s = now_s + LINE_EVERY_S
            write_message(f"{msgspec.json.encode(ProgressLine(what, done, total)).decode()}\n", sys.stderr)

    write(0)
    return write
