"""Make text from outside safe to store and to show.

A lone surrogate cannot be encoded, so it is never stored. A control character can control a terminal, and a
bidirectional override changes how a line reads, so neither is ever shown. Each is replaced by U+FFFD; no text is
refused because of it.
"""

from __future__ import annotations

import re
from typing import Any, Final

REPLACEMENT: Final = "\ufffd"
UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and newline, line separators, bidirectional overrides, lone surrogates."""
HALVES: Final = re.compile("[\ud800-\udfff]")


def replace_unsafe(text: str) -> str:
    """Return the text with each character that is unsafe to show replaced by U+FFFD."""
    return UNSAFE.sub(REPLACEMENT, text)


def replace_surrogates(text: str) -> str:
    """Return the text with each lone surrogate replaced by U+FFFD."""
    return HALVES.sub(REPLACEMENT, text)


def one_line(text: str, chars_max: int) -> str:
    """Return the text on one line, encodable and cut to `chars_max` characters."""
    return replace_surrogates(" ".join(text.split()))[:chars_max]


def repair_texts(value: Any) -> Any:
    """Return decoded JSON in which every text can be encoded."""
    if isinstance(value, str):
        return replace_surrogates(value)
    if isinstance(value, list | tuple):
        return [repair_texts(item) for item in value]
    if isinstance(value, dict):
        return {repair_texts(key): repair_texts(item) for key, item in value.items()}
    return value
