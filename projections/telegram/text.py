"""Texts as Telegram accepts them: escaped HTML, lengths in UTF-16 units, long texts split with balanced tags."""

from __future__ import annotations

import html as markup
import re
from typing import Final

from papertape.events.text import UNSAFE
from papertape.projections.alerts.markup import TEXT_UNITS_MAX, plain_text, utf16_units

VALUE_UNITS_MAX: Final = 200
REPEAT_MARK: Final = "(possible repeat)"
MARK_UNITS_MAX: Final = 64
"""Reserved in every part, so that a mark still fits."""
PARTS_MAX: Final = 8
CUT_MARK: Final = "…"
TOKEN: Final = re.compile(r"<(/?)([a-zA-Z][a-zA-Z-]*)[^<>]*>|&(?:#[xX]?[0-9a-fA-F]+|[a-zA-Z]+);|.", re.DOTALL)


def truncate(value: str, units_max: int = VALUE_UNITS_MAX) -> str:
    """Return a value of at most so many units; an ellipsis marks what is missing."""
    if utf16_units(value) <= units_max:
        return value
    head = value[: max(0, units_max - 1)]
    while utf16_units(head) > units_max - 1:
        head = head[:-1]
    return head + CUT_MARK


def escape(value: object, units_max: int = VALUE_UNITS_MAX) -> str:
    """Return any value as HTML; a long value is truncated first, so that no entity is."""
    return markup.escape(truncate(UNSAFE.sub(" ", str(value)), units_max), quote=False)


def one_line(html: str) -> str:
    """Return the text without tags on one line."""
    return " · ".join(" ".join(line.split()) for line in plain_text(html).splitlines() if line.strip())


def mark_repeated(html: str) -> str:
    """Mark a message that may have arrived before."""
    return f"{html}\n{REPEAT_MARK}"


def split(html: str, units_max: int = TEXT_UNITS_MAX - MARK_UNITS_MAX, parts_max: int = PARTS_MAX) -> list[str]:
    """Return the parts of a message, each with balanced tags and at most `units_max` units of visible text.

    Parts end at line breaks if possible, never inside a tag or an entity. If there would be more than `parts_max`, the
    last one ends with an ellipsis. An empty text has no parts.
    """
    parts = _Parts(units_max)
    for token in TOKEN.finditer(html):
        parts.add(token)
        if len(parts.done) > parts_max:
            break
    result = parts.all()
    if len(result) > parts_max:
        result = [*result[: parts_max - 1], f"{result[parts_max - 1]}{CUT_MARK}"]
    return result


class _Parts:
    """Collects tokens and ends a part before it becomes too long."""

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
        """Make the tokens up to `end` a part; those from `rest` begin the next one."""
        body = self._tokens[:end]
        still_open = _still_open(self._open, body)
        text = "".join(token[0] for token in (*self._open, *body))
        text += "".join(f"</{token[2]}>" for token in reversed(still_open))
        if plain_text(text).strip():
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
    if token[2]:
        return ""
    return markup.unescape(token[0]) if token[0].startswith("&") and len(token[0]) > 1 else token[0]
