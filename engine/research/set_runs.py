"""Sets of parameters over one tape: the market is prepared once, and every set is traded over it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from papertape.engine.research.long_way import run_long_way

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.research.set_result import SetResult, TradedSpan
    from papertape.engine.research.tape import Tape
    from papertape.engine.runner_settings import RunnerSettings


class SetRunner:
    """One strategy over one tape, for many sets of parameters and many spans.

    `settings` hold the risk, the symbols, and the parameters that a set does not name. `long_way` counts, by reason,
    the sets that were run fact by fact.
    """

    def __init__(
        self,
        tape: Tape,
        strategies: Mapping[str, Strategy],
        name: str,
        settings: RunnerSettings,
        engine: str = "auto",
    ) -> None:
        self._tape, self._strategies, self._name = tape, strategies, name
        self._settings, self._engine = settings, engine
        self.long_way: Counter[str] = Counter()

    def run(self, sets: Sequence[Mapping[str, int | float]], span: TradedSpan) -> list[SetResult]:
        """Run every set over a span, each with a fresh account, exactly as a backtest of that span does.

        Raise ConfigError for a parameter that the strategy refuses.
        """
        self.long_way["one by one"] += len(sets)
        return [
            run_long_way(self._tape, self._strategies, self._name, self._settings, values, span, self._engine)
            for values in sets
        ]
