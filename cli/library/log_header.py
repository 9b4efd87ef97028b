"""What a log's two ends say about it, and the result noted beside it: read without folding the log.

A log is opened only through SQLite, read-only: a plain `open` in the process that follows it would drop its locks.
"""

from __future__ import annotations

import socket
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from papertape.engine.control_socket import socket_path
from papertape.engine.startup_progress import read_progress
from papertape.events.beside import sibling_path
from papertape.events.durable import rename_durably
from papertape.events.errors import LogArchived
from papertape.events.facts import CandleClosed, EngineStopped, RunnerConfigured
from papertape.events.segments.folder import sealed_folder
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.site.readiness import BACKTEST_ENDED, BRANCH_ENDED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from papertape.events.log import Recorded
    from papertape.events.segments.catalogue import Sealed
    from papertape.projections.site.library import EntryKind

FIRST_EVENTS: Final = 256
LAST_EVENTS: Final = 256
RESULT: Final = ".result"
"""The suffix of the file beside a log with the result as of one of its events."""
CONNECT_S_MAX: Final = 0.2
KINDS: Final[dict[str, EntryKind]] = {BACKTEST_ENDED: "backtest", BRANCH_ENDED: "branch"}


class LogResult(Struct, frozen=True):
    """The result of a log as of the event `seq`, whose row has the hash `hash`."""

    seq: int
    hash: str
    net_usdt: float


class LogHeader(Struct, frozen=True):
    """The ends of a log: kind, events, market time, strategies, noted result, and segments by archive folder."""

    kind: EntryKind
    events: int
    from_ms: int
    until_ms: int
    strategies: tuple[str, ...]
    result: LogResult | None
    bytes: int
    archived: tuple[Sealed, ...] = ()
    detail: str = ""


def read_header(path: Path) -> LogHeader:
    """Return the header of a log. Raise LogError with the reason if it cannot be read, OSError if its disk fails."""
    with closing(SqliteLogReader(path)) as reader:
        head_seq, listed, detail = reader.head().seq, reader.segments(), ""
        try:
            first: Sequence[Recorded] = reader.read(0, FIRST_EVENTS)
        except LogArchived:
            first, detail = (), "its oldest events are in an archive that is not mounted"
        last = reader.read(max(0, head_seq - LAST_EVENTS), LAST_EVENTS) if head_seq else ()
        ended = last[-1].event if last else None
        noted = _read_result(path)
        return LogHeader(
            kind=KINDS.get(ended.reason, "log") if isinstance(ended, EngineStopped) else "log",
            events=head_seq,
            from_ms=next((one.event.open_time_ms for one in first if isinstance(one.event, CandleClosed)), 0),
            until_ms=max((one.event.at_ms for one in last if isinstance(one.event, CandleClosed)), default=0),
            strategies=tuple(
                dict.fromkeys(one.event.strategy for one in (*first, *last) if isinstance(one.event, RunnerConfigured))
            ),
            result=noted if noted is not None and _is_of(noted, reader) else None,
            bytes=_bytes(path),
            archived=tuple(one for one in listed if one.archived is not None),
            detail=detail,
        )


def note_result(path: Path, net_usdt: float, seq: int | None = None) -> None:
    """Note the result of a log beside it, as of its end or of an event; do nothing if the folder cannot be written."""
    with closing(SqliteLogReader(path)) as reader:
        seq = reader.head().seq if seq is None else seq
        row_hash = reader.hash_at(seq)
    if row_hash is not None:
        target = sibling_path(path, RESULT)
        partial = target.with_name(f".{target.name}.half")
        with suppress(OSError):
            partial.write_bytes(msgspec.json.encode(LogResult(seq, row_hash.hex(), net_usdt)))
            rename_durably(partial, target)


def is_engine_running(path: Path) -> bool:
    """Return whether an engine listens beside a log, or is replaying it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(CONNECT_S_MAX)
        try:
            client.connect(str(socket_path(path)))
        except OSError:
            return read_progress(path) is not None
    return True


def _read_result(path: Path) -> LogResult | None:
    try:
        return msgspec.json.decode(sibling_path(path, RESULT).read_bytes(), type=LogResult)
    except (OSError, msgspec.MsgspecError):
        return None


def _is_of(noted: LogResult, reader: SqliteLogReader) -> bool:
    """Return whether a result belongs to this log and not to one that was in its place."""
    found = reader.hash_at(noted.seq)
    return found is not None and found.hex() == noted.hash


def _bytes(path: Path) -> int:
    """Return the size of a log with its write-ahead log and its sealed segments."""
    beside = path.with_name(f"{path.name}-wal")
    sealed = sealed_folder(path)
    files = [path, *([beside] if beside.exists() else []), *(sealed.iterdir() if sealed.is_dir() else [])]
    return sum(one.stat().st_size for one in files)
