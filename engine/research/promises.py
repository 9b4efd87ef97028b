"""One promise of a strategy's contract, and whether it was kept."""

from __future__ import annotations

from msgspec import Struct


class Promise(Struct, frozen=True):
    """A promise: kept, broken, or None if it could not be tried; with the numbers that show it."""

    name: str
    kept: bool | None
    numbers: str
