"""`papertape run` as a process: it stops when asked, stays up otherwise, and keeps a second engine out."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from papertape.events.facts import CandleClosed, EngineStopped
from papertape.events.sqlite_log import SqliteLogReader
from tests.engine.logs import recorded, recovered
from tests.engine.processes import command, ended_s, environment, ok, papertape, running
from tests.patience import PATIENCE_S, stretched

pytestmark = pytest.mark.system

SIM = ("run", "--feed", "sim", "--json", "--db", "log.db", "--set", "feed.sim.warm_up_days=0")
AT_MAX = (*SIM, "--speed", "max")
PACED = (*SIM, "--speed", "60")
IDLE = (*SIM, "feed.sim.days=1", "feed.sim.symbols=BTCUSDT", "--speed", "max")
CSV = "open_time_ms,open,high,low,close,volume\n"


def assert_ended_well(folder: Path) -> None:
    db = folder / "log.db"
    head = recorded(db)[-1]
    assert isinstance(head.event, EngineStopped)
    assert recovered(db).snapshot_seq in (head.seq, 0), "0 while somebody edits the kernel"
    assert (folder / "log.db.snapshots" / f"{head.seq:020d}.snapshot").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("arguments", [AT_MAX, PACED], ids=["at max speed", "paced"])
def test_a_signal_ends_it_within_two_seconds_with_a_stop_and_a_snapshot(
    tmp_path: Path, arguments: tuple[str, ...], number: signal.Signals
) -> None:
    with running(tmp_path, *arguments, until="EngineStarted") as process:
        time.sleep(0.5)
        assert ended_s(process, number) < stretched(2.0)
    assert process.returncode == 0, (tmp_path / "stderr.txt").read_text()
    assert_ended_well(tmp_path)


def test_it_stays_up_when_the_market_has_ended_and_ends_on_a_signal(tmp_path: Path) -> None:
    with running(tmp_path, *IDLE, until='"at_ms":1735776000000') as process:
        time.sleep(1.5)
        assert process.poll() is None
        assert not any(isinstance(item.event, EngineStopped) for item in recorded(tmp_path / "log.db"))
        assert ended_s(process, signal.SIGTERM) < stretched(2.0)
    assert process.returncode == 0
    assert_ended_well(tmp_path)


def test_a_file_is_served_to_its_end_and_again_after_it_grew(tmp_path: Path) -> None:
    file = tmp_path / "X_1m.csv"
    rows = [f"{1735689600000 + 60_000 * n},100,101,99,100,1\n" for n in range(20)]
    arguments = ("run", "--feed", "file", "--candles", f"X={file}", "--speed", "max", "--until-end", "--db", "log.db")
    file.write_text(CSV + "".join(rows[:10]))
    ok(tmp_path, *arguments)
    file.write_text(CSV + "".join(rows))
    ok(tmp_path, *arguments)
    assert sum(isinstance(item.event, CandleClosed) for item in recorded(tmp_path / "log.db")) == 20


def test_a_signal_at_any_instant_of_the_start_leaves_a_good_log(tmp_path: Path) -> None:
    """Before the program has taken over its signals the system ends it; from then on it ends with 0."""
    for after_s in (0.05, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8):
        with running(tmp_path, *PACED, begun_s=after_s) as process:
            assert ended_s(process, signal.SIGTERM) < stretched(2.0)
        assert process.returncode in (0, -signal.SIGTERM)
    ok(tmp_path, *SIM, "feed.sim.days=1", "--speed", "max", "--until-end")
    assert_ended_well(tmp_path)


def test_a_second_engine_is_kept_out_and_the_first_goes_on(tmp_path: Path) -> None:
    with running(tmp_path, *PACED, until="EngineStarted") as first:
        started = time.monotonic()
        ok(tmp_path, "--version")
        start_s = time.monotonic() - started
        started = time.monotonic()
        second = papertape(tmp_path, *PACED)
        assert time.monotonic() - started < stretched(1.0 + 5.0 * start_s), "its own start-up and a second"
        assert (second.returncode, second.stdout) == (3, "")
        assert second.stderr == f"error: another engine holds {tmp_path / 'log.db'}\n"
        assert first.poll() is None
        assert ended_s(first, signal.SIGTERM) < stretched(2.0)
    assert first.returncode == 0
    assert_ended_well(tmp_path)


def test_a_reader_that_went_away_does_not_end_the_engine(tmp_path: Path) -> None:
    with running(tmp_path, *PACED, until="EngineStarted") as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        before = _wait_for_more(tmp_path, 0)
        assert _wait_for_more(tmp_path, before) > before
        assert ended_s(process, signal.SIGTERM) < stretched(2.0)
    assert process.returncode == 0
    assert "the engine continues without" in (tmp_path / "stderr.txt").read_text()
    assert_ended_well(tmp_path)


def test_a_reader_that_stopped_reading_holds_up_neither_the_engine_nor_its_end(tmp_path: Path) -> None:
    with running(tmp_path, *AT_MAX, until="EngineStarted") as process:
        before = _wait_for_more(tmp_path, 20_000)
        assert _wait_for_more(tmp_path, before) > before
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        assert time.monotonic() - started < stretched(2.0)
    assert_ended_well(tmp_path)


def _wait_for_more(folder: Path, seq: int) -> int:
    """The head of the log as soon as it is beyond a seq."""
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        with closing(SqliteLogReader(folder / "log.db")) as reader:
            if (head := reader.head().seq) > seq:
                return head
        time.sleep(0.05)
    raise AssertionError(f"the log stands still at seq {seq}")


def test_memory_stays_flat_over_weeks_of_a_market_at_max_speed(tmp_path: Path) -> None:
    with running(tmp_path, *AT_MAX, until="EngineStarted") as process:
        drain = Thread(target=process.stdout.read, daemon=True)  # type: ignore[union-attr]
        drain.start()
        sizes = []
        for seq in (115_000, 140_000, 165_000):  # Before that windows and rings are filled.
            _wait_for_more(tmp_path, seq)
            pages = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
            sizes.append(int(pages) * 4_096 / 1e6)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    assert sizes[2] - sizes[0] < 4.0, f"resident MB after 15, 18 and 22 days of 5 symbols: {sizes}"


def test_it_runs_without_any_stdout(tmp_path: Path) -> None:
    arguments = (*IDLE, "--until-end")
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command(*arguments)],
        cwd=tmp_path,
        env=environment(),
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0
    assert_ended_well(tmp_path)
