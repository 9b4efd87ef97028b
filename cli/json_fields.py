"""An event as JSON shows it; light, so that an engine without a terminal needs no colours to say a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from events.facts import type_name

if TYPE_CHECKING:
    from events.log import Recorded


def json_fields(recorded: Recorded) -> dict[str, Any]:
    """An event under the names of its fields, behind its place in the log."""
    place = {"seq": recorded.seq, "type": type_name(recorded.event), "at_ms": recorded.event.at_ms}
    return {**place, "cause": recorded.cause, **asdict(recorded.event)}
