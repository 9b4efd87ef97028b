"""Draw what a disk holds after a power cut, by seed, within the model of `tests.power.disk`."""

from __future__ import annotations

import itertools
import os
from bisect import bisect
from enum import Enum
from random import Random
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from tests.power.disk import SECTOR_BYTES, Change, Disk, File, Folder, NameChange, Node, apply_change, apply_edit
from tests.power.operations import Say
from tests.power.system_calls import SHARED_MEMORY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.power.recorder import Recording

OWN_LENGTH_SHARE: Final = 0.25
"""How often a length is drawn independently of the content."""
NAMES_WEIGHT: Final = 2.0


class Fate(Enum):
    """What becomes of the changes that were not synced."""

    LOST = "lost"
    KEPT = "kept"
    ORDERED = "ordered"
    """Those before some moment are kept, the next one is torn."""
    SCATTERED = "scattered"
    """Each is lost or kept by itself."""
    ONE_LOST = "one lost"
    ONE_KEPT = "one kept"
    TORN = "torn"
    """Each sector stops at a moment of its own."""


class CrashState(Struct, frozen=True):
    """A drawn power cut: after how many operations, and the lines that had been said by then."""

    seed: int
    operations: int
    said: tuple[str, ...]
    fate: str
    folder: Path


def draw(recording: Recording, seeds: Iterable[int], folder: Path) -> Iterator[CrashState]:
    """Yield a power cut for each seed, in the order of the moments. Write what the disk holds into `folder`/SEED."""
    chances = {seed: Random(seed) for seed in seeds}
    likely = list(itertools.accumulate(_weights(recording)))
    moments = sorted((bisect(likely, chance.random() * likely[-1]), seed) for seed, chance in chances.items())
    disk, done, said = recording.disk(), 0, list[str]()
    for moment, seed in moments:
        for index in range(done, moment):
            operation = recording.operations[index]
            disk.apply(index, operation)
            said += [operation.text] if isinstance(operation, Say) else []
        done = moment
        fate = _write(disk, chances[seed], folder / str(seed))
        yield CrashState(seed, moment, tuple(said), fate, folder / str(seed))


def _write(disk: Disk, chance: Random, folder: Path) -> str:
    """Write what a power cut leaves of the disk into a new folder, and return what became of the unsynced changes."""
    names, content = chance.choice(list(Fate)), chance.choice(list(Fate))
    folder.mkdir(parents=True)
    _Writer(chance, content, _surviving_names(disk, chance, names)).write(disk.root, folder)
    return f"names {names.value}, content {content.value}"


def _weights(recording: Recording) -> list[float]:
    """Return how likely the cut is after each number of operations.

    A run of writes to one file counts as one moment, and moments at which names are unsynced count for more.
    """
    disk, weights = recording.disk(), [1.0]
    kinds = [(type(operation), operation.path) for operation in recording.operations]
    for _, run in itertools.groupby(enumerate(recording.operations), key=lambda one: kinds[one[0]]):
        moments = list(run)
        for index, operation in moments:
            disk.apply(index, operation)
            weights.append((1.0 + NAMES_WEIGHT * len(disk.name_changes)) / len(moments))
    return weights


def _surviving_names(disk: Disk, chance: Random, fate: Fate) -> dict[int, dict[str, Node]]:
    """Return the names of each folder that has unsynced ones, by the folder's identity."""
    names: dict[int, dict[str, Node]] = {}
    lost: set[tuple[int, str]] = set()
    for change, is_kept in zip(disk.name_changes, _choices(len(disk.name_changes), chance, fate), strict=True):
        if not is_kept or lost & change.keys:
            lost |= change.keys
        else:
            _keep(change, names)
    return names


def _keep(change: NameChange, names: dict[int, dict[str, Node]]) -> None:
    for edit in change.edits:
        apply_edit(names.setdefault(id(edit.folder), dict(edit.folder.durable)), edit)


def _choices(count: int, chance: Random, fate: Fate) -> list[bool]:
    """Return for each of the changes whether it is kept."""
    chosen = chance.randrange(count) if count else 0
    match fate:
        case Fate.LOST:
            return [False] * count
        case Fate.KEPT:
            return [True] * count
        case Fate.ORDERED:
            return [number < chosen for number in range(count)]
        case Fate.ONE_LOST:
            return [number != chosen for number in range(count)]
        case Fate.ONE_KEPT:
            return [number == chosen for number in range(count)]
        case Fate.SCATTERED | Fate.TORN:
            return [chance.random() < 0.5 for _ in range(count)]


class _Writer:
    """Writes the folders that names lead to; a file of several names once."""

    def __init__(self, chance: Random, fate: Fate, names: dict[int, dict[str, Node]]) -> None:
        self._chance, self._fate, self._names = chance, fate, names
        self._written: dict[int, Path] = {}

    def write(self, folder: Folder, path: Path) -> None:
        """Write a folder's files and folders into `path`."""
        for name, node in sorted(self._names.get(id(folder), folder.durable).items()):
            target = path / name
            if isinstance(node, Folder):
                target.mkdir()
                self.write(node, target)
            elif first := self._written.get(id(node)):
                os.link(first, target)
            else:
                target.write_bytes(self._content(name, node))
                self._written[id(node)] = target

    def _content(self, name: str, file: File) -> bytes:
        if name.endswith(SHARED_MEMORY):
            return self._chance.randbytes(len(file.live))
        return surviving_content(file, self._chance, self._fate)


def surviving_content(file: File, chance: Random, fate: Fate) -> bytes:
    """Return what is left of a file after a power cut."""
    if not file.changes or fate is Fate.LOST:
        return bytes(file.durable)
    if fate is Fate.KEPT:
        return bytes(file.live)
    content, stopped = bytearray(file.durable), set[int]()
    kept = _choices(len(file.changes), chance, fate)
    torn = kept.index(False) if fate is Fate.ORDERED else -1
    lengths = [len(file.durable)]
    for number, (change, is_kept) in enumerate(zip(file.changes, kept, strict=True)):
        is_torn = fate is Fate.TORN or number == torn
        _apply_partly(
            content, change, stopped, 1.0 * is_kept if not is_torn else chance.choice((0.1, 0.5, 0.9)), chance
        )
        lengths.append(max(lengths[-1], change.end) if change.data is not None else change.offset)
    if fate is Fate.TORN or chance.random() < OWN_LENGTH_SHARE:
        apply_change(content, Change(0, chance.choice(lengths)))
    return bytes(content)


def _apply_partly(content: bytearray, change: Change, stopped: set[int], share: float, chance: Random) -> None:
    """Apply a change to a share of its sectors; a sector that missed one change misses all later ones."""
    if change.data is None:
        if share > chance.random():
            apply_change(content, change)
        return
    if share == 1.0 and not stopped:
        apply_change(content, change)
        return
    for sector in range(change.offset // SECTOR_BYTES, -(-change.end // SECTOR_BYTES)):
        begin, end = max(change.offset, sector * SECTOR_BYTES), min(change.end, (sector + 1) * SECTOR_BYTES)
        if sector in stopped or chance.random() >= share:
            stopped.add(sector)
        else:
            piece = change.data[begin - change.offset : end - change.offset]
            apply_change(content, Change(change.index, begin, piece))
