"""Where the files of sealed segments lie: beside the log, beside its backups, or in an archive."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from hashlib import blake2b, file_digest
from typing import TYPE_CHECKING, Final

from papertape.events.beside import sibling_path
from papertape.events.durable import make_folder, rename_durably, sync
from papertape.events.errors import LogArchived, LogDamaged
from papertape.events.log import Head
from papertape.events.segments.catalogue import Sealed
from papertape.events.segments.segment_file import segment_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from papertape.events.segments.segment_file import SegmentInfo

SEALED: Final = ".sealed"
"""The suffix of the folder beside a log that holds its segments."""
SHARED: Final = ".segments"
"""The suffix of the folder beside backups that holds the segments of all backups of one log."""
PATTERN: Final = "*.segment"
_DIGEST_BYTES = 32
_BACKUP = re.compile(r"(.+)-\d{8}T\d{6}Z-\d+\.backup")


def sealed_folder(db: Path) -> Path:
    """Return the folder with the segments of the log or backup at `db`, whether it exists or not."""
    backup = _BACKUP.fullmatch(db.name)
    return sibling_path(db, SEALED) if backup is None else db.with_name(f"{backup[1]}{SHARED}")


def find_segment(sealed: Sealed, folder: Path) -> Path:
    """Return the path of a segment's file, in its archive or in `folder`.

    Raise LogArchived if the archive cannot be reached, LogDamaged if the file is missing from `folder`, OSError if the
    disk of `folder` fails.
    """
    own = segment_path(folder, sealed.info)
    if sealed.archived is not None:
        archived = segment_path(sealed.archived, sealed.info)
        with suppress(OSError):  # A disk that was pulled out, or a server that is gone.
            if archived.is_file():
                return archived
        if not own.is_file():
            raise LogArchived(sealed.info.first_seq, sealed.info.last_seq, str(archived))
    if own.is_file():
        return own
    raise LogDamaged(sealed.info.first_seq, f"the sealed segment {own} is missing")


def check_digest(path: Path, info: SegmentInfo) -> None:
    """Compare a whole file with what the catalogue says of it. Raise LogDamaged, or OSError if it cannot be read."""
    with path.open("rb") as file:
        digest = file_digest(file, lambda: blake2b(digest_size=_DIGEST_BYTES)).digest()
    if digest != info.digest:
        raise LogDamaged(info.first_seq, f"the sealed segment {path} is not the file that was sealed")


def unlisted_segments(folder: Path, listed: list[Sealed]) -> Iterator[Path]:
    """Yield the segments in a folder that the catalogue does not list."""
    known = {segment_path(folder, sealed.info) for sealed in listed}
    yield from (path for path in folder.glob(PATTERN) if not path.name.startswith(".") and path not in known)


def unfinished_files(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder of segments that a killed process left unfinished."""
    yield from (path for path in folder.glob(".*") if path.is_file())


def copy_segment(source: Path, folder: Path, info: SegmentInfo, *, may_link: bool = False) -> bool:
    """Bring a segment into a folder, unless it is there; return whether it was missing.

    A copy is durable and compared with the digest before it gets its name; with `may_link`, a hard link is tried first.
    The caller syncs the folder after links. Raise LogDamaged for another file, OSError on failure.
    """
    target = segment_path(folder, info)
    if target.is_file() and target.stat().st_size == info.size_bytes:
        return False
    if may_link:
        with suppress(OSError):  # Another disk, or one without links.
            os.link(source, target)
            return True
    partial = folder / f".{target.name}.{os.getpid()}"
    try:
        shutil.copyfile(source, partial)
        check_digest(partial, info)
        rename_durably(partial, target)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return True


def bring_segments(listed: list[Sealed], source: Path, target: Path) -> None:
    """Link or copy the listed segments that `target` lacks from `source`; durable when this returns.

    An archived segment that `source` lacks stays in its archive. Raise LogDamaged for a missing or damaged file, and
    OSError.
    """
    if listed:
        make_folder(target)
    has_changed = False
    for sealed in listed:
        path = segment_path(source, sealed.info)
        if path.is_file() or (sealed.archived is None and not segment_path(target, sealed.info).is_file()):
            has_changed |= copy_segment(find_segment(sealed, source), target, sealed.info, may_link=True)
    if has_changed:
        sync(target)


def check_segments(listed: list[Sealed], folder: Path) -> None:
    """Compare every listed file with the catalogue, and the segments with each other.

    An archived segment that `folder` lacks is not read. Raise LogDamaged, or OSError if a file cannot be read.
    """
    end = Head()
    for sealed in listed:
        if (end.seq + 1, end.hash) != (sealed.info.first_seq, sealed.info.hash_before):
            raise LogDamaged(end.seq + 1, "the catalogue lacks a segment, or lists one of another history")
        end = Head(sealed.info.last_seq, sealed.info.hash_after)
        if sealed.archived is None or segment_path(folder, sealed.info).is_file():
            check_digest(find_segment(Sealed(sealed.info), folder), sealed.info)
