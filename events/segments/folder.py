"""Where the files of sealed segments lie: beside the log, beside its backups, or in an archive."""

from __future__ import annotations

import re
from hashlib import blake2b, file_digest
from typing import TYPE_CHECKING, Final

from papertape.events.beside import sibling_path
from papertape.events.errors import LogArchived, LogDamaged
from papertape.events.segments.segment_file import segment_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from papertape.events.segments.catalogue import Sealed
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

    Raise LogArchived if the archive cannot be reached, LogDamaged if the file is missing from `folder`.
    """
    own = segment_path(folder, sealed.info)
    candidates = [own] if sealed.archived is None else [segment_path(sealed.archived, sealed.info), own]
    for path in candidates:
        if path.is_file():
            return path
    if sealed.archived is not None:
        raise LogArchived(sealed.info.first_seq, sealed.info.last_seq, str(candidates[0]))
    raise LogDamaged(sealed.info.first_seq, f"the sealed segment {own} is missing")


def check_digest(path: Path, info: SegmentInfo) -> None:
    """Compare a whole file with what the catalogue says of it. Raise LogDamaged, or OSError if it cannot be read."""
    with path.open("rb") as file:
        digest = file_digest(file, lambda: blake2b(digest_size=_DIGEST_BYTES)).digest()
    if digest != info.digest:
        raise LogDamaged(info.first_seq, f"the sealed segment {path} is not the file that was sealed")


def strangers(folder: Path, listed: list[Sealed]) -> Iterator[Path]:
    """Yield the files in a folder of segments, unfinished ones too, that the catalogue does not list."""
    known = {segment_path(folder, sealed.info) for sealed in listed}
    yield from (path for path in folder.glob(PATTERN) if path not in known)
    yield from folder.glob(".*")
