"""Resume strategies: end pauses, and let parked strategies go on with what their files say now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import asdict, replace

from papertape.engine.reducer.parking import PAUSED_TO_WARM_UP
from papertape.engine.reducer.stand_in import MISSING, misfit
from papertape.engine.strategy_registry import code_digest, fault_text
from papertape.events.commands import ALL, Resume
from papertape.events.errors import CommandRefused
from papertape.events.facts import Event, RunnerConfigured, RunnerResumed

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState, Runner


def resume_events(
    state: EngineState, command: Resume, at_ms: int, who: str, why: str, load: Callable[[str], Strategy | None] | None
) -> list[Event]:
    """Return the events that resume the selected strategies; `load` loads parked ones again from their files.

    Raise CommandRefused, with the reason, for a parked strategy whose file still cannot be used; with `all` those
    stay parked, and the others go on.
    """
    events: list[Event] = []
    refused: list[str] = []
    for runner in state.runners:
        name = runner.strategy.name
        runs = runner.failure is None and runner.account.paused in (0, PAUSED_TO_WARM_UP)
        if runs or command.strategy not in (ALL, name):
            continue
        if runner.failure is not None:
            strategy = state.strategies.get(name) if load is None else load(name)
            fault = _fault(runner, strategy, state)
            if strategy is None or fault:
                refused.append(f"{name} stays parked: {fault}")
                continue
            configured = configuration_for(runner, strategy)
            if configured != runner.configured or runner.strategy.fault:
                state.strategies = {**state.strategies, name: strategy}
                events.append(replace(configured, at_ms=at_ms))
        events.append(RunnerResumed(at_ms, name, who, why))
    if refused and not events:
        raise CommandRefused("; ".join(refused))
    return events


def _fault(runner: Runner, strategy: Strategy | None, state: EngineState) -> str:
    """Return why a strategy cannot go on, with file and line where they are known; empty if it can."""
    if strategy is None:
        return MISSING
    if strategy.fault:
        return fault_text(strategy)
    return misfit(strategy, configuration_for(runner, strategy), state.base_ms, state.symbols)


def configuration_for(runner: Runner, strategy: Strategy) -> RunnerConfigured:
    """Return a runner's configuration with its file as it is now: new parameters have their defaults."""
    recorded = runner.configured
    names = strategy.parameters.__struct_fields__
    return replace(
        recorded,
        parameters=_fitting(recorded.parameters, strategy),
        symbol_parameters={
            symbol: _fitting({name: own[name] for name in own if name in names}, strategy)
            for symbol, own in recorded.symbol_parameters.items()
        },
        code_digest=code_digest([strategy]),
        series=strategy.series,
        exit_reasons=strategy.exit_reasons,
        readings=strategy.reading.__struct_fields__,
        references=dict(strategy.references),
    )


def _fitting(values: dict[str, int | float], strategy: Strategy) -> dict[str, int | float]:
    """Return the recorded values of the parameters that a strategy has now, and defaults for its new ones."""
    names = strategy.parameters.__struct_fields__
    return {**asdict(strategy.parameters()), **{name: value for name, value in values.items() if name in names}}
