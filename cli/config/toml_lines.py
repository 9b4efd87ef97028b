"""Find the line of every table and key of a TOML file, which `tomllib` does not report.

The scanner goes line by line and skips values. It serves error messages, so it also scans texts that `tomllib` refuses.
"""

from __future__ import annotations

import re

from msgspec import Struct, field

Path = tuple[str, ...]

_PART = r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|[A-Za-z0-9_-]+)"""
_DOTTED = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*")
_PARTS = re.compile(_PART)
_MARK = re.compile(r"""\"""|'''|"(?:\\.|[^"\\])*"|'[^']*'|[\[\]{}#]""")


class TomlLocations(Struct):
    """The lines of all tables and keys, duplicate keys, and the line of a value that never ends (0 if none).

    `headers` has the lines of the tables that have one of their own.
    """

    lines: dict[Path, int] = field(default_factory=dict)
    headers: dict[Path, int] = field(default_factory=dict)
    duplicates: list[tuple[Path, int]] = field(default_factory=list)
    unclosed: int = 0
    text: list[str] = field(default_factory=list)

    def line_of(self, path: Path, item: str = "") -> int:
        """Return the line of a key, of `item` in its list, or of the nearest table above it."""
        while path and path not in self.lines:
            path = path[:-1]
        first = self.lines.get(path, 1)
        return next((line for line in range(first, len(self.text) + 1) if item in self.text[line - 1]), first)


class _Extent(Struct):
    """The scanner's bracket depth, and the delimiter of the multi-line string it is in."""

    depth: int = 0
    delimiter: str = ""

    @property
    def open(self) -> bool:
        return self.depth > 0 or bool(self.delimiter)

    def feed(self, text: str) -> None:
        """Scan the rest of a line that belongs to a value."""
        at = 0
        while True:
            if self.delimiter:
                end = text.find(self.delimiter, at)
                if end < 0:
                    return
                self.delimiter, at = "", end + 3
            mark = _MARK.search(text, at)
            if mark is None or mark[0] == "#":
                return
            at = mark.end()
            self._take(mark[0])

    def _take(self, mark: str) -> None:
        if mark in ('"""', "'''"):
            self.delimiter = mark
        elif mark in "[{":
            self.depth += 1
        elif mark in "]}":
            self.depth -= 1


def locate_keys(text: str) -> TomlLocations:
    """Scan a TOML text."""
    locations = TomlLocations(text=text.splitlines())
    named: set[Path] = set()
    table: Path = ()
    extent = _Extent()
    for number, line in enumerate(locations.text, start=1):
        if extent.open:
            extent.feed(line)
            continue
        header = line.lstrip().startswith("[")
        path, rest = _key(line.lstrip().lstrip("[") if header else line)
        if not path:
            continue
        path = path if header else table + path
        table = path if header else table
        _note(locations, named, path, number)
        if header:
            locations.headers.setdefault(path, number)
        else:
            extent.feed(rest)
            locations.unclosed = number if extent.open else 0
    if not extent.open:
        locations.unclosed = 0
    return locations


def value_extent(line: str) -> tuple[int, int]:
    """Return where the value of a key on one line begins and ends, without the comment behind it."""
    start = line.index("=", len(line) - len(_key(line)[1])) + 1
    start += len(line[start:]) - len(line[start:].lstrip())
    end = start
    while (mark := _MARK.search(line, end)) is not None and mark[0] != "#":
        end = mark.end()
    end = len(line) if mark is None else mark.start()
    return start, len(line[:end].rstrip())


def _key(text: str) -> tuple[Path, str]:
    """Return the dotted key at the start of a line, and the rest; both empty if there is no key."""
    key = _DOTTED.match(text)
    if key is None:
        return (), ""
    return split_key(key[1]), text[key.end() :]


def split_key(text: str) -> Path:
    """Split a dotted key; a quoted part may contain dots."""
    return tuple(part[1:-1] if part[0] in "\"'" else part for part in _PARTS.findall(text))


def _note(locations: TomlLocations, named: set[Path], path: Path, line: int) -> None:
    if path in named:
        locations.duplicates.append((path, line))
    named.add(path)
    for length in range(1, len(path) + 1):
        locations.lines.setdefault(path[:length], line)
