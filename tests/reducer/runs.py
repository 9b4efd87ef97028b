"""Whole runs over random markets: everybody trades, through the functions that run live."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.reducer.state import EngineState, new_state
from papertape.engine.runner_settings import RunnerSettings, configuration
from papertape.events.log import Recorded
from tests.build import FIVE_MINUTES_MS
from tests.support import NO_LIMITS, STRATEGIES, feed, take

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from papertape.engine.kernel.strategy import Strategy
    from papertape.events.facts import ContractListed, Event
    from tests.reducer.random_market import RandomTape

BUILT_IN = ("vwap_rsi", "momentum", "funding", "liquidation")
SECOND = replace(STRATEGIES["scripted"], name="second")
TWO = {"scripted": STRATEGIES["scripted"], "second": SECOND}
EAGER: dict[str, dict[str, int | float]] = {
    "vwap_rsi": {
        "trend_adx_threshold": 100.0,
        "rsi_long_threshold": 50.0,
        "rsi_short_threshold": 50.0,
        "vwap_deviation_entry": 0.01,
        "volume_spike_multiplier": 0.6,
    },
    "momentum": {
        "breakout_lookback": 4,
        "trend_adx_threshold": 5.0,
        "exit_adx_threshold": 12.0,
        "volume_confirmation_multiplier": 0.6,
    },
    "funding": {"extreme_negative_threshold": -0.02, "extreme_positive_threshold": 0.02, "exit_threshold": 0.005},
    "liquidation": {"oi_change_threshold": 0.2, "zone_buffer_percent": 4.0, "oi_exit_threshold": 0.5},
    "scripted": {"stop_percent": 1.0, "target_percent": 1.5},
    "second": {"stop_percent": 0.5, "target_percent": 3.0},
}
"""Parameters under which everybody trades often, also in a market without a meaning."""


class Run(Struct):
    """A world at the end of a market, and the log that led there."""

    world: EngineState
    log: list[Recorded]

    def events(self) -> list[Event]:
        """The log's events."""
        return [item.event for item in self.log]


def eager(names: Sequence[str], risk: RiskSettings = NO_LIMITS) -> dict[str, RunnerSettings]:
    """Everybody eager, under one risk."""
    return {name: RunnerSettings(EAGER[name], risk=risk) for name in names}


def players(tape: RandomTape) -> tuple[str, ...]:
    """Who can play on a tape: the scripted pair on minutes, the built-in strategies on five."""
    return BUILT_IN if tape.contracts[0].timeframe_ms == FIVE_MINUTES_MS else ("scripted", "second")


def begin(
    contracts: Sequence[ContractListed], settings: Mapping[str, RunnerSettings], strategies: Mapping[str, Strategy]
) -> Run:
    """A world that took its configuration from its own log."""
    run = Run(new_state(strategies), [])
    for event in configuration(strategies, contracts, settings):
        take(run.world, run.log, event)
    return run


def played(tape: RandomTape, risk: RiskSettings = NO_LIMITS) -> Run:
    """The run of a tape by those who can play on it."""
    run = begin(tape.contracts, eager(players(tape), risk), {**STRATEGIES, **TWO})
    feed(run.world, run.log, tape.events())
    return run
