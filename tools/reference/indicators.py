"""The page of the indicators' functions."""

from __future__ import annotations

import inspect
from typing import Any

from papertape.engine.kernel import indicators
from tools.reference.markdown import NOTE, joined


def page() -> str:
    """Return the page of every function and state of the indicators, by name."""
    lines = [
        "# Indicator functions",
        "",
        NOTE,
        "",
        "Everything here is imported from `papertape.engine.kernel.indicators`. For how a strategy uses them and what",
        "each result equals, see [indicators](../indicators.md).",
    ]
    for name in sorted(indicators.__all__):
        one = getattr(indicators, name)
        if inspect.isfunction(one):
            lines += [
                "",
                f"## `{name}`",
                "",
                "```",
                _signature(name, one),
                "```",
                "",
                inspect.cleandoc(one.__doc__ or ""),
            ]
    return joined(lines)


def _signature(name: str, function: Any) -> str:
    parameters = inspect.signature(function).parameters.values()
    return f"{name}({', '.join(map(str, parameters)).replace(chr(39), '')})"
