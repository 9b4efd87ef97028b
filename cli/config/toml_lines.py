"""Where the keys of a TOML file stand: the line of every table and key, which `tomllib` does not tell.

The text is scanned line by line, without its values: only their extent counts. It serves messages, so a text
that `tomllib` refuses may be scanned too.
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
    """The lines of all tables and keys, keys that stand twice, and the line of a value that never ends (0: none)."""

    lines: dict[Path, int] = field(default_factory=dict)
    twice: list[tuple[Path, int]] = field(default_factory=list)
    unclosed: int = 0
    text: list[str] = field(default_factory=list)

    def line_of(self, path: Path, item: str = "") -> int:
        """The line of a key, or of the nearest table above it; of `item` where a list's item is meant."""
        while path and path not in self.lines:
            path = path[:-1]
        first = self.lines.get(path, 1)
        return next((line for line in range(first, len(self.text) + 1) if item in self.text[line - 1]), first)


class _Extent(Struct):
    """How deep in brackets, or in which multi-line string, the scanner is."""

    depth: int = 0
    delimiter: str = ""

    @property
    def open(self) -> bool:
        return self.depth > 0 or bool(self.delimiter)

    def feed(self, text: str) -> None:
        """Go over the rest of a line that belongs to a value."""
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


def places(text: str) -> TomlLocations:
    """Scan a TOML text."""
    found = TomlLocations(text=text.splitlines())
    named: set[Path] = set()
    table: Path = ()
    extent = _Extent()
    for number, line in enumerate(found.text, start=1):
        if extent.open:
            extent.feed(line)
            continue
        header = line.lstrip().startswith("[")
        path, rest = _key(line.lstrip().lstrip("[") if header else line)
        if not path:
            continue
        path = path if header else table + path
        table = path if header else table
        _note(found, named, path, number)
        if not header:
            extent.feed(rest)
            found.unclosed = number if extent.open else 0
    if not extent.open:
        found.unclosed = 0
    return found


def _key(text: str) -> tuple[Path, str]:
    """The dotted key a line begins with, and what follows it; empty where there is none."""
    key = _DOTTED.match(text)
    if key is None:
        return (), ""
    return split_key(key[1]), text[key.end() :]


def split_key(text: str) -> Path:
    """A dotted key in its parts; a part in quotes may hold dots."""
    return tuple(part[1:-1] if part[0] in "\"'" else part for part in _PARTS.findall(text))


def _note(found: TomlLocations, named: set[Path], path: Path, line: int) -> None:
    if path in named:
        found.twice.append((path, line))
    named.add(path)
    found.lines.setdefault(path, line)
    for length in range(1, len(path)):
        found.lines.setdefault(path[:length], line)
