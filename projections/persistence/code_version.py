"""The source files that folds depend on, found by what they import: a kept fold's version is a digest of these.

All of `events` counts, for it decides how events are read. Of `projections` count the modules of the folds and what
they import, through however many others; an import inside a function or for types only counts like any other. So more
may count than is needed, and never less: what names no file of ours, or imports by name at runtime, makes all count.
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
"""What begins an import, wherever in a file it stands. A test holds it to Python's own parser, which takes too long."""
WORD: Final = re.compile(r"[\w.]+")
AT_RUNTIME: Final = re.compile(
    r"\b(?:importlib|import_module|__import__|exec|eval)\b|^[ \t]*from[ \t]+\.", re.MULTILINE
)


def modules_of(folds: Iterable[type], folder: Path = FOLDER) -> frozenset[str]:
    """The modules of `projections` that folds of these classes depend on."""
    there = files_of(folder)
    found: set[str] = set()
    waiting = [
        name for kind in folds for name in _with_packages(kind.__module__) if name in there or name == kind.__module__
    ]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        imported = imports_of(there[module]) if module in there else None
        if imported is None:
            return frozenset(there)
        found.add(module)
        waiting += imported & there.keys()
    return frozenset(found)


@cache
def files_of(folder: Path) -> Mapping[str, Path]:
    """Every module of a room by its name."""
    return {_name(path.relative_to(folder)): path for path in sorted(folder.rglob("*.py"))}


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join([ROOM, *(parts[:-1] if parts[-1] == "__init__" else parts)])


@cache
def imports_of(path: Path) -> frozenset[str] | None:
    """Every name that a file may import as a module, and some more; None where that cannot be read from it."""
    source = path.read_text(encoding="utf-8")
    if AT_RUNTIME.search(source):
        return None
    found: set[str] = set()
    for base, names, plain in IMPORT.findall(source):
        for name in WORD.findall(names or plain):
            found.update(_with_packages(f"{base}.{name}" if base else name))
    return frozenset(found)


def _with_packages(name: str) -> list[str]:
    """A module with the packages that it lies in: they are imported first."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def digest_of(modules: Iterable[str], folder: Path = FOLDER, events_folder: Path = EVENTS_FOLDER) -> bytes:
    """A digest of some modules of `projections` and of everything in `events`, names included."""
    digest, there = blake2b(digest_size=DIGEST_BYTES), files_of(folder)
    chosen = {module: there[module] for module in sorted(modules)}
    chosen |= {path.relative_to(events_folder).as_posix(): path for path in sorted(events_folder.rglob("*.py"))}
    for name, path in chosen.items():
        content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.digest()
