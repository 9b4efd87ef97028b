"""The grids of a contract: prices in ticks, quantities in lots. A stop that trails is put on the tick here.

The numbers follow the kernel's rounding to the last bit, which a test holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from papertape.events.facts import ContractListed

ON_GRID = 1e-6
"""A number this close to a step, in steps, lies on it in spite of binary fractions."""


class Grid(Struct, frozen=True):
    """Steps of numerator/denominator."""

    numerator: int
    denominator: int

    def floor(self, value: float) -> float:
        """Return the step at or below a value."""
        return self._steps_below(value) * self.numerator / self.denominator

    def price_down(self, price_usdt: float) -> float:
        """Return the price on the grid at or below, at least one tick."""
        return max(1, self._steps_below(price_usdt)) * self.numerator / self.denominator

    def price_up(self, price_usdt: float) -> float:
        """Return the price on the grid at or above, at least one tick."""
        steps = price_usdt * self.denominator / self.numerator - ON_GRID
        whole = int(steps)
        return max(1, whole + 1 if whole < steps else whole) * self.numerator / self.denominator

    def _steps_below(self, value: float) -> int:
        return int(value * self.denominator / self.numerator + ON_GRID)


def tick_of(contract: ContractListed) -> Grid:
    """Return the grid of a contract's prices."""
    return Grid(contract.tick_numerator, contract.tick_denominator)


def lot_of(contract: ContractListed) -> Grid:
    """Return the grid of a contract's quantities."""
    return Grid(contract.lot_numerator, contract.lot_denominator)
