"""Old shapes of facts, and the functions that convert each to a newer shape.

When `X.1` in `events.facts` gets a new shape, the new class takes the tag `X.2` there, the old class moves here under a
name of its own (`X1`, `tag="X.1"`), and `UPCASTERS` gets the function that converts one to the other. A function may
return a shape that is now old itself: the codec follows the chain. Entries are never removed, because a log remains
readable for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import asdict

from papertape.events.facts import ContractListed, Event, KillSwitchTripped, RunnerConfigured

Upcaster = Callable[[Any], Event]


class ContractListed1(Event, frozen=True, tag="ContractListed.1"):
    """A contract without the exchange's fees."""

    symbol: str
    timeframe_ms: int
    tick_numerator: int
    tick_denominator: int
    lot_numerator: int
    lot_denominator: int
    minimum_notional_usdt: float
    maintenance_tiers: tuple[tuple[float, float], ...]
    group: str
    source: str


class KillSwitchTripped1(Event, frozen=True, tag="KillSwitchTripped.1"):
    """A trip that no human could cause."""

    scope: str
    reason: str
    base_usdt: float
    peak_usdt: float
    equity_usdt: float
    threshold_percent: float


class RunnerConfigured1(Event, frozen=True, tag="RunnerConfigured.1"):
    """A runner's settings without what its file says about the strategy."""

    strategy: str
    symbols: tuple[str, ...]
    parameters: dict[str, int | float]
    symbol_parameters: dict[str, dict[str, int | float]]
    risk: dict[str, int | float]
    code_digest: str


def without_human(old: KillSwitchTripped1) -> KillSwitchTripped:
    """Convert a trip: no human caused it."""
    return KillSwitchTripped(**asdict(old))


def with_unknown_fees(old: ContractListed1) -> ContractListed:
    """Convert a contract: its fees are unknown."""
    return ContractListed(**asdict(old))


def without_names(old: RunnerConfigured1) -> RunnerConfigured:
    """Convert a configuration: what the file said was not recorded."""
    return RunnerConfigured(**asdict(old))


UPCASTERS: Mapping[type[Event], Upcaster] = {
    ContractListed1: with_unknown_fees,
    KillSwitchTripped1: without_human,
    RunnerConfigured1: without_names,
}
