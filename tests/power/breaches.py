"""Promises broken on purpose, each in a recorded process: a drawn power cut must find every one of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from papertape.events import copying, cursors, durable, snapshots, sqlite_file, sqlite_log
from papertape.events.chain import row_head
from papertape.projections.telegram.delivery_queues import DeliveryReceipts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import aiosqlite

    from papertape.events.chain import Row


class Breach(Struct, frozen=True):
    """A promise to break, and the scenario in which that shows."""

    scenario: str
    apply: Callable[[], None]


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace a function by one that is made of it."""
    setattr(owner, name, make(getattr(owner, name)))


def set_synchronous(level: str) -> None:
    """Let SQLite sync the log less than it should, and say otherwise."""

    def dishonest(honest: Any) -> Any:
        async def pragma(connection: aiosqlite.Connection, text: str) -> object:
            if text == "synchronous":
                return 2
            return await honest(connection, text.replace("synchronous = FULL", f"synchronous = {level}"))

        return pragma

    replace(sqlite_file, "_pragma", dishonest)


def write_head_before_commit() -> None:
    """Record the head durably before the row that it names."""

    def hasty(honest: Any) -> Any:
        async def commit(log: sqlite_log.SqliteEventLog, row: Row) -> None:
            log._head_file.write(row_head(row))
            log._head_file.sync()
            await honest(log, row)

        return commit

    replace(sqlite_log.SqliteEventLog, "_commit", hasty)


def leave_wal_unsynced_at_start() -> None:
    """Refer to rows of a killed writer that are not on the disk yet."""
    replace(sqlite_log, "sync_wal", lambda _: lambda _: None)


def leave_names_unsynced() -> None:
    """Rename and create folders without syncing the folder."""
    replace(durable, "sync", lambda honest: lambda path: None if path.is_dir() else honest(path))


def leave_snapshots_unsynced() -> None:
    """Give a snapshot its name before its content is on the disk."""

    def write(path: Path, content: bytes, _: object = None) -> None:
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_bytes(content)
        temporary.replace(path)
        durable.sync(path.parent)

    replace(snapshots, "write_durably", lambda _: write)


def switch_before_old_log_is_kept() -> None:
    """Put the restored log in place first, and the old one aside afterwards."""

    def late_link(honest: Any) -> Any:
        def link(path: Path, folder: Path) -> None:
            honest(path, folder)
            if path.suffix == ".db":
                os.replace(folder / path.name, folder.parent / "later")  # noqa: PTH105

        return link

    def late_switch(honest: Any) -> Any:
        def switch(staged: Path, db: Path, now_ms: int) -> Path:
            aside: Path = honest(staged, db, now_ms)
            durable.rename_durably(db.parent / "later", aside / db.name)
            return aside

        return switch

    replace(copying, "_link_or_copy", late_link)
    replace(copying, "_switch", late_switch)


def leave_old_names_unsynced_at_switch() -> None:
    """Put the restored log in place while the removal of the old log's files is not on the disk yet."""
    replace(copying, "sync", lambda honest: lambda path: None if (path / "backups").exists() else honest(path))


def finish_alert_before_it_is_sent() -> None:
    """Move the cursor behind an alert that is yet to be sent."""

    def early(honest: Any) -> Any:
        def mark(receipts: DeliveryReceipts, seq: int, part: int) -> None:
            honest(receipts, seq, part)
            receipts.mark_done(seq)

        return mark

    replace(DeliveryReceipts, "mark_sending", early)


def leave_cursors_unsynced() -> None:
    """Move cursors without waiting for the disk."""
    replace(cursors, "_SETUP", lambda setup: setup.replace("synchronous = FULL", "synchronous = OFF"))


BREACHES: Final = {
    "synchronous-off": Breach("engine", lambda: set_synchronous("OFF")),
    "synchronous-normal": Breach("engine", lambda: set_synchronous("NORMAL")),
    "head-before-commit": Breach("engine", write_head_before_commit),
    "wal-unsynced-at-start": Breach("killed", leave_wal_unsynced_at_start),
    "snapshots-unsynced": Breach("engine", leave_snapshots_unsynced),
    "alert-finished-before-sent": Breach("engine", finish_alert_before_it_is_sent),
    "cursors-unsynced": Breach("engine", leave_cursors_unsynced),
    "backup-names-unsynced": Breach("backup", leave_names_unsynced),
    "restored-names-unsynced": Breach("restore", leave_names_unsynced),
    "switch-before-old-log-is-kept": Breach("restore", switch_before_old_log_is_kept),
    "old-names-unsynced-at-switch": Breach("restore-without-chat", leave_old_names_unsynced_at_switch),
}
