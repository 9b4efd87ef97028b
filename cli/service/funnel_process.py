"""Count funnels for the page and the chat in a process of their own, so that neither page nor engine is slowed down."""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import TYPE_CHECKING, Final

import msgspec

from papertape.cli.keeper.helper import helper_environment
from papertape.engine.child_processes import kill, own_command
from papertape.events.errors import LogBusy, UsageError
from papertape.projections.site.funnel import FunnelRequest, FunnelView

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COUNT_S_MAX: Final = 120.0
"""A year of 5m candles of three symbols and four strategies takes about a minute."""
RUNNING_MAX: Final = 2
WAITING_MAX: Final = 6
KEPT_MAX: Final = 32
FRESH_S: Final = 60.0
"""How long a finished funnel is shown again instead of being counted anew."""
ERROR_CHARS_MAX: Final = 300


class FunnelProcesses:
    """`projections.site.ports.FunnelSource` of the log at a path. Close it at the end."""

    def __init__(self, db: Path, config_file: str, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._db, self._config_file, self._clock_s = db, config_file, clock_s
        self._tasks: dict[FunnelRequest, asyncio.Task[FunnelView]] = {}
        self._ended_s: dict[FunnelRequest, float] = {}
        self._places = asyncio.Semaphore(RUNNING_MAX)

    async def funnel(self, request: FunnelRequest, wait_s: float) -> FunnelView | None:
        """See `projections.site.ports.FunnelSource.funnel`."""
        task = self._known(request) or self._begin(request)
        done, _ = await asyncio.wait({task}, timeout=wait_s)
        return task.result() if done else None

    async def close(self) -> None:
        """End the processes."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _known(self, request: FunnelRequest) -> asyncio.Task[FunnelView] | None:
        """Return the count that runs, or that ended well a moment ago."""
        task = self._tasks.get(request)
        if task is None or not task.done():
            return task
        is_old = self._clock_s() - self._ended_s.get(request, self._clock_s()) > FRESH_S
        return None if is_old or task.exception() is not None else task

    def _begin(self, request: FunnelRequest) -> asyncio.Task[FunnelView]:
        """Start a count, or let it wait for its turn. Raise LogBusy if too many wait."""
        if sum(not task.done() for task in self._tasks.values()) >= RUNNING_MAX + WAITING_MAX:
            raise LogBusy(f"{RUNNING_MAX + WAITING_MAX} funnels are being counted already; ask again in a moment")
        finished = [known for known, task in self._tasks.items() if task.done()]
        for known in finished[: max(0, len(self._tasks) - KEPT_MAX)]:
            del self._tasks[known]
            self._ended_s.pop(known, None)
        task = asyncio.ensure_future(self._in_turn(request))
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        self._tasks[request] = task
        return task

    async def _in_turn(self, request: FunnelRequest) -> FunnelView:
        try:
            async with self._places:
                return await self._count(request)
        finally:
            self._ended_s[request] = self._clock_s()

    async def _count(self, request: FunnelRequest) -> FunnelView:
        nice = ("nice", "-n", "10") if shutil.which("nice") else ()
        process = await asyncio.create_subprocess_exec(
            *nice,
            *own_command("papertape", *self._arguments(request)),
            env=helper_environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(COUNT_S_MAX):
                output, errors = await process.communicate()
        except TimeoutError:
            raise LogBusy(
                f"counting takes longer than {COUNT_S_MAX:g} s; choose fewer days, or use papertape whynot --days"
            ) from None
        finally:
            if process.returncode is None:
                kill(process)
                await process.wait()
        if process.returncode or not output:
            text = errors.decode(errors="replace").strip().removeprefix("error: ")
            raise UsageError(text[-ERROR_CHARS_MAX:] or "the funnel could not be counted")
        return msgspec.json.decode(output, type=FunnelView)

    def _arguments(self, request: FunnelRequest) -> list[str]:
        """Return the command line that counts a funnel."""
        strategy = [] if request.strategy is None else [request.strategy]
        symbol = [] if request.symbol is None else ["--symbol", request.symbol]
        until = [] if request.until_ms is None else ["--to", str(request.until_ms)]
        config = ["--config", self._config_file] if self._config_file else []
        span = ["--days", f"{request.days:g}", *until]
        return ["whynot", *strategy, *symbol, *span, *config, "--db", str(self._db), "--json"]
