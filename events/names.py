"""Suggest known names for a mistyped one."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NEAR_MAX: Final = 3
NEAR_CUTOFF: Final = 0.6
NAMED_MAX: Final = 20
"""The most names an error lists."""
TYPED_CHARS_MAX: Final = 40
FILES_MAX: Final = 1_000
"""In a larger folder, no file is suggested."""


def close_matches(typed: str, names: Iterable[str], cutoff: float = NEAR_CUTOFF) -> list[str]:
    """Return the names that resemble a typed one, nearest first, ignoring case.

    A name that begins with the typed text also counts: `vwap` is near `vwap_rsi`.
    """
    by_lower = {name.lower(): name for name in names}
    lower_typed = typed.lower()
    completions = [name for lower, name in by_lower.items() if lower_typed and lower.startswith(lower_typed)]
    close = [by_lower[lower] for lower in get_close_matches(lower_typed, by_lower, NEAR_MAX, cutoff)]
    return list(dict.fromkeys([*close, *completions]))[:NEAR_MAX]


def unknown_name_text(what: str, typed: str, names: Iterable[str]) -> str:
    """Return a one-line error for an unknown name: `there is no strategy 'fundng'; did you mean funding?`."""
    known = list(names)
    near = close_matches(typed, known)
    shown = typed if len(typed) <= TYPED_CHARS_MAX else f"{typed[: TYPED_CHARS_MAX - 1]}…"
    if near:
        return f"there is no {what} {shown!r}; did you mean {' or '.join(near)}?"
    listed = ", ".join(known[:NAMED_MAX]) or "none"
    return f"there is no {what} {shown!r}; there are {listed}"


def near_file_text(path: Path) -> str:
    """Return `; did you mean demo.db?` for a missing file; empty if its folder has none with a similar name.

    Companions of another file, such as `demo.db.head`, are never suggested.
    """
    try:
        names = [one.name for one in path.parent.iterdir()]
    except OSError:
        return ""
    if len(names) > FILES_MAX:
        return ""
    beside = {name for name in names if any(name.startswith((f"{one}.", f"{one}-")) for one in names)}
    near = close_matches(path.name, sorted(set(names) - beside))
    return f"; did you mean {near[0]}?" if near else ""
