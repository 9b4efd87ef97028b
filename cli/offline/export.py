"""`papertape export` and `papertape import`: one file from which anybody can replay a log."""

from __future__ import annotations

from contextlib import closing
from glob import escape
from typing import TYPE_CHECKING

from papertape.cli.config.overrides import load_config_of_log
from papertape.cli.environment.streams import say
from papertape.cli.environment.tasks import run_tasks
from papertape.cli.offline.portable_files import format_of, read_rows, write_rows
from papertape.cli.progress import progress_bar
from papertape.cli.render.console import emit
from papertape.cli.service.log_admission import ANOTHER, admit_log
from papertape.events.codec import CODEC
from papertape.events.copying import copy_log
from papertape.events.errors import LogNewer, PortableDamaged, UsageError
from papertape.events.head_file import HeadFile
from papertape.events.log import Entry, Head
from papertape.events.portable import decode_event, encode_rows, group_commits
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from papertape.events.log import Commit
    from papertape.events.portable import Row

PROGRESS_EVENTS = 10_000


def export(
    db: Path | None,
    config: Path | None,
    out: Path,
    form_option: str | None,
    from_seq: int,
    to_seq: int | None,
    *,
    redact: bool,
    as_json: bool,
) -> None:
    """Write the events of whole commits from one seq to another. Raise UsageError, LogDamaged or LogMissing."""
    path, form = db or load_config_of_log(config).database, format_of(out, form_option)
    with closing(SqliteLogReader(path)) as reader:
        head = reader.head().seq
        last = head if to_seq is None else to_seq
        if not 1 <= from_seq <= last <= head:
            raise UsageError(f"--from {from_seq} --to {last}: the log contains events 1 to {head}")
        with progress_bar("exporting", last) as on_progress:
            commits = _count_events(_until(reader.commits(from_seq - 1), last), on_progress)
            write_rows(out, encode_rows(commits, CODEC, redact=redact), form)
    if as_json:
        emit({"path": out, "from_seq": from_seq, "to_seq": last, "redacted": redact})
    else:
        part = "" if from_seq == 1 else "; this is a part of a log, so it can be read but not imported"
        say(f"{out}: events {from_seq:,} to {last:,}{part}\n")


def _until(commits: Iterable[Commit], seq: int) -> Iterator[Commit]:
    """Yield the commits that begin at or before a seq; a commit is never cut."""
    for commit in commits:
        if commit.seq > seq:
            return
        yield commit


def _count_events(commits: Iterable[Commit], on_progress: Callable[[int], None]) -> Iterator[Commit]:
    shown = 0
    for commit in commits:
        yield commit
        if commit.last_seq - shown >= PROGRESS_EVENTS:
            shown = commit.last_seq
            on_progress(shown)


def import_file(file: Path, db: Path | None, config: Path | None, form_option: str | None, *, as_json: bool) -> None:
    """Create a new log from exported events. Raise PortableDamaged, UsageError, or LogNewer if the log exists."""
    loaded, form = load_config_of_log(config), format_of(file, form_option)
    path = db or loaded.database
    if path.exists():
        raise LogNewer(f"there is already a log at {path}; an import creates a new one, so name another file (--db)")
    admit_log(path, loaded, way_on=ANOTHER)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.importing")
    try:
        _remove(half)
        head = run_tasks(lambda: _import_commits(half, group_commits(read_rows(file, form))))
        copy_log(half, path)
        HeadFile(path, head).close()
    finally:
        _remove(half)
    if as_json:
        emit({"db": path, "seq": head.seq, "hash": head.hash.hex()})
    else:
        say(f"imported {head.seq:,} events to {path}\n")


async def _import_commits(half: Path, commits: Iterable[list[Row]]) -> Head:
    """Write the rows to a log under a temporary name, and return its head."""
    at_ms = 0
    log = await SqliteEventLog.open(half, clock_ms=lambda: at_ms)
    try:
        for rows in commits:
            at_ms = rows[0].recorded_at_ms
            head = await log.append(log.head.seq, [Entry(decode_event(row), row.cause) for row in rows])
            if rows[-1].hash and rows[-1].hash != head.hash.hex():
                raise PortableDamaged(f"events {rows[0].seq} to {rows[-1].seq} differ from the exported ones")
        return log.head
    finally:
        await log.close()


def _remove(half: Path) -> None:
    """Remove an incomplete import and its companion files."""
    for path in half.parent.glob(f"{escape(half.name)}*"):
        path.unlink()
