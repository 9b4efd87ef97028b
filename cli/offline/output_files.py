"""Output files of a command: checked before the work, complete or absent, and never written over an input."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from papertape.cli.config.places import FILE_NAME, find_places
from papertape.cli.config.sections import file_settings
from papertape.engine.feeds.files.table_source import split_given
from papertape.events.beside import sibling_path
from papertape.events.copying import RESTORING
from papertape.events.durable import rename_durably
from papertape.events.errors import UsageError
from papertape.events.segments.folder import SEALED
from papertape.events.segments.unsealing import UNSEALING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from papertape.cli.config.sections import Config


BESIDE_LOG: Final = (
    *("-wal", "-shm", "-journal", ".head", ".lock", ".proof", ".cursors", ".sock", ".told", ".replaying", ".stacks"),
    *(".cursors.key", ".alerts.log", ".result", ".snapshots", ".folds", ".verified", SEALED, UNSEALING, RESTORING),
)
"""What an engine, its page and a restore keep beside a log, by what is appended to the log's name."""


def check_output(option: str, path: Path, inputs: Iterable[Path], written: Iterable[Path] = ()) -> None:
    """Refuse an output that cannot be written, that is also an input, or that another option writes.

    Raise UsageError for such a file under any name, a folder, a missing folder, a missing permission or a full disk.
    """
    try:
        if any(_is_same(path, one) or _is_same(path.parent, one) for one in written):
            raise UsageError(f"{option} {path}: another option writes this file")
        if any(_is_same(path, one) or _is_same(path.parent, one) for one in inputs):
            raise UsageError(f"{option} {path}: this file is also an input")
        if path.is_dir():
            raise UsageError(f"{option} {path}: this is a folder; name a file")
        if not path.parent.is_dir():
            raise UsageError(f"{option} {path}: there is no folder {path.parent}")
        folder = path.resolve().parent
        if not os.access(path if path.exists() else folder, os.W_OK):
            raise UsageError(f"{option} {path} cannot be written: no permission")
        if not _is_special(path) and shutil.disk_usage(folder).free == 0:
            raise UsageError(f"{option} {path} cannot be written: no space left")
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be written: {error.strerror}") from error


def read_files(config: Config, config_path: Path | None) -> list[Path]:
    """Return the files that a run reads: market files, the configuration and strategies."""
    files = file_settings(config)
    markets = [split_given(str(one))[1] for one in (*files.candles, *files.funding, *files.open_interest)]
    markets += map(Path, files.signals)
    strategies = [path for folder in config.strategy_folders for path in folder.glob("*.py")]
    return [*markets, find_places(config_path).file or Path(FILE_NAME), config.folder / ".env", *strategies]


def log_files(db: Path) -> list[Path]:
    """Return a log, and the files and folders that lie beside it, whether or not they exist now."""
    return [db, *(sibling_path(db, suffix) for suffix in BESIDE_LOG)]


def _new_files(db: Path) -> list[Path]:
    """Return a new log and its companion files that exist."""
    return [db, *db.parent.glob(f"{escape(db.name)}[.-]*")]


@contextmanager
def whole_file(option: str, path: Path) -> Iterator[TextIO]:
    """Open a text file that appears under its name only when it is complete; until then any old file stays.

    Raise UsageError when it cannot be written.
    """
    target = path.resolve()
    half = target if _is_special(path) else _half(target)
    try:
        with half.open("w", encoding="utf-8", newline="") as file:
            yield file
        if half != target:
            _take_name(half, target)
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be written: {error.strerror}") from error
    finally:
        if half != target:
            with suppress(OSError):
                half.unlink(missing_ok=True)


@contextmanager
def whole_log(path: Path) -> Iterator[Path]:
    """Yield a temporary path for a new log; rename it with its companion files when the block succeeds.

    What a process that was killed left of the same log is removed.
    """
    half = _half(path)
    for part in path.parent.glob(f".{escape(path.name)}.*.half*"):
        if not _is_process(part.name.removeprefix(f".{path.name}.").partition(".")[0]):
            part.unlink(missing_ok=True)
    try:
        yield half
        for part in reversed(
            _new_files(half)
        ):  # The log itself comes last, so it is never there without its companions.
            rename_durably(part, path.with_name(path.name + part.name.removeprefix(half.name)))
    finally:
        for part in _new_files(half):
            with suppress(OSError):
                part.unlink(missing_ok=True)


def _half(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.half")


def _is_process(pid: str) -> bool:
    """Return whether a process with this number runs, as far as that can be told."""
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _take_name(half: Path, target: Path) -> None:
    if target.exists():
        shutil.copymode(target, half)
    rename_durably(half, target)


def _is_special(path: Path) -> bool:
    """Return whether a path is a device or a pipe, which is written directly."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _is_same(path: Path, other: Path) -> bool:
    """Return whether two paths name the same file, also through a symbolic or hard link."""
    if path.exists() and other.exists():
        return path.samefile(other)
    return path.resolve() == other.resolve()
