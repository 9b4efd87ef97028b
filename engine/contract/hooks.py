"""The hooks of a strategy: what each one receives, and what it may change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.engine.contract.values import Owner

if TYPE_CHECKING:
    from collections.abc import Mapping


class Hook(Struct, frozen=True):
    """One hook. `changes` are the values it may change; `is_compiled` says whether numba compiles it."""

    parameters: tuple[str, ...]
    changes: frozenset[Owner]
    is_compiled: bool = True


_MOVES_STATE = Hook(("view", "params"), frozenset({Owner.STATE}))
_ANSWERS = Hook(("view", "params", "answer"), frozenset({Owner.ANSWER}))

HOOKS: Final[Mapping[str, Hook]] = {
    "observe": _MOVES_STATE,
    "on_funding": _MOVES_STATE,
    "on_open_interest": _MOVES_STATE,
    "on_gap": _MOVES_STATE,
    "enter": _ANSWERS,
    "leave": _ANSWERS,
    "manage": _ANSWERS,
    "read": Hook(("view", "params", "reading"), frozenset({Owner.READING})),
    "explain": Hook(("reading", "params", "side"), frozenset(), is_compiled=False),
    "needs": Hook(("params",), frozenset(), is_compiled=False),
    "holds": Hook(("view", "params"), frozenset(), is_compiled=False),
}
FORMER: Final = {
    "settle": "on_funding",
    "measure": "on_open_interest",
    "reset": "on_gap",
    "TIMEFRAME_MS": 'SERIES = ("5m",)',
    "FILTER_TIMEFRAME_MS": 'the second of SERIES = ("5m", "15m")',
}
"""Names of earlier versions, and what replaces them."""
CONSTANTS: Final = (
    *(
        "NAME",
        "SERIES",
        "NEEDS_BARS",
        "NEEDS_FILTER_BARS",
        "EXIT_REASONS",
        "UNITS_MAX",
        "REFERENCES",
        "SIGNALS",
        "PLOT",
    ),
)
