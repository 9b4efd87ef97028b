"""Given facts, when a candle comes, then exactly these decisions: a market by hand and one obedient strategy."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.runner_settings import RunnerSettings
from papertape.events.facts import Event, GapFound, Timing
from tests.build import candle, listed, observed, settled
from tests.support import configured_world, take

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.engine.kernel.state import Account, SymbolState
    from papertape.events.facts import ContractListed
    from papertape.events.log import Recorded

E = TypeVar("E", bound=Event)
Prices = float | tuple[float, float, float, float]
BUY, SELL, LEAVE, NOTHING = 1001.0, 1002.0, 1003.0, 1.0


class Scenario:
    """One account of the scripted strategy in a market of 1m candles. Each symbol has its own next minute."""

    def __init__(
        self,
        contracts: Sequence[ContractListed] = (),
        risk: RiskSettings = RiskSettings(),  # noqa: B008 - frozen
        stop_percent: float = 1.0,
        target_percent: float = 2.0,
    ) -> None:
        contracts = contracts or [listed("X")]
        chosen = RunnerSettings({"stop_percent": stop_percent, "target_percent": target_percent}, risk=risk)
        self.world = configured_world(contracts, {"scripted": chosen})
        self.log: list[Recorded] = []
        self.minute = {contract.symbol: 0 for contract in contracts}

    @property
    def account(self) -> Account:
        """The account."""
        return self.world.runners[0].account

    def desk(self, symbol: str = "X") -> SymbolState:
        """The desk of a symbol."""
        return self.world.runners[0].desks[self.world.symbols[symbol]]

    def candle(
        self, prices: Prices, told: float = NOTHING, symbol: str = "X", timing: Timing = Timing.ON_TIME
    ) -> list[Event]:
        """The next candle of a symbol, and what was decided on it."""
        fact = candle(self.minute[symbol], prices, symbol, timing, volume=told)
        self.minute[symbol] += 1
        return [event for event in take(self.world, self.log, fact) if not isinstance(event, GapFound)]

    def skip(self, minutes: int, symbol: str = "X") -> None:
        """A hole."""
        self.minute[symbol] += minutes

    def settle(self, minute: int, rate: float, symbol: str = "X") -> None:
        """A funding settlement at a minute."""
        take(self.world, self.log, settled(minute * 60_000, rate, symbol))

    def observe(self, minute: int, open_interest: float, symbol: str = "X") -> None:
        """An open-interest reading at a minute."""
        take(self.world, self.log, observed(minute * 60_000, open_interest, symbol))

    def tell(self, event: Event) -> list[Event]:
        """Anything else, like a command."""
        return take(self.world, self.log, event)

    def enter(self, told: float = BUY, at: float = 100.0, symbol: str = "X") -> None:
        """A position, opened at `at` before slippage: signal and fill."""
        self.candle(at, told, symbol)
        self.candle(at, NOTHING, symbol)
        assert self.desk(symbol).position.side != 0, "the scenario did not open its position"


def only(events: Sequence[Event], kind: type[E]) -> E:
    """The one event there is, and its type."""
    assert len(events) == 1, f"expected one {kind.__name__}, got {events}"
    assert isinstance(events[0], kind), f"expected {kind.__name__}, got {events[0]}"
    return events[0]
