"""The contract specifications in force, which determine how prices and quantities are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.events.facts import ContractListed

if TYPE_CHECKING:
    from papertape.events.log import Recorded


class Contracts:
    """Fold of the newest `ContractListed` of every symbol, in `by_symbol`."""

    def __init__(self) -> None:
        self.by_symbol: dict[str, ContractListed] = {}

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        event = recorded.event
        if isinstance(event, ContractListed):
            self.by_symbol[event.symbol] = event
