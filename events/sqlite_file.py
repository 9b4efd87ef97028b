"""The SQLite file of a log: its schema, its settings, and how to tell it from any other file.

The file is only ever opened through SQLite: a plain `open` and `close` of it in this process would drop the locks that
SQLite holds on it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from papertape.events.durable import sync
from papertape.events.errors import (
    LogBusy,
    LogDamaged,
    LogError,
    LogForeign,
    LogFromNewerVersion,
    LogMissing,
    LogWriteFailed,
)
from papertape.events.head_file import head_path, read_head
from papertape.events.names import near_file_text
from papertape.events.segments.catalogue import SEALED_SCHEMA_VERSION

if TYPE_CHECKING:
    import aiosqlite

APPLICATION_ID = 0x50544150
SCHEMA_VERSION = 1
"""Of a log without sealed segments; the first one brings the schema of `events.segments.catalogue`."""
BUSY_TIMEOUT_S = 5.0
PRIMARY_CODE = 0xFF
"""Masks the upper bits of SQLite's extended error codes."""
JOURNAL_BYTES_MAX = 64 << 20
WAL_BYTES = 1_000 * 4_096
"""The length at which SQLite checkpoints by itself."""
WAL_FRAME_BYTES = 24 + 4_096
WAL_LONG_BYTES = 3 * WAL_BYTES // 2
"""Longer than the -wal becomes while checkpoints succeed."""
PAGES_MAX = 0xFFFFFFFE
"""SQLite's own limit: 17 TB."""

INSERT = "INSERT INTO commits VALUES (?, ?, ?, ?, ?)"

SCHEMA = f"""
BEGIN IMMEDIATE;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
CREATE TABLE IF NOT EXISTS commits (
    seq INTEGER PRIMARY KEY,
    count INTEGER NOT NULL,
    recorded_at_ms INTEGER NOT NULL,
    events BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS commits_update BEFORE UPDATE ON commits
    BEGIN SELECT RAISE(ABORT, 'the log is append-only: a row is never changed'); END;
CREATE TRIGGER IF NOT EXISTS commits_delete BEFORE DELETE ON commits
    BEGIN SELECT RAISE(ABORT, 'the log is append-only: a row is never deleted'); END;
CREATE TRIGGER IF NOT EXISTS commits_insert BEFORE INSERT ON commits
    WHEN NEW.seq IS NOT coalesce((SELECT seq + count FROM commits ORDER BY seq DESC LIMIT 1), 1)
    BEGIN SELECT RAISE(ABORT, 'the log is append-only: a row begins where the last one ended'); END;
COMMIT;
"""  # noqa: S608 - only the two numbers above are formatted in.

EXTEND_WAL = f"""
PRAGMA cache_size = 8;
BEGIN IMMEDIATE;
CREATE TABLE room (bytes BLOB);
INSERT INTO room VALUES (zeroblob({WAL_BYTES}));
ROLLBACK;
"""  # noqa: S608 - only the number above is formatted in.


@contextmanager
def translate_driver_errors(path: Path, seq: int = 0) -> Iterator[None]:
    """Turn SQLite's errors into ours: LogDamaged at `seq` for a malformed file, LogBusy, LogError for the rest."""
    try:
        yield
    except sqlite3.OperationalError as error:
        busy = getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        raise (LogBusy if busy else LogError)(f"{path}: {error}") from error
    except sqlite3.ProgrammingError as error:
        raise LogError(f"{path}: {error}") from error
    except (sqlite3.Error, TypeError, UnicodeDecodeError) as error:  # Torn columns and names claim other types.
        raise LogDamaged(seq, f"{path}: {error}") from error


def connect_to_read(path: Path, busy_s: float = BUSY_TIMEOUT_S) -> sqlite3.Connection:
    """Return a read-only connection to a papertape log, also if a killed writer left a -wal.

    It waits up to `busy_s` while another process locks the file. Raise LogMissing, LogForeign, LogFromNewerVersion,
    LogBusy or LogError.
    """
    with ExitStack() as undo:
        connection = undo.enter_context(closing(_connect_read_only(path, busy_s)))
        if not _is_log(path, connection):
            fault, recorded = "the file is empty", read_head(path)
            missing = LogMissing(f"there is no log at {path}: {fault}")
            raise _not_a_log(path, fault, missing) if recorded is not None and recorded.seq else missing
        undo.pop_all()
    return connection


def holds_log(path: Path) -> bool:
    """Return whether the file is a log; False if it is missing or empty. Raise LogForeign for any other file.

    Raise LogBusy if a killed writer left the file unfinished: the next writer must roll that back first.
    """
    if not path.exists():
        return False
    with closing(_connect_read_only(path)) as connection:
        return _is_log(path, connection)


def roll_back_unfinished(path: Path) -> None:
    """Roll back what a writer that was killed while it created the log left unfinished. The caller holds the lock.

    Afterwards there is no rollback journal. Raise LogError if the file cannot be written.
    """
    if path.with_name(path.name + "-journal").exists():
        with translate_driver_errors(path), closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def sync_wal(path: Path) -> None:
    """Put the rows on the disk that a killed writer left in the -wal, before anything durable refers to them.

    Raise LogError if that fails. SQLite holds no locks on the -wal, so closing it drops none.
    """
    wal = path.with_name(path.name + "-wal")
    try:
        if wal.exists():
            sync(wal)
    except OSError as error:
        raise LogError(f"{wal}: {error}") from error


def log_missing(path: Path) -> LogMissing:
    """Return the error for a path that holds no log, suggesting the log that was probably meant."""
    return LogMissing(f"there is no log at {path}{': it is a folder' if path.is_dir() else near_file_text(path)}")


def _connect_read_only(path: Path, busy_s: float = BUSY_TIMEOUT_S, query: str = "mode=ro") -> sqlite3.Connection:
    if not path.is_file():
        raise log_missing(path)
    uri = f"{path.absolute().as_uri()}?{query}"
    with translate_driver_errors(path):
        connection = sqlite3.connect(uri, uri=True, timeout=busy_s, isolation_level=None, check_same_thread=False)
    connection.text_factory = bytes  # A torn column may claim to be text, but not be decodable.
    return connection


def _is_log(path: Path, connection: sqlite3.Connection) -> bool:
    try:
        with translate_driver_errors(path), _read_transaction(connection):
            application_id, version = _number(connection, "application_id"), _number(connection, "user_version")
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except LogError as error:
        code = getattr(error.__cause__, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_READONLY_ROLLBACK:
            return _was_log(path)
        if code != sqlite3.SQLITE_NOTADB:
            raise
        fault = "it is not an SQLite file"
        raise _not_a_log(path, fault, LogForeign(f"{path} is not a papertape log: {fault}")) from error
    if application_id != APPLICATION_ID and (application_id or version or tables):
        foreign = LogForeign(f"{path} is not a papertape log but another program's SQLite file")
        raise _not_a_log(path, "its header is not that of a log", foreign)
    if version > SEALED_SCHEMA_VERSION:
        known = f"this version knows schemas up to {SEALED_SCHEMA_VERSION}"
        raise LogFromNewerVersion(0, f"{path} has schema {version}; {known}")
    if application_id and not _tables_of(version) <= tables:
        raise LogDamaged(0, f"{path} has lost its table")
    return bool(tables)


def _tables_of(version: int) -> set[bytes]:
    return {b"commits", b"segments"} if version >= SEALED_SCHEMA_VERSION else {b"commits"}


def _not_a_log(path: Path, fault: str, otherwise: LogError) -> LogError:
    """Return the error for a file that is not a log: damage if a head file shows that it was one."""
    if not head_path(path).exists():
        return otherwise
    recorded = read_head(path)
    return LogDamaged(0 if recorded is None else recorded.seq, f"{head_path(path)} is beside {path}, but {fault}")


def _was_log(path: Path) -> bool:
    """Check a file that a killed writer left unfinished: return False if it was no log yet; raise LogBusy if it was.

    Only the next writer may roll it back, so this reads the file as it is.
    """
    with closing(_connect_read_only(path, query="immutable=1")) as connection:
        try:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
                return False  # A power cut tore the first page that was ever written to it.
        if _is_log(path, connection):
            raise LogBusy(f"{path}: its writer was killed while it prepared the log; the next engine rolls that back")
    return False


@contextmanager
def _read_transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Read a consistent state: another process may be creating the log."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.rollback()


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    (number,) = connection.execute(f"PRAGMA {pragma}").fetchone()
    return int(number)


async def prepare(path: Path, connection: aiosqlite.Connection, pages_max: int) -> None:
    """Set the connection up for writing and create the schema if it is missing.

    Raise LogError if SQLite rejects the settings on which durability depends.
    """
    with translate_driver_errors(path):
        journal_mode = await _pragma(connection, "journal_mode = WAL")
        await _pragma(connection, "synchronous = FULL")
        synchronous = await _pragma(connection, "synchronous")
        await _pragma(connection, "secure_delete = OFF")
        await _pragma(connection, f"journal_size_limit = {JOURNAL_BYTES_MAX}")
        if (journal_mode, synchronous) != ("wal", 2):
            raise LogError(f"{path}: SQLite set journal_mode={journal_mode}, synchronous={synchronous}, not wal, 2")
        if await _pragma(connection, "application_id") != APPLICATION_ID:  # An existing log stays unchanged.
            await connection.executescript(SCHEMA)
        if wal_bytes(path) < WAL_BYTES:
            await _extend_wal(connection)
        await _pragma(connection, f"max_page_count = {pages_max}")


def wal_bytes(path: Path) -> int:
    """Return the length of the -wal, 0 if there is none."""
    wal = path.with_name(path.name + "-wal")
    return wal.stat().st_size if wal.exists() else 0


async def _extend_wal(connection: aiosqlite.Connection) -> None:
    """Extend the -wal to its length at the first checkpoint: a commit that extends it takes twice as long.

    Pages that exceed the cache are written to the -wal and then rolled back: frames without a commit are ignored, and
    the next commits overwrite them. If the disk has no room for that, commits are merely slower.
    """
    with suppress(sqlite3.OperationalError):
        await connection.executescript(EXTEND_WAL)
    if connection.in_transaction:
        await connection.rollback()
    await _pragma(connection, "cache_size = -2000")


async def _pragma(connection: aiosqlite.Connection, pragma: str) -> object:
    rows = list(await connection.execute_fetchall(f"PRAGMA {pragma}"))
    return rows[0][0] if rows else None


def write_failure(error: sqlite3.Error | OSError) -> LogWriteFailed:
    """Return the error for a row that may or may not have been written."""
    full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return LogWriteFailed(f"{'the disk is full' if full else 'the write failed'}: {error}")


def locate(path: str | Path) -> tuple[Path, Path]:
    """Return the absolute path and the real one, so that an alias takes the same lock.

    Raise LogForeign before any file is created beside it.
    """
    file = Path(path).resolve()
    with suppress(LogBusy):  # The holder of the lock waits for the other process, or rolls back.
        holds_log(file)
    return Path(path).absolute(), file
