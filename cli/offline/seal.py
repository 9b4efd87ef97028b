"""`papertape seal`, `unseal` and `archive`: move old events out of SQLite, back into it, or to another disk."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.cli.config.overrides import load_config_of_log
from papertape.cli.environment.streams import say
from papertape.cli.environment.tasks import run_tasks
from papertape.cli.progress import progress_bar
from papertape.cli.render.console import emit
from papertape.engine.ports.clock import SystemClock
from papertape.events.beside import real_path
from papertape.events.copying import unsealed_bytes
from papertape.events.errors import LogError
from papertape.events.segments import archiving, unsealing
from papertape.events.segments.folder import sealed_folder
from papertape.events.segments.sealing import next_segment_end, shrink, write_next_segment
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader
from papertape.projections.text.formats import utc
from papertape.studies.folds import duration_ms

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from papertape.events.segments.segment_file import SegmentInfo

DELETED_ROWS_MAX = 1_000


class SealReport(Struct, frozen=True):
    """The sealed events: new segments, their events, and the bytes of the segments and of the log's file now."""

    db: Path
    segments: int
    events: int
    segment_bytes: int
    log_bytes: int


class UnsealReport(Struct, frozen=True):
    """How many events were brought back into the log's file, and its bytes now."""

    db: Path
    events: int
    log_bytes: int


class ArchiveReport(Struct, frozen=True):
    """The segments that were moved to a folder, with their last event, 0 if there are none."""

    db: Path
    to: Path
    segments: int
    last_seq: int
    segment_bytes: int


def seal(db: Path | None, config: Path | None, older_than: str, *, as_json: bool) -> None:
    """Seal all events older than a duration. Raise LogHeld while an engine runs, LogDamaged or LogError."""
    path, clock = db or load_config_of_log(config).database, SystemClock()
    before_ms = clock.now_ms() - duration_ms(older_than, "--older-than", may_be_zero=True)
    with closing(SqliteLogReader(path)) as reader, progress_bar("sealing", reader.head().seq) as on_progress:
        infos = run_tasks(lambda: _seal(path, before_ms, on_progress))
    if infos:
        shrink(path)
    events = sum(info.last_seq - info.first_seq + 1 for info in infos)
    report = SealReport(path, len(infos), events, sum(info.size_bytes for info in infos), unsealed_bytes(path) or 0)
    if as_json:
        emit(report)
    else:
        say(_seal_text(report, older_than))


async def _seal(path: Path, before_ms: int, on_row: Callable[[int], None]) -> list[SegmentInfo]:
    infos: list[SegmentInfo] = []
    log = await SqliteEventLog.open(path, clock_ms=SystemClock().now_ms)
    try:
        while True:
            while await log.delete_sealed_rows(DELETED_ROWS_MAX):
                pass
            with closing(log.reader()) as reader:
                last_seq = next_segment_end(reader, before_ms, events_min=1)
            if last_seq is None:
                return infos
            infos.append(write_next_segment(log.path, last_seq, on_row))
            await log.add_segment(infos[-1])
    except OSError as error:
        raise LogError(f"{path} could not be sealed: {error.strerror}") from error
    finally:
        await log.close()


def _seal_text(report: SealReport, older_than: str) -> str:
    if not report.segments:
        return f"nothing to seal: no event in {report.db} but the newest is older than {older_than}\n"
    each = report.segment_bytes / report.events
    segments = "1 segment" if report.segments == 1 else f"{report.segments:,} segments"
    return (
        f"sealed {report.events:,} events in {segments} of {sealed_folder(real_path(report.db))}: "
        f"{report.segment_bytes / 1e6:,.1f} MB, {each:.1f} bytes an event\n"
        f"{report.db} is {report.log_bytes / 1e6:,.1f} MB now\n"
    )


def unseal(db: Path | None, config: Path | None, *, as_json: bool) -> None:
    """Bring all sealed events back. Raise LogHeld while an engine runs, LogArchived, LogBusy or LogError."""
    path = db or load_config_of_log(config).database
    with closing(SqliteLogReader(path)) as reader:
        head_seq = reader.head().seq
    with progress_bar("unsealing", head_seq) as on_progress:
        events = unsealing.unseal(path, on_progress)
    report = UnsealReport(path, events, unsealed_bytes(path) or 0)
    if as_json:
        emit(report)
    elif events:
        say(f"{path} is one file again: {events:,} events came back, {report.log_bytes / 1e6:,.1f} MB\n")
    else:
        say(f"nothing to unseal: {path} has no sealed segments\n")


def archive(db: Path | None, config: Path | None, before_ms: int, to: Path, *, as_json: bool) -> None:
    """Move old segments to a folder. Raise LogHeld while an engine runs, UsageError, LogDamaged or LogError."""
    path = db or load_config_of_log(config).database
    with closing(SqliteLogReader(path)) as reader:
        listed = reader.segments()
    with progress_bar("archiving", listed[-1].info.last_seq if listed else 0) as on_progress:
        moved = archiving.archive(path, before_ms, to, on_progress)
    size = sum(info.size_bytes for info in moved)
    report = ArchiveReport(path, to, len(moved), moved[-1].last_seq if moved else 0, size)
    if as_json:
        emit(report)
    elif moved:
        say(
            f"moved {len(moved)} segments to {to}: the events up to {report.last_seq:,}, {size / 1e6:,.1f} MB; "
            "they can be read while that disk is mounted\n"
        )
    else:
        say(f"nothing to archive: no sealed segment beside {path} ends before {utc(before_ms)} UTC\n")
