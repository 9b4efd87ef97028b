"""The page of all events."""

from __future__ import annotations

import inspect
from typing import Any

from msgspec.structs import fields

from papertape.events.facts import EVENT_TYPES, type_name
from tools.reference.markdown import NOTE, joined, table


def page() -> str:
    """Return the page of all events with their fields and types."""
    lines = [
        "# Events",
        "",
        NOTE,
        "",
        "The log consists of these events. Each also has `seq`, `recorded_at_ms` and `cause`, the seq of the event",
        "that caused it. Names include units.",
    ]
    for kind in sorted(EVENT_TYPES, key=type_name):
        tag = kind.__struct_config__.tag
        lines += ["", f"## {type_name(kind)}", "", f"`{tag}`", "", inspect.cleandoc(kind.__doc__ or ""), ""]
        lines += table([("field", "type"), *[(f"`{one.name}`", f"`{_type(one.type)}`") for one in fields(kind)]])
    return joined(lines)


def _type(kind: Any) -> str:
    return (
        kind.__name__ if inspect.isclass(kind) and not hasattr(kind, "__args__") else str(kind).replace("typing.", "")
    )
