"""`papertape backup` and `papertape restore`: a log carried away, and brought back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.cli.config.sections import load_config, strategies_of
from papertape.cli.environment.streams import say
from papertape.cli.environment.tasks import run_tasks
from papertape.cli.offline.send_command import owner
from papertape.cli.progress import progress_bar
from papertape.cli.render.console import emit
from papertape.cli.wiring import warn
from papertape.engine.backup import KEEP_MAX, make_backup
from papertape.engine.ports.clock import SystemClock
from papertape.engine.startup import snapshot_store
from papertape.events.beside import real_path, sibling_path
from papertape.events.copying import ExistingLog, put_back
from papertape.events.cursors import SqliteCursors, stored_positions
from papertape.events.errors import LogNewer, UsageError
from papertape.events.facts import EpochBegan
from papertape.events.log import Entry, Head
from papertape.events.sqlite_log import SqliteEventLog
from papertape.projections.telegram.delivery_queues import rewind_positions

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.engine.backup import CompletedBackup

CURSORS_SUFFIX = ".cursors"


class RestoreReport(Struct, frozen=True):
    """A log that was put back. `aside` is the folder with what was there, `epoch_seq` where a new epoch began, or 0."""

    db: Path
    seq: int
    hash: str
    aside: Path | None
    epoch_seq: int


def back_up(db: Path | None, config: Path | None, to: Path | None, keep: int | None, *, as_json: bool) -> None:
    """Make a backup, and say what was proved. Raises BackupFailed, LogError, UsageError."""
    loaded = load_config(config)
    path, kept = db or loaded.database, loaded.backup.keep if keep is None else keep
    if not 1 <= kept <= KEEP_MAX:
        raise UsageError(f"--keep {kept}: must be 1 to {KEEP_MAX}")
    folder = to or real_path(path).parent / loaded.backup.folder
    with progress_bar("proving the copy", 0) as on_progress:
        made = make_backup(
            path, folder, kept, strategies_of(loaded), snapshot_store(path, warn), SystemClock().now_ms(), on_progress
        )
    if as_json:
        emit(made)
    else:
        say(_made_words(made))


def _made_words(made: CompletedBackup) -> str:
    lines = [
        f"{made.path}",
        f"{made.seq:,} events, {made.bytes / 1e6:,.1f} MB, in {made.took_ms / 1_000.0:.2f} s",
        f"put back and folded from its first event: digest {made.digest}, that of the living log",
        *[f"let go of {path.name}" for path in made.let_go],
    ]
    return "\n".join(lines) + "\n"


def restore(
    backup: Path, db: Path | None, config: Path | None, why: str, who: str, *, new_epoch: bool, as_json: bool
) -> None:
    """Put a backup back. Raises LogHeld, LogNewer (without `new_epoch`), LogDamaged, LogError."""
    path = db or load_config(config).database
    if new_epoch and not why.strip():
        raise UsageError("--new-epoch needs --why: the reason is kept in the log")
    clock = SystemClock()
    there = ExistingLog(path)
    positions, epoch_seq = stored_positions(_cursors(path)), 0

    def amend(staged: Path, head: Head) -> Head:
        """The cursors as they were by then, and the word of a new epoch, are there with the log itself."""
        nonlocal epoch_seq
        _set_cursors(_cursors(staged), rewind_positions(positions, head.seq))
        if not new_epoch or not there.known_seq:
            return head
        fact = EpochBegan(clock.now_ms(), head.seq, head.hash.hex(), there.known_seq, who or owner(), why)
        began = run_tasks(lambda: _begin_epoch(staged, fact, clock))
        epoch_seq = began.seq
        return began

    try:
        head, aside = put_back(backup, path, replace_newer=new_epoch, now_ms=clock.now_ms(), amend=amend)
    except LogNewer as newer:
        raise LogNewer(
            f"{newer}; --new-epoch puts the older one in its place, moves the newer one aside and says so in the log"
        ) from None
    found = RestoreReport(path, head.seq, head.hash.hex(), aside, epoch_seq)
    if as_json:
        emit(found)
    else:
        say(_restored_words(found))


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


def _restored_words(found: RestoreReport) -> str:
    lines = [f"{found.db} holds {found.seq:,} events again, every row of them checked"]
    if found.aside is not None:
        lines.append(f"what was there was moved to {found.aside}")
    if found.epoch_seq:
        lines.append(f"a new epoch began at seq {found.epoch_seq:,}")
    return "\n".join(lines) + "\n"
