"""Whether a set stands on a plateau or on a peak: what its neighbours earned out of sample."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence


class Plateau(Struct, frozen=True):
    """The sets one step away in one parameter: the share that earned money, and their median net result in USDT."""

    neighbours: int
    profitable_share: float
    median_usdt: float
    chosen_usdt: float


def plateau(chosen_usdt: float, neighbours_usdt: Sequence[float]) -> Plateau | None:
    """Return the surroundings of a set by net results; None without neighbours."""
    if not neighbours_usdt:
        return None
    count = len(neighbours_usdt)
    profitable = sum(net > 0.0 for net in neighbours_usdt) / count
    return Plateau(count, profitable, median(neighbours_usdt), chosen_usdt)
