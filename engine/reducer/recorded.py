"""What was recorded after an input and cannot be decided again, for those who decide a log again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from papertape.events.facts import GLOBAL_SCOPE, KillSwitchTripped, StrategyFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from papertape.engine.reducer.state import EngineState
    from papertape.events.log import Recorded


class RecordedAnswers(NamedTuple):
    """By strategy: the hook that failed on the input, and all decisions of those whose hooks cannot be called."""

    failures: Mapping[str, StrategyFailed]
    followed: Mapping[str, Sequence[Recorded]]


NOTHING_RECORDED: Final = RecordedAnswers({}, {})


def recorded_answers(state: EngineState, recorded: Sequence[Recorded]) -> RecordedAnswers:
    """Return what to take from the recorded consequences of an input; nothing where everything can be decided again.

    What follows a trip of the global kill switch was not decided by the strategies, and is decided again.
    """
    failures = {item.event.strategy: item.event for item in recorded if isinstance(item.event, StrategyFailed)}
    absent = {runner.strategy.name for runner in state.runners if runner.strategy.fault and runner.failure is None}
    followed: dict[str, list[Recorded]] = {name: [] for name in absent - failures.keys()} if recorded else {}
    for item in recorded if followed else ():
        event = item.event
        if isinstance(event, KillSwitchTripped) and event.scope == GLOBAL_SCOPE:
            break
        name = event.scope if isinstance(event, KillSwitchTripped) else getattr(event, "strategy", "")
        if name in followed:
            followed[name].append(item)
    return RecordedAnswers(failures, followed) if failures or followed else NOTHING_RECORDED
