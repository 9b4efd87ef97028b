"""Detect the remains of a log whose file is missing; a new log replaces them only on the owner's request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.backup import list_backups, shared_folder
from papertape.events.beside import real_path, sibling_path
from papertape.events.copying import BOUND, REPLACED, RESTORING, set_aside
from papertape.events.durable import make_folder, move_durably
from papertape.events.errors import LogError, LogGone
from papertape.events.head_file import head_path, read_head
from papertape.events.segments.folder import SEALED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMED_MAX = 4


def reject_leftovers(db: Path, backup_folder: Path, alternative: str) -> None:
    """Raise LogGone if remains of a log exist at `db`; `alternative` to a restore ends the message. Raise LogError."""
    try:
        _refuse(db, backup_folder, alternative)
    except OSError as error:
        raise LogError(f"no log can be created at {db}: {error.strerror}") from error


def _refuse(db: Path, backup_folder: Path, alternative: str) -> None:
    if _is_there(db):
        return
    if db.is_symlink() and not db.exists():
        raise LogGone(
            f"{db} links to {real_path(db)}, where there is no log; is its disk mounted? If it is, {alternative}"
        )
    backups, remains = list_backups(backup_folder, real_path(db).name), [path.name for path in _traces(db)]
    if backups:
        remains.append(f"{len(backups)} backup{'s' if len(backups) > 1 else ''} in {backup_folder}")
    if not remains:
        return
    more = f" and {len(remains) - NAMED_MAX} more" if len(remains) > NAMED_MAX else ""
    backup = backups[-1].path if backups else "BACKUP"
    raise LogGone(
        f"there is no log at {db}, but remains of one exist: {', '.join(remains[:NAMED_MAX])}{more}. Move its file "
        f"back, restore a backup with papertape restore {backup} --db {db}, or {alternative}"
    )


def set_remains_aside(db: Path, backup_folder: Path, now_ms: int) -> list[Path]:
    """Move the remains of a log whose file is missing into new folders, and return those folders.

    Nothing is deleted; nothing is moved if the log exists or has no remains. Raise LogHeld or LogError on failure.
    """
    if _is_there(db):
        return []
    aside = set_aside(db, now_ms)
    folders, backups = [] if aside is None else [aside], list_backups(backup_folder, real_path(db).name)
    if backups:  # They may be on another disk, and stay on it.
        name = aside.name if aside is not None else f"{real_path(db).name}{REPLACED}{now_ms}"
        folder = backup_folder / name
        try:
            make_folder(folder)
            shared = shared_folder(backup_folder, real_path(db).name)
            move_durably([*(backup.path for backup in backups), *[shared] * shared.exists()], folder)
        except OSError as error:
            raise LogError(f"the backups in {backup_folder} could not be moved aside: {error.strerror}") from error
        folders += [folder] if folder not in folders else []
    return folders


def _is_there(db: Path) -> bool:
    """Return whether a non-empty file exists; its writer checks whether it is a log."""
    return db.exists() and db.stat().st_size > 0


def _traces(db: Path) -> Iterator[Path]:
    """Yield the files that only a log with events leaves behind."""
    head = read_head(db)
    if head_path(db).exists() and (head is None or head.seq):
        yield head_path(db)
    wal = sibling_path(db, BOUND[0])
    if wal.exists() and wal.stat().st_size:
        yield wal
    for suffix in (".snapshots", ".folds", SEALED, RESTORING):
        folder = sibling_path(db, suffix)
        if folder.is_dir() and any(folder.iterdir()):
            yield folder
    real = real_path(db)
    yield from (path for path in real.parent.glob("*") if path.name.startswith(f"{real.name}{REPLACED}"))
    cursors = sibling_path(db, ".cursors")
    if cursors.exists():
        yield cursors
