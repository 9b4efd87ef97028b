"""The hooks of a strategy: what each one receives, and what it may change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.engine.contract.values import Owner
from papertape.engine.kernel.strategy import SIGNATURES

if TYPE_CHECKING:
    from collections.abc import Mapping


class Hook(Struct, frozen=True):
    """One hook. `changes` are the values it may change; `is_compiled` says whether numba compiles it."""

    parameters: tuple[str, ...]
    changes: frozenset[Owner]
    is_compiled: bool = True


OBSERVING: Final = ("observe", "on_funding", "on_open_interest", "on_gap")
INTERPRETED: Final = ("explain", "needs", "holds")
"""Hooks that run in CPython only."""


def _hook(name: str, parameters: tuple[str, ...]) -> Hook:
    """Return a hook with what it may change."""
    if name in OBSERVING:
        return Hook(parameters, frozenset({Owner.STATE}))
    if name in INTERPRETED:
        return Hook(parameters, frozenset(), is_compiled=False)
    return Hook(parameters, frozenset({Owner.READING if name == "read" else Owner.ANSWER}))


HOOKS: Final[Mapping[str, Hook]] = {name: _hook(name, parameters) for name, parameters in SIGNATURES.items()}
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
