"""The readings that a strategy's `PLOT` names, on each close on which it is asked.

No log records them: the fold shows the recorded facts to the strategy again, as `apply` does, and calls `read` where
the strategy could be asked for an entry. So its numbers are those that `enter` recorded there.
"""

from __future__ import annotations

from itertools import islice
from math import isfinite
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.engine.inspect.chart_fold import CANDLES_MAX
from papertape.engine.inspect.entry_conditions import has_completed, is_ready, missing_signals, read_now
from papertape.engine.kernel.strategy import PRICE
from papertape.engine.reducer.reducer import apply
from papertape.events.facts import GLOBAL_SCOPE, CandleClosed, RunnerConfigured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.engine.reducer.hook_guard import HookFailure
    from papertape.engine.reducer.state import EngineState, Runner
    from papertape.events.facts import Event
    from papertape.events.log import Recorded

SPARE_CANDLES: Final = 64
"""Candles that are remembered beyond the longest chart, so that one is not dropped for every new one."""
Values = tuple[float | None, ...]
"""One number for each reading; None where there is none."""


class PlotObstacle(Struct, frozen=True):
    """Why there are no readings, or no newer ones. `detail` adds what the name does not say.

    `not_configured`, `unusable` (detail: the fault of its file), `inactive`, `no_plot`, `parked` (detail: the error),
    `read_failed` (detail: the error), `no_signal` (the names that have not arrived), `not_ready`; empty if nothing is
    in the way.
    """

    reason: str = ""
    detail: str = ""


class Plot(Struct, frozen=True):
    """A strategy's readings at the candles of a chart: the name and the place of each, and its value per candle.

    `places` and `lines` stand in the order of the strategy's `PLOT`. `is_cut` says that older candles have no value
    because too many events would have to be read.
    """

    places: tuple[tuple[str, str], ...]
    lines: tuple[Values, ...]
    obstacle: PlotObstacle
    is_cut: bool


class PlotFold:
    """Follows one strategy in a state of its own, and notes its readings by the candles of a chart."""

    def __init__(self, state: EngineState, strategy: str, symbol: str, timeframe_ms: int) -> None:
        self._state, self._strategy, self._symbol, self._timeframe_ms = state, strategy, symbol, timeframe_ms
        self._values: dict[int, Values | None] = {}
        """By the open time of the candle: the newest values known at its close, None if there were none."""
        self._failure: HookFailure | None = None
        self._leave_others()

    def apply(self, group: Sequence[Recorded]) -> None:
        """Apply an input and its consequences, as far as they concern the strategy."""
        own = [item for item in group if _concerns(item.event, self._strategy)]
        event = group[0].event
        if not own or own[0] is not group[0]:
            return
        apply(self._state, own)
        if isinstance(event, RunnerConfigured):
            self._leave_others()
        elif type(event) is CandleClosed and event.symbol == self._symbol:
            self._note(event.at_ms)

    def _leave_others(self) -> None:
        """Drop the other strategies: their series stay, as the strategy may share them."""
        self._state.runners[:] = [one for one in self._state.runners if one.strategy.name == self._strategy]

    def _note(self, at_ms: int) -> None:
        """Note the readings if the candle that just closed is one on which the strategy is asked."""
        runner, index = self._runner(), self._state.symbols[self._symbol]
        if runner is None or not has_completed(runner, index):
            return
        open_ms = at_ms - 1 - (at_ms - 1) % self._timeframe_ms
        self._values[open_ms] = self._read(runner, index)
        if len(self._values) > CANDLES_MAX + 2 * SPARE_CANDLES:
            for old_ms in list(islice(self._values, SPARE_CANDLES)):
                del self._values[old_ms]

    def _read(self, runner: Runner, index: int) -> Values | None:
        """Return the readings of this moment, None if the strategy cannot be asked for an entry."""
        strategy, state = runner.strategy, self._state
        if not strategy.plot or strategy.read is None or not _can_be_asked(state, runner, index):
            return None
        reading, self._failure = read_now(state, runner, index, strategy.read)
        if self._failure is not None:
            return None
        return tuple(_drawn(float(getattr(reading, name)), place) for name, place in strategy.plot)

    def _runner(self) -> Runner | None:
        return self._state.runners[0] if self._state.runners else None

    def plot(self, opens_ms: Sequence[int], *, is_cut: bool) -> Plot:
        """Return the readings at the candles that opened at these times, oldest first.

        A candle in which the strategy was not asked, because its own timeframe is longer, has those of the one before.
        """
        runner = self._runner()
        places = () if runner is None else runner.strategy.plot
        before = [open_ms for open_ms in self._values if open_ms < opens_ms[0]]
        last = self._values[max(before)] if before else None
        rows: list[Values] = []
        for open_ms in opens_ms:
            last = self._values.get(open_ms, last)
            rows.append((None,) * len(places) if last is None or len(last) != len(places) else last)
        is_cut = is_cut and not before and opens_ms[0] not in self._values
        return Plot(places, tuple(zip(*rows, strict=True)), self._obstacle(runner, has_values=last is not None), is_cut)

    def _obstacle(self, runner: Runner | None, *, has_values: bool) -> PlotObstacle:
        """Return why there are no newer readings."""
        if runner is None:
            return PlotObstacle("not_configured")
        index, strategy = self._state.symbols.get(self._symbol, -1), runner.strategy
        if strategy.fault:
            return PlotObstacle("unusable", strategy.fault)
        if index < 0 or not runner.active[index]:
            return PlotObstacle("inactive")
        if not strategy.plot:
            return PlotObstacle("no_plot")
        failure = runner.failure or self._failure
        if failure is not None:
            reason = "parked" if runner.failure is not None else "read_failed"
            return PlotObstacle(reason, f"{failure.place}: {failure.error}" if failure.place else failure.error)
        if missing := missing_signals(runner, index):
            return PlotObstacle("no_signal", ", ".join(missing))
        return PlotObstacle() if has_values else PlotObstacle("not_ready")


def _concerns(event: Event, strategy: str) -> bool:
    """Return whether an event matters for a strategy. Every configuration does: strategies share their series."""
    if isinstance(event, RunnerConfigured):
        return True
    return getattr(event, "strategy", strategy) == strategy and getattr(event, "scope", strategy) in (
        strategy,
        GLOBAL_SCOPE,
    )


def _can_be_asked(state: EngineState, runner: Runner, index: int) -> bool:
    """Return whether the strategy has all that an entry needs, whatever else prevents one."""
    return (
        runner.active[index]
        and runner.failure is None
        and runner.warm_ms == 0
        and is_ready(state, runner, index)
        and not missing_signals(runner, index)
    )


def _drawn(value: float, place: str) -> float | None:
    """Return a number as it is drawn: a price of 0 is none."""
    return value if isfinite(value) and (value > 0.0 or place != PRICE) else None
