"""The supervisor as a process, of two scripts: it restarts them if possible, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from papertape.cli.keeper.process_supervisor import _ignore_signal, _receive_signals, _signals
from papertape.cli.keeper.restart_policy import KILLS_MAX
from tests.engine.processes import environment
from tests.patience import PATIENCE_S, stretched

pytestmark = pytest.mark.system

STAYS = "exec sleep 60"


@contextmanager
def keeping(
    folder: Path, engine: str, web: str = STAYS, stop_s_max: float = 8.0, shell: str = "/bin/sh"
) -> Iterator[subprocess.Popen[str]]:
    """Yield a running supervisor; at the end kill it and its scripts, which hold its pipe open."""
    arguments = [sys.executable, "-m", "tests.cli.supervised_scripts", engine, web, str(stop_s_max), shell]
    process = subprocess.Popen(arguments, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pid in (*pids(folder, "engine"), *pids(folder, "web")):
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


def pids(folder: Path, name: str) -> list[int]:
    """Return the pids of all runs of a script so far."""
    path = folder / f"{name}.pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(what: Callable[[], bool]) -> float:
    """Wait for a condition; return the seconds it took."""
    started = time.monotonic()
    while not what():
        assert time.monotonic() - started < PATIENCE_S, "it never came"
        time.sleep(0.01)
    return time.monotonic() - started


def life(folder: Path, name: str, number: int) -> int:
    """Wait for the script's run of this number, and return its pid."""
    wait_for(lambda: len(pids(folder, name)) >= number)
    return pids(folder, name)[number - 1]


def stopped(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> tuple[int, str, float]:
    """Ask the supervisor to stop; return its exit code, its output and the seconds it took."""
    started = time.monotonic()
    process.send_signal(number)
    said, _ = process.communicate(timeout=PATIENCE_S)
    return process.returncode, said, time.monotonic() - started


def test_a_killed_engine_is_started_again_at_once_and_its_page_notices_nothing(tmp_path: Path) -> None:
    with keeping(tmp_path, STAYS) as keeper:
        web = life(tmp_path, "web", 1)
        for number in range(1, 6):
            os.kill(life(tmp_path, "engine", number), signal.SIGKILL)
            assert wait_for(lambda: len(pids(tmp_path, "engine")) > number) < stretched(1.0)  # noqa: B023 - called at once.
        assert is_alive(web)
        _, said, _ = stopped(keeper)
    assert said.count("the engine was killed by SIGKILL; restarting it at once\n") == 5
    assert pids(tmp_path, "web") == [web]


def test_an_engine_that_hangs_is_killed_and_one_that_was_never_heard_is_waited_for(tmp_path: Path) -> None:
    with keeping(tmp_path, STAYS) as keeper:
        first = life(tmp_path, "engine", 1)
        time.sleep(1.5)
        assert is_alive(first), "a long log is gone through before it answers"
        (tmp_path / "engine.answers").touch()
        time.sleep(stretched(0.5))
        (tmp_path / "engine.answers").unlink()
        second = life(tmp_path, "engine", 2)
        time.sleep(1.5)
        assert is_alive(second)
        _, said, _ = stopped(keeper)
    assert said.count("the engine is running but does not answer; killing it\n") == 1
    assert said.count("the engine was killed by SIGKILL; restarting it at once\n") == 1
    assert pids(tmp_path, "engine") == [first, second]


def test_a_page_that_died_is_started_again_and_the_engine_notices_nothing(tmp_path: Path) -> None:
    with keeping(tmp_path, STAYS, "sleep 0.1; exit 1") as keeper:
        engine = life(tmp_path, "engine", 1)
        life(tmp_path, "web", 6)
        assert is_alive(engine)
        _, said, _ = stopped(keeper)
    assert said.count("the web exited with 1") == 5, "then it goes on without a word"
    assert pids(tmp_path, "engine") == [engine]


def test_a_page_that_hangs_is_killed_and_the_engine_notices_nothing(tmp_path: Path) -> None:
    (tmp_path / "web.answers").touch()
    with keeping(tmp_path, STAYS) as keeper:
        engine, first = life(tmp_path, "engine", 1), life(tmp_path, "web", 1)
        time.sleep(stretched(0.5))
        os.kill(first, signal.SIGSTOP)
        (tmp_path / "web.answers").unlink()
        life(tmp_path, "web", 2)
        assert not is_alive(first)
        _, said, _ = stopped(keeper)
    assert said.count("the web is running but does not answer; killing it\n") == 1
    assert pids(tmp_path, "engine") == [engine]


def test_twenty_kills_of_the_page_within_a_minute_do_not_stop_it(tmp_path: Path) -> None:
    with keeping(tmp_path, STAYS) as keeper:
        engine = life(tmp_path, "engine", 1)
        for number in range(1, KILLS_MAX + 3):
            os.kill(life(tmp_path, "web", number), signal.SIGKILL)
        assert is_alive(life(tmp_path, "web", KILLS_MAX + 3))
        assert pids(tmp_path, "engine") == [engine]
        assert stopped(keeper)[0] == 0


def test_a_page_that_somebody_else_asked_to_end_is_started_again(tmp_path: Path) -> None:
    """A memory watcher may do so: the page exits with 0, although its work is not done."""
    with keeping(tmp_path, STAYS, "trap 'exit 0' TERM; while :; do sleep 0.05; done") as keeper:
        os.kill(life(tmp_path, "web", 1), signal.SIGTERM)
        life(tmp_path, "web", 2)
        assert stopped(keeper)[0] == 0


def test_the_page_outlives_an_engine_whose_log_is_damaged(tmp_path: Path) -> None:
    with keeping(tmp_path, "exit 5") as keeper:
        web = life(tmp_path, "web", 1)
        assert keeper.stdout is not None
        said = keeper.stdout.readline()
        assert said.startswith("the engine exited with 5; it is not restarted: the log is damaged")
        assert said.endswith("; the web stays up until Ctrl-C\n")
        assert is_alive(web)
        assert keeper.poll() is None
        assert stopped(keeper)[0] == 5
    assert len(pids(tmp_path, "engine")) == 1
    assert not is_alive(web)


@pytest.mark.parametrize("code", [2, 4])
def test_what_the_owner_has_to_mend_is_looked_at_again_now_and_then(tmp_path: Path, code: int) -> None:
    with keeping(tmp_path, f"exit {code}") as keeper:
        assert keeper.stdout is not None
        said = keeper.stdout.readline()
        assert said.startswith(f"the engine exited with {code}; restarting it in 300 s (")
        assert is_alive(life(tmp_path, "web", 1))
        assert stopped(keeper)[0] == code


@pytest.mark.parametrize("code", [1, 3])
def test_faults_that_come_back_are_told_five_times_and_tried_until_they_heal(tmp_path: Path, code: int) -> None:
    with keeping(tmp_path, f"test -e healed && exec sleep 60; exit {code}") as keeper:
        assert keeper.stdout is not None
        lines = [keeper.stdout.readline() for _ in range(5)]
        assert lines[0].startswith(f"the engine exited with {code}; restarting it in 0.25 s")
        assert "it is retried as long as it takes, at most every 300 s" in lines[4]
        (tmp_path / "healed").touch()
        assert is_alive(life(tmp_path, "engine", 6))
        assert is_alive(life(tmp_path, "web", 1))
        code, said, _ = stopped(keeper)
    assert (code, said) == (0, "")


def test_a_program_that_cannot_even_be_started_is_tried_again(tmp_path: Path) -> None:
    """Python itself may be on a disk that is not mounted yet."""
    with keeping(tmp_path, STAYS, shell="./sh") as keeper:
        assert keeper.stdout is not None
        assert "exited with 127: could not be started: No such file or directory" in keeper.stdout.readline()
        (tmp_path / "sh").symlink_to("/bin/sh")
        assert is_alive(life(tmp_path, "engine", 1))
        assert is_alive(life(tmp_path, "web", 1))
        stopped(keeper)


def test_the_end_of_the_market_ends_it_all(tmp_path: Path) -> None:
    with keeping(tmp_path, "sleep 0.3; exit 0") as keeper:
        web = life(tmp_path, "web", 1)
        assert keeper.wait(PATIENCE_S) == 0
        assert not is_alive(web)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda one: one.name)
def test_a_signal_ends_both_within_two_seconds(tmp_path: Path, number: signal.Signals) -> None:
    with keeping(tmp_path, "trap 'exit 0' TERM; touch listens; while :; do sleep 0.05; done") as keeper:
        both = [life(tmp_path, "engine", 1), life(tmp_path, "web", 1)]
        wait_for((tmp_path / "listens").exists)
        code, _, took_s = stopped(keeper, number)
        assert (code, took_s < stretched(2.0)) == (0, True)
        assert not any(map(is_alive, both))


def test_who_is_asked_to_end_before_it_listens_has_ended_well(tmp_path: Path) -> None:
    with keeping(tmp_path, STAYS) as keeper:
        life(tmp_path, "engine", 1)
        assert stopped(keeper)[0] == 0


def test_a_signal_that_comes_as_soon_as_it_is_heard_is_not_lost() -> None:
    def at_once(_: FrameType, event: str, __: object) -> None:
        if event == "return" and signal.getsignal(signal.SIGHUP) is _ignore_signal:
            sys.setprofile(None)
            signal.raise_signal(signal.SIGHUP)

    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    sys.setprofile(at_once)
    try:
        with _signals() as coming:
            assert _receive_signals(coming, 0.0) == bytes([signal.SIGHUP])
    finally:
        sys.setprofile(None)
        signal.signal(signal.SIGHUP, before)


def test_who_does_not_end_is_killed(tmp_path: Path) -> None:
    with keeping(tmp_path, "trap '' TERM; touch deaf; while :; do sleep 0.05; done", stop_s_max=0.5) as keeper:
        engine = life(tmp_path, "engine", 1)
        wait_for((tmp_path / "deaf").exists)
        code, said, took_s = stopped(keeper)
        assert 0.5 <= took_s < stretched(2.0)
        assert code == 128 + signal.SIGKILL
        assert "the engine did not stop within 0.5 s; killing it" in said
        assert not is_alive(engine)


def test_what_a_child_started_ends_with_it_and_no_zombie_stays(tmp_path: Path) -> None:
    """The script's own child is an orphan after the kill, and the supervisor must reap it."""
    with keeping(tmp_path, "sleep 60 & echo $! >> left.pids; wait") as keeper:
        life(tmp_path, "left", 1)
        os.kill(life(tmp_path, "engine", 1), signal.SIGKILL)
        life(tmp_path, "left", 2)
        first = pids(tmp_path, "left")[0]
        wait_for(lambda: not Path(f"/proc/{first}").exists())
        children = Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children").read_text().split()
        assert set(map(int, children)) == {pids(tmp_path, "engine")[1], pids(tmp_path, "web")[0]}
        stopped(keeper)
    assert not any(is_alive(pid) for pid in pids(tmp_path, "left"))
