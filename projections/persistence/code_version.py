"""The source files that folds depend on, found by their imports. The version of a kept fold is a digest of them.

All of `events` counts, because it decides how events are read. Of `projections`, the modules of the folds and their
transitive imports count, including imports inside functions and for types only. The result may include more than is
needed, but never less: if a fold is not defined in one of our files, or a module imports by name at runtime, all of
`projections` counts.
"""

from __future__ import annotations

import re
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

import papertape.events
import papertape.projections

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOM: Final = papertape.projections.__name__
FOLDER: Final = Path(papertape.projections.__file__ or "").parent
EVENTS_FOLDER: Final = Path(papertape.events.__file__ or "").parent
DIGEST_BYTES: Final = 16
IMPORT: Final = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]*(\([^)]*\)|[^\n]*)|import[ \t]+([^\n]*))", re.MULTILINE
)
"""Matches an import anywhere in a file. Python's parser would take too long; a test compares the two."""
WORD: Final = re.compile(r"[\w.]+")
AT_RUNTIME: Final = re.compile(
    r"\b(?:importlib|import_module|__import__|exec|eval)\b|^[ \t]*from[ \t]+\.", re.MULTILINE
)


def modules_of(folds: Iterable[type], folder: Path = FOLDER) -> frozenset[str]:
    """Return the modules of `projections` that folds of these classes depend on."""
    files = files_of(folder)
    modules: set[str] = set()
    queue = [
        name for kind in folds for name in _with_packages(kind.__module__) if name in files or name == kind.__module__
    ]
    while queue:
        module = queue.pop()
        if module in modules:
            continue
        imported = imports_of(files[module]) if module in files else None
        if imported is None:
            return frozenset(files)
        modules.add(module)
        queue += imported & files.keys()
    return frozenset(modules)


@cache
def files_of(folder: Path) -> Mapping[str, Path]:
    """Return every module of the room with its path."""
    return {_name(path.relative_to(folder)): path for path in sorted(folder.rglob("*.py"))}


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join([ROOM, *(parts[:-1] if parts[-1] == "__init__" else parts)])


@cache
def imports_of(path: Path) -> frozenset[str] | None:
    """Return a superset of the modules that a file imports, or None if the source does not determine it."""
    source = path.read_text(encoding="utf-8")
    if AT_RUNTIME.search(source):
        return None
    modules: set[str] = set()
    for base, names, plain in IMPORT.findall(source):
        for name in WORD.findall(names or plain):
            modules.update(_with_packages(f"{base}.{name}" if base else name))
    return frozenset(modules)


def _with_packages(name: str) -> list[str]:
    """Return a module name preceded by its packages, which are imported first."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def digest_of(modules: Iterable[str], folder: Path = FOLDER, events_folder: Path = EVENTS_FOLDER) -> bytes:
    """Digest the names and contents of these modules of `projections` and of every file of `events`."""
    files, digest = files_of(folder), blake2b(digest_size=DIGEST_BYTES)
    covered = {module: files[module] for module in sorted(modules)}
    covered |= {path.relative_to(events_folder).as_posix(): path for path in sorted(events_folder.rglob("*.py"))}
    for name, path in covered.items():
        content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.digest()
