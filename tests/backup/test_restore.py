"""A restored backup: nothing is lost by accident, nothing is deleted, and no alert is sent twice."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from papertape.events.cursors import SqliteCursors, stored_positions
from papertape.events.facts import EpochBegan
from papertape.events.head_file import LogLock, read_head
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.notify.channel_key import read_key
from papertape.projections.telegram.delivery_queues import PLACES, rewind_positions
from tests.engine.logs import of_type, recorded
from tests.engine.processes import ok, papertape

ONE = ("--set", "feed.sim.symbols=BTCUSDT", "feed.sim.warm_up_days=0")
SIM = ("run", "--feed", "sim", *ONE, "--speed", "max", "--until-end", "--db", "log.db", "--json")


def play(folder: Path, days: int) -> None:
    ok(folder, *SIM, "--set", f"feed.sim.days={days}")


def back_up(folder: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(ok(folder, "backup", "--db", "log.db", "--json"))
    return {**made, "path": str(folder / made["path"])}


@pytest.fixture(scope="module")
def old_and_new(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with a log of two days, and a backup of its first day."""
    folder = tmp_path_factory.mktemp("kept")
    play(folder, 1)
    made = back_up(folder)
    play(folder, 2)
    return folder, made


@pytest.fixture
def kept(old_and_new: tuple[Path, dict[str, Any]], tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    folder, made = old_and_new
    shutil.copytree(folder, tmp_path / "kept")
    return tmp_path / "kept", made


def test_on_an_empty_box_the_log_is_there_again_and_goes_on_to_the_same_end(
    kept: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, made = kept
    box = tmp_path / "box"
    box.mkdir()
    ok(box, "restore", made["path"], "--db", "log.db")
    assert ok(box, "replay", "--db", "log.db", "--digest").strip() == made["digest"]
    play(box, 2)
    ends = [ok(one, "replay", "--db", "log.db", "--digest") for one in (box, folder)]
    assert ends[0] == ends[1]


def test_a_newer_log_is_not_overwritten_and_nothing_is_touched(kept: tuple[Path, dict[str, Any]]) -> None:
    folder, made = kept
    before = {path: path.read_bytes() for path in folder.glob("log.db*") if path.is_file()}
    done = papertape(folder, "restore", made["path"], "--db", "log.db")
    assert done.returncode == 1
    assert f"the copy ends at seq {made['seq']}" in done.stderr
    assert "--new-epoch" in done.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_a_log_whose_file_is_gone_is_still_known_to_have_been_newer(kept: tuple[Path, dict[str, Any]]) -> None:
    folder, made = kept
    (folder / "log.db").unlink()
    assert "goes to seq" in papertape(folder, "restore", made["path"], "--db", "log.db").stderr


def test_a_new_epoch_says_so_in_the_log_and_moves_the_newer_one_aside(kept: tuple[Path, dict[str, Any]]) -> None:
    folder, made = kept
    newer = recorded(folder / "log.db")
    told = ok(folder, "restore", made["path"], "--db", "log.db", "--new-epoch", "--why", "a bad disk", "--json")
    found = json.loads(told)
    [epoch] = of_type(folder / "log.db", EpochBegan)
    assert isinstance(epoch, EpochBegan)
    assert (epoch.restored_seq, epoch.replaced_seq, epoch.why) == (made["seq"], newer[-1].seq, "a bad disk")
    assert found["epoch_seq"] == made["seq"] + 1
    aside = next(folder.glob("log.db.replaced-*"))
    assert recorded(aside / "log.db") == newer
    play(folder, 2)
    assert "every decision is the same" in ok(folder, "verify", "--db", "log.db")


def test_a_new_epoch_needs_a_reason(kept: tuple[Path, dict[str, Any]]) -> None:
    folder, made = kept
    assert papertape(folder, "restore", made["path"], "--db", "log.db", "--new-epoch").returncode == 2


def test_while_an_engine_holds_the_log_nothing_is_put_back(kept: tuple[Path, dict[str, Any]]) -> None:
    folder, made = kept
    with LogLock(folder / "log.db"):
        assert papertape(folder, "restore", made["path"], "--db", "log.db", "--new-epoch", "--why", "x").returncode == 3


def test_a_damaged_backup_is_refused_and_nothing_is_touched(kept: tuple[Path, dict[str, Any]]) -> None:
    folder, made = kept
    damaged = folder / "damaged.backup"
    content = bytearray(Path(made["path"]).read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    head = read_head(folder / "log.db")
    assert papertape(folder, "restore", "damaged.backup", "--db", "log.db", "--new-epoch", "--why", "x").returncode == 5
    assert read_head(folder / "log.db") == head


def test_a_file_that_is_no_backup_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a log, but longer than a page " * 200)
    assert papertape(tmp_path, "restore", "notes.txt", "--db", "log.db").returncode == 2
    assert papertape(tmp_path, "restore", "nothing.backup", "--db", "log.db").returncode == 2


def test_what_was_sent_stays_sent(kept: tuple[Path, dict[str, Any]]) -> None:
    folder, made = kept
    with closing(SqliteLogReader(folder / "log.db")) as reader:
        head = reader.head().seq
    cursors = SqliteCursors(folder / "log.db.cursors")
    for name, position in {"telegram.normal.sent": head, "telegram.begun": 1, "telegram.chat": 7_000_001}.items():
        cursors.advance(name, position)
    cursors.close()
    key = read_key(folder / "log.db.cursors.key")
    ok(folder, "restore", made["path"], "--db", "log.db", "--new-epoch", "--why", "a bad disk")
    assert stored_positions(folder / "log.db.cursors") == {
        "telegram.normal.sent": made["seq"],
        "telegram.begun": 1,
        "telegram.chat": 7_000_001,
    }
    assert read_key(folder / "log.db.cursors.key") == key, "the cursors of channels are named with it"
    assert (folder / "log.db.cursors.key").stat().st_mode & 0o777 == 0o600


def test_places_beyond_the_end_are_no_trace_of_anything() -> None:
    before = {
        "t.urgent.sending": 90 * PLACES + 1,
        "t.urgent.accepted": 40 * PLACES + 2,
        "t.begun": 200,
        "t.heartbeat": 5,
    }
    after = {"t.urgent.sending": 0, "t.urgent.accepted": 40 * PLACES + 2, "t.begun": 51, "t.heartbeat": 5}
    assert rewind_positions(before, 50) == after
