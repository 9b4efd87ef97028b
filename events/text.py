"""Text from outside that is safe to keep and to show.

Half of a surrogate pair cannot be encoded, so it is never kept. A control character commands a terminal, and a
bidirectional override makes a line read otherwise than it is written, so neither is ever shown. Each becomes a
replacement sign; nothing is refused because of it.
"""

from __future__ import annotations

import re
from typing import Any, Final

REPLACEMENT: Final = "\ufffd"
UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and newline, separators and overrides of direction, halves of surrogate pairs."""
HALVES: Final = re.compile("[\ud800-\udfff]")


def printable(text: str) -> str:
    """Return the text with a replacement sign for each character that is unsafe to show."""
    return UNSAFE.sub(REPLACEMENT, text)


def encodable(text: str) -> str:
    """Return the text with a replacement sign for each half of a surrogate pair; everything else stays."""
    return HALVES.sub(REPLACEMENT, text)


def one_line(text: str, chars_max: int) -> str:
    """Return the text on one line, encodable and cut to `chars_max` characters."""
    return encodable(" ".join(text.split()))[:chars_max]


def repaired(value: Any) -> Any:
    """Return decoded JSON with texts that can be encoded."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, list | tuple):
        return [repaired(one) for one in value]
    if isinstance(value, dict):
        return {repaired(key): repaired(one) for key, one in value.items()}
    return value
