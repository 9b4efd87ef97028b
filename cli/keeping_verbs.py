"""The verbs that keep a log safe: backup and restore. What they do is imported when they are called."""
# ruff: noqa: PLC0415 - an engine is slow to import.

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import ConfigOption, DbOption, JsonOption

BACKUP_EPILOG = "Example: papertape backup --to /mnt/usb --keep 30"
RESTORE_EPILOG = "Example: papertape restore data/backups/papertape.db-20260302T040000Z-000000123456.backup"


def backup(
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to; without it backup.folder beside the log.")
    ] = None,
    keep: Annotated[int | None, typer.Option(metavar="N", help="Keep the newest N there, 1 to 1000.")] = None,
    db: DbOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the log while the engine goes on, and prove the copy: put back, folded, the same digest."""
    from cli.backup import back_up

    back_up(db, config, to, keep, as_json=as_json)


def restore(
    copy: Annotated[Path, typer.Argument(metavar="FILE", help="The backup.", exists=False)],
    new_epoch: Annotated[
        bool, typer.Option("--new-epoch", help="Also where the log there knows more: it is moved aside, never deleted.")
    ] = False,
    why: Annotated[str, typer.Option(help="The reason of a new epoch, for the log.")] = "",
    who: Annotated[str, typer.Option(help="Who decides it; without it the user of this machine.")] = "",
    db: DbOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a backup in the place of the log, every row checked. Alerts that were sent are not sent again."""
    from cli.backup import restore as put_back

    put_back(copy, db, config, why, who, new_epoch=new_epoch, as_json=as_json)
