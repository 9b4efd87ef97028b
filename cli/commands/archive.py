"""The commands that back up a log and move it elsewhere: their options. The work is imported when they are called."""
# ruff: noqa: PLC0415 - an engine is slow to import.

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from papertape.cli.commands.options import ConfigOption, DbOption, JsonOption, WhoOption

FormatOption = Annotated[
    str | None,
    typer.Option("--format", metavar="jsonl|csv|parquet", help="The file format (default: by the file name)."),
]


def backup(
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The folder (default: backup.folder beside the log).")
    ] = None,
    keep: Annotated[
        int | None, typer.Option(metavar="N", help="Keep the newest N backups, 1 to 1000 (default: backup.keep).")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read every sealed segment again and fold from the first event.")
    ] = False,
    db: DbOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Back up the log while the engine runs, and prove the copy: restore it, fold it and compare the digests."""
    from papertape.cli.offline.backup import back_up

    back_up(db, config, to, keep, full=full, as_json=as_json)


def restore(
    copy: Annotated[Path, typer.Argument(metavar="FILE", help="The backup.", exists=False)],
    new_epoch: Annotated[
        bool,
        typer.Option("--new-epoch", help="Replace even a log with more events; it is moved aside, never deleted."),
    ] = False,
    why: Annotated[str, typer.Option(help="The reason for a new epoch, for the log.")] = "",
    who: WhoOption = "",
    db: DbOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace the log with a backup, and check every row. Alerts that were sent are not sent again."""
    from papertape.cli.offline.backup import restore as put_back

    put_back(copy, db, config, why, who, new_epoch=new_epoch, as_json=as_json)


def export(
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The new file: .jsonl, .csv, .jsonl.gz, .csv.gz or .parquet.")
    ],
    from_seq: Annotated[int, typer.Option("--from", metavar="SEQ", help="The first event.")] = 1,
    to_seq: Annotated[
        int | None, typer.Option("--to", metavar="SEQ", help="The last event (default: the newest).")
    ] = None,
    redact: Annotated[bool, typer.Option("--redact", help="Omit what people wrote: names and reasons.")] = False,
    form: FormatOption = None,
    db: DbOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export the events to a file. If it begins at event 1, anybody can import and replay it."""
    from papertape.cli.offline.export import export as write

    write(db, config, out, form, from_seq, to_seq, redact=redact, as_json=as_json)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The exported file.")],
    form: FormatOption = None,
    db: DbOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a new log from exported events, and compare every commit with the exported one."""
    from papertape.cli.offline.export import import_file

    import_file(file, db, config, form, as_json=as_json)


def refold(
    expect: Annotated[str, typer.Option(metavar="DIGEST", help="The digest that the other version computed.")],
    to_seq: Annotated[
        int | None, typer.Option("--to", metavar="SEQ", help="The last event to fold (default: the newest).")
    ] = None,
    db: DbOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fold a log from its first event and compare the state with another version's, before an upgrade."""
    from papertape.cli.offline.refold import refold as fold

    fold(db, config, expect, to_seq, as_json=as_json)


def seal(
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="DURATION", help="Seal events older than this, such as 1d or 12h.")
    ] = "1d",
    db: DbOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move old events into compact segments beside the log. A running engine does that by itself."""
    from papertape.cli.offline.seal import seal as seal_log

    seal_log(db, config, older_than, as_json=as_json)


def unseal(db: DbOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Make one file of a sealed log again, in the form that older versions of papertape read."""
    from papertape.cli.offline.seal import unseal as unseal_log

    unseal_log(db, config, as_json=as_json)


def archive(
    before: Annotated[str, typer.Option(metavar="TIME", help="Move segments that end before this time, UTC.")],
    to: Annotated[
        Path, typer.Option(metavar="FOLDER", help="A folder on another disk that holds nothing but segments.")
    ],
    db: DbOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move old sealed segments to another disk. The log reads them there while it is mounted."""
    from papertape.cli.arguments import moment_ms
    from papertape.cli.offline.seal import archive as archive_log

    archive_log(db, config, moment_ms(before, "--before"), to, as_json=as_json)
