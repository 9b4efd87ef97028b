"""What processes do to a folder: the kernel's operations on files and names. Paths are relative to the folder."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

AT_THE_END: Final = -1


class Create(Struct, frozen=True):
    """A new empty file under a name, unless the name exists."""

    path: str


class Write(Struct, frozen=True):
    """Bytes written at an offset of a file, or AT_THE_END."""

    path: str
    offset: int
    data: bytes


class Resize(Struct, frozen=True):
    """A file cut or extended with zeros to `size` bytes."""

    path: str
    size: int


class Sync(Struct, frozen=True):
    """A completed fsync of a file or folder. It covers the operations before `began`, its call's place in the list."""

    path: str
    began: int


class MakeFolder(Struct, frozen=True):
    """A new empty folder under a name."""

    path: str


class Remove(Struct, frozen=True):
    """The name of a file, or of an empty folder, removed."""

    path: str


class Rename(Struct, frozen=True):
    """A name moved to another one, which it replaces."""

    path: str
    target: str


class Link(Struct, frozen=True):
    """A second name for a file."""

    path: str
    target: str


class Say(Struct, frozen=True):
    """A line that a process wrote for the outside world: from here on it has promised what the line says."""

    text: str
    path: str = ""


Operation = Create | Write | Resize | Sync | MakeFolder | Remove | Rename | Link | Say
