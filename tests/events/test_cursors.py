"""Cursors only move forward and survive a restart."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from papertape.events.cursors import CURSORS_MAX, Cursors, MemoryCursors, SqliteCursors, stored_positions
from papertape.events.errors import LogError, UsageError
from tests.events.loop import open_files


class Contract:
    def open(self, folder: Path, /) -> Cursors:
        raise NotImplementedError

    def test_a_new_cursor_stands_at_zero_and_moves_forward(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as cursors:
            assert cursors.position("alerts") == 0
            for seq in (3, 3, 9):
                cursors.advance("alerts", seq)
                assert cursors.position("alerts") == seq
            assert cursors.position("arena") == 0

    def test_a_step_back_is_refused(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as cursors:
            cursors.advance("alerts", 9)
            with pytest.raises(UsageError, match="alerts is at seq 9"):
                cursors.advance("alerts", 8)
            assert cursors.position("alerts") == 9

    def test_the_number_of_cursors_is_bounded(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as cursors:
            for number in range(CURSORS_MAX):
                cursors.advance(f"follower {number}", 1)
            with pytest.raises(UsageError, match="one too many"):
                cursors.advance("one more", 1)
            cursors.advance("follower 0", 2)


class TestMemoryCursors(Contract):
    def open(self, _folder: Path, /) -> Cursors:
        return MemoryCursors()


class TestSqliteCursors(Contract):
    def open(self, folder: Path, /) -> Cursors:
        return SqliteCursors(folder / "tape.db.cursors")

    def test_cursors_outlive_the_process_without_being_closed(self, tmp_path: Path) -> None:
        with closing(self.open(tmp_path)) as first:
            first.advance("alerts", 41)
            first.advance("alerts", 42)
            with closing(self.open(tmp_path)) as second:
                assert second.position("alerts") == 42

    def test_a_file_that_holds_something_else_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "tape.db.cursors").write_bytes(b"these are no cursors, this is a letter. " * 100)
        with pytest.raises(LogError, match="cursors"):
            self.open(tmp_path)

    @pytest.mark.parametrize("content", [b"these are no cursors, this is a letter. " * 100, b"SQLite format 3\0" * 512])
    def test_a_file_that_is_refused_does_not_stay_open(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "tape.db.cursors").write_bytes(content)
        with pytest.raises(LogError):
            self.open(tmp_path)
        assert open_files(tmp_path) == []

    def test_another_programs_database_is_refused_untouched(self, tmp_path: Path) -> None:
        with closing(sqlite3.connect(tmp_path / "tape.db.cursors")) as other:
            other.execute("CREATE TABLE letters (text)")
        before = (tmp_path / "tape.db.cursors").read_bytes()
        with pytest.raises(LogError, match="another program"):
            self.open(tmp_path)
        assert (tmp_path / "tape.db.cursors").read_bytes() == before

    def test_a_file_whose_writer_was_cut_off_creating_it_holds_no_cursors_yet(self, tmp_path: Path) -> None:
        unfinished = tmp_path / "unfinished.db"
        with closing(sqlite3.connect(unfinished, isolation_level=None)) as writer:
            writer.execute("PRAGMA cache_size = 1")
            writer.execute("BEGIN")
            writer.execute("CREATE TABLE cursors (bytes)")
            writer.execute("INSERT INTO cursors VALUES (zeroblob(100000))")
            for suffix in ("", "-journal"):
                shutil.copyfile(f"{unfinished}{suffix}", tmp_path / f"tape.db.cursors{suffix}")
        assert stored_positions(tmp_path / "tape.db.cursors") == {}
        with closing(self.open(tmp_path)) as cursors:
            cursors.advance("alerts", 3)
        assert stored_positions(tmp_path / "tape.db.cursors") == {"alerts": 3}

    def test_a_file_without_its_table_holds_no_cursors_yet(self, tmp_path: Path) -> None:
        with closing(sqlite3.connect(tmp_path / "tape.db.cursors")) as writer:
            writer.execute("PRAGMA journal_mode = WAL")
        assert stored_positions(tmp_path / "tape.db.cursors") == {}
