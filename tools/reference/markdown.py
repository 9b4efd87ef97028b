"""Pieces of Markdown."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTE: Final = "<!-- Written from the code by `make docs`: change it there. -->"
STYLE: Final = re.compile(r"\[/?[a-z ]+\]")


def plain(text: str) -> str:
    """Return a text of the command line without its styles."""
    return STYLE.sub("", inspect.cleandoc(text))


def table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the lines of a table; the first row is its head."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return [
        f"| {' | '.join(cells[0])} |",
        f"|{' --- |' * len(cells[0])}",
        *[f"| {' | '.join(row)} |" for row in cells[1:]],
    ]


def joined(lines: Sequence[str]) -> str:
    """Return a page of its lines."""
    return "\n".join(lines) + "\n"
