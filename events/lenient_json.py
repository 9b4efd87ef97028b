"""JSON from outside in which a character may be broken."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from events.text import repaired


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
