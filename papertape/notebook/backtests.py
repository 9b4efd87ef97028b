"""`pt.backtest`: strategies over files or frames, as the command of the same name runs them."""

from __future__ import annotations

import warnings
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from papertape.cli.arguments import moment_ms
from papertape.engine.kernel.codes import CANDLE, WARM_UP
from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.research.backtest import backtest as run_backtest
from papertape.engine.research.excerpt import excerpt
from papertape.engine.runner_settings import RunnerSettings, late_reference_warnings, split_by_timeframe
from papertape.engine.strategy_registry import load_strategies, load_strategy
from papertape.events.errors import ConfigError, UsageError
from papertape.events.log import Recorded
from papertape.notebook.frames import equity_frame, metrics_frame, readings_frame, trades_frame
from papertape.notebook.market import feed_of
from papertape.notebook.results import Results
from papertape.projections.folds.performance import performance
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.trades import Trades
from papertape.projections.host import fold

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.research.backtest import Backtest
    from papertape.notebook.market import Sources
    from papertape.projections.folds.performance import Performance

    Moment = str | int | datetime


class BacktestResults(Results):
    """A finished backtest. `run` is the whole of it: every decision, the final state, the equity after every fact."""

    def __init__(self, run: Backtest) -> None:
        self.run = run
        self.title = f"backtest of {', '.join(contract.symbol for contract in run.tape.contracts)}"
        self._portfolio, self._closed = Portfolio(), Trades()
        fold([self._portfolio, self._closed], (Recorded(0, 0, 0, event) for event in excerpt(run)))

    @cached_property
    def trades(self) -> pl.DataFrame:
        """The closed trades, oldest first."""
        return trades_frame(self._closed.closed())

    @cached_property
    def equity(self) -> pl.DataFrame:
        """The equity of every strategy after every candle that it was allowed to trade."""
        facts = self.run.facts
        candles = (pl.Series(facts.kind) == CANDLE) & (pl.Series(facts.timing) != WARM_UP)
        times = pl.Series(facts.time_ms).filter(candles)
        return pl.concat(
            equity_frame(runner.strategy.name, times, pl.Series(equities).filter(candles), runner.rules.capital_usdt)
            for runner, equities in zip(self.run.world.runners, self.run.equities, strict=True)
        )

    @cached_property
    def readings(self) -> pl.DataFrame:
        """The strategies' readings behind every order and every refusal."""
        return readings_frame(item.event for item in self.run.decided)

    @cached_property
    def metrics(self) -> pl.DataFrame:
        """One row for each strategy, with every measure of the arena."""
        return metrics_frame(self._performances())

    def _performances(self) -> dict[str, Performance]:
        return {
            runner.strategy.name: performance(
                self._closed.closed(runner.strategy.name),
                curve.day_equities_usdt,
                runner.rules.capital_usdt,
                curve.end_equity_usdt,
                curve.max_drawdown_fraction,
                longest_drawdown_ms=curve.longest_drawdown_ms,
                from_ms=curve.from_ms,
                until_ms=curve.until_ms,
                open_since_ms=[held.entry_time_ms for held in self._portfolio.positions(runner.strategy.name)],
            )
            for runner, curve in zip(self.run.world.runners, self.run.summaries, strict=True)
        }


def backtest(
    strategy: str | Path | Sequence[str | Path],
    candles: Sources,
    *,
    parameters: Mapping[str, int | float] | None = None,
    risk: Mapping[str, int | float] | None = None,
    funding: Sources | None = None,
    open_interest: Sources | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    engine: str = "auto",
) -> BacktestResults:
    """Run one or more strategies over recorded candles, each with its own virtual capital.

    `strategy` is the name of a built-in strategy or the path of a file. `candles`, `funding` and `open_interest` are
    files, or `{"BTCUSDT": frame}` with a column `time`. `parameters` belong to a single strategy; `risk` has the keys
    of the configuration's section of that name. Candles before `start` (UTC) only warm up the indicators; those from
    `end` on are left out. Every `engine` ("auto", "python", "compiled") gives the same result.

    Raise ConfigError for a strategy, a parameter or a setting that does not exist or is out of range, UsageError for a
    time or a frame that cannot be read, and MarketDataError for a file that is not what it should be.
    """
    strategies = chosen_strategies(strategy)
    if parameters and len(strategies) > 1:
        raise UsageError(f"parameters belong to one strategy; there are {', '.join(strategies)}")
    settings = runner_settings(parameters, risk)
    with feed_of(candles, funding, open_interest) as feed:
        base_ms = next(iter(feed.candles.values())).timeframe_ms
        names, _ = split_by_timeframe(strategies, list(strategies), base_ms)
        runners = dict.fromkeys(names, settings)
        start_ms, end_ms = utc_ms(start, "start"), utc_ms(end, "end")
        for line in (
            *feed.warnings(start_ms, end_ms),
            *late_reference_warnings(strategies, runners, list(feed.candles)),
        ):
            warnings.warn(line, stacklevel=2)
        return BacktestResults(run_backtest(feed, strategies, runners, engine, start_ms, end_ms))


def chosen_strategies(strategy: str | Path | Sequence[str | Path]) -> dict[str, Strategy]:
    """Return strategies by name, given by the names of built-in ones or by files. Raise ConfigError."""
    wanted = [strategy] if isinstance(strategy, str | Path) else list(strategy)
    built_in, chosen = load_strategies(), {}
    for one in wanted:
        if str(one) in built_in:
            chosen[str(one)] = built_in[str(one)]
        elif Path(one).suffix == ".py":
            own = load_strategy(Path(one))
            chosen[own.name] = own
        else:
            raise ConfigError(f"strategy {str(one)!r}: neither a file nor one of {', '.join(built_in)}")
    return chosen


def runner_settings(
    parameters: Mapping[str, int | float] | None, risk: Mapping[str, int | float] | None
) -> RunnerSettings:
    """Return the settings of a strategy. Raise ConfigError for a risk setting that is unknown or out of range."""
    try:
        return RunnerSettings(parameters=dict(parameters or {}), risk=msgspec.convert(dict(risk or {}), RiskSettings))
    except msgspec.ValidationError as error:
        raise ConfigError(f"risk: {error}") from error


def utc_ms(moment: Moment | None, name: str) -> int | None:
    """Return a time in UTC milliseconds; a datetime without a zone is UTC."""
    if moment is None or isinstance(moment, int):
        return moment
    text = moment if isinstance(moment, str) else moment.isoformat()
    return moment_ms(text, name)
