"""The data folders, and what may be opened: only what lies in one of them once every symbolic link is resolved.

A data folder is the folder of a log that the page was started with. Requests never name a path: the library lists
files, and the names in a request are looked up in that list.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.cli.offline.output_files import BESIDE_LOG
from papertape.events.beside import real_path
from papertape.events.segments.folder import SHARED
from papertape.events.text import replace_surrogates

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LEVELS_MAX: Final = 3
FILES_MAX: Final = 5_000
LOG_SUFFIXES: Final = (".db", ".sqlite", ".sqlite3")
MARKET_SUFFIXES: Final = (".csv", ".csv.gz", ".zip", ".parquet", ".feather")
BACKUP_SUFFIX: Final = ".backup"
SUFFIXES: Final = (*LOG_SUFFIXES, *MARKET_SUFFIXES, BACKUP_SUFFIX)
NOT_ENTERED: Final = (*BESIDE_LOG, SHARED)
"""The suffixes of folders that belong to a log."""
PROGRAMS_FOLDERS: Final = frozenset({"tapes", "logs", "node_modules", "__pycache__"})


class DataFile(Struct, frozen=True):
    """A file in a data folder. `name` is its path in the folder; `path` is the real file, None if that lies outside."""

    folder: Path
    name: str
    path: Path | None


class FolderListing(Struct, frozen=True):
    """The files of the data folders; `left_out` says why some are not listed; it is empty if all are."""

    files: tuple[DataFile, ...]
    left_out: str = ""


def data_folders(logs: Sequence[Path]) -> tuple[Path, ...]:
    """Return the folders of the logs, each once, in order."""
    return tuple(dict.fromkeys(real_path(log.absolute()).parent.resolve() for log in logs))


def list_files(folders: Sequence[Path]) -> FolderListing:
    """Return the files in the folders and up to LEVELS_MAX levels below, each real file once."""
    found: dict[Path, DataFile] = {}
    for folder in folders:
        for place in _paths(folder, LEVELS_MAX):
            if len(found) >= FILES_MAX:
                return FolderListing(tuple(found.values()), f"only the first {FILES_MAX:,} files are listed")
            real = _real_path(place)
            inside = real is not None and is_inside(real, folders)
            name = replace_surrogates(str(place.relative_to(folder)))
            if not place.is_symlink() or real not in found:
                found[real if inside and real else place] = DataFile(folder, name, real if inside else None)
    return FolderListing(tuple(found.values()))


def is_inside(real: Path, folders: Sequence[Path]) -> bool:
    """Return whether a real path lies in one of the folders."""
    return any(real.is_relative_to(one) for one in folders)


def _real_path(place: Path) -> Path | None:
    """Return a path after every symbolic link is followed; None for links that form a circle."""
    try:
        real = place.resolve()
    except (OSError, RuntimeError):
        return None
    return None if real.is_symlink() else real  # Since Python 3.13, `resolve` returns a circle as it is.


def _paths(folder: Path, levels: int) -> Iterator[Path]:
    """Yield the files with a known suffix; a folder that cannot be read, and a link to a folder, hold none."""
    try:
        with os.scandir(folder) as scan:
            inside = sorted(scan, key=lambda one: one.name)
    except OSError:
        return
    for one in inside:
        if one.name.startswith("."):
            continue
        if one.is_dir(follow_symlinks=False):
            if levels > 0 and not one.name.endswith(NOT_ENTERED) and one.name not in PROGRAMS_FOLDERS:
                yield from _paths(folder / one.name, levels - 1)
        elif one.name.endswith(SUFFIXES) and not Path(one.path).is_dir():
            yield folder / one.name
