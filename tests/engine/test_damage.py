"""A damaged log stops the program with exit code 5, seq and reason, and stays unchanged."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from papertape.events.chain import row_hash
from tests.engine.logs import damage, recorded
from tests.engine.processes import ok, papertape

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.system

RUN = (
    "run", "--feed", "sim", "--speed", "max", "--until-end", "--db", "log.db",
    "--set", "feed.sim.days=1", "feed.sim.warm_up_days=0", "feed.sim.symbols=BTCUSDT",
)  # fmt: skip
VERIFY = ("verify", "--db", "log.db")


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a good log."""
    folder = tmp_path_factory.mktemp("good")
    ok(folder, *RUN)
    return folder


@pytest.fixture
def folder(lived: Path, tmp_path: Path) -> Path:
    """A copy of it that may be harmed, without snapshots: every row is read again."""
    shutil.copytree(lived, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "log.db.snapshots")
    return tmp_path / "copy"


def rows(db: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute(
            "SELECT seq, count, recorded_at_ms, events, hash FROM commits ORDER BY seq"
        ).fetchall()


def content(db: Path) -> bytes:
    """The file as it is, to the byte."""
    return db.read_bytes()


def flip_a_byte(db: Path) -> tuple[int, str]:
    seq, _, _, blob, _ = rows(db)[len(rows(db)) // 2]
    changed = bytearray(blob)
    changed[len(blob) // 2] ^= 1
    damage(db, "UPDATE commits SET events = ? WHERE seq = ?", bytes(changed), seq)
    return seq, "does not match its hash"


def delete_a_row(db: Path) -> tuple[int, str]:
    seq = rows(db)[len(rows(db)) // 2][0]
    damage(db, "DELETE FROM commits WHERE seq = ?", seq)
    return seq, "the row is missing"


def cut_the_tail(db: Path) -> tuple[int, str]:
    head = recorded(db)[-1].seq
    damage(db, "DELETE FROM commits WHERE seq = ?", rows(db)[-1][0])
    return head, "its tail was cut off"


def write_a_newer_event(db: Path) -> tuple[int, str]:
    seq, count, at_ms, _, before = rows(db)[-1]
    blob = msgspec.msgpack.encode([[["CandleClosed.9", 1, "BTCUSDT", "no longer a candle"]], [0]])
    row = (seq + count, 1, at_ms, blob, row_hash(before, seq + count, 1, at_ms, blob))
    damage(db, "INSERT INTO commits VALUES (?, ?, ?, ?, ?)", *row)
    return seq + count, "does not know the event CandleClosed.9"


@pytest.mark.parametrize("harm", [flip_a_byte, delete_a_row, cut_the_tail, write_a_newer_event])
def test_run_and_verify_name_seq_and_reason_and_change_nothing(
    folder: Path, harm: Callable[[Path], tuple[int, str]]
) -> None:
    db = folder / "log.db"
    seq, reason = harm(db)
    before = content(db)
    for arguments in (RUN, VERIFY):
        done = papertape(folder, *arguments)
        assert done.returncode == 5, done.stderr
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"error: the log is damaged at seq {seq}: ")
        assert reason in last
        assert content(db) == before
    assert not db.with_name("log.db-wal").exists() or not db.with_name("log.db-wal").stat().st_size


def text(path: Path) -> None:
    path.write_text("my diary\n" * 1_000)


def database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
        connection.commit()


@pytest.mark.parametrize("make", [text, database])
def test_a_foreign_file_is_named_and_left_unchanged(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "log.db")
    before = (tmp_path / "log.db").read_bytes()
    for arguments in (RUN, VERIFY):
        done = papertape(tmp_path, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{tmp_path / 'log.db'} is not a papertape log" in done.stderr
    assert (tmp_path / "log.db").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["log.db"], "nothing is laid beside it"


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    arguments = tuple("file/log.db" if word == "log.db" else word for word in RUN)
    done = papertape(tmp_path, *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no log can be created at file/log.db")


def test_an_unwritable_trades_file_is_reported_before_the_backtest(tmp_path: Path) -> None:
    (tmp_path / "X_1m.csv").write_text("open_time_ms,open,high,low,close,volume\n1735689600000,100,101,99,100,1\n")
    done = papertape(tmp_path, "backtest", "--candles", "X_1m.csv", "--trades", "nowhere/trades.csv")
    assert (done.returncode, done.stderr) == (2, "error: --trades nowhere/trades.csv: there is no folder nowhere\n")
