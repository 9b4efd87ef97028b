"""Which sets of a study keep their daily equities, so that a large study stays a small file."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.studies.choice import CHOSEN_TRADES_MIN

if TYPE_CHECKING:
    from collections.abc import Sequence

_RANGE: Final = 2**64


class DaySelection(Struct, frozen=True):
    """All sets keep theirs in a study of up to `keep_all_max`; in a larger one, the best of each span and some drawn.

    Whether a set is drawn depends on its number and the seed alone, so it is the same in every span; about `drawn` are.
    """

    sets: int
    seed: int = 0
    keep_all_max: int = 20_000
    best: int = 1_000
    drawn: int = 4_000

    @property
    def keeps_all(self) -> bool:
        """Whether every set keeps its daily equities."""
        return self.sets <= self.keep_all_max

    def is_drawn(self, number: int) -> bool:
        """Return whether a set keeps its daily equities, however well it did."""
        place = int.from_bytes(blake2b(f"{self.seed}/{number}".encode(), digest_size=8).digest(), "little")
        return self.keeps_all or place * self.sets < self.drawn * _RANGE

    def surplus(self, numbers: Sequence[int], sharpes: Sequence[float | None]) -> list[int]:
        """Return the sets of one span that keep no daily equities: neither drawn nor among the best.

        A set that cannot be chosen has no Sharpe ratio here; see `eligible`.
        """
        if self.keeps_all or len(numbers) <= self.best:
            return []
        ranked = sorted(zip(numbers, sharpes, strict=True), key=_rank)
        return [number for number, _ in ranked[self.best :] if not self.is_drawn(number)]


def eligible(sharpe: float | None, trades: int) -> float | None:
    """Return the Sharpe ratio of a set that traded often enough to be chosen, else None: its days matter little."""
    return sharpe if trades >= CHOSEN_TRADES_MIN else None


def _rank(item: tuple[int, float | None]) -> tuple[bool, float, int]:
    """Order by Sharpe ratio, the highest first and undefined ones last, then by number."""
    number, sharpe = item
    return sharpe is None, -(sharpe or 0.0), number
