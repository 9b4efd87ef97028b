"""A log of which a part is sealed reads as one log, or says by name what is missing."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from papertape.events.errors import LogArchived, LogDamaged, LogError, LogReplaced
from papertape.events.segments.catalogue import DELETE_SEALED, MARK_ARCHIVED, insert_script
from papertape.events.segments.folder import sealed_folder
from papertape.events.segments.open_segments import LONG_READ_SEGMENTS, OPEN_MAX
from papertape.events.segments.sealing import next_segment_end, whole_days_before, write_next_segment
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader
from papertape.events.units import DAY_MS, HOUR_MS
from tests.build import candles
from tests.events.loop import RECORDED_AT_MS, clock_ms, in_loop
from tests.events.segments.logs import all_rows, append_rows, seal_up_to, small_blocks, write_sealed
from tests.events.test_damage import tamper

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAD = 20
SEALED = 12


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed log of ten commits of two events: six of them in two segments, the last two of those also in SQLite."""
    asyncio.run(write_sealed(tmp_path / "log.db", keep_rows=2))
    return tmp_path / "log.db"


def plain(folder: Path) -> Path:
    """The same log, never sealed."""
    asyncio.run(write_sealed(folder / "plain.db", seals=()))
    return folder / "plain.db"


def files(path: Path) -> list[Path]:
    return sorted(sealed_folder(path).iterdir())


def test_every_question_has_the_same_answer_as_before_the_seal(path: Path, tmp_path: Path) -> None:
    assert all_rows(path) == all_rows(plain(tmp_path))
    with closing(SqliteLogReader(path)) as sealed, closing(SqliteLogReader(tmp_path / "plain.db")) as reader:
        assert sealed.head() == reader.head()
        for seq in range(HEAD + 3):
            assert sealed.hash_at(seq) == reader.hash_at(seq), seq
            assert sealed.end_at_or_before(seq) == reader.end_at_or_before(seq), seq
            assert list(sealed.commits(seq)) == list(reader.commits(seq)), seq
            assert sealed.read(seq, 3) == reader.read(seq, 3), seq
            assert sealed.read(seq, 1) == reader.read(seq, 1), seq
            stretches = list(sealed.stretches(seq, 3))
            assert [one for part in stretches for one in part.recorded()] == reader.read(seq), seq
            assert all(part.hash == reader.hash_at(part.last_seq) for part in stretches), seq
        assert sealed.old_tags() == reader.old_tags()


def test_a_log_of_which_all_but_the_newest_row_is_sealed_opens_and_grows(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    asyncio.run(write_sealed(path, seals=(HEAD - 2,)))

    async def grow() -> None:
        log = await SqliteEventLog.open(path, clock_ms=clock_ms)
        assert (log.head.seq, log.warnings) == (HEAD, [])
        await append_rows(log, 1)
        await log.close()

    asyncio.run(grow())
    assert [row[0] for row in all_rows(path)] == list(range(1, HEAD + 3, 2))


def test_a_newest_row_that_does_not_follow_the_last_segment_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    asyncio.run(write_sealed(path, seals=(HEAD - 2,)))
    tamper(path, "UPDATE commits SET recorded_at_ms = 0")
    with closing(SqliteLogReader(path)) as reader, pytest.raises(LogDamaged, match="seq 19"):
        reader.verify_tail()


@in_loop
async def test_a_seal_during_a_read_is_invisible(tmp_path: Path) -> None:
    log = await SqliteEventLog.open(tmp_path / "log.db", clock_ms=clock_ms)
    await append_rows(log, 400)
    readers = [log.reader() for _ in range(3)]
    begun = [reader.commits() for reader in readers]
    seen = [[next(commits).seq] for commits in begun]
    for last_seq in (300, 600, 798):  # A page is 256 rows: it was read before, is sealed in part, or is sealed.
        await seal_up_to(log, last_seq, keep_rows=100)
        for commits, seqs in zip(begun, seen, strict=True):
            seqs += [next(commits).seq for _ in range(100)]
    for reader, commits, seqs in zip(readers, begun, seen, strict=True):
        assert [*seqs, *(commit.seq for commit in commits)] == list(range(1, 801, 2))
        reader.close()
    await log.close()


@in_loop
async def test_rows_and_catalogue_are_read_at_one_moment(tmp_path: Path) -> None:
    """The seal falls just before the rows of a page are read: a catalogue that was read earlier would miss it."""
    log = await SqliteEventLog.open(tmp_path / "log.db", clock_ms=clock_ms)
    await append_rows(log, 10)
    await seal_up_to(log, 4)
    info = await asyncio.to_thread(write_next_segment, log.path, 12, lambda _: None)

    class Interrupted(SqliteLogReader):
        def _page(self, seq: int) -> list[tuple[int, int, int, bytes, bytes]]:
            if seq == 4:
                with closing(sqlite3.connect(log.path, isolation_level=None)) as other:
                    other.executescript(insert_script(info))
                    other.execute(DELETE_SEALED, (100,))
            return super()._page(seq)

    with closing(Interrupted(log.path)) as reader:
        assert [row[0] for row in reader.rows_after(0)] == list(range(1, HEAD, 2))
    await log.close()


def test_one_reader_reads_in_two_places_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with small_blocks():
        asyncio.run(write_sealed(path, rows=40, seals=(16, 32, 48, 64)))
    with closing(SqliteLogReader(path)) as reader:
        first = reader.commits()
        seqs = [next(first).seq]
        assert len(list(reader.commits())) == 40
        seqs += [commit.seq for commit in first]
    assert seqs == list(range(1, 80, 2))


def delete(file: Path) -> None:
    file.unlink()


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def swap(file: Path) -> None:
    other = next(one for one in file.parent.iterdir() if one != file)
    shutil.copy(other, file)


@pytest.mark.parametrize("harm", [delete, truncate, flip, swap])
@pytest.mark.parametrize(("number", "first_seq"), [(0, 1), (1, 7)])
def test_a_segment_that_is_not_what_was_sealed_is_damage_by_name(
    path: Path, harm: Callable[[Path], None], number: int, first_seq: int
) -> None:
    file = files(path)[number]
    harm(file)
    with closing(SqliteLogReader(path)) as reader:
        for use in (reader.commits, reader.rows_after, reader.rehashed_commits, reader.read):
            with pytest.raises(LogDamaged) as refused:
                list(use(0))
            assert (refused.value.seq, file.name in str(refused.value)) == (first_seq, True)
        with pytest.raises(LogDamaged, match=str(file.name)):
            reader.hash_at(first_seq + 1)
        assert [commit.seq for commit in reader.commits(SEALED)] == [13, 15, 17, 19]


def test_a_segment_that_was_archived_to_a_missing_disk_is_refused_by_name(path: Path, tmp_path: Path) -> None:
    disk, file = tmp_path / "disk", files(path)[0]
    disk.mkdir()
    shutil.move(file, disk)
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute(MARK_ARCHIVED, (str(disk), 1))
    rows = all_rows(path)
    disk.rename(tmp_path / "away")
    with closing(SqliteLogReader(path)) as reader:
        with pytest.raises(LogArchived, match=f"events 1 to 6 were archived, and {disk}/{file.name} is missing"):
            list(reader.commits())
        assert [row[0] for row in reader.rows_after(6)] == [row[0] for row in rows if row[0] > 6]
    (tmp_path / "away").rename(disk)
    assert all_rows(path) == rows


@pytest.mark.parametrize("is_archived", [True, False])
def test_a_disk_that_fails_is_named_too(path: Path, tmp_path: Path, *, is_archived: bool) -> None:
    broken = tmp_path / ("n" * 300)  # The system refuses to look for this name at all.
    if is_archived:
        files(path)[0].unlink()
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            raw.execute(MARK_ARCHIVED, (str(broken), 1))
    error, text = (LogArchived, "mount the disk") if is_archived else (LogError, "cannot be read: File name too long")
    with closing(SqliteLogReader(path, sealed=None if is_archived else broken)) as reader:
        with pytest.raises(error, match=text) as caught:
            list(reader.commits())
        assert type(caught.value) is error


def test_a_segment_that_is_archived_while_it_is_wanted_is_found(path: Path, tmp_path: Path) -> None:
    disk, file = tmp_path / "disk", files(path)[0]
    disk.mkdir()
    with closing(SqliteLogReader(path)) as reader:
        before = reader.segments()[0]
        shutil.move(file, disk)
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            raw.execute(MARK_ARCHIVED, (str(disk), 1))
        assert [row[0] for row in reader.open_segment(before).rows()] == [1, 3, 5]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("INSERT INTO segments VALUES (14, 16, 1, zeroblob(32), zeroblob(32), zeroblob(32), 1, NULL)", "oldest rows"),
        ("INSERT INTO segments VALUES (13, 16, 2, zeroblob(32), zeroblob(32), zeroblob(32), 1, NULL)", "oldest rows"),
        ("UPDATE segments SET last_seq = 8 WHERE first_seq = 1", "append-only"),
        ("DELETE FROM segments", "append-only"),
        ("DELETE FROM commits WHERE seq = 13", "append-only"),
        ("DELETE FROM commits", "append-only"),
        ("UPDATE commits SET count = 1 WHERE seq = 11", "append-only"),
    ],
)
def test_the_schema_itself_refuses_what_would_lose_a_row(path: Path, statement: str, reason: str) -> None:
    with closing(sqlite3.connect(path)) as raw, pytest.raises(sqlite3.IntegrityError, match=reason):
        raw.execute(statement)


@in_loop
async def test_the_newest_row_and_rows_out_of_order_are_never_sealed(tmp_path: Path) -> None:
    log = await SqliteEventLog.open(tmp_path / "log.db", clock_ms=clock_ms)
    await append_rows(log, 3)
    too_much = write_next_segment(log.path, 6, lambda _: None)
    early = write_next_segment(log.path, 2, lambda _: None)
    with pytest.raises(LogError, match="never the newest one"):
        await log.add_segment(too_much)
    await log.add_segment(early)
    with pytest.raises(LogError, match="the oldest rows"):
        await log.add_segment(early)
    await append_rows(log, 1)  # The refusals left no transaction open, into which this would fall.
    await log.close()
    assert [row[0] for row in all_rows(log.path)] == [1, 3, 5, 7]


def test_the_newest_row_stays_in_sqlite_however_old_it_is(tmp_path: Path) -> None:
    with closing(SqliteLogReader(plain(tmp_path))) as reader:
        assert next_segment_end(reader, 2**62, events_min=1) == HEAD - 2
        assert next_segment_end(reader, 2**62, events_min=HEAD - 1) is None


def test_a_segment_is_compared_with_the_whole_digest_in_the_catalogue(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("DROP TRIGGER segments_update")
        (digest,) = raw.execute("SELECT digest FROM segments WHERE first_seq = 1").fetchone()
        raw.execute("UPDATE segments SET digest = ? WHERE first_seq = 1", (digest[:-1] + bytes([digest[-1] ^ 1]),))
    with closing(SqliteLogReader(path)) as reader:
        assert [one.seq for one in reader.read(0, 1)] == [1]
        with pytest.raises(LogDamaged, match="is not the file that was sealed"):
            list(reader.commits())


def test_a_file_that_was_replaced_after_a_single_read_is_noticed_and_the_right_one_serves_again(path: Path) -> None:
    segment = files(path)[0]
    right, forged = segment.read_bytes(), segment.with_name("forged")
    forged.write_bytes(bytes([right[0] ^ 1]) + right[1:])
    saved = segment.with_name("right")
    with closing(SqliteLogReader(path)) as reader:
        assert [one.seq for one in reader.read(0, 1)] == [1]
        segment.rename(saved)
        forged.rename(segment)
        for _ in range(2):
            with pytest.raises(LogDamaged):
                list(reader.commits())
            with pytest.raises(LogDamaged):
                reader.read(0, 1)
        saved.rename(segment)
        assert [one.seq for one in reader.read(0, 1)] == [1]
        assert next(reader.commits()).seq == 1


def test_a_segment_that_is_no_longer_open_is_compared_again(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    asyncio.run(write_sealed(path, rows=8, seals=tuple(range(2, 2 * OPEN_MAX + 3, 2))))
    with closing(SqliteLogReader(path)) as reader:
        list(reader.commits())  # The first segment was closed for the last one.
        first = min(files(path))
        content = first.read_bytes()
        first.unlink()
        first.write_bytes(content[:-40] + bytes([content[-40] ^ 1]) + content[-39:])
        with pytest.raises(LogDamaged):
            list(reader.commits())


def test_one_event_is_checked_with_its_own_block_alone(tmp_path: Path) -> None:
    with small_blocks():
        path = tmp_path / "log.db"
        asyncio.run(write_sealed(path, seals=(18,)))
    [segment] = files(path)
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    damaged: list[int] = []
    with closing(SqliteLogReader(path)) as reader:
        for seq in range(1, 19):
            try:
                assert [one.seq for one in reader.read(seq - 1, 1)] == [seq]
            except LogDamaged:
                damaged.append(seq)
    assert 0 < len(damaged) < 18


@in_loop
async def test_damage_is_not_sealed(tmp_path: Path) -> None:
    log = await SqliteEventLog.open(tmp_path / "log.db", clock_ms=clock_ms)
    await append_rows(log, 5)
    await log.close()
    tamper(log.path, "UPDATE commits SET recorded_at_ms = 0 WHERE seq = 3")
    with pytest.raises(LogDamaged, match="seq 3"):
        write_next_segment(log.path, 6, lambda _: None)
    assert list(sealed_folder(log.path).glob("*.segment")) == []


@pytest.mark.parametrize("hours", [0, 24, 30, 47, 48, 100])
@in_loop
async def test_whole_days_are_sealed_once_enough_is_a_day_old(tmp_path: Path, hours: int) -> None:
    begin_ms = RECORDED_AT_MS // DAY_MS * DAY_MS
    now_ms = begin_ms
    log = await SqliteEventLog.open(tmp_path / "log.db", clock_ms=lambda: now_ms)
    for _ in range(hours):  # Ten events an hour.
        await log.append(log.head.seq, candles(10, log.head.seq))
        now_ms += HOUR_MS
    with closing(log.reader()) as reader:
        last = next_segment_end(reader, whole_days_before(now_ms), events_min=200)
    old_days = max(0, hours // 24 - 1)
    assert last == (240 * old_days or None)
    await log.close()


@in_loop
async def test_a_running_log_whose_segments_are_taken_away_is_noticed(tmp_path: Path) -> None:
    log = await SqliteEventLog.open(tmp_path / "log.db", clock_ms=clock_ms)
    await append_rows(log, 5)
    log.check_place()
    await seal_up_to(log, 4)
    log.check_place()
    shutil.move(sealed_folder(log.path), tmp_path / "away")
    with pytest.raises(LogReplaced, match="the sealed part of the log"):
        log.check_place()
    await log.close()


LOADED = """
import sys
from papertape.events.sqlite_log import SqliteLogReader
reader, loaded = SqliteLogReader(sys.argv[1]), []
for segment in reader.segments():
    assert reader.read(segment.info.first_seq - 1, 1)
assert "numpy" not in sys.modules, "single events loaded numpy"
for segment in reader.segments():
    list(reader.open_segment(segment).commits())
    loaded.append("numpy" in sys.modules)
print(loaded)
"""


def test_only_a_reader_of_many_segments_loads_numpy(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    ends = tuple(range(2, 2 * LONG_READ_SEGMENTS + 1, 2))
    asyncio.run(write_sealed(tmp_path / "log.db", rows=LONG_READ_SEGMENTS + 1, seals=ends))
    command = (sys.executable, "-c", LOADED, str(tmp_path / "log.db"))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([False] * (LONG_READ_SEGMENTS - 1) + [True])
