"""The source files that folds depend on, found by their imports. The version of a kept fold is a digest of them.

The modules of the folds and their transitive imports count, in `projections` and in `events`, including imports inside
functions and for types only; so does the codec, which decides how events are read. The result may include more than is
needed, but never less: if a fold is not defined in one of our files, or a module imports by name at runtime, the whole
folder counts. How rows are stored, sealed and copied is no part of a fold.
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
EVENTS_ROOM: Final = papertape.events.__name__
DECODING: Final = (f"{EVENTS_ROOM}.codec", f"{EVENTS_ROOM}.upcast")
FOLDER: Final = Path(papertape.projections.__file__ or "").parent
EVENTS_FOLDER: Final = Path(papertape.events.__file__ or "").parent
DIGEST_BYTES: Final = 16
IMPORT: Final = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]*(\([^)]*\)|[^\n]*)|import[ \t]+([^\n]*))", re.MULTILINE
)
"""Matches an import anywhere in a file. Python's parser would take too long; a test compares the two."""
WORD: Final = re.compile(r"[\w.]+")
RUNTIME_NAMES: Final = ("importlib", "import_module", "__import__", "exec", "eval")
AT_RUNTIME: Final = re.compile(rf"\b(?:{'|'.join(RUNTIME_NAMES)})\b")
RELATIVE_IMPORT: Final = re.compile(r"^[ \t]*from[ \t]+\.", re.MULTILINE)


def modules_of(folds: Iterable[type], folder: Path = FOLDER) -> frozenset[str]:
    """Return the modules of `projections` that folds of these classes depend on."""
    files = files_of(folder)
    names = ((name, kind.__module__) for kind in folds for name in _with_packages(kind.__module__))
    return _closure([name for name, own in names if name in files or name == own], files)


def _closure(names: Iterable[str], files: Mapping[str, Path]) -> frozenset[str]:
    """Return modules and what they import of some files; all of these if a source does not determine it."""
    modules, queue = set[str](), list(names)
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
def files_of(folder: Path, room: str = ROOM) -> Mapping[str, Path]:
    """Return every module of a room with its path."""
    return {_name(path.relative_to(folder), room): path for path in sorted(folder.rglob("*.py"))}


def _name(path: Path, room: str) -> str:
    parts = path.with_suffix("").parts
    return ".".join([room, *(parts[:-1] if parts[-1] == "__init__" else parts)])


@cache
def imports_of(path: Path) -> frozenset[str] | None:
    """Return a superset of the modules that a file imports, or None if the source does not determine it."""
    source = path.read_text(encoding="utf-8")
    # A plain search for each name first: most files contain none, and the expression takes five times as long.
    if RELATIVE_IMPORT.search(source) or (any(n in source for n in RUNTIME_NAMES) and AT_RUNTIME.search(source)):
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
    """Digest the names and contents of these modules, and of what they need of `events`."""
    files, digest = files_of(folder), blake2b(digest_size=DIGEST_BYTES)
    covered = {module: files[module] for module in sorted(modules) if module in files}
    facts = files_of(events_folder, EVENTS_ROOM)
    imported = set(modules)
    for found in map(imports_of, covered.values()):
        imported |= facts.keys() if found is None else found
    needed = _closure({name for name in (*DECODING, *imported) if name in facts}, facts)
    for name, path in (covered | {module: facts[module] for module in sorted(needed)}).items():
        content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.digest()
