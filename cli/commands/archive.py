"""The verbs that keep a log safe and carry it elsewhere. What they do is imported when they are called."""
# ruff: noqa: PLC0415 - an engine is slow to import.

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from papertape.cli.commands.options import ConfigOption, DbOption, JsonOption

FormatOption = Annotated[
    str | None, typer.Option("--format", metavar="jsonl|csv|parquet", help="Without it what the file's name says.")
]


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
    from papertape.cli.offline.backup import back_up

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
    from papertape.cli.offline.backup import restore as put_back

    put_back(copy, db, config, why, who, new_epoch=new_epoch, as_json=as_json)


def export(
    out: Annotated[Path, typer.Option(metavar="FILE", help="A new file: .jsonl, .csv (also with .gz), .parquet.")],
    from_seq: Annotated[int, typer.Option("--from", metavar="SEQ", help="The first event.")] = 1,
    to_seq: Annotated[int | None, typer.Option("--to", metavar="SEQ", help="The last event; without it all.")] = None,
    redact: Annotated[bool, typer.Option("--redact", help="Leave out what people wrote: names and reasons.")] = False,
    form: FormatOption = None,
    db: DbOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the events to one file. One that begins at event 1 can be imported and replayed by anybody."""
    from papertape.cli.offline.export import export as write

    write(db, config, out, form, from_seq, to_seq, redact=redact, as_json=as_json)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What export wrote.")],
    form: FormatOption = None,
    db: DbOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new log of exported events; every commit is compared with the one that was exported."""
    from papertape.cli.offline.export import import_file

    import_file(file, db, config, form, as_json=as_json)


def refold(
    expect: Annotated[str, typer.Option(metavar="DIGEST", help="What the other version reached.")],
    to_seq: Annotated[int | None, typer.Option("--to", metavar="SEQ", help="As of this event, not the last.")] = None,
    db: DbOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fold a log from its first event and compare the state with that of another version, before an upgrade."""
    from papertape.cli.offline.refold import refold as fold

    fold(db, config, expect, to_seq, as_json=as_json)
