"""The supervisor: start the engine and the page as processes, and restart them when they die.

One loop waits for signals: the end of a child, or a request to stop. Each child leads a process group, so that whatever
it started ends with it. As the first process of a container it also reaps orphans. It retries for as long as it takes
(`cli.keeper.restart_policy`), and reports why the engine is down to the page and to systemd.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from papertape.cli.keeper.restart_policy import (
    ENDED_WELL,
    STEADY_S,
    PermanentStop,
    ProcessRun,
    RestartAfter,
    RestartPolicy,
    describe_exit,
)
from papertape.cli.keeper.status_board import BOARD_FD, SLOT, Slot, StatusBoard
from papertape.projections.telegram.secret import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from papertape.cli.keeper.hang_detector import HangDetector
    from papertape.cli.keeper.systemd import SystemdNotifier

STOP_S_MAX: Final = 8.0
"""A stopping engine may need some seconds for its report; then it is killed, which does not damage the log."""
KILL_S_MAX: Final = 60.0
SIGNALS_READ_MAX: Final = 64
SUPERVISOR_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
INHERITED_FD: Final = 3
NOT_STARTED: Final = 127
"""The exit code that a shell reports for a command that could not be started."""
ERROR_CHARS_MAX: Final = 300


class Program(Struct, frozen=True):
    """A program to start: its name for the owner, command line, complete environment, and slot for its last error.

    `inherits` is a descriptor that it gets as number 3. `is_silent`: nobody reads its output.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    slot: Slot
    inherits: int | None = None
    is_silent: bool = False


class SupervisedProcess(Struct):
    """A program and its current process, if any. `hangs` detects whether the process still answers."""

    program: Program
    hangs: HangDetector
    restarts: RestartPolicy = field(default_factory=RestartPolicy)
    pid: int | None = None
    started_s: float = 0.0
    due_s: float | None = 0.0
    """When to start it; None while it runs and after a permanent stop."""
    ended: PermanentStop | None = None
    code: int = 0
    """The exit code of the last process."""
    is_stopping: bool = False


class ProcessSupervisor:
    """Keep an engine and its page running until the engine finishes or a signal arrives."""

    def __init__(
        self,
        engine: tuple[Program, HangDetector],
        page: tuple[Program, HangDetector],
        report: Callable[[str], None],
        notify: SystemdNotifier,
        board: StatusBoard,
        stop_s_max: float = STOP_S_MAX,
    ) -> None:
        """Report to the owner with `report`, to the service manager with `notify`, to the processes on `board`."""
        self._engine, self._page = SupervisedProcess(*engine), SupervisedProcess(*page, RestartPolicy(may_end=False))
        self._both = (self._engine, self._page)
        self._report, self._notify, self._board, self._stop_s_max = report, notify, board, stop_s_max
        self._stopping = False

    def run(self) -> int:
        """Run both; return the engine's exit code."""
        with _signals() as incoming:
            try:
                while not self._is_over():
                    self._start_due()
                    self._check()
                    # A failing page is no reason to restart a trading engine.
                    self._notify.update(lives=not self._engine.restarts.is_failing, status=self._board.read("outage"))
                    if self._wait(incoming):
                        self._stopping = True
                    self._reap()
            finally:
                self._notify.stopping()
                self._stop_all(incoming)
        return self._exit_code()

    def _is_over(self) -> bool:
        """Return whether to stop. After an engine's failure the page stays up, but not after its success."""
        done = self._engine.ended
        return self._stopping or (done is not None and (not done.why or self._page.ended is not None))

    def _exit_code(self) -> int:
        ended = self._engine.ended
        code = self._engine.code if ended is None else ended.code
        return code if code >= 0 else 128 - code

    # ------------------------------------------------------------ starting, waiting

    def _start_due(self) -> None:
        now_s = time.monotonic()
        for process in (self._page, self._engine):
            if process.due_s is not None and process.due_s <= now_s:
                process.due_s, process.started_s = None, now_s
                self._board.write(process.program.slot, "")
                process.hangs.begin()
                try:
                    process.pid = _spawn(process.program, self._board.descriptor)
                except OSError as error:  # No memory, no process left, or Python itself is on a missing mount.
                    self._board.write(process.program.slot, f"could not be started: {error.strerror}")
                    self._decide(process, NOT_STARTED)

    def _check(self) -> None:
        """Kill a process that hangs, which does not damage the log. Note a process that has recovered."""
        for process in self._both:
            if process.pid is None:
                continue
            if process.hangs.is_hung():
                self._report(f"the {process.program.name} is running but does not answer; killing it")
                _signal_group(process.pid, signal.SIGKILL)
                process.hangs.begin()
            elif process.hangs.has_answered and time.monotonic() - process.started_s >= STEADY_S:
                if process.restarts.settle():
                    self._report(f"the {process.program.name} is stable again")
                if process is self._engine:
                    self._board.write("outage", "")

    def _wait(self, incoming: socket.socket) -> bool:
        """Wait for a signal or until something is due; return whether a signal requested a stop."""
        return any(number in SUPERVISOR_SIGNALS for number in _receive_signals(incoming, self._wait_s()))

    def _wait_s(self) -> float:
        """Return the time until a process or a probe is due."""
        now_s = time.monotonic()
        due_s = [process.due_s - now_s for process in self._both if process.due_s is not None]
        probes_s = [process.hangs.interval_s for process in self._both if process.pid is not None]
        return max(0.0, min([*due_s, *probes_s, self._notify.interval_s]))

    # ------------------------------------------------------------ ends

    def _reap(self) -> None:
        """Reap all children that have ended, including orphans of other processes."""
        while (child := _reap_child()) is not None:
            pid, code = child
            for process in self._both:
                if process.pid == pid:
                    self._note_end(process, code)

    def _note_end(self, process: SupervisedProcess, code: int) -> None:
        assert process.pid is not None, "only a running process ends"
        _signal_group(process.pid, signal.SIGKILL)  # Whatever it started and left behind.
        process.pid = None
        if process.is_stopping:
            # SIGTERM ended a process that had not installed its handler yet, so it had not begun any work.
            process.ended = PermanentStop(ENDED_WELL if code == -signal.SIGTERM else code)
            return
        self._decide(process, code)

    def _decide(self, process: SupervisedProcess, code: int) -> None:
        """Decide whether to restart a process that ended, and report it."""
        now_s, process.code = time.monotonic(), code
        verdict = process.restarts.next_step(ProcessRun(code, process.started_s, now_s, process.hangs.has_answered))
        if isinstance(verdict, RestartAfter):
            process.due_s = now_s + verdict.after_s
            end = f"the {process.program.name} {self._describe_end(process)}"
            text = f"{end}; restarting it until it stays up"  # The same after each try.
            if not verdict.quiet:
                self._report(f"{end}; restarting it {_pause(verdict)}")
        else:
            process.ended = verdict
            text = self._report_end(process, verdict)
        if process is self._engine and process.due_s != now_s:
            self._board.write("outage", text)

    def _describe_end(self, process: SupervisedProcess) -> str:
        """Describe how a process ended, with its last error."""
        error = redact(" ".join(self._board.read(process.program.slot).split()))[:ERROR_CHARS_MAX]
        return describe_exit(process.code) + (f": {error}" if error else "")

    def _report_end(self, process: SupervisedProcess, verdict: PermanentStop) -> str:
        """Report a permanent end that has a reason, and return the reported text."""
        if not verdict.why:
            return ""
        other = self._page if process is self._engine else self._engine
        rest = f"; the {other.program.name} stays up until Ctrl-C" if other.ended is None else ""
        text = f"the {process.program.name} {self._describe_end(process)}; it is not restarted: {verdict.why}{rest}"
        self._report(text)
        return text

    def _stop_all(self, incoming: socket.socket) -> None:
        """Ask the running processes to stop, wait, and kill those that have not stopped in time."""
        for process in self._both:
            if process.pid is not None:
                process.is_stopping = True
                _signal_group(process.pid, signal.SIGTERM)
        ends_s = time.monotonic() + self._stop_s_max
        while any(process.pid is not None for process in self._both):
            if (left_s := ends_s - time.monotonic()) <= 0.0:
                self._kill_all()
                left_s = KILL_S_MAX
            _receive_signals(incoming, left_s)
            self._reap()

    def _kill_all(self) -> None:
        for process in self._both:
            if process.pid is not None:
                self._report(f"the {process.program.name} did not stop within {self._stop_s_max:g} s; killing it")
                _signal_group(process.pid, signal.SIGKILL)


def _pause(restart: RestartAfter) -> str:
    """Describe when the process is restarted."""
    pause = f"in {restart.after_s:g} s" if restart.after_s else "at once"
    return f"{pause} ({restart.note})" if restart.note else pause


def _spawn(program: Program, board_fd: int) -> int:
    """Start a program as leader of a process group, without stdin; return its pid. Raise OSError."""
    actions: list[tuple[int, int, str, int, int] | tuple[int, int, int]] = []
    if program.inherits is not None:
        actions.append((os.POSIX_SPAWN_DUP2, program.inherits, INHERITED_FD))
    actions.append((os.POSIX_SPAWN_DUP2, board_fd, BOARD_FD))
    actions.append((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0))
    if program.is_silent:
        actions.append((os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0))
    command, environment = list(program.command), {**program.environment, SLOT: program.slot}
    return os.posix_spawn(
        command[0], command, environment, file_actions=actions, setpgroup=0, setsigdef=[signal.SIGPIPE]
    )


def _signal_group(pid: int, number: signal.Signals) -> None:
    """Signal a child and everything it started, unless they have already ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _reap_child() -> tuple[int, int] | None:
    """Return the pid and exit code of a child that has ended; None if there is none."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(status)) if pid else None


def _receive_signals(incoming: socket.socket, seconds: float) -> bytes:
    """Wait at most `seconds`; return the numbers of the signals that arrived."""
    ready, _, _ = select.select([incoming], [], [], seconds)
    return incoming.recv(SIGNALS_READ_MAX) if ready else b""


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """Yield a socket that receives the numbers of signals; restore the previous handlers at the end."""
    incoming, outgoing = socket.socketpair()
    incoming.setblocking(False)
    outgoing.setblocking(False)
    # If SIGHUP is ignored (nohup), it stays ignored.
    handled = [
        one for one in SUPERVISOR_SIGNALS if one is not signal.SIGHUP or signal.getsignal(one) is not signal.SIG_IGN
    ]
    # The socket comes before the handlers: a signal handled without the socket would be lost.
    before = signal.set_wakeup_fd(outgoing.fileno(), warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, _ignore_signal) for number in (*handled, signal.SIGCHLD)}
    try:
        yield incoming
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        incoming.close()
        outgoing.close()


def _ignore_signal(number: int, frame: object) -> None:
    """Do nothing: the number arrives on the socket."""
