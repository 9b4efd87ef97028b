"""A disk beneath the kernel's cache: what is on it for certain, and what a power cut may add to that.

The model, which every crash state obeys:

- *Content.* What was written to a file before an fsync or fdatasync of it began is on the disk once that call has
  returned, and not before. Of later writes each sector of 512 bytes holds what the file held there at some moment since
  then, independently of all other sectors: writes are lost, kept, torn between two sectors, or reordered. A sector is
  never torn itself and never forgets what was synced.
- *Length.* The same holds for the length, independently of the sectors: an extension that was lost gives a shorter
  file; one that was kept without its content gives zeros.
- *Names.* A name that was created, replaced or removed is so on the disk once an fsync of its folder has returned, and
  not before; an fsync of the file does not help. Until then each change is lost or kept independently of the others,
  except that changes to one name keep their order, and that a rename is one change, also between two folders.
- *Mapped memory.* SQLite's `-shm` is rebuilt by its first user: it may hold anything.

This is stricter than ext4, xfs and btrfs, which write names in their order. A device that reports a flush before it has
done it is outside the model, as is damage to what was already synced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from tests.power.operations import (
    AT_THE_END,
    Create,
    Link,
    MakeFolder,
    Operation,
    Remove,
    Rename,
    Resize,
    Say,
    Sync,
    Write,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SECTOR_BYTES: Final = 512


class Change(Struct, frozen=True):
    """A write to a file, or its new length if there is no data, that has not been synced."""

    index: int
    offset: int
    data: bytes | None = None

    @property
    def end(self) -> int:
        """Where the file ends at least (a write), or exactly (a new length)."""
        return self.offset + len(self.data or b"")


class File(Struct, eq=False):
    """A file: what is on the disk, what processes see, and the changes between the two."""

    durable: bytearray
    live: bytearray
    changes: list[Change] = field(default_factory=list)

    def take(self, change: Change) -> None:
        """Change what processes see."""
        apply_change(self.live, change)
        self.changes.append(change)

    def sync(self, began: int) -> None:
        """Put every change before `began` on the disk."""
        for change in self.changes:
            if change.index < began:
                apply_change(self.durable, change)
        self.changes = [change for change in self.changes if change.index >= began]


class Folder(Struct, eq=False):
    """A folder: its names on the disk, and those that processes see."""

    durable: dict[str, Node] = field(default_factory=dict)
    live: dict[str, Node] = field(default_factory=dict)


Node = File | Folder


class Edit(Struct, frozen=True, eq=False):
    """What a name leads to from now on; None if it is gone."""

    folder: Folder
    name: str
    node: Node | None

    @property
    def key(self) -> tuple[int, str]:
        """Identifies the name."""
        return id(self.folder), self.name


class NameChange(Struct, frozen=True, eq=False):
    """A change of one name, or of two by a rename, whose folder has not been synced."""

    index: int
    edits: tuple[Edit, ...]

    @property
    def keys(self) -> set[tuple[int, str]]:
        """Identify the names."""
        return {edit.key for edit in self.edits}


class Disk:
    """A folder on a disk, to which operations are applied one by one."""

    def __init__(self, root: Folder) -> None:
        """Begin with a folder whose content is durable."""
        self.root = root
        self.name_changes: list[NameChange] = []

    def apply(self, index: int, operation: Operation) -> None:
        """Apply the operation with this place in the recording."""
        match operation:
            case Write(path, offset, data):
                file = self._file(path)
                file.take(Change(index, len(file.live) if offset == AT_THE_END else offset, data))
            case Resize(path, size):
                self._file(path).take(Change(index, size))
            case Sync(path, began):
                node = self._find(path)
                if isinstance(node, File):
                    node.sync(began)
                else:
                    self._sync_names(node, began)
            case Create(path):
                folder, name = self._place(path)
                if name not in folder.live:
                    self._rename(index, Edit(folder, name, File(bytearray(), bytearray())))
            case MakeFolder(path):
                self._rename(index, Edit(*self._place(path), Folder()))
            case Remove(path):
                folder, name = self._place(path)
                if name in folder.live:  # A socket has a name too, but is no file.
                    self._rename(index, Edit(folder, name, None))
            case Link(path, target):
                self._rename(index, Edit(*self._place(target), self._find(path)))
            case Rename(path, target):
                node = self._find(path)
                self._rename(index, Edit(*self._place(path), None), Edit(*self._place(target), node))
            case Say():
                pass

    def _rename(self, index: int, *edits: Edit) -> None:
        for edit in edits:
            apply_edit(edit.folder.live, edit)
        self.name_changes.append(NameChange(index, edits))

    def _sync_names(self, folder: Folder, began: int) -> None:
        """Put the names of a folder on the disk, and with them the earlier changes on which they depend."""
        keys: set[tuple[int, str]] = set()
        settled: list[NameChange] = []
        for change in reversed(self.name_changes):
            is_own = change.index < began and any(edit.folder is folder for edit in change.edits)
            if is_own or keys & change.keys:
                keys |= change.keys
                settled.append(change)
        for change in reversed(settled):
            for edit in change.edits:
                apply_edit(edit.folder.durable, edit)
        gone = {id(change) for change in settled}
        self.name_changes = [change for change in self.name_changes if id(change) not in gone]

    def _file(self, path: str) -> File:
        node = self._find(path)
        assert isinstance(node, File), f"{path} is a folder"
        return node

    def _find(self, path: str) -> Node:
        node: Node = self.root
        for name in filter(None, path.split("/")):
            assert isinstance(node, Folder), f"{path} leads through a file"
            node = node.live[name]
        return node

    def _place(self, path: str) -> tuple[Folder, str]:
        parent, _, name = path.rpartition("/")
        folder = self._find(parent)
        assert isinstance(folder, Folder), f"{parent} is a file"
        return folder, name


def apply_change(content: bytearray, change: Change) -> None:
    """Write to the content, or set its length; a gap is filled with zeros."""
    size = len(content)
    if change.data is None:
        if change.offset < size:
            del content[change.offset :]
        else:
            content.extend(bytes(change.offset - size))
    elif change.data:
        content.extend(bytes(max(0, change.offset - size)))
        content[change.offset : change.end] = change.data


def apply_edit(names: dict[str, Node], edit: Edit) -> None:
    """Set or remove a name."""
    if edit.node is None:
        names.pop(edit.name, None)
    else:
        names[edit.name] = edit.node


def read_folder(folder: Path) -> Folder:
    """Return a folder as a model in which everything is durable. Sockets are left out."""
    nodes: dict[int, Node] = {}
    root = Folder()
    for path in sorted(folder.iterdir()):
        inode = path.stat().st_ino
        if path.is_dir():
            nodes[inode] = read_folder(path)
        elif path.is_file():
            nodes.setdefault(inode, File(bytearray(content := path.read_bytes()), bytearray(content)))
        else:
            continue
        root.durable[path.name] = root.live[path.name] = nodes[inode]
    return root


def copy_folder(folder: Folder) -> Folder:
    """Return an independent copy of a folder in which everything is durable."""
    nodes: dict[int, Node] = {}
    for node in folder.durable.values():
        if isinstance(node, Folder):
            nodes[id(node)] = copy_folder(node)
        else:
            nodes[id(node)] = File(bytearray(node.durable), bytearray(node.durable))
    names = {name: nodes[id(node)] for name, node in folder.durable.items()}
    return Folder(dict(names), names)


def live_files(folder: Folder, prefix: str = "") -> Iterable[tuple[str, bytes]]:
    """Yield the path and content of every file that processes see."""
    for name, node in sorted(folder.live.items()):
        if isinstance(node, Folder):
            yield from live_files(node, f"{prefix}{name}/")
        else:
            yield prefix + name, bytes(node.live)
