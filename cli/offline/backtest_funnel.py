"""The funnel of a backtest, counted on the events that its log would hold, without writing them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.inspect.funnel import FunnelFold, FunnelReport
from papertape.engine.reducer.state import new_state
from papertape.events.log import Recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from papertape.engine.research.backtest import Backtest
    from papertape.projections.folds.coverage import DataView


def backtest_funnel(result: Backtest, data: Sequence[DataView], on_progress: Callable[[int], None]) -> FunnelReport:
    """Return the funnel of the whole run, whose candles `data` describes."""
    first_ms = min(view.from_ms for view in data)
    from_ms = first_ms if result.tape.start_ms is None else max(first_ms, result.tape.start_ms)
    funnel = FunnelFold(from_ms, max(view.until_ms for view in data))
    for done, _ in enumerate(funnel.fold(new_state(result.world.strategies), _recorded(result))):
        on_progress(done)
    return funnel.report()


def _recorded(result: Backtest) -> Iterator[Recorded]:
    """Yield the events of a run with the seqs and causes that they would have in a log of their own."""
    seq = 0
    for group in result.entries([]):
        for entry in group:
            seq += 1
            yield Recorded(seq, 0, entry.cause, entry.event)
