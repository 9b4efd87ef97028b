"""JSON output of the commands; a small module, so that an engine without a terminal does not import rich."""

from __future__ import annotations

import re
import sys
from os import fspath
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import asdict

from papertape.events.facts import type_name
from papertape.events.text import UNSAFE, repair_texts

if TYPE_CHECKING:
    from papertape.events.log import Recorded


NOT_ASCII: Final = re.compile("[^\x00-\x7f]")
UTF_8: Final = frozenset({"utf-8", "utf8"})


def json_line(value: object) -> str:
    """Return a value as one line of JSON, safe for the encoding and the terminal; paths become strings."""
    try:
        text = msgspec.json.encode(value, enc_hook=fspath).decode()
    except UnicodeEncodeError:  # A lone surrogate: a file name need not be UTF-8.
        text = msgspec.json.encode(repair_texts(msgspec.to_builtins(value, enc_hook=fspath))).decode()
    unsafe = UNSAFE if sys.stdout.encoding.lower() in UTF_8 else NOT_ASCII
    return unsafe.sub(_escaped, text) + "\n"


def _escaped(found: re.Match[str]) -> str:
    """Return a character as JSON escapes it: one or two units of UTF-16."""
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def json_fields(recorded: Recorded) -> dict[str, Any]:
    """Return an event's seq, type, time and cause, and its fields by name."""
    place = {"seq": recorded.seq, "type": type_name(recorded.event), "at_ms": recorded.event.at_ms}
    return {**place, "cause": recorded.cause, **asdict(recorded.event)}
