"""`papertape backup` and `papertape restore`: make a proved copy of a log, and restore it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.cli.config.overrides import load_config_of_log
from papertape.cli.config.sections import strategies_of
from papertape.cli.environment.streams import say
from papertape.cli.environment.tasks import run_tasks
from papertape.cli.offline.send_command import owner
from papertape.cli.progress import progress_bar
from papertape.cli.render.console import emit
from papertape.cli.wiring import warn
from papertape.engine.backup import KEEP_MAX, make_backup
from papertape.engine.backup_attempts import recorded_attempt
from papertape.engine.ports.clock import SystemClock
from papertape.engine.startup import snapshot_store
from papertape.events.beside import real_path, sibling_path
from papertape.events.copying import ExistingLog, put_back
from papertape.events.cursors import SqliteCursors, stored_positions
from papertape.events.errors import LogNewer, UsageError
from papertape.events.facts import EpochBegan
from papertape.events.log import Entry, Head
from papertape.events.sqlite_log import SqliteEventLog
from papertape.projections.notify.channel_key import SUFFIX as KEY_SUFFIX
from papertape.projections.notify.channel_key import write_key
from papertape.projections.telegram.delivery_queues import rewind_positions

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.engine.backup import CompletedBackup

CURSORS_SUFFIX = ".cursors"


class RestoreReport(Struct, frozen=True):
    """A restored log. `aside` is the folder with the replaced files, `epoch_seq` the seq of a new epoch, or 0."""

    db: Path
    seq: int
    hash: str
    aside: Path | None
    epoch_seq: int


def back_up(
    db: Path | None, config: Path | None, to: Path | None, keep: int | None, *, full: bool, as_json: bool
) -> None:
    """Make a backup and report the proof. Raise BackupFailed, LogError or UsageError."""
    loaded = load_config_of_log(config)
    path, newest = db or loaded.database, loaded.backup.keep if keep is None else keep
    if not 1 <= newest <= KEEP_MAX:
        raise UsageError(f"--keep {newest}: must be 1 to {KEEP_MAX}")
    folder = to or real_path(path).parent / loaded.backup.folder
    clock = SystemClock()
    with (
        recorded_attempt(path, folder, clock.now_ms, warn),
        progress_bar("proving the copy", 0) as on_progress,
    ):
        backup = make_backup(
            path,
            folder,
            newest,
            strategies_of(loaded),
            snapshot_store(path, warn),
            clock.now_ms(),
            on_progress,
            full=full,
        )
    if as_json:
        emit(backup)
    else:
        say(_backup_text(backup))


def _backup_text(backup: CompletedBackup) -> str:
    lines = [
        f"{backup.path}",
        f"{backup.seq:,} events, {backup.bytes / 1e6:,.1f} MB, in {backup.took_ms / 1_000.0:.2f} s",
        *[f"with {backup.segments} sealed segments, which all backups share"] * bool(backup.segments),
        f"restored and folded from {_begin_text(backup)}: digest {backup.digest}, the same as the log's",
        *[f"deleted the old backup {path.name}" for path in backup.let_go],
    ]
    return "\n".join(lines) + "\n"


def _begin_text(backup: CompletedBackup) -> str:
    return (
        f"event {backup.proven_seq + 1:,}, up to which it was proven before" if backup.proven_seq else "its first event"
    )


def restore(
    backup: Path, db: Path | None, config: Path | None, why: str, who: str, *, new_epoch: bool, as_json: bool
) -> None:
    """Restore a backup. Raise LogHeld, LogNewer (without `new_epoch`), LogDamaged or LogError."""
    path = db or load_config_of_log(config).database
    if new_epoch and not why.strip():
        raise UsageError("--new-epoch needs --why, the reason for the log")
    clock = SystemClock()
    current = ExistingLog(path)
    positions, epoch_seq = stored_positions(_cursors(path)), 0
    key_file = sibling_path(path, KEY_SUFFIX)

    def amend(staged: Path, head: Head) -> Head:
        """Rewind the cursors and record the new epoch before the log is in place."""
        nonlocal epoch_seq
        _set_cursors(_cursors(staged), rewind_positions(positions, head.seq))
        if key_file.exists():  # It belongs to the cursors.
            write_key(sibling_path(staged, KEY_SUFFIX), key_file.read_bytes())
        if not new_epoch or not current.known_seq:
            return head
        fact = EpochBegan(clock.now_ms(), head.seq, head.hash.hex(), current.known_seq, who or owner(), why)
        epoch = run_tasks(lambda: _begin_epoch(staged, fact, clock))
        epoch_seq = epoch.seq
        return epoch

    try:
        head, aside = put_back(backup, path, replace_newer=new_epoch, now_ms=clock.now_ms(), amend=amend)
    except LogNewer as newer:
        raise LogNewer(
            f"{newer}; --new-epoch replaces it by the older one, moves it aside and records that in the log"
        ) from None
    report = RestoreReport(path, head.seq, head.hash.hex(), aside, epoch_seq)
    if as_json:
        emit(report)
    else:
        say(_restore_text(report))


def _cursors(db: Path) -> Path:
    return sibling_path(db, CURSORS_SUFFIX)


def _set_cursors(path: Path, positions: dict[str, int]) -> None:
    if not positions:
        return
    cursors = SqliteCursors(path)
    try:
        for name, position in positions.items():
            cursors.advance(name, position)
    finally:
        cursors.close()


async def _begin_epoch(db: Path, fact: EpochBegan, clock: SystemClock) -> Head:
    log = await SqliteEventLog.open(db, clock_ms=clock.now_ms)
    try:
        return await log.append(log.head.seq, [Entry(fact)])
    finally:
        await log.close()


def _restore_text(report: RestoreReport) -> str:
    lines = [f"restored {report.seq:,} events to {report.db}; every row and segment was checked"]
    if report.aside is not None:
        lines.append(f"the previous files were moved to {report.aside}")
    if report.epoch_seq:
        lines.append(f"a new epoch began at seq {report.epoch_seq:,}")
    return "\n".join(lines) + "\n"
