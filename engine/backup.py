"""Backups of a log: copied while the engine runs, verified by restoring and folding each, and rotated.

A backup is a file `NAME-20261126T071600Z-SEQ.backup` with what is in SQLite, and the sealed segments that it lists,
which all backups of one log share in `NAME.segments/`. Only a verified copy gets such a name. The time in it is that of
this machine's clock, which may have been wrong.

A segment is copied and proven once: the state after the newest one is kept beside the segments, and the next proof
folds only what came after it.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.engine.recovery import ProgressReporter, recover
from papertape.engine.reducer.reducer import fold
from papertape.engine.reducer.snapshot_codec import encode, state_digest
from papertape.engine.strategy_registry import code_digest
from papertape.events.beside import real_path
from papertape.events.copying import copy_log, put_back, unsealed_bytes
from papertape.events.durable import make_folder, rename_durably
from papertape.events.errors import BackupFailed, LogError
from papertape.events.segments.folder import (
    PATTERN,
    SHARED,
    bring_segments,
    sealed_folder,
    unfinished_files,
    unlisted_segments,
)
from papertape.events.snapshots import SnapshotStore
from papertape.events.sqlite_log import SqliteLogReader
from papertape.events.units import HOUR_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from papertape.engine.kernel.strategy import Strategy
    from papertape.events.segments.catalogue import Sealed

SUFFIX = ".backup"
PROVING = ".proving-"
"""The prefix of the folder in which a copy is verified."""
PROVEN = "proven"
"""The folder, beside the shared segments, with the state proven at the end of each."""
LOGS_FREE_MIN = 2
"""A backup and its verification need this many times the log's size."""
CLOCK_AHEAD_MS_MAX = HOUR_MS
"""A backup dated further into the future was dated by a wrong clock."""
KEEP_MAX = 1_000
_STAMP = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"-(\d{8}T\d{6}Z)-(\d+)\.backup$")


class Backup(Struct, frozen=True):
    """A backup: where it is, when it was made, and the seq of the last event in it."""

    path: Path
    at_ms: int
    seq: int


class CompletedBackup(Struct, frozen=True):
    """A new, verified backup. `digest` is the digest of the state to which its events fold.

    The proof folded the events after `proven_seq`, up to which an earlier proof had folded them; `bytes` are those of
    the file, without the `segments` that it shares with other backups.
    """

    path: Path
    seq: int
    hash: str
    digest: str
    bytes: int
    took_ms: float
    let_go: tuple[Path, ...]
    segments: int = 0
    proven_seq: int = 0


class _Proof(Struct, frozen=True):
    """The digest to which a copy and its log both lead, and how far an earlier proof had folded it."""

    digest: str
    proven_seq: int


def list_backups(folder: Path, name: str, now_ms: int | None = None) -> list[Backup]:
    """Return the verified backups of the log `name` in a folder, oldest first.

    Those that a wrong clock dated after `now_ms` come first, because their real age is unknown.
    """
    latest_ms = None if now_ms is None else now_ms + CLOCK_AHEAD_MS_MAX
    parsed = [parse_backup(path) for path in folder.glob(f"*{SUFFIX}")]
    backups = [one[1] for one in parsed if one is not None and one[0] == name]
    return sorted(backups, key=lambda one: (latest_ms is None or one.at_ms <= latest_ms, one.at_ms, one.seq))


def parse_backup(path: Path) -> tuple[str, Backup] | None:
    """Return the name of the log that a file is a backup of, and the backup; None if its name is not a backup's."""
    match = _NAME.search(path.name)
    if match is not None:
        with suppress(ValueError):  # The name contains no valid time: it is not one of our backups.
            at = datetime.strptime(match.group(1), _STAMP).replace(tzinfo=UTC)
            return path.name[: match.start()], Backup(path, int(at.timestamp() * 1_000), int(match.group(2)))
    return None


def newest_backup(folder: Path, name: str, now_ms: int) -> Backup | None:
    """Return the newest verified backup with a plausible date, or None."""
    backups = [one for one in list_backups(folder, name) if one.at_ms <= now_ms + CLOCK_AHEAD_MS_MAX]
    return backups[-1] if backups else None


def remove_leftovers(folder: Path) -> None:
    """Remove the leftovers of killed backups from a folder, unless a backup is running there."""
    with suppress(OSError), _folder_lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
        for leftover in folder.glob(f"{PROVING}*"):
            shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def _folder_lock(folder: Path, kind: int) -> Iterator[int]:
    """Hold the folder's lock: shared to make a backup, exclusive to remove leftovers."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, kind)
        yield descriptor
    finally:
        os.close(descriptor)


def make_backup(
    db: Path,
    folder: Path,
    keep: int,
    strategies: Mapping[str, Strategy],
    snapshots: SnapshotStore | None,
    now_ms: int,
    on_progress: Callable[[int], None] = lambda _: None,
    *,
    full: bool = False,
) -> CompletedBackup:
    """Copy the log, verify the copy, name it, and keep only the newest `keep` backups.

    The verification restores the copy in a folder of its own, folds it without any snapshot of the log, and compares
    the state's digest with that of the running log at the same seq, which is recovered from its snapshots. It begins
    after the last segment that an earlier backup proved, with `full` at the first event, and then every segment is
    read again. Raise BackupFailed if they differ or there is no room for both copies, LogError if there is no log.
    """
    started, db = time.perf_counter(), real_path(db)
    shared = shared_folder(folder, db.name)
    try:
        make_folder(folder)
        remove_leftovers(folder)
        with _folder_lock(folder, fcntl.LOCK_SH), TemporaryDirectory(prefix=PROVING, dir=folder) as proving:
            _refuse_without_room(db, folder, shared)
            copied = Path(proving) / "copy"
            head = copy_log(db, copied)
            if not head.seq:
                raise BackupFailed(f"{db} contains no events yet")
            listed = _segments_of(copied)
            bring_segments(listed, sealed_folder(db), shared)
            restored = Path(proving) / "restored.db"
            put_back(
                copied, restored, replace_newer=False, now_ms=now_ms, segments=shared, are_segments_proven=not full
            )
            proven = SnapshotStore(shared / PROVEN, lambda _: None)
            proof = _same_digest(db, restored, head.seq, strategies, snapshots, proven, on_progress, full=full)
            stamp = datetime.fromtimestamp(now_ms / 1_000.0, UTC).strftime(_STAMP)
            path = folder / f"{db.name}-{stamp}-{head.seq:012d}{SUFFIX}"
            rename_durably(copied, path)
        expired = tuple(backup.path for backup in list_backups(folder, db.name, now_ms)[:-keep])
        for old in expired:
            old.unlink(missing_ok=True)
        _remove_unlisted_segments(folder, db.name)
        size = path.stat().st_size
    except OSError as error:
        raise LogError(f"no backup in {folder}: {error.strerror}") from error
    took_ms = (time.perf_counter() - started) * 1_000.0
    return CompletedBackup(
        path, head.seq, head.hash.hex(), proof.digest, size, took_ms, expired, len(listed), proof.proven_seq
    )


def shared_folder(folder: Path, name: str) -> Path:
    """Return the folder with the segments of all backups of the log `name` in `folder`."""
    return folder / f"{name}{SHARED}"


def _segments_of(copy: Path) -> list[Sealed]:
    with closing(SqliteLogReader(copy)) as reader:
        return reader.segments()


def _remove_unlisted_segments(folder: Path, name: str) -> None:
    """Remove the segments that no backup lists, unless a backup is running there or one of them cannot be read."""
    shared = shared_folder(folder, name)
    with suppress(BlockingIOError, LogError), _folder_lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
        listed = [sealed for backup in list_backups(folder, name) for sealed in _segments_of(backup.path)]
        for path in (*unlisted_segments(shared, listed), *unfinished_files(shared)):
            path.unlink(missing_ok=True)


def _refuse_without_room(db: Path, folder: Path, shared: Path) -> None:
    """Raise BackupFailed if the copy and its verification would fill the disk, which may be the log's own."""
    sealed = sealed_folder(db)
    missing = 0
    if sealed.is_dir() and sealed.stat().st_dev != folder.stat().st_dev:
        missing = sum(path.stat().st_size for path in sealed.glob(PATTERN) if not (shared / path.name).exists())
    needed, free = LOGS_FREE_MIN * (unsealed_bytes(db) or 0) + missing, shutil.disk_usage(folder).free
    if free < needed:
        raise BackupFailed(
            f"{free / 1e6:,.1f} MB are free in {folder}; a backup needs twice the log's size, {needed / 1e6:,.1f} MB"
        )


def _same_digest(
    db: Path,
    restored: Path,
    seq: int,
    strategies: Mapping[str, Strategy],
    snapshots: SnapshotStore | None,
    proven: SnapshotStore,
    on_progress: Callable[[int], None],
    *,
    full: bool,
) -> _Proof:
    """Return the digest to which the copy and the log both lead. Raise BackupFailed if they differ.

    Afterwards the state at the end of the newest segment is in `proven`.
    """
    with closing(SqliteLogReader(restored)) as reader:
        end = reader.sealed_end()
        sealed = recover(reader, None if full else proven, strategies, end.seq, on_progress)
        content = encode(sealed.state)
        fold(sealed.state, ProgressReporter(end.seq, on_progress).events(reader, seq))
        copied = state_digest(sealed.state)
    with closing(SqliteLogReader(db)) as reader:
        original = state_digest(recover(reader, snapshots, strategies, seq).state)
    if copied != original:
        raise BackupFailed(f"at seq {seq} the copy folds to {copied}, but the log folds to {original}")
    if sealed.snapshot_seq < end.seq:
        proven.save(end.seq, end.hash, code_digest(strategies.values()), content)
    return _Proof(copied, sealed.snapshot_seq)
