"""A strategy of a log, run again over redrawn candles: the moves of every day stand in another order."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.research.backtest import backtest_tape
from papertape.engine.research.tape import Tape
from papertape.engine.runner_settings import RunnerSettings
from papertape.events.errors import UsageError
from papertape.events.units import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.engine.feeds.files.columns import CandleColumns
    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.research.recorded_tape import RecordedTape
    from papertape.events.facts import RunnerConfigured


class RedrawnMarkets(Struct, frozen=True):
    """The market of a log, to be redrawn so many times from a seed."""

    tape: RecordedTape
    strategies: Mapping[str, Strategy]
    count: int
    seed: int

    def nets(self, configured: RunnerConfigured) -> list[float]:
        """Return the net result in USDT over every redrawn market, with the settings in the log.

        Raise UsageError if the strategy's file is missing.
        """
        name = configured.strategy
        if name not in self.strategies:
            raise UsageError(f"--redraws: the file of strategy {name} is missing, so it cannot run again")
        settings = RunnerSettings(
            parameters=configured.parameters,
            symbol_parameters=configured.symbol_parameters,
            symbols=configured.symbols,
            risk=msgspec.convert(configured.risk, RiskSettings),
        )
        found = []
        for number in range(self.count):
            run = backtest_tape(redrawn(self.tape, self.seed + number), self.strategies, {name: settings})
            found.append(run.summaries[0].end_equity_usdt - settings.risk.capital_usdt)
        return found


def redrawn(tape: RecordedTape, seed: int) -> Tape:
    """Return the market of a log with the candles of every day drawn anew, the same ones for all symbols.

    Funding, open interest and signals keep their times and values; trading begins where it began in the log.
    """
    from papertape.studies.statistics.orders import with_redrawn_candles  # noqa: PLC0415 - numpy belongs to an extra.

    tables = [_in_order(table) for table in tape.candles]
    starts_ms = [table.open_time_ms[warm_up] for table, warm_up in zip(tables, tape.warm_ups, strict=True) if warm_up]
    drawn = [with_redrawn_candles(table, DAY_MS // table.timeframe_ms, seed=seed) for table in tables]
    return Tape(tape.contracts, drawn, tape.funding, tape.open_interest, max(starts_ms, default=None))


def _in_order(table: CandleColumns) -> CandleColumns:
    """Return a table of candles by time: late ones stand behind newer ones in a log."""
    order = sorted(range(len(table.open_time_ms)), key=table.open_time_ms.__getitem__)
    columns = {
        name: array(column.typecode, map(column.__getitem__, order))
        for name in ("open_time_ms", "open", "high", "low", "close", "volume")
        if (column := getattr(table, name)) is not None
    }
    return replace(table, **columns)
