"""What a study says while it runs: a bar on a terminal, or a line of JSON for each chunk. Results stay hidden."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from papertape.cli.environment.stderr_level import is_quiet
from papertape.cli.render.console import emit
from papertape.cli.wiring import warn
from papertape.studies.tasks import TaskFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from papertape.studies.tasks import TaskOutcome

    Report = Callable[[TaskOutcome | TaskFailure], None]


@contextmanager
def study_progress(total: int, *, as_json: bool) -> Iterator[Report]:
    """Yield a function that reports chunks of `total` runs. Watching the best result is overfitting: none is shown."""
    if as_json:
        yield json_chunk
        return
    if is_quiet() or not sys.stderr.isatty():
        yield warn_of_failure
        return
    with _bar(total) as advance:

        def report(done: TaskOutcome | TaskFailure) -> None:
            warn_of_failure(done)
            advance(len(done.numbers))

        yield report


@contextmanager
def status(text: str) -> Iterator[None]:
    """Show what is being done, on a terminal only."""
    if is_quiet() or not sys.stderr.isatty():
        yield
        return
    from papertape.cli.render.console import stderr  # noqa: PLC0415 - only for a terminal.

    with stderr().status(text):
        yield


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    from rich.progress import (  # noqa: PLC0415 - only for a terminal.
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text  # noqa: PLC0415 - likewise.

    from papertape.cli.render.console import stderr  # noqa: PLC0415 - likewise.

    class SpeedColumn(ProgressColumn):
        """Runs of one set over one span, a second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f} sets/s" if task.speed else "")

    columns = (TextColumn("sets"), BarColumn(), MofNCompleteColumn(), SpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr(), transient=True) as progress:
        task = progress.add_task("sets", total=total)
        yield lambda count: progress.advance(task, count)


def json_chunk(done: TaskOutcome | TaskFailure) -> None:
    """Print a stored chunk as a line of JSON."""
    place = {"span": done.span_id, "first": done.numbers[0], "last": done.numbers[-1], "sets": len(done.numbers)}
    if isinstance(done, TaskFailure):
        emit({"type": "failed", **place, "error": done.error})
    else:
        emit({"type": "chunk", **place, "seconds": done.took_s, "machine": done.machine})
    sys.stdout.flush()


def warn_of_failure(done: TaskOutcome | TaskFailure) -> None:
    """Warn of sets that cannot be run."""
    if isinstance(done, TaskFailure):
        warn(f"sets {done.numbers[0]:,} to {done.numbers[-1]:,} failed: {done.error}")
