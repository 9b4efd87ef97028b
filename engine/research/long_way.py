"""A set of parameters run fact by fact, as a backtest runs it: the reference for every quicker way."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from msgspec.structs import replace

from papertape.engine.research.backtest import backtest_tape
from papertape.engine.research.set_result import SetResult, TradedSpan
from papertape.events.facts import Closing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.research.backtest import Backtest
    from papertape.engine.research.tape import Tape
    from papertape.engine.runner_settings import RunnerSettings


def run_long_way(
    tape: Tape,
    strategies: Mapping[str, Strategy],
    name: str,
    settings: RunnerSettings,
    values: Mapping[str, int | float],
    span: TradedSpan,
    engine: str = "auto",
) -> SetResult:
    """Run one strategy with `values` in place of its parameters of the same names; raise like `backtest`."""
    chosen = replace(settings, parameters={**settings.parameters, **values})
    traded = replace(tape, start_ms=span.start_ms, end_ms=span.end_ms)
    return _result(backtest_tape(traded, strategies, {name: chosen}, engine))


def _result(run: Backtest) -> SetResult:
    """Return the figures of a run of one strategy."""
    [runner], [summary] = run.world.runners, run.summaries
    account = runner.account
    closed = [item.event for item in run.decided if isinstance(item.event, Closing)]
    holdings_ms = [event.at_ms - event.entry_time_ms for event in closed]
    open_ms = [summary.until_ms - desk.position.entry_time_ms for desk in runner.desks if desk.position.side != 0]
    gross, fees, funding, slippage = 0.0, 0.0, 0.0, 0.0
    for event in closed:  # In order, as a loop over decisions adds them up.
        gross += event.gross_usdt
        fees += event.fees_usdt
        funding += event.funding_usdt
        slippage += event.slippage_usdt
    return SetResult(
        end_equity_usdt=summary.end_equity_usdt,
        cash_usdt=account.cash_usdt,
        peak_usdt=account.peak_usdt,
        max_drawdown_fraction=summary.max_drawdown_fraction,
        longest_drawdown_ms=summary.longest_drawdown_ms,
        gross_usdt=gross,
        fees_usdt=fees,
        funding_usdt=funding,
        slippage_usdt=slippage,
        trades=len(closed),
        wins=sum(event.net_usdt > 0.0 for event in closed),
        tripped=account.tripped,
        longest_holding_ms=max((*holdings_ms, *open_ms), default=0),
        holding_ms=sum(holdings_ms),
        decisions=len(run.decided),
        long_way=1,
        day_equities=array("d", summary.day_equities_usdt).tobytes(),
    )
