"""A canary over everything that the suite writes: no token of a bot stands in a log record, an output or a file.

Files in which a test gives a token to the program, or a stand-in tells its own, are named here.
"""

from __future__ import annotations

import logging
import mmap
from typing import TYPE_CHECKING, Final

from papertape.sandbox.telegram.twin import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CANARY: Final = "123456789:AAcanary_canary-canary_canary-canary00"
"""The token of tests that look for it themselves."""
SONGS: Final = tuple(token.partition(":")[2].encode() for token in (TOKEN, CANARY))
GIVEN_IN: Final = frozenset({"chat.txt", ".env", "token"})
TOLD_MAX: Final = 20


def sings(content: bytes | mmap.mmap | str) -> bool:
    """Whether a token stands in it."""
    found = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    return any(found.find(song) >= 0 for song in SONGS)


def leaks(folder: Path) -> list[Path]:
    """Return the files below a folder in which a token stands, but for those in which it belongs."""
    return [path for path in sorted(folder.rglob("*")) if not _belongs(path) and _file_sings(path)]


def _belongs(path: Path) -> bool:
    """Tell whether a test gave a token in this file, or the stand-in's source defines its own."""
    return path.name in GIVEN_IN or ("sandbox" in path.parts and path.name.startswith("twin."))


def _file_sings(path: Path) -> bool:
    if path.is_symlink() or not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return sings(content)


class Listening(logging.Handler):
    """Keeps the first records, and the exceptions in them, that show a token."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = logging.Formatter().format(record)
        if sings(text) and len(self.heard) < TOLD_MAX:
            self.heard.append(f"{record.name} {record.levelname}")


def outputs(sections: list[tuple[str, str]]) -> Iterator[str]:
    """The captured outputs of a test that show a token, by name."""
    yield from (name for name, text in sections if sings(text))
