"""What only the SQLite log guarantees: durability settings, one writer, kills, and foreign files."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from shutil import copyfile

import aiosqlite
import pytest

from papertape.events.errors import (
    LogBusy,
    LogError,
    LogForeign,
    LogFromNewerVersion,
    LogHeld,
    LogMissing,
    LogWriteFailed,
)
from papertape.events.head_file import read_head
from papertape.events.log import Head
from papertape.events.sqlite_file import PAGES_MAX, SCHEMA, WAL_BYTES, _is_log, holds_log, prepare
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader
from tests.build import candles
from tests.events.loop import clock_ms, in_loop
from tests.events.processes import APPENDS, holding, run_until_killed


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteEventLog]:
    log = await SqliteEventLog.open(path, clock_ms=clock_ms)
    try:
        yield log
    finally:
        await log.close()


async def written(path: Path, rows: int = 3) -> Head:
    async with opened(path) as log:
        for _ in range(rows):
            await log.append(log.head.seq, candles(2, log.head.seq))
    return log.head


@in_loop
async def test_a_log_goes_on_where_it_ended(tmp_path: Path) -> None:
    head = await written(tmp_path / "tape.db")
    async with opened(tmp_path / "tape.db") as log:
        assert (log.head, log.warnings) == (head, [])
        await log.append(6, candles(1, 6))
        with closing(log.reader()) as reader:
            assert [recorded.event for recorded in reader.read(0)] == [entry.event for entry in candles(7)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE commits SET recorded_at_ms = 0",
        "DELETE FROM commits WHERE seq = 5",
        "INSERT OR REPLACE INTO commits VALUES (5, 2, 0, x'00', x'00')",
        "INSERT INTO commits VALUES (9, 1, 0, x'00', x'00')",
        "INSERT INTO commits VALUES (NULL, 1, 0, x'00', x'00')",
    ],
)
def test_the_schema_itself_refuses_all_but_the_next_row(tmp_path: Path, statement: str) -> None:
    asyncio.run(written(tmp_path / "tape.db"))
    with (
        closing(sqlite3.connect(tmp_path / "tape.db")) as raw,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        raw.execute(statement)


@in_loop
async def test_a_second_opener_is_refused_at_once_and_the_lock_ends_with_close(tmp_path: Path) -> None:
    async with opened(tmp_path / "tape.db") as first:
        (tmp_path / "alias.db").symlink_to(tmp_path / "tape.db")
        for path in ("tape.db", "alias.db"):
            with pytest.raises(LogHeld, match=r"tape\.db"):
                await written(tmp_path / path, rows=0)
        await first.append(0, candles(1))
    await written(tmp_path / "tape.db", rows=0)


def test_another_process_holds_the_log_until_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "tape.db"
    with holding(path):
        with pytest.raises(LogHeld):
            asyncio.run(written(path, rows=0))
        with closing(SqliteLogReader(path)) as reader:
            reader.verify_tail()
            assert len(reader.read(0)) == 2 * APPENDS
    assert asyncio.run(written(path, rows=1)).seq == 2 * APPENDS + 2


def test_a_reader_serves_beside_a_killed_writer_and_leaves_the_wal_alone(tmp_path: Path) -> None:
    path, wal = tmp_path / "tape.db", tmp_path / "tape.db-wal"
    with holding(path) as process:
        process.kill()
        process.wait()
    for index_is_lost in (False, True):
        if index_is_lost:
            (tmp_path / "tape.db-shm").unlink()
        before = wal.read_bytes()
        with closing(SqliteLogReader(path)) as reader:
            assert len(list(reader.commits())) == APPENDS
        assert wal.read_bytes() == before != b""


@pytest.mark.parametrize(("failpoint", "committed"), [("before_commit:3", 4), ("after_commit:3", 6)])
def test_a_kill_around_a_commit_leaves_whole_commits(tmp_path: Path, failpoint: str, committed: int) -> None:
    path = tmp_path / "tape.db"
    assert run_until_killed(failpoint, "log", str(path)) == ["2", "4"]
    log = asyncio.run(written(path, rows=0))
    assert log.seq == committed
    with closing(SqliteLogReader(path)) as reader:
        assert [recorded.event for recorded in reader.read(0)] == [entry.event for entry in candles(committed)]


@in_loop
async def test_the_head_is_kept_beside_the_log_with_every_commit(tmp_path: Path) -> None:
    async with opened(tmp_path / "tape.db") as log:
        assert read_head(log.path) == Head()
        head = await log.append(0, candles(2))
        assert read_head(log.path) == head
        log.sync_head()
    assert read_head(log.path) == head


@pytest.mark.parametrize("content", [None, b"", b"x" * 52])
@in_loop
async def test_a_lost_head_file_is_a_warning_and_made_anew(tmp_path: Path, content: bytes | None) -> None:
    head = await written(tmp_path / "tape.db")
    (tmp_path / "tape.db.head").unlink()
    if content is not None:
        (tmp_path / "tape.db.head").write_bytes(content)
    async with opened(tmp_path / "tape.db") as log:
        assert "missing or torn" in log.warnings[0]
    assert read_head(log.path) == head


def test_a_flipped_bit_in_the_kept_head_is_noticed(tmp_path: Path) -> None:
    asyncio.run(written(tmp_path / "tape.db"))
    kept = tmp_path / "tape.db.head"
    good = kept.read_bytes()
    for place in range(len(good)):
        kept.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        assert read_head(tmp_path / "tape.db") is None


@in_loop
async def test_the_wal_has_its_length_from_the_start_and_nothing_of_it_is_in_the_log(tmp_path: Path) -> None:
    path, wal = tmp_path / "tape.db", tmp_path / "tape.db-wal"
    for start in range(3):
        async with opened(path) as log:
            laid_out = wal.stat().st_size
            assert laid_out >= WAL_BYTES > 100 * path.stat().st_size
            assert log.head.seq == start
            await log.append(start, candles(1, start))
            assert wal.stat().st_size == laid_out
    with closing(SqliteLogReader(path)) as reader:
        assert [commit.seq for commit in reader.commits()] == [1, 2, 3]


@in_loop
async def test_the_wal_of_a_killed_writer_is_taken_over_as_it_is(tmp_path: Path) -> None:
    run_until_killed("after_commit:2", "log", str(tmp_path / "tape.db"))
    left = (tmp_path / "tape.db-wal").read_bytes()
    async with opened(tmp_path / "tape.db") as log:
        assert (tmp_path / "tape.db-wal").read_bytes() == left
        assert log.head.seq > 0


@in_loop
async def test_appends_on_their_way_together_become_durable_in_the_order_they_began(tmp_path: Path) -> None:
    async with opened(tmp_path / "tape.db") as log:
        heads = await asyncio.gather(*(log.append(seq, candles(1)) for seq in range(8)))
        assert [head.seq for head in heads] == list(range(1, 9))
        assert log.head == heads[-1]
        with closing(log.reader()) as reader:
            assert [(one.seq, reader.hash_at(one.seq)) for one in reader.commits()] == [
                (one.seq, one.hash) for one in heads
            ]


@in_loop
async def test_an_append_behind_one_that_fails_is_not_committed_either(tmp_path: Path) -> None:
    log = await SqliteEventLog.open(tmp_path / "tape.db", clock_ms=lambda: 0, pages_max=16)
    try:
        too_much, behind = candles(2_000), candles(1)
        ends = await asyncio.gather(log.append(0, too_much), log.append(2_000, behind), return_exceptions=True)
        assert [type(end) for end in ends] == [LogWriteFailed, LogWriteFailed]
        with closing(log.reader()) as reader:
            assert list(reader.commits()) == []
    finally:
        await log.close()


@in_loop
async def test_a_cancelled_append_leaves_a_log_that_refuses(tmp_path: Path) -> None:
    async with opened(tmp_path / "tape.db") as log:
        append = asyncio.ensure_future(log.append(0, candles(1)))
        await asyncio.sleep(0)
        append.cancel()
        await asyncio.wait([append])
        with pytest.raises(LogWriteFailed, match="unknown"):
            await log.append(0, candles(1))


@in_loop
async def test_a_writer_without_the_lock_fails_the_next_commit(tmp_path: Path) -> None:
    await written(tmp_path / "tape.db")
    async with opened(tmp_path / "tape.db") as log:
        with closing(sqlite3.connect(log.path, isolation_level=None)) as raw:
            raw.execute("INSERT INTO commits VALUES (7, 1, 0, x'00', x'00')")
        with pytest.raises(LogWriteFailed, match="append-only"):
            await log.append(6, candles(1))


def test_a_missing_log_is_missing_for_a_reader_and_nothing_is_created(tmp_path: Path) -> None:
    with pytest.raises(LogMissing, match=r"tape\.db"):
        SqliteLogReader(tmp_path / "tape.db")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_missing_for_a_reader_and_a_new_log_for_a_writer(tmp_path: Path) -> None:
    (tmp_path / "tape.db").touch()
    with pytest.raises(LogMissing, match="empty"):
        SqliteLogReader(tmp_path / "tape.db")
    assert asyncio.run(written(tmp_path / "tape.db")).seq == 6


def half_done(path: Path, was: str) -> None:
    """What lies there of a file in which `was` stood, once its writer was killed in a transaction with a journal."""
    whole = path.with_name("whole.db")
    with closing(sqlite3.connect(whole, isolation_level=None)) as raw:
        raw.executescript(was)
        raw.execute("PRAGMA cache_size = 1")  # What does not fit is written before the end.
        for statement in ("BEGIN", "CREATE TABLE half (done BLOB)", "INSERT INTO half VALUES (zeroblob(1000000))"):
            raw.execute(statement)
        for suffix in ("", "-journal"):
            copyfile(f"{whole}{suffix}", f"{path}{suffix}")


def test_an_engine_killed_while_it_made_its_log_makes_it_at_its_next_start(tmp_path: Path) -> None:
    path = tmp_path / "tape.db"
    half_done(path, "CREATE TABLE room (bytes); DROP TABLE room")
    assert not holds_log(path)
    with pytest.raises(LogMissing):
        SqliteLogReader(path)
    assert asyncio.run(written(path)).seq == 6


def test_a_new_file_whose_first_page_was_torn_by_a_power_cut_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "tape.db"
    half_done(path, "CREATE TABLE room (bytes); DROP TABLE room")
    path.write_bytes(bytes(512) + path.read_bytes()[512:])
    assert not holds_log(path)
    with pytest.raises(LogMissing):
        SqliteLogReader(path)
    assert asyncio.run(written(path)).seq == 6


def test_an_engine_killed_while_it_prepared_a_log_that_was_put_back_goes_on_with_it(tmp_path: Path) -> None:
    path = tmp_path / "tape.db"
    half_done(path, SCHEMA)
    for look in (holds_log, SqliteLogReader):
        with pytest.raises(LogBusy, match="killed"):
            look(path)
    assert asyncio.run(written(path)).seq == 6
    assert holds_log(path)


def test_what_another_program_left_half_done_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "tape.db"
    half_done(path, "CREATE TABLE letters (text)")
    before, beside = path.read_bytes(), names(tmp_path)
    with pytest.raises(LogForeign):
        asyncio.run(written(path))
    assert (path.read_bytes(), names(tmp_path)) == (before, beside)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def letters(path: Path) -> None:
    path.write_bytes(b"these are letters, no log at all. " * 300)


def other_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript("CREATE TABLE letters (text); INSERT INTO letters VALUES ('dear'); PRAGMA user_version = 1")


def newer_layout(path: Path) -> None:
    asyncio.run(written(path))
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript("PRAGMA user_version = 3")


FOREIGN = [(letters, LogForeign), (other_program, LogForeign), (newer_layout, LogFromNewerVersion)]


@pytest.mark.parametrize(("make", "refusal"), FOREIGN)
def test_a_file_that_is_not_ours_is_refused_by_name_and_left_alone(
    tmp_path: Path, make: Callable[[Path], None], refusal: type[LogError]
) -> None:
    path = tmp_path / "tape.db"
    make(path)
    before, beside = path.read_bytes(), names(tmp_path)
    with pytest.raises(refusal, match=r"tape\.db"):
        SqliteLogReader(path)
    with pytest.raises(refusal, match=r"tape\.db"):
        asyncio.run(written(path, rows=0))
    assert path.read_bytes() == before
    assert names(tmp_path) - beside <= {"tape.db-wal", "tape.db-shm"}


@in_loop
async def test_a_folder_that_is_not_there_is_a_log_error(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="nowhere"):
        await written(tmp_path / "nowhere" / "tape.db")


@in_loop
async def test_a_closed_reader_says_so(tmp_path: Path) -> None:
    await written(tmp_path / "tape.db")
    reader = SqliteLogReader(tmp_path / "tape.db")
    reader.close()
    reader.close()
    with pytest.raises(LogError, match="closed"):
        reader.head()


@in_loop
async def test_the_writer_is_set_to_wal_with_an_fsync_for_every_commit(tmp_path: Path) -> None:
    async with aiosqlite.connect(tmp_path / "tape.db", isolation_level=None) as connection:
        await connection.execute("PRAGMA synchronous = OFF")
        await prepare(tmp_path / "tape.db", connection, PAGES_MAX)
        settings = [await connection.execute_fetchall(f"PRAGMA {name}") for name in ("journal_mode", "synchronous")]
    assert [list(rows) for rows in settings] == [[("wal",)], [(2,)]]


@in_loop
async def test_a_place_where_sqlite_cannot_keep_a_wal_is_refused() -> None:
    async with aiosqlite.connect(":memory:", isolation_level=None) as connection:
        with pytest.raises(LogError, match="journal_mode=memory"):
            await prepare(Path(":memory:"), connection, PAGES_MAX)


@in_loop
async def test_a_closed_log_is_one_file_without_a_wal(tmp_path: Path) -> None:
    await written(tmp_path / "tape.db")
    assert not (tmp_path / "tape.db-wal").exists()


class Slow:
    """A connection that reads, between whose first and second question another process makes the log."""

    def __init__(self, connection: sqlite3.Connection, make: Callable[[], object]) -> None:
        self.connection, self.make, self.pragmas = connection, make, 0

    def execute(self, sql: str) -> sqlite3.Cursor:
        if sql.startswith("PRAGMA"):
            self.pragmas += 1
            if self.pragmas == 2:
                self.make()
        return self.connection.execute(sql)

    def rollback(self) -> None:
        self.connection.rollback()


def test_a_log_that_is_being_created_is_missing_or_complete_but_never_foreign(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)) as reader:
            slow = Slow(reader, lambda: writer.executescript(SCHEMA))
            assert not _is_log(path, slow)  # type: ignore[arg-type]
            assert slow.pragmas == 2
            assert not reader.in_transaction
        assert holds_log(path)
