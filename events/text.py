"""Text from outside that is safe to keep and to show.

Half of a surrogate pair cannot be encoded, so it is never kept. A control character commands a terminal, and a
bidirectional override makes a line read otherwise than it is written, so neither is ever shown. Each becomes a
replacement sign; nothing is refused because of it.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec

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


def decode_json(content: bytes, kind: Any) -> Any:
    """Decode JSON as `kind`; texts in it may hold bytes that are not UTF-8, raw control characters or half pairs.

    A broken character becomes a replacement sign: it is no reason to refuse a command. Raises
    msgspec.DecodeError, and msgspec.ValidationError where the JSON is whole and no `kind`.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        try:
            found = json.loads(content.decode("utf-8-sig", "replace"), strict=False)
        except (ValueError, RecursionError):
            raise msgspec.DecodeError(str(error)) from None
    return msgspec.convert(repaired(found), kind)


def repaired(value: Any) -> Any:
    """Return decoded JSON with texts that can be encoded."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, list | tuple):
        return [repaired(one) for one in value]
    if isinstance(value, dict):
        return {repaired(key): repaired(one) for key, one in value.items()}
    return value
