"""Lists every log, backtest, study, archive and backup of the data folders; nothing is folded for it."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from papertape.cli.library.data_folders import (
    BACKUP_SUFFIX,
    LOG_SUFFIXES,
    MARKET_SUFFIXES,
    is_inside,
    list_files,
)
from papertape.cli.library.log_header import LogHeader, is_engine_running, read_header
from papertape.engine.backup import parse_backup
from papertape.engine.feeds.files.symbol_names import symbol_of
from papertape.events.errors import LogMissing, PapertapeError, UsageError
from papertape.events.segments.segment_file import segment_path
from papertape.events.text import replace_surrogates
from papertape.projections.site.library import LibraryEntry, LibraryView, MarketFile, MarketKind
from papertape.projections.studies.reader import FOLDER, LEADS_OUT, LOG_SUFFIX, SUFFIX, StudyFolder, summary_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from papertape.cli.library.data_folders import DataFile
    from papertape.events.segments.catalogue import Sealed

OPEN: Final = "/open"
"""Where the pages of logs opened from the library are."""
SLUG_CHARS_MAX: Final = 40
KINDS: Final[dict[str, MarketKind]] = {
    "funding": "funding",
    "open_interest": "open_interest",
    "openinterest": "open_interest",
    "metrics": "open_interest",
}
"""Words in the names of market files; all others are candles."""
Signature = tuple[int, int, int]


class LibraryIndex(Struct, frozen=True):
    """A listing, with the real path of every log and market file that a request may name."""

    view: LibraryView
    logs: dict[str, Path]
    files: dict[str, tuple[MarketFile, Path]]


class LibraryListing:
    """Lists the data folders; a log's header is read again only after its file has changed. Its methods block.

    The first of `logs` is that of the page itself; `backups` are additional folders with backups.
    """

    def __init__(self, logs: Sequence[Path], folders: Sequence[Path], backups: Sequence[Path] = ()) -> None:
        self._own = logs[0].resolve()
        self._folders, self._backups = tuple(folders), tuple(backups)
        self._headers: dict[Path, tuple[Signature, LogHeader | str]] = {}

    def read(self) -> LibraryIndex:
        """Return what the folders hold now."""
        listing = list_files(self._folders)
        entries, logs = list[LibraryEntry](), dict[str, Path]()
        for file in listing.files:
            if file.name.endswith(LOG_SUFFIXES) and not _is_study(file):
                for entry in self._log_entries(file):
                    entries.append(entry)
                    if entry.is_log and file.path is not None:
                        logs[entry.id] = file.path
        for folder in self._folders:
            entries += self._studies(folder)
        entries += self._backup_entries(listing.files)
        files = _market_files(self._folders, listing.files)
        shown = {file.path for file in listing.files}
        self._headers = {path: header for path, header in self._headers.items() if path in shown}
        entries.sort(
            key=lambda one: (
                one.address != "/",
                one.kind == "unreadable",
                not one.running,
                -one.changed_at_ms,
                one.name,
            )
        )
        view = LibraryView(
            tuple(map(str, self._folders)), tuple(entries), tuple(one for one, _ in files.values()), listing.left_out
        )
        return LibraryIndex(view, logs, files)

    def _log_entries(self, file: DataFile) -> Iterable[LibraryEntry]:
        """Yield a log, and the archives that hold its oldest segments."""
        name, folder = file.name, str(file.folder)
        if file.path is None:
            yield LibraryEntry(entry_id(file.folder / name), "unreadable", name, folder, problem=LEADS_OUT)
            return
        header, number = self._header(file.path), entry_id(file.path)
        changed_at_ms = _changed_at_ms(file.path) if file.path.exists() else 0
        if isinstance(header, str):
            yield LibraryEntry(number, "unreadable", name, folder, problem=header, changed_at_ms=changed_at_ms)
            return
        yield LibraryEntry(
            id=number,
            kind=header.kind,
            name=name,
            folder=folder,
            address=log_address(number, is_own=file.path == self._own),
            running=header.kind == "log" and is_engine_running(file.path),
            from_ms=header.from_ms,
            until_ms=header.until_ms,
            events=header.events,
            bytes=header.bytes,
            strategies=header.strategies,
            net_usdt=None if header.result is None else header.result.net_usdt,
            result_seq=0 if header.result is None else header.result.seq,
            detail=header.detail,
            changed_at_ms=changed_at_ms,
        )
        yield from _archives(name, folder, number, header.archived)

    def _header(self, path: Path) -> LogHeader | str:
        """Return the header of a log, or why there is none."""
        try:
            signature = _signature(path)
            known = self._headers.get(path)
            if known is None or known[0] != signature:
                known = signature, _readable_header(path)
                self._headers[path] = known
        except OSError as error:
            return f"{path.name} cannot be read: {error.strerror}"
        return known[1]

    def _studies(self, folder: Path) -> Iterable[LibraryEntry]:
        studies = StudyFolder(folder if folder.name == FOLDER else folder / FOLDER)
        own = self._own.parent in (folder, studies.path)
        base = "" if own else next((f"{OPEN}/{one}" for one in self._named_in(folder)), "")
        for name in studies.names():
            path = studies.path / f"{name}{SUFFIX}"
            if not is_inside(path.resolve(), (*self._folders, studies.path.resolve())):
                yield LibraryEntry(entry_id(path), "unreadable", name, str(folder), problem=LEADS_OUT)
                continue
            study = studies.study(name)
            summary = summary_of(study)
            yield LibraryEntry(
                id=entry_id(path),
                kind="study",
                name=name,
                folder=str(folder),
                address=f"{base}/studies/{name}" if own or base else "",
                problem=summary.problem,
                running=summary.state == "running",
                from_ms=0 if study.plan is None else study.plan.from_ms,
                until_ms=0 if study.plan is None else study.plan.until_ms,
                bytes=path.stat().st_size if path.exists() else 0,
                strategies=(summary.strategy,) if summary.strategy else (),
                net_usdt=summary.net_usdt,
                outcome=summary.outcome or "",
                detail=f"{summary.state}, {summary.sets:,} sets" if summary.sets else summary.state,
                changed_at_ms=summary.updated_at_ms,
            )

    def _named_in(self, folder: Path) -> Iterable[str]:
        """Yield the ids of the readable logs that lie directly in a folder."""
        return (
            entry_id(path)
            for path, (_, header) in self._headers.items()
            if path.parent == folder and not isinstance(header, str)
        )

    def _backup_entries(self, files: Iterable[DataFile]) -> Iterable[LibraryEntry]:
        found = {file.path: file.name for file in files if file.path and file.name.endswith(BACKUP_SUFFIX)}
        for folder in self._backups:
            found |= {
                path.resolve(): path.name
                for path in folder.glob(f"*{BACKUP_SUFFIX}")
                if path.is_file() and path.resolve() not in found
            }
        for path, name in found.items():
            parsed = parse_backup(path)
            if parsed is None or not path.exists():
                continue
            log, backup = parsed
            yield LibraryEntry(
                id=entry_id(path),
                kind="backup",
                name=replace_surrogates(name),
                folder=str(path.parent),
                events=backup.seq,
                bytes=path.stat().st_size,
                detail=f"of {replace_surrogates(log)}; papertape restore brings it back",
                changed_at_ms=backup.at_ms,
            )


def entry_id(path: Path) -> str:
    """Return the id of a file: a readable part, and a digest of its path."""
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-")[:SLUG_CHARS_MAX]
    digest = hashlib.blake2b(os.fsencode(path), digest_size=5).hexdigest()
    return f"{slug}-{digest}" if slug else digest


def log_address(number: str, *, is_own: bool) -> str:
    """Return the address of the pages of a log."""
    return "/" if is_own else f"{OPEN}/{number}/"


def find_log(index: LibraryIndex, number: str) -> Path:
    """Return the path of a log. Raise UsageError for an id that no readable log has."""
    if number not in index.logs:
        raise UsageError(f"the library has no log {number!r}")
    return index.logs[number]


def _readable_header(path: Path) -> LogHeader | str:
    try:
        return read_header(path)
    except LogMissing:
        return "the file is empty"
    except PapertapeError as error:
        return str(error)


def _signature(path: Path) -> Signature:
    """Return what changes with a log: size and time of its file, and the time of its write-ahead log."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, _wal_time_ns(path)


def _changed_at_ms(path: Path) -> int:
    return max(path.stat().st_mtime_ns, _wal_time_ns(path)) // 1_000_000


def _wal_time_ns(path: Path) -> int:
    """Return when something was last written to a write-ahead log; 0 if it is missing, or a reader left it empty."""
    try:
        status = path.with_name(f"{path.name}-wal").stat()
    except OSError:
        return 0
    return status.st_mtime_ns if status.st_size else 0


def _is_study(file: DataFile) -> bool:
    path = Path(file.folder / file.name)
    return path.parent.name == FOLDER and not path.name.endswith(LOG_SUFFIX)


def _archives(log: str, folder: str, number: str, archived: Iterable[Sealed]) -> Iterable[LibraryEntry]:
    by_place: dict[Path, list[Sealed]] = {}
    for one in archived:
        assert one.archived is not None, "the header lists archived segments"
        by_place.setdefault(one.archived, []).append(one)
    for place, segments in by_place.items():
        missing = sum(not _is_there(segment_path(place, one.info)) for one in segments)
        first, last = segments[0].info.first_seq, segments[-1].info.last_seq
        yield LibraryEntry(
            id=f"{number}-{entry_id(place)}",
            kind="archive",
            name=str(place),
            folder=folder,
            problem=f"{missing:,} of {len(segments):,} segments cannot be reached: is its disk mounted?"
            if missing
            else "",
            events=last - first + 1,
            bytes=sum(one.info.size_bytes for one in segments),
            detail=f"events {first:,} to {last:,} of {log}; {'not mounted' if missing else 'mounted'}",
        )


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _market_files(folders: Sequence[Path], files: Iterable[DataFile]) -> dict[str, tuple[MarketFile, Path]]:
    """Return the market files by the names that a request uses: the path in the folder, after the folder's name."""
    found: dict[str, tuple[MarketFile, Path]] = {}
    for file in files:
        if file.path is None or not file.name.endswith(MARKET_SUFFIXES) or not file.path.is_file():
            continue
        base = file.path.name.lower()
        name = file.name if file.folder == folders[0] else f"{file.folder.name}/{file.name}"
        kind: MarketKind = next((kind for word, kind in KINDS.items() if word in base), "candles")
        market = MarketFile(name, kind, symbol_of(file.path.name) or "", file.path.stat().st_size)
        found.setdefault(name, (market, file.path))
    return found


def with_result(entry: LibraryEntry, net_usdt: float, seq: int) -> LibraryEntry:
    """Return a log with the result that the page knows because it follows it."""
    return replace(entry, net_usdt=net_usdt, result_seq=seq)
