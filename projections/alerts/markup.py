"""Telegram's HTML: every value is cleaned, truncated and escaped, and no message exceeds the limit.

`text`, `bold` and `code` take plain values; a line consists only of their results and literals. Tags never span lines,
except in `table`, so a message that is too long loses whole lines and stays well-formed.
"""

from __future__ import annotations

import re
from html import escape, unescape
from operator import add
from typing import TYPE_CHECKING
from unicodedata import combining, east_asian_width

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

from papertape.projections.text.formats import utc

TEXT_UNITS_MAX = 4_096
"""Telegram's limit for the parsed text, applied to the HTML, which is stricter. UTF-16 units."""
VALUE_CHARS_MAX = 300
NAME_CHARS_MAX = 40
CELL_CHARS_MAX = 14
NOTHING = "-"
_TAG = re.compile(r"</?[a-zA-Z][a-zA-Z-]*[^<>]*>")


def text(value: str, chars_max: int = VALUE_CHARS_MAX) -> str:
    """Return a value as HTML: on one line, without invisible characters, truncated to `chars_max`, escaped."""
    return escape(_clean(value, chars_max), quote=False)


def name(value: str) -> str:
    """Return a name as HTML, with a tighter limit."""
    return text(value, NAME_CHARS_MAX)


def bold(value: str, chars_max: int = VALUE_CHARS_MAX) -> str:
    """Return a value in bold."""
    return f"<b>{text(value, chars_max)}</b>"


def code(value: str) -> str:
    """Return an exact value that a tap copies."""
    return f"<code>{text(value)}</code>"


def table(rows: Iterable[Sequence[str]]) -> str:
    """Align rows in columns, the first one left, the others right, each as wide as its widest cell."""
    cells = [[_clean(cell, CELL_CHARS_MAX) for cell in row] for row in rows]
    widths = [max(map(cells_wide, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(_fitted(row, widths)).rstrip() for row in cells]
    return f"<pre>{escape(chr(10).join(lines), quote=False)}</pre>"


def _fitted(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = zip(row, widths, strict=True)
    blanks = [" " * (width - cells_wide(cell)) for cell, width in others]
    return [first[0] + " " * (first[1] - cells_wide(first[0])), *map(add, blanks, (cell for cell, _ in others))]


def cells_wide(line: str) -> int:
    """Return the width of a line in a fixed-width font: a Chinese character takes two columns, an accent none."""
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in line)


def _clean(value: str, chars_max: int) -> str:
    visible = value if value.isprintable() else "".join(char if char.isprintable() else " " for char in value)
    line = " ".join(visible.split()) or NOTHING
    return line if len(line) <= chars_max else f"{line[: chars_max - 1]}…"


def footer(seq: int, at_ms: int) -> str:
    """Return the last line: the seq that `/why` takes, and the event time; 0 is before the first candle."""
    return f"{code(f'#{seq}')} {f'{utc(at_ms)} UTC' if at_ms else 'before the first candle'}"


def message(head: str, details: Iterable[str], last: str) -> str:
    """Return the lines of a message. An empty detail separates two parts; excess details are dropped from the end."""
    body = list(details)
    cut = 0
    while utf16_units(whole := _joined(head, body, last, cut)) > TEXT_UNITS_MAX and body:
        body.pop()
        cut += 1
    return whole


def _joined(head: str, body: Sequence[str], last: str, cut: int) -> str:
    more = [f"and {cut} more lines"] if cut else []
    return "\n".join([head, *body, *more, last])


def utf16_units(text: str) -> int:
    """Return the length of a text as Telegram counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def plain_text(html: str) -> str:
    """Return a message without tags and entities: for a log line, and if Telegram refuses the HTML."""
    return unescape(_TAG.sub("", html))
