"""Decode JSON from outside that may contain invalid characters."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from papertape.events.text import repair_texts


def decode_json(content: bytes, kind: Any) -> Any:
    """Decode JSON as `kind`; its texts may contain invalid UTF-8, raw control characters or lone surrogates.

    An invalid character is replaced by U+FFFD, so that it never causes a command to be refused. Raise
    msgspec.DecodeError for invalid JSON, and msgspec.ValidationError for valid JSON that is not a `kind`.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        try:
            value = json.loads(content.decode("utf-8-sig", "replace"), strict=False)
        except (ValueError, RecursionError):
            raise msgspec.DecodeError(str(error)) from None
    return msgspec.convert(repair_texts(value), kind)
