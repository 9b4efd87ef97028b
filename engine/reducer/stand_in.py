"""Stand in for a strategy whose file cannot be used, made from what its `RunnerConfigured` recorded.

It decides nothing, but its runner has the same series, parameters and names as before, so that the log can be read and
its stops, targets and funding live on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct, defstruct

from papertape.engine.kernel.strategy import (
    Hooks,
    NoState,
    Strategy,
    ignore_bar,
    ignore_reading,
    ignore_reset,
    ignore_settlement,
    never_leave,
)
from papertape.engine.reducer.hook_guard import HookGuard
from papertape.events.units import TIMEFRAME_NAMES, TIMEFRAMES_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.events.facts import RunnerConfigured

UNRECORDED_SERIES: Final = "5m"
"""The timeframe of a strategy without a file in a log of a version that did not record it."""

MISSING: Final = "its file is missing"
NO_NUMBERS: Final = defstruct("NoNumbers", [])


def never_enter(*_: Any) -> int:
    """Return 0: no entry."""
    return 0


ABSENT_HOOKS: Final = Hooks(
    observe=ignore_bar,
    settle=ignore_settlement,
    measure=ignore_reading,
    reset=ignore_reset,
    enter=never_enter,
    leave=never_leave,
    manage=None,
)


def strategy_for(configured: RunnerConfigured, strategies: Mapping[str, Strategy], base_ms: int) -> Strategy:
    """Return the strategy that a configuration names, or its stand-in if its file cannot be used with it."""
    strategy = strategies.get(configured.strategy)
    if strategy is None:
        return stand_in(configured, base_ms, MISSING, "")
    fault = strategy.fault or misfit(strategy, configured, base_ms)
    return stand_in(configured, base_ms, fault, strategy.fault_place) if fault else strategy


def misfit(strategy: Strategy, configured: RunnerConfigured, base_ms: int) -> str:
    """Return why a strategy cannot run under a configuration, empty if it can."""
    if strategy.timeframe_ms < base_ms:
        return f"its timeframe {TIMEFRAME_NAMES[strategy.timeframe_ms]} is finer than the base, {base_ms // 60_000} min"
    guard = HookGuard(strategy)
    candles_needed = guard.guarded_hook("needs", strategy.candles_needed)
    for values in (configured.parameters, *configured.symbol_parameters.values()):
        try:
            candles_needed(msgspec.convert(values, strategy.parameters))
        except msgspec.ValidationError as error:
            return f"it does not accept the recorded parameters: {error}"
    failure = guard.failure
    return f"{failure.hook} failed: {failure.error}" if failure is not None else ""


def stand_in(configured: RunnerConfigured, base_ms: int, fault: str, place: str) -> Strategy:
    """Return a strategy that decides nothing, with the names and series that were recorded."""
    main, *others = configured.series or (UNRECORDED_SERIES,)
    timeframe_ms = max(TIMEFRAMES_MS[main], base_ms)
    return unusable(
        configured.strategy,
        fault,
        place,
        timeframe_ms=timeframe_ms,
        filter_timeframe_ms=TIMEFRAMES_MS[others[0]] if others else timeframe_ms,
        parameters=defstruct("Parameters", [(name, int | float, 0) for name in configured.parameters]),
        reading=defstruct("Reading", [(name, float, 0.0) for name in configured.readings]),
        exit_reasons=configured.exit_reasons,
    )


def unusable(
    name: str,
    fault: str,
    place: str,
    *,
    timeframe_ms: int = TIMEFRAMES_MS[UNRECORDED_SERIES],
    filter_timeframe_ms: int = TIMEFRAMES_MS[UNRECORDED_SERIES],
    parameters: type[Struct] = NO_NUMBERS,
    reading: type[Struct] = NO_NUMBERS,
    exit_reasons: tuple[str, ...] = (),
) -> Strategy:
    """Return a strategy that decides nothing because its file has this fault."""
    return Strategy(
        name=name,
        timeframe_ms=timeframe_ms,
        filter_timeframe_ms=filter_timeframe_ms,
        needs_bars=1,
        needs_filter_bars=1,
        parameters=parameters,
        state=NoState,
        reading=reading,
        exit_reasons=exit_reasons,
        units_max=1,
        hooks=ABSENT_HOOKS,
        read=None,
        explain=None,
        needs=None,
        holds=None,
        about="",
        source="",
        fault=fault,
        fault_place=place,
    )


def series_names(strategy: Strategy) -> tuple[str, ...]:
    """Return the timeframes of a strategy's series by name, that of its decisions first."""
    frames = dict.fromkeys((strategy.timeframe_ms, strategy.filter_timeframe_ms))
    return tuple(TIMEFRAME_NAMES[frame] for frame in frames)
