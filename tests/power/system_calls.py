"""Turn the lines of strace into operations on one folder."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

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
    from collections.abc import Iterable, Iterator

TRACED: Final = (
    *("open", "openat", "openat2", "creat", "write", "writev", "pwrite64", "pwritev", "pwritev2", "lseek"),
    *("truncate", "ftruncate", "fallocate", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir"),
    *("mkdir", "mkdirat", "link", "linkat", "symlink", "symlinkat", "fsync", "fdatasync", "sync", "syncfs"),
    *("sendfile", "copy_file_range", "splice", "mmap", "chdir"),
)
"""Every call by which a program can change files or names, or wait for the disk.

The requests of an io_uring cannot be seen; the recorder finds out that they changed a file. SQLite's -shm is mapped."""
UNMODELLED: Final = ("chdir", "symlink", "symlinkat", "sync", "truncate")
"""Calls that name no descriptor from which it could be seen that they do not concern the folder."""
CREATING: Final = ("open", "openat", "creat", "mkdir", "mkdirat")
SHARED_MEMORY: Final = "-shm"
LINE: Final = re.compile(r"(\d+) +(?:(\w+)\(|<\.\.\. (\w+) resumed>)(.*)", re.DOTALL)
UNFINISHED: Final = "<unfinished ...>"
DESCRIPTOR: Final = re.compile(r"(?:-?\d+|AT_FDCWD)<((?:\\x[0-9a-f]{2})*)>(\(deleted\))?")
BUFFER: Final = re.compile(r'iov_base="((?:\\x[0-9a-f]{2})*)"')


class UnmodelledCallError(Exception):
    """A system call that the model of the disk does not know changed the folder."""


class Call(Struct):
    """A system call: its name, arguments and result, and its place among the operations when it began."""

    name: str
    arguments: list[str]
    result: str
    began: int

    @property
    def value(self) -> int:
        """The number that the call returned."""
        return int(self.result.split("<")[0].split(" ")[0], 0)


class CallDecoder:
    """Collects the operations on `root`, and the lines written to the file `said`, from the lines of strace."""

    def __init__(self, root: str, said: str, started_in: str) -> None:
        """Take the traces of programs that were started in the folder `started_in`."""
        self.operations: list[Operation] = []
        self._root, self._said, self._started_in = root, said, started_in
        self._begun: dict[str, tuple[str, int]] = {}
        self._ends: dict[str, int] = {}
        """Where the next plain write to a file goes."""
        self._line = b""

    def decode(self, lines: Iterable[str]) -> list[Operation]:
        """Return the operations of a whole trace. Raise UnmodelledCallError for a call that the model does not know."""
        for call in self._calls(lines):
            if not call.result.startswith(("-1", "?")):
                count = len(self.operations)
                self._take(call)
                if call.name in CREATING and self._is_built_on(self.operations[count:], call.began, count):
                    self._move_back(count, call.began)
        return self.operations

    def _is_built_on(self, created: list[Operation], begin: int, end: int) -> bool:
        """Return whether operations on what was created were seen before the call that created it had ended."""
        names = [operation.path for operation in created]
        between = [operation.path for operation in self.operations[begin:end]]
        return any((path + "/").startswith(name + "/") for name in names for path in between)

    def _move_back(self, count: int, place: int) -> None:
        """Move the operations from `count` on to the place at which their call began."""
        moved = self.operations[count:]
        del self.operations[count:]
        self.operations[place:place] = moved

        def shifted(began: int) -> int:
            return began + len(moved) if began > place else began

        for index in range(place + len(moved), len(self.operations)):
            operation = self.operations[index]
            if isinstance(operation, Sync):
                self.operations[index] = Sync(operation.path, shifted(operation.began))
        self._begun = {process: (text, shifted(began)) for process, (text, began) in self._begun.items()}

    def _calls(self, lines: Iterable[str]) -> Iterator[Call]:
        """Yield each call when it ends; a line said counts from its beginning."""
        for line in lines:
            match = LINE.match(line)
            if match is None:
                continue
            process, name, resumed, rest = match.groups()
            if rest.rstrip().endswith(UNFINISHED):
                begun = rest.rstrip().removesuffix(UNFINISHED)
                self._begun[process] = begun, len(self.operations)
                if name == "write" and self._is_said(begun):
                    self._say(begun)
                continue
            began = len(self.operations)
            if resumed:
                begun, began = self._begun.pop(process)
                rest, name = begun + rest, resumed
                if name == "write" and self._is_said(begun):
                    continue
            text, _, result = rest.rstrip().rpartition(" = ")
            arguments = text.rstrip().removesuffix(")").split(", ")
            yield Call(name, [argument.strip() for argument in arguments], result.strip(), began)

    def _is_said(self, text: str) -> bool:
        return _descriptor(text.split(", ", 1)[0]) == self._said

    def _say(self, text: str) -> None:
        """Add the lines that a write to the outside world completes."""
        *lines, self._line = (self._line + _bytes(text.split(", ")[1])).split(b"\n")
        self.operations += [Say(line.decode()) for line in lines]

    def _take(self, call: Call) -> None:
        match call.name, call.arguments:
            case "open" | "openat" | "creat", _:
                self._open(call)
            case "write", [descriptor, data, _] if _descriptor(descriptor) == self._said:
                self._say(f"{descriptor}, {data}")
            case "write", [descriptor, data, _]:
                self._stream(call, descriptor, _bytes(data))
            case "writev", [descriptor, *buffers]:
                self._stream(call, descriptor, b"".join(map(_raw, BUFFER.findall(", ".join(buffers)))))
            case "pwrite64", [descriptor, data, _, offset]:
                if path := self._inside(_descriptor(descriptor)):
                    self.operations.append(Write(path, int(offset), _bytes(data)[: call.value]))
            case "lseek", [descriptor, *_]:
                if (path := self._inside(_descriptor(descriptor))) and self._ends.get(path) != AT_THE_END:
                    self._ends[path] = call.value
            case "ftruncate", [descriptor, size]:
                if path := self._inside(_descriptor(descriptor)):
                    self.operations.append(Resize(path, int(size)))
            case "fsync" | "fdatasync", [descriptor]:
                if (path := self._inside(_descriptor(descriptor))) is not None:
                    self.operations.append(Sync(path, call.began))
            case "mmap", [_, _, protection, flags, descriptor, _]:
                self._map(protection, flags, descriptor)
            case _:
                self._take_name(call)

    def _take_name(self, call: Call) -> None:
        """Take a call that changes names."""
        match call.name, call.arguments:
            case "mkdir", [path, _]:
                self._named(MakeFolder, _bytes(path))
            case "mkdirat", [folder, path, _]:
                self._named(MakeFolder, _bytes(path), folder)
            case "unlink" | "rmdir", [path]:
                self._named(Remove, _bytes(path))
            case "unlinkat", [folder, path, _]:
                self._named(Remove, _bytes(path), folder)
            case "rename", [source, target]:
                self._paired(Rename, self._path(_bytes(source)), self._path(_bytes(target)))
            case "renameat" | "renameat2", [old, source, new, target, *_]:
                self._paired(Rename, self._path(_bytes(source), old), self._path(_bytes(target), new))
            case "link", [source, target]:
                self._paired(Link, self._path(_bytes(source)), self._path(_bytes(target)))
            case "linkat", [old, source, new, target, _]:
                self._paired(Link, self._path(_bytes(source), old), self._path(_bytes(target), new))
            case name, arguments:
                places = {self._inside(_descriptor(argument)) for argument in arguments}
                if places != {None} or name in UNMODELLED:
                    raise UnmodelledCallError(f"{name}({', '.join(arguments)[:200]})")

    def _open(self, call: Call) -> None:
        """Take an open that creates or empties a file, and know where its plain writes go."""
        flags = "O_CREAT|O_TRUNC" if call.name == "creat" else call.arguments[1 if call.name == "open" else 2]
        path = self._inside(_descriptor(call.result))
        if path is None:
            return
        if "O_TMPFILE" in flags:
            raise UnmodelledCallError(f"{call.name} of {path} with {flags}")
        if "O_CREAT" in flags:
            self.operations.append(Create(path))
        if "O_TRUNC" in flags:
            self.operations.append(Resize(path, 0))
        if "O_WRONLY" in flags or "O_RDWR" in flags or call.name == "creat":
            self._ends[path] = AT_THE_END if "O_APPEND" in flags else 0

    def _stream(self, call: Call, descriptor: str, data: bytes) -> None:
        """Take a write at a file's own position."""
        path = self._inside(_descriptor(descriptor))
        if not path:
            return
        if path not in self._ends:
            raise UnmodelledCallError(f"{call.name} to {path}, whose position is unknown")
        self.operations.append(Write(path, self._ends[path], data[: call.value]))
        if self._ends[path] != AT_THE_END:
            self._ends[path] += call.value

    def _map(self, protection: str, flags: str, descriptor: str) -> None:
        path = self._inside(_descriptor(descriptor))
        if path and "PROT_WRITE" in protection and "MAP_SHARED" in flags and not path.endswith(SHARED_MEMORY):
            raise UnmodelledCallError(f"{path} is written through mapped memory")

    def _named(self, kind: type[MakeFolder | Remove], path: bytes, folder: str = "") -> None:
        if inside := self._inside(self._path(path, folder)):
            self.operations.append(kind(inside))

    def _paired(self, kind: type[Rename | Link], source: str | None, target: str | None) -> None:
        from_path, to_path = self._inside(source), self._inside(target)
        if from_path and to_path:
            self.operations.append(kind(from_path, to_path))
            if kind is Rename and from_path in self._ends:
                self._ends[to_path] = self._ends.pop(from_path)
        elif from_path or to_path:
            raise UnmodelledCallError(f"{source} and {target} are not both in the recorded folder")

    def _path(self, path: bytes, folder: str = "") -> str:
        """Return the absolute path of a name that may be relative to an open folder."""
        return os.path.normpath(os.path.join(_descriptor(folder) or self._started_in, os.fsdecode(path)))  # noqa: PTH118

    def _inside(self, path: str | None) -> str | None:
        """Return a path relative to the recorded folder, "" for the folder itself, None for one elsewhere."""
        if path is None or not (path + "/").startswith(self._root + "/"):
            return None
        return path[len(self._root) + 1 :]


def _bytes(quoted: str) -> bytes:
    if not (quoted.startswith('"') and quoted.endswith('"')):
        raise UnmodelledCallError(f"strace cut the argument {quoted[:40]}...{quoted[-20:]}")
    return _raw(quoted[1:-1])


def _raw(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _descriptor(argument: str) -> str | None:
    """Return the path of an open file or folder; None if it has none any more."""
    match = DESCRIPTOR.match(argument)
    return None if match is None or match[2] else os.fsdecode(_raw(match[1]))
