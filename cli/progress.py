"""Progress of long work on stderr: a bar on a terminal, with `-v` a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from papertape.cli.environment.stderr_level import is_quiet, is_verbose
from papertape.cli.environment.streams import write_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LINE_S = 5.0
"""The time between two lines of progress."""


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that moves the bar to the given count; without a terminal it does nothing."""
    if is_quiet() or not sys.stderr.isatty():
        yield _lines(what, total) if is_verbose() else lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    from papertape.cli.render.console import stderr  # noqa: PLC0415 - only for a terminal.

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr(), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


def _lines(what: str, total: int) -> Callable[[int], None]:
    due_s = time.monotonic() + LINE_S

    def report(done: int) -> None:
        nonlocal due_s
        if time.monotonic() >= due_s:
            due_s = time.monotonic() + LINE_S
            write_message(f"{what}: {done:,} of {total:,}\n", sys.stderr)

    return report
