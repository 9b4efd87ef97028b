"""What is wrong in a strategy's file, as one line that says what to do."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NAMES_SHOWN_MAX = 12


class Breach(Struct, frozen=True, order=True):
    """One breach of the contract. `place` is the hook, the class or the name concerned; empty for the whole file.

    A file with nothing but `runs_in_python` breaches may run in CPython; it cannot be compiled.
    """

    line: int
    place: str
    text: str
    runs_in_python: bool = False

    def on_one_line(self, path: Path | str) -> str:
        """Return FILE:LINE: PLACE: what is wrong and what to do."""
        place = f"{self.place}: " if self.place else ""
        return f"{path}:{self.line}: {place}{self.text}"


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the most similar name, or an empty text if none is similar."""
    found = get_close_matches(name, list(names), n=1, cutoff=0.6)
    return found[0] if found else ""


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return a hint at the most similar name, or the names there are."""
    known = [one for one in names if not one.startswith("_")]
    if near := nearest(name, known):
        return f"did you mean {near}?"
    shown = ", ".join(known[:NAMES_SHOWN_MAX])
    return f"there are {shown}{', ...' if len(known) > NAMES_SHOWN_MAX else ''}" if known else "it has no fields"
