"""The machine: its clock, its disk, its processes, and the supervisor that keeps the engine running.

A process is one life of the engine with all its services, on an object graph of its own. A kill is immediate: from that
moment on nothing of the process reaches disk or network; what it still does while it is taken apart is seen by nobody.
"""

from __future__ import annotations

import asyncio
import os
import signal
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from msgspec import Struct

from papertape.cli.config.sections import bitget_settings
from papertape.cli.keeper.hang_detector import HangDetector
from papertape.cli.keeper.process_supervisor import ProcessSupervisor, Program
from papertape.cli.keeper.status_board import new_board
from papertape.cli.keeper.systemd import SystemdNotifier
from papertape.cli.service.engine_services import start_services
from papertape.cli.wiring import make_engine_settings, watched_symbols
from papertape.engine.background_process import Outcome, closed_within
from papertape.engine.feeds.bitget.feed import BitgetFeed
from papertape.engine.sealing import Sealing
from papertape.engine.startup import Engine, open_engine
from papertape.engine.task_supervisor import supervise
from papertape.events.durable import make_folder
from papertape.events.errors import LogError, PapertapeError
from papertape.events.segments.folder import sealed_folder
from papertape.events.segments.sealing import write_next_segment
from papertape.events.units import MINUTE_MS
from tests.simulation.checks import SEGMENT_EVENTS_MIN
from tests.simulation.disk import SimulatedDisk
from tests.simulation.loop import SimulatedLoop, SimulatedTask, process
from tests.simulation.network import Network, Way
from tests.simulation.sites import CHAT, EXCHANGE, SimulatedChat, SimulatedExchange

if TYPE_CHECKING:
    from random import Random

    from papertape.cli.config.sections import Config
    from papertape.cli.service.engine_services import EngineServices
    from papertape.engine.kernel.strategy import Strategy
    from papertape.events.bus import Bus

T = TypeVar("T")

START_S: Final = 0.4
"""How long a process takes to start."""
SEAL_AFTER_S: Final = 40.0
SEAL_EVERY_S: Final = 60.0
SEALING_S: Final = (0.05, 0.6, 9.0)
LINES_KEPT_MAX: Final = 20_000
UNKNOWN_FAULT: Final = 70


class ProcessKilled(BaseException):
    """The running process has just been killed, at a failpoint."""


class SimulatedClock:
    """A clock of the simulated world; `ahead_ms` is how far it was set."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start_ms: int) -> None:
        self._loop, self._start_ms, self.ahead_ms = loop, start_ms, 0

    def now_ms(self) -> int:
        """Return the time that it shows, UTC ms."""
        return self._start_ms + self.ahead_ms + self.steady_ms()

    def steady_ms(self) -> int:
        """Return the milliseconds since the start. A microsecond is added: sums of seconds are a little short."""
        return int(self._loop.time() * 1_000.0 + 0.001)

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        await asyncio.sleep(max(0.0, seconds))


class Life(Struct):
    """One process: its engine once it is up, and how it is asked to stop."""

    pid: int
    started_s: float
    stop: asyncio.Event
    engine: Engine | None = None
    services: EngineServices | None = None
    answers: bool = True
    """Whether it answers its supervisor."""
    task: asyncio.Task[int] | None = None


class Machine:
    """Everything that one schedule runs on."""

    def __init__(
        self, loop: SimulatedLoop, chance: Random, config: Config, strategies: dict[str, Strategy], start_ms: int,
        make_exchange: Callable[[SimulatedClock], SimulatedExchange],
    ) -> None:  # fmt: skip
        self.loop, self.chance, self.config, self.strategies = loop, chance, config, strategies
        self.disk, self.network = SimulatedDisk(chance), Network(chance)
        self.clock, self.true_clock = SimulatedClock(loop, start_ms), SimulatedClock(loop, start_ms)
        self.exchange, self.chat = make_exchange(self.true_clock), SimulatedChat(self.true_clock)
        self.network.ways = {EXCHANGE: Way(self.exchange), CHAT: Way(self.chat)}
        self.db = config.database
        self.lives: list[Life] = []
        self.lines: deque[tuple[float, str]] = deque(maxlen=LINES_KEPT_MAX)
        """What happened, for whoever reads the trace."""
        self.starts = self.kills = self.sealed = self.tasks_most = self.streams_most = 0
        self.was_skewed = False
        """Whether the exchange's clock was ever off: to it, limits then mean something else."""
        self.unseen: list[str] = []
        """Exceptions of living processes that nobody awaited."""
        self._commits: list[tuple[int, int]] = []
        self.disk.on_commit = lambda seq: self._commits.append((seq, self.exchange.now_ms()))
        loop.set_exception_handler(self._see_exception)
        self._armed: ArmedFailpoint | None = None
        self._ended: deque[tuple[int, int]] = deque()
        self._child_ended = asyncio.Event()
        self._next_pid = 100

    def note(self, text: str) -> None:
        """Add a line to the trace."""
        self.lines.append((self.loop.time(), text))

    def warn(self, text: str) -> None:
        """Add a warning of the program to the trace."""
        self.note(f"  warning: {text}")

    @property
    def life(self) -> Life | None:
        """The running engine process, if any."""
        return self.lives[-1] if self.lives and self.lives[-1].task is not None else None

    def committed_ms(self, seq: int) -> int:
        """Return the exchange's time at which an event became durable."""
        return self._commits[bisect_right(self._commits, (seq, 1 << 62)) - 1][1]

    def measure(self) -> None:
        """Note how many tasks and streams the running process has."""
        life = self.life
        if life is not None:
            own = [
                one for one in asyncio.all_tasks(self.loop) if isinstance(one, SimulatedTask) and one.owner == life.pid
            ]
            self.tasks_most = max(self.tasks_most, len(own))
            streams = [one for one in self.network.streams if one.owner == life.pid]
            self.streams_most = max(self.streams_most, len(streams))

    def _see_exception(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        owner = getattr(context.get("task") or context.get("future"), "owner", process.get())
        if owner not in self.disk.dead and not isinstance(context.get("exception"), ProcessKilled):
            self.unseen.append(f"{context['message']}: {context.get('exception')!r}")

    # ------------------------------------------------------------ what the supervisor calls

    def spawn(self, program: Program, _board_fd: int) -> int:
        """Start a process; return its pid."""
        self._next_pid += 1
        if program.name == "engine":
            self._start_engine(self._next_pid)
        return self._next_pid

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to a process."""
        life = self.life
        if life is None or life.pid != pid:
            return
        if number == signal.SIGKILL:
            self.kill(life)
        else:
            life.stop.set()
            if life.engine is not None:
                life.engine.loop.stop()

    def reap(self) -> tuple[int, int] | None:
        """Return the pid and exit code of a process that has ended."""
        return self._ended.popleft() if self._ended else None

    async def wait_for_child(self, seconds: float) -> None:
        """Wait until a process ends, at most so long."""
        if not self._ended:
            self._child_ended.clear()
            await asyncio.wait([asyncio.ensure_future(self._child_ended.wait())], timeout=seconds)

    def answers(self) -> bool:
        """Return whether the engine answers its supervisor."""
        life = self.life
        return life is not None and life.engine is not None and life.answers

    # ------------------------------------------------------------ lives

    def _start_engine(self, pid: int) -> None:
        life = Life(pid, self.loop.time(), asyncio.Event())
        self.lives.append(life)
        self.starts += 1
        life.task = self.in_process(life, self._live(life))
        life.task.add_done_callback(lambda task: self._note_end(life, task))

    async def _live(self, life: Life) -> int:
        """Run the engine and its services, as `papertape run` does; return the exit code."""
        await asyncio.sleep(START_S)
        self.note(f"the engine starts (process {life.pid})")
        try:
            await self._run_engine(life)
        except PapertapeError as error:
            self.note(f"the engine ends: {type(error).__name__}: {error}")
            os.pwrite(self.board.descriptor, str(error).encode()[:200].ljust(1_024, b"\0"), 0)
            return error.exit_code
        return 0

    async def _run_engine(self, life: Life) -> None:
        feed = BitgetFeed(bitget_settings(self.config), self.clock)
        settings = make_engine_settings(self.config, self.db, MINUTE_MS, self.warn, self.strategies)
        opening = open_engine(settings, [], self.clock, self.warn, watched_symbols(self.config))
        async with AsyncExitStack() as stack:
            engine = life.engine = await stack.enter_async_context(opening)
            services = life.services = await stack.enter_async_context(
                start_services(engine, self.config, feed, self.db)
            )
            sealing = Sealing(engine.log, engine.bus, self.clock, self.warn, SEGMENT_EVENTS_MIN)
            watchers = {
                "commands": engine.commands.serve,
                "sealing": lambda: sealing.watch(SEAL_AFTER_S, SEAL_EVERY_S, SEAL_EVERY_S),
            } | services.watchers()

            async def work() -> None:
                if not life.stop.is_set():
                    await engine.loop.run(feed)
                await engine.finish()

            await supervise(work, watchers, lambda: engine.log.head.seq, ("alerts",))

    def _note_end(self, life: Life, task: asyncio.Task[int]) -> None:
        """Pass the exit code to the supervisor, unless the process was killed."""
        if life.task is None:
            if not task.cancelled():
                task.exception()
            return
        life.task = None
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            self.note(f"the engine ends with a bug: {error!r}")
            code = UNKNOWN_FAULT
        else:
            code = task.result()
        self._end(life.pid, code)

    def _end(self, pid: int, code: int) -> None:
        self._ended.append((pid, code))
        self._child_ended.set()

    async def write_segment(self, bus: Bus, _module: str, db: str, last_seq: str) -> Outcome:
        """Write a segment as the process beside the engine does; a kill leaves an unfinished file, or a whole one."""
        owner, seconds = process.get(), self.chance.choice(SEALING_S)
        try:
            if await closed_within(bus, seconds):
                return Outcome()
            self.disk.check_write(owner)
            info = write_next_segment(Path(db), int(last_seq), lambda _seq: None)
            self.note(f"sealed to seq {info.last_seq}")
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            make_folder(sealed_folder(self.db))
            (sealed_folder(self.db) / f".{last_seq}.{owner}.segment").write_bytes(b"papertape")
            raise
        except (LogError, OSError) as error:
            return Outcome(failure=str(error))
        self.sealed += 1
        return Outcome(msgspec.json.encode(info))

    # ------------------------------------------------------------ kills

    def kill(self, life: Life) -> None:
        """Kill a process: nothing of it reaches disk or network from now on."""
        if life.task is None:
            return
        self.kills += 1
        self.note(f"kill -9 (process {life.pid})")
        life.task = None
        self.disk.dead.add(life.pid)
        self.network.kill(life.pid)
        for task in asyncio.all_tasks(self.loop):
            if isinstance(task, SimulatedTask) and task.owner == life.pid:
                task.cancel()
        self._end(life.pid, -signal.SIGKILL)

    def arm(self, failpoint: str, reaches: int) -> None:
        """Kill the process when it reaches a failpoint for the nth time from now on."""
        self._armed = ArmedFailpoint(failpoint, reaches)

    def disarm(self) -> None:
        """Kill nobody at a failpoint."""
        self._armed = None

    def in_process(self, life: Life, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Let a process do something, as a request from outside makes it."""
        context = copy_context()
        context.run(process.set, life.pid)
        return self.loop.create_task(work, context=context)

    def armed_failpoint(self) -> ArmedFailpoint | None:
        """Return the armed failpoint, for `events.failpoints`."""
        life = self.life
        return self._armed if life is not None and process.get() == life.pid else None

    def kill_running(self, *_: object) -> None:
        """Kill the process that runs this. Raise ProcessKilled."""
        self._armed = None
        life = self.life
        assert life is not None
        self.note("  at a failpoint")
        self.kill(life)
        raise ProcessKilled

    # ------------------------------------------------------------ supervisor

    def supervisor(self) -> SimulatedSupervisor:
        """Return the supervisor of this machine."""
        self.board = new_board()
        engine = Program("engine", ["papertape"], {}, "engine")
        page = Program("page", ["papertape"], {}, "page")
        return SimulatedSupervisor(
            self,
            (engine, HangDetector(self.answers, clock_s=self.loop.time)),
            (page, HangDetector(lambda: True, clock_s=self.loop.time)),
            self.note,
            SystemdNotifier({}, lambda: True),
            self.board,
        )


class ArmedFailpoint(Struct):
    """A failpoint at which the process is killed."""

    name: str
    reaches_left: int


class SimulatedSupervisor(ProcessSupervisor):
    """The supervisor on the simulated loop: what it decides is its own, only its waiting is here."""

    def __init__(self, machine: Machine, *given: Any) -> None:
        super().__init__(*given)
        self._machine = machine

    async def keep(self) -> int:
        """Run until the engine is over or `stop` was called; return the exit code."""
        while not self._is_over():
            self._start_due()
            self._check()
            await self._machine.wait_for_child(self._wait_s())
            self._reap()
        return self._exit_code()

    def stop(self) -> None:
        """Ask the engine to stop, as SIGTERM does."""
        self._engine.is_stopping = True
        if self._engine.pid is not None:
            self._machine.signal(self._engine.pid, signal.SIGTERM)
