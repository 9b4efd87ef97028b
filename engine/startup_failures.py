"""Park, at the start, the strategies of a log that cannot run: their files are missing, broken or do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.reducer.hook_guard import ERROR_CHARS_MAX
from papertape.engine.reducer.stand_in import MISSING
from papertape.events.errors import ConfigError
from papertape.events.facts import StrategyFailed
from papertape.events.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState, Runner


def strategy_failures(
    state: EngineState, strategies: Mapping[str, Strategy], unusable: Mapping[str, str], configured: Container[str]
) -> list[StrategyFailed]:
    """Return the event that parks each runner whose strategy cannot run and is not parked yet."""
    at_ms = max((market.close_time_ms for market in state.markets), default=0)
    events: list[StrategyFailed] = []
    for runner in state.runners:
        name = runner.strategy.name
        place, error = _fault(runner, strategies.get(name), unusable.get(name, ""), is_configured=name in configured)
        if error and runner.failure is None:
            events.append(StrategyFailed(max(at_ms, runner.configured.at_ms), name, "", place, error))
    return events


def refuse_unusable(state: EngineState, unusable: Mapping[str, str], warn: Callable[[str], None]) -> None:
    """Warn of the configured strategies that cannot run and that the log does not know.

    Raise ConfigError instead if the log knows no strategy yet: nothing is going on that one of them could stop.
    """
    known = {runner.strategy.name for runner in state.runners}
    new = {name: reason for name, reason in unusable.items() if name not in known}
    if new and not known:
        raise ConfigError("\n".join(new.values()))
    for name, reason in new.items():
        warn(f"{name} does not run: {one_line(reason, ERROR_CHARS_MAX)}")


def _fault(runner: Runner, strategy: Strategy | None, reason: str, *, is_configured: bool) -> tuple[str, str]:
    """Return the place and the text of what keeps a runner's strategy from running; empty texts if nothing does."""
    if strategy is None:
        return "", one_line(reason, ERROR_CHARS_MAX) or MISSING
    if strategy.fault:
        return strategy.fault_place, strategy.fault
    if reason:
        return "", one_line(reason, ERROR_CHARS_MAX)
    if runner.strategy.fault and not is_configured:
        return "", runner.strategy.fault
    failure = runner.guard.failure
    if failure is not None:
        return failure.place, f"{failure.hook} failed while the log was read: {failure.error}"
    return "", ""
