"""The keeper: starts the engine and the web as processes of their own, and starts again whichever died.

One loop waits for signals: an end of a child, a wish to stop. Each child leads a process group, so that whatever
it started ends with it. As the first process of a container it also reaps what others left behind. It goes on for as
long as it takes (`cli.keeper.restart_policy`), and says why the engine is down where the page and systemd see it.
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

ENDS_S_MAX: Final = 8.0
"""An engine may need some seconds for its last words; then it is killed, and the log is whole all the same."""
KILLED_S_MAX: Final = 60.0
SIGNALS_READ_MAX: Final = 64
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
INHERITED_FD: Final = 3
NOT_STARTED: Final = 127
"""The exit code that a shell reports for a command that could not be started."""
WORDS_CHARS_MAX: Final = 300


class Program(Struct, frozen=True):
    """What to start: its name for the owner, command line, complete environment, and slot for its last words.

    `inherits` is a descriptor that it gets as number 3. `is_silent`: nobody reads what it prints.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    slot: Slot
    inherits: int | None = None
    is_silent: bool = False


class SupervisedProcess(Struct):
    """A program and its current process, if any. `pulse` tells whether the process still answers."""

    program: Program
    pulse: HangDetector
    restarts: RestartPolicy = field(default_factory=RestartPolicy)
    pid: int | None = None
    started_s: float = 0.0
    due_s: float | None = 0.0
    """When it is to be started; None while it runs, and when it is not started any more."""
    ended: PermanentStop | None = None
    code: int = 0
    """The exit code of the last process."""
    asked_to_end: bool = False


class ProcessSupervisor:
    """Keeps an engine and its page alive until the engine's work is done or a signal comes."""

    def __init__(
        self,
        engine: tuple[Program, HangDetector],
        web: tuple[Program, HangDetector],
        tell: Callable[[str], None],
        notify: SystemdNotifier,
        board: StatusBoard,
        ends_s_max: float = ENDS_S_MAX,
    ) -> None:
        """`tell` informs the owner, `notify` the service manager, and `board` the kept processes."""
        self._engine, self._web = SupervisedProcess(*engine), SupervisedProcess(*web, RestartPolicy(may_end=False))
        self._tell, self._notify, self._board, self._ends_s_max = tell, notify, board, ends_s_max
        self._stopping = False

    def run(self) -> int:
        """Run both; the engine's exit code where it stopped by itself, else how it ended when it was asked to."""
        with _signals() as coming:
            try:
                while not self._is_over():
                    self._start_due()
                    self._look()
                    # A failing page is no reason to end a trading engine.
                    self._notify.turn(lives=not self._engine.restarts.is_failing, status=self._board.read("outage"))
                    if self._wait(coming):
                        self._stopping = True
                    self._reap()
            finally:
                self._notify.stopping()
                self._end_all(coming)
        return self._code()

    def _is_over(self) -> bool:
        """A page that is left alone with a finished log stays up, but nothing is kept for nobody."""
        done = self._engine.ended
        return self._stopping or (done is not None and (not done.why or self._web.ended is not None))

    def _code(self) -> int:
        ended = self._engine.ended
        code = self._engine.code if ended is None else ended.code
        return code if code >= 0 else 128 - code

    # ------------------------------------------------------------ starting, waiting

    def _start_due(self) -> None:
        now_s = time.monotonic()
        for kept in (self._web, self._engine):
            if kept.due_s is not None and kept.due_s <= now_s:
                kept.due_s, kept.started_s = None, now_s
                self._board.write(kept.program.slot, "")
                kept.pulse.begin()
                try:
                    kept.pid = _spawn(kept.program, self._board.descriptor)
                except OSError as error:  # No memory, no process left, or Python itself is on a missing mount.
                    self._board.write(kept.program.slot, f"could not be started: {error.strerror}")
                    self._decide(kept, NOT_STARTED)

    def _look(self) -> None:
        """Kill a process that hangs, which costs the log nothing. Note a process that has recovered."""
        for kept in (self._engine, self._web):
            if kept.pid is None:
                continue
            if kept.pulse.is_hung():
                self._tell(f"the {kept.program.name} lives but has not answered for long; it is killed")
                _signal_group(kept.pid, signal.SIGKILL)
                kept.pulse.begin()
            elif kept.pulse.was_heard and time.monotonic() - kept.started_s >= STEADY_S:
                if kept.restarts.settle():
                    self._tell(f"the {kept.program.name}is stable again")
                if kept is self._engine:
                    self._board.write("outage", "")

    def _wait(self, coming: socket.socket) -> bool:
        """Wait for a signal or until somebody is due; whether it was one to stop."""
        both, now_s = (self._engine, self._web), time.monotonic()
        due_s = [kept.due_s - now_s for kept in both if kept.due_s is not None]
        looks_s = [kept.pulse.look_s for kept in both if kept.pid is not None]
        seconds = max(0.0, min([*due_s, *looks_s, self._notify.look_s]))
        return any(number in STOP_SIGNALS for number in _receive_signals(coming, seconds))

    # ------------------------------------------------------------ ends

    def _reap(self) -> None:
        """Take note of whoever has ended; strangers too, whose parents are gone."""
        while (found := _reap_child()) is not None:
            pid, code = found
            for kept in (self._engine, self._web):
                if kept.pid == pid:
                    self._note(kept, code)

    def _note(self, kept: SupervisedProcess, code: int) -> None:
        assert kept.pid is not None, "only a running one ends"
        _signal_group(kept.pid, signal.SIGKILL)  # What it started and left behind.
        kept.pid = None
        if kept.asked_to_end:
            # One that was asked before it could listen had not begun yet.
            kept.ended = PermanentStop(ENDED_WELL if code == -signal.SIGTERM else code)
            return
        self._decide(kept, code)

    def _decide(self, kept: SupervisedProcess, code: int) -> None:
        """Decide whether to restart a process that ended, and report it."""
        now_s, kept.code = time.monotonic(), code
        verdict = kept.restarts.next_step(ProcessRun(code, kept.started_s, now_s, kept.pulse.was_heard))
        if isinstance(verdict, RestartAfter):
            kept.due_s = now_s + verdict.after_s
            ended, pause = f"the {kept.program.name} {self._describe_end(kept)}", _pause(verdict)
            text = f"{ended}; it is started again until it stays up"  # It stays the same after each try.
            if not verdict.quiet:
                self._tell(f"{ended}; it is started again {pause}")
        else:
            kept.ended = verdict
            text = self._tell_end(kept, verdict)
        if kept is self._engine and kept.due_s != now_s:
            self._board.write("outage", text)

    def _describe_end(self, kept: SupervisedProcess) -> str:
        """Describe how a process ended, with its last words."""
        words = redact(" ".join(self._board.read(kept.program.slot).split()))[:WORDS_CHARS_MAX]
        return describe_exit(kept.code) + (f": {words}" if words else "")

    def _tell_end(self, kept: SupervisedProcess, verdict: PermanentStop) -> str:
        """Report a permanent end that has a reason, and return the reported text."""
        if not verdict.why:
            return ""
        name, other = kept.program.name, self._web if kept is self._engine else self._engine
        rest = f"; the {other.program.name} stays up, Ctrl-C ends it" if other.ended is None else ""
        text = f"the {name} {self._describe_end(kept)}, and is not started again: {verdict.why}{rest}"
        self._tell(text)
        return text

    def _end_all(self, coming: socket.socket) -> None:
        """Ask whoever runs to end, wait, and kill whoever is still there."""
        for kept in (self._engine, self._web):
            if kept.pid is not None:
                kept.asked_to_end = True
                _signal_group(kept.pid, signal.SIGTERM)
        ends_s = time.monotonic() + self._ends_s_max
        while any(kept.pid is not None for kept in (self._engine, self._web)):
            if (left_s := ends_s - time.monotonic()) <= 0.0:
                self._kill_all()
                left_s = KILLED_S_MAX
            _receive_signals(coming, left_s)
            self._reap()

    def _kill_all(self) -> None:
        for kept in (self._engine, self._web):
            if kept.pid is not None:
                self._tell(f"the {kept.program.name} did not end within {self._ends_s_max:g} s and is killed")
                _signal_group(kept.pid, signal.SIGKILL)


def _pause(again: RestartAfter) -> str:
    """Describe when the process is restarted."""
    pause = f"in {again.after_s:g} s" if again.after_s else "at once"
    return f"{pause} ({again.note})" if again.note else pause


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
    """Signal a child and all that it started. That they are gone already is no matter."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _reap_child() -> tuple[int, int] | None:
    """A child that has ended, with its exit code; None where none has."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(status)) if pid else None


def _receive_signals(coming: socket.socket, seconds: float) -> bytes:
    """The numbers of the signals that came, after at most so many seconds."""
    ready, _, _ = select.select([coming], [], [], seconds)
    return coming.recv(SIGNALS_READ_MAX) if ready else b""


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket on which the numbers of signals arrive; afterwards all is as before."""
    coming, noted = socket.socketpair()
    coming.setblocking(False)
    noted.setblocking(False)
    # A hang-up that was to be ignored (nohup) is ignored.
    heard = [one for one in STOP_SIGNALS if one is not signal.SIGHUP or signal.getsignal(one) is not signal.SIG_IGN]
    # The socket comes first: a signal whose handler was there before it would be lost, and nobody would ever end.
    before = signal.set_wakeup_fd(noted.fileno(), warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, _ignore_signal) for number in (*heard, signal.SIGCHLD)}
    try:
        yield coming
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        coming.close()
        noted.close()


def _ignore_signal(number: int, frame: object) -> None:
    """The number arrives on the socket; nothing else is to be done."""
