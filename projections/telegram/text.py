"""Texts as Telegram takes them: escaped HTML, lengths in UTF-16 units, long ones in parts with whole tags."""

from __future__ import annotations

import html as markup
import re
from typing import Final

from papertape.events.text import UNSAFE

TEXT_UNITS_MAX: Final = 4_096
CAPTION_UNITS_MAX: Final = 1_024
VALUE_UNITS_MAX: Final = 200
REPEAT_MARK: Final = "(possible repeat)"
MARK_UNITS_MAX: Final = 64
"""Kept free in every part, so that a mark still fits."""
PARTS_MAX: Final = 8
CUT_MARK: Final = "…"
TOKEN: Final = re.compile(r"<(/?)([a-zA-Z][a-zA-Z-]*)[^<>]*>|&(?:#[xX]?[0-9a-fA-F]+|[a-zA-Z]+);|.", re.DOTALL)


def utf16_units(text: str) -> int:
    """The length of a text as Telegram counts it."""
    return len(text) + sum(character > "\uffff" for character in text)


def truncate(value: str, units_max: int = VALUE_UNITS_MAX) -> str:
    """A value of at most so many units; what is missing shows as one sign."""
    if utf16_units(value) <= units_max:
        return value
    kept = value[: max(0, units_max - 1)]
    while utf16_units(kept) > units_max - 1:
        kept = kept[:-1]
    return kept + CUT_MARK


def escape(value: object, units_max: int = VALUE_UNITS_MAX) -> str:
    """Any value as it may stand in HTML: one that is too long is cut first, so that no entity is."""
    return markup.escape(truncate(UNSAFE.sub(" ", str(value)), units_max), quote=False)


def strip_tags(html: str) -> str:
    """The text without its tags, for a log line or for a message whose tags nobody understands."""
    return "".join(_shown(token) for token in TOKEN.finditer(html))


def one_line(html: str) -> str:
    """The same in one line."""
    return " · ".join(" ".join(line.split()) for line in strip_tags(html).splitlines() if line.strip())


def mark_repeated(html: str) -> str:
    """A message that may have come before."""
    return f"{html}\n{REPEAT_MARK}"


def split(html: str, units_max: int = TEXT_UNITS_MAX - MARK_UNITS_MAX, parts_max: int = PARTS_MAX) -> list[str]:
    """The parts of a message, each with balanced tags and at most `units_max` units of visible text.

    Parts end at line breaks where there is one, never inside a tag or an entity. There are at most `parts_max`; the
    last one then ends with a sign that says that something is missing. An empty text has no parts.
    """
    parts = _Parts(units_max)
    for token in TOKEN.finditer(html):
        parts.add(token)
        if len(parts.done) > parts_max:
            break
    found = parts.all()
    if len(found) > parts_max:
        found = [*found[: parts_max - 1], f"{found[parts_max - 1]}{CUT_MARK}"]
    return found


class _Parts:
    """Takes tokens one by one and ends a part before it becomes too long."""

    def __init__(self, units_max: int) -> None:
        self.done: list[str] = []
        self._units_max = units_max
        self._tokens: list[re.Match[str]] = []
        self._units = 0
        self._open: list[re.Match[str]] = []
        """The tags that were open where the current part begins."""

    def add(self, token: re.Match[str]) -> None:
        units = utf16_units(_shown(token))
        while self._tokens and self._units + units > self._units_max:
            self._end_part()
        self._tokens.append(token)
        self._units += units

    def all(self) -> list[str]:
        if self._tokens:
            self._emit(len(self._tokens), len(self._tokens))
        return self.done

    def _end_part(self) -> None:
        """End at the last line break, else at the last space, else here."""
        for sign in ("\n", " "):
            breaks = [index for index, token in enumerate(self._tokens) if token[0] == sign and index]
            if breaks:
                self._emit(breaks[-1], breaks[-1] + 1)
                return
        self._emit(len(self._tokens), len(self._tokens))

    def _emit(self, end: int, rest: int) -> None:
        """Tokens up to `end` are a part, those from `rest` begin the next one."""
        body = self._tokens[:end]
        still_open = _still_open(self._open, body)
        text = "".join(token[0] for token in (*self._open, *body))
        text += "".join(f"</{token[2]}>" for token in reversed(still_open))
        if strip_tags(text).strip():
            self.done.append(text)
        self._open, self._tokens = still_open, self._tokens[rest:]
        self._units = sum(utf16_units(_shown(token)) for token in self._tokens)


def _still_open(before: list[re.Match[str]], tokens: list[re.Match[str]]) -> list[re.Match[str]]:
    stack = list(before)
    for token in tokens:
        if token[2] and token[1]:
            del stack[-1:]
        elif token[2]:
            stack.append(token)
    return stack


def _shown(token: re.Match[str]) -> str:
    """What is read of a token."""
    if token[2]:
        return ""
    return markup.unescape(token[0]) if token[0].startswith("&") and len(token[0]) > 1 else token[0]
