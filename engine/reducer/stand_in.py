"""Stand in for a strategy whose file cannot be used, made from what its `RunnerConfigured` recorded.

It decides nothing, but its runner has the same series, parameters and names as before, so that the log can be read and
its stops, targets and funding live on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct, defstruct
from msgspec.structs import replace

from papertape.engine.kernel.strategy import Hooks, NoState, Strategy, ignore_fact, never_leave
from papertape.engine.reducer.hook_guard import HookGuard
from papertape.events.units import SERIES_MS

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from papertape.events.facts import RunnerConfigured

UNRECORDED_MS: Final = SERIES_MS["5m"]
MISSING: Final = "its file is missing"
NO_NUMBERS: Final = defstruct("NoNumbers", [])


def never_enter(*_: Any) -> int:
    """Return 0: no entry."""
    return 0


ABSENT_HOOKS: Final = Hooks(
    observe=ignore_fact,
    on_funding=ignore_fact,
    on_open_interest=ignore_fact,
    on_gap=ignore_fact,
    enter=never_enter,
    leave=never_leave,
    manage=None,
)


def strategy_for(
    configured: RunnerConfigured, strategies: Mapping[str, Strategy], base_ms: int, symbols: Container[str]
) -> Strategy:
    """Return the strategy that a configuration names, with the references that it names.

    It is its stand-in if its file cannot be used with the configuration.
    """
    strategy = strategies.get(configured.strategy) or instance_of(configured, strategies)
    if strategy is None:
        return stand_in(configured, base_ms, MISSING, "")
    fault = strategy.fault or misfit(strategy, configured, base_ms, symbols)
    if fault:
        return stand_in(configured, base_ms, fault, strategy.fault_place)
    references = tuple(references_of(strategy, configured).items())
    return strategy if references == strategy.references else replace(strategy, references=references)


def instance_of(configured: RunnerConfigured, strategies: Mapping[str, Strategy]) -> Strategy | None:
    """Return the strategy whose file a configuration runs under a name of its own, None if there is none."""
    strategy = strategies.get(configured.of) if configured.of else None
    return None if strategy is None else replace(strategy, name=configured.strategy, of=configured.of)


def references_of(strategy: Strategy, configured: RunnerConfigured) -> dict[str, str]:
    """Return the symbols that a strategy looks at under a configuration, by name."""
    return {name: configured.references.get(name, symbol) for name, symbol in strategy.references}


def misfit(strategy: Strategy, configured: RunnerConfigured, base_ms: int, symbols: Container[str]) -> str:
    """Return why a strategy cannot run under a configuration, empty if it can."""
    if any(timeframe_ms % base_ms for timeframe_ms in strategy.series_ms if base_ms):
        return f"its {strategy.finest} series is finer than the base, {base_ms // 60_000} min"
    for name, symbol in references_of(strategy, configured).items():
        if symbol not in symbols:
            return f"its reference {name}, {symbol}, is not watched"
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
    return unusable(
        configured.strategy,
        fault,
        place,
        series=configured.series or (_unrecorded_series(base_ms),),
        parameters=defstruct("Parameters", [(name, int | float, 0) for name in configured.parameters]),
        reading=defstruct("Reading", [(name, float, 0.0) for name in configured.readings]),
        exit_reasons=configured.exit_reasons,
    )


def _unrecorded_series(base_ms: int) -> str:
    """Return the series of a strategy without a file, in a log of a version that did not record it."""
    return next(name for name, timeframe_ms in SERIES_MS.items() if timeframe_ms >= max(base_ms, UNRECORDED_MS))


def unusable(
    name: str,
    fault: str,
    place: str,
    *,
    series: tuple[str, ...] = ("5m",),
    parameters: type[Struct] = NO_NUMBERS,
    reading: type[Struct] = NO_NUMBERS,
    exit_reasons: tuple[str, ...] = (),
) -> Strategy:
    """Return a strategy that decides nothing because its file has this fault."""
    return Strategy(
        name=name,
        series=series,
        needs_bars=1,
        needs_filter_bars=1,
        parameters=parameters,
        state=NoState,
        reading=reading,
        exit_reasons=exit_reasons,
        units_max=1,
        signals=(),
        hooks=ABSENT_HOOKS,
        read=None,
        explain=None,
        needs=None,
        holds=None,
        about=f"cannot run: {f'{place}: ' if place else ''}{fault}",
        source="",
        fault=fault,
        fault_place=place,
    )
