"""The jobs of a page: backtests and sweeps, one at a time, each in a low-priority child process.

A job ends with its page: an orderly end sends SIGTERM, after which a sweep can go on where it stopped; if the page is
killed, the kernel sends that signal. A new page therefore begins with an empty list, and what was written is in the
library.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections import OrderedDict, deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from papertape.cli.keeper.helper import helper_environment
from papertape.cli.progress import LINES, ProgressLine
from papertape.engine.child_processes import own_command
from papertape.events.errors import CommandRefused, LogBusy, UsageError
from papertape.events.text import one_line
from papertape.projections.site.library import BacktestRequest, JobView, SweepRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from papertape.cli.library.job_plan import PlannedJob

    Request = BacktestRequest | SweepRequest

QUEUED_MAX: Final = 8
KEPT_MAX: Final = 40
MESSAGES_MAX: Final = 6
MESSAGE_CHARS_MAX: Final = 300
CANCEL_S_MAX: Final = 20.0
"""How long a cancelled sweep may take to finish and store what it is computing."""
LAST_S_MAX: Final = 0.8
"""The same when the page shuts down."""
LINE_BYTES_MAX: Final = 64 << 20
"""The result of a backtest is one line."""
ENDED: Final = ("done", "failed", "cancelled")
SWEEP_CODES: Final = (0, 1)
"""A sweep exits with 1 for a verdict that is not a bet."""


class _Job:
    """A job and its view, which changes as the job progresses."""

    def __init__(self, request: Request, planned: PlannedJob, view: JobView) -> None:
        self.request, self.planned, self.view = request, planned, view
        self.stop = asyncio.Event()
        self.messages: deque[str] = deque(maxlen=MESSAGES_MAX)
        self.has_result = False

    def change(self, **fields: Any) -> None:
        """Change fields of the view."""
        self.view = replace(self.view, **fields)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.view.state in ENDED


class JobQueue:
    """`projections.site.library.Jobs` of one page process. Run `run` beside the server; `close` it at the end."""

    def __init__(
        self, plan: Callable[[Request], Awaitable[PlannedJob]], clock_ms: Callable[[], int], refusal: str = ""
    ) -> None:
        """`plan` checks a request; `refusal` says why no job can be started."""
        self._plan, self._clock_ms, self.refusal = plan, clock_ms, refusal
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self._waiting: asyncio.Queue[_Job | None] = asyncio.Queue()
        self._started = 0
        self._grace_s = CANCEL_S_MAX

    def views(self) -> tuple[JobView, ...]:
        """See `projections.site.library.Jobs.views`."""
        return tuple(job.view for job in reversed(self._jobs.values()))

    def outputs(self) -> tuple[Path, ...]:
        """Return the files that waiting and running jobs write."""
        return tuple(job.planned.output for job in self._jobs.values() if not job.is_over)

    async def start(self, request: Request) -> JobView:
        """See `projections.site.library.Jobs.start`."""
        if self.refusal:
            raise CommandRefused(self.refusal)
        planned = await self._plan(request)
        pending = self.outputs()
        if len(pending) > QUEUED_MAX:
            raise LogBusy(f"{QUEUED_MAX} jobs are waiting already; cancel one, or wait")
        if planned.output in pending:
            raise UsageError(f"another job already writes {planned.name}; choose another name")
        self._started += 1
        kind = planned.kind
        view = JobView(str(self._started), kind, planned.name, "queued", planned.words, self._clock_ms())
        self._jobs[view.id] = job = _Job(request, planned, view)
        for old in [number for number, one in self._jobs.items() if one.is_over][: max(0, len(self._jobs) - KEPT_MAX)]:
            del self._jobs[old]
        self._waiting.put_nowait(job)
        return job.view

    async def cancel(self, job: str) -> JobView:
        """See `projections.site.library.Jobs.cancel`."""
        found = self._find(job)
        if found.is_over:
            raise CommandRefused(f"job {job} has ended")
        if found.view.state == "queued":
            self._end(found, "cancelled", "cancelled before it began")
        else:
            found.change(words="ending")
        found.stop.set()
        return found.view

    async def again(self, job: str) -> JobView:
        """See `projections.site.library.Jobs.again`."""
        found = self._find(job)
        if not found.view.resumable:
            raise CommandRefused(f"job {job} is not a sweep that was cancelled or failed")
        assert isinstance(found.request, SweepRequest), "only sweeps are resumable"
        return await self.start(replace(found.request, name=found.planned.name))

    async def run(self) -> None:
        """Run the jobs one after another until this is closed."""
        while (job := await self._waiting.get()) is not None:
            if not job.is_over:
                await self._run(job)

    async def close(self) -> None:
        """End the running job, and start no more."""
        self._grace_s = LAST_S_MAX
        for job in self._jobs.values():
            if not job.is_over:
                await self.cancel(job.view.id)
        self._waiting.put_nowait(None)

    def _find(self, job: str) -> _Job:
        if job not in self._jobs:
            raise UsageError(f"there is no job {job!r}; this page has run {', '.join(self._jobs) or 'none'}")
        return self._jobs[job]

    async def _run(self, job: _Job) -> None:
        nice = ("nice", "-n", "10") if shutil.which("nice") else ()
        job.change(state="running", started_at_ms=self._clock_ms(), words="starting")
        try:
            process = await asyncio.create_subprocess_exec(
                *nice,
                *own_command("papertape", *job.planned.arguments),
                env={**helper_environment(), LINES: "1"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=LINE_BYTES_MAX,
                start_new_session=True,
            )
        except OSError as error:
            self._end(job, "failed", f"could not be started: {error.strerror}")
            return
        code = await self._follow(job, process)
        if job.has_result:
            job.change(address=job.planned.address, done=job.view.total)
        if job.has_result and code in (SWEEP_CODES if job.planned.kind == "sweep" else (0,)):
            self._end(job, "done", job.view.words)
        elif job.stop.is_set():
            self._end(job, "cancelled", "cancelled")
        else:
            errors = [one.removeprefix("error: ") for one in job.messages if one.startswith("error: ")]
            self._end(job, "failed", errors[-1] if errors else f"it exited with {code}")

    async def _follow(self, job: _Job, process: asyncio.subprocess.Process) -> int:
        """Read a job's reports until it ends, or is cancelled and its grace period is over; return its exit code."""
        assert process.stdout is not None
        assert process.stderr is not None
        reading = asyncio.ensure_future(
            asyncio.gather(
                _each_line(process.stdout, lambda line: _take_output(job, line)),
                _each_line(process.stderr, lambda line: _take_message(job, line)),
                process.wait(),
            )
        )
        stopping = asyncio.ensure_future(job.stop.wait())
        try:
            either: set[asyncio.Future[Any]] = {reading, stopping}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                process.terminate()
                await asyncio.wait({reading}, timeout=self._grace_s)
        finally:
            stopping.cancel()
            with suppress(ProcessLookupError):  # The processes of a sweep belong to its group.
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.gather(reading, stopping, return_exceptions=True)
        return process.returncode if process.returncode is not None else -1

    def _end(self, job: _Job, state: str, words: str) -> None:
        may_go_on = job.planned.kind == "sweep" and state != "done" and job.view.state == "running"
        job.change(state=state, ended_at_ms=self._clock_ms(), words=words, resumable=may_go_on)


async def _each_line(stream: asyncio.StreamReader, take: Callable[[bytes], None]) -> None:
    while line := await stream.readline():
        take(line)


def _take_output(job: _Job, line: bytes) -> None:
    """Take a line of JSON: the estimate, a chunk or the verdict of a sweep, or the result of a backtest."""
    try:
        told = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return
    match told:
        case {"type": "estimate", "runs": int(runs), "stored": int(stored), "sets": int(sets)}:
            job.change(total=runs, done=stored, words=f"running {sets:,} sets")
        case {"type": "chunk" | "failed", "sets": int(sets)}:
            job.change(done=job.view.done + sets)
        case {"type": "study", "document": {"verdict": {"outcome": str(outcome)}}}:
            job.has_result = True
            job.change(words=outcome)
        case {"strategies": [*results]}:
            job.has_result = True
            job.change(words=", ".join(_result_words(one) for one in results))


def _result_words(result: dict[str, Any]) -> str:
    figures = result["performance"]
    return f"{result['strategy']} {figures['net_return_percent']:+.2f} % in {figures['trades']:,} trades"


def _take_message(job: _Job, line: bytes) -> None:
    """Take a line of stderr: progress, or a message for people."""
    try:
        progress = msgspec.json.decode(line, type=ProgressLine)
        job.change(done=progress.done, total=progress.total, words=progress.what)
    except msgspec.DecodeError:
        text = one_line(line.decode(errors="replace"), MESSAGE_CHARS_MAX)
        if text:
            job.messages.append(text)
            job.change(messages=tuple(job.messages))
