"""Real backtests of single sets: their trades, with what each cost against what it could lose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from papertape.engine.research.backtest import backtest_tape
from papertape.events.facts import Closing, PositionIncreased, PositionOpened

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from papertape.engine.kernel.risk_settings import RiskSettings
    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.research.backtest import Backtest
    from papertape.engine.research.set_result import TradedSpan
    from papertape.engine.research.tape import Tape
    from papertape.engine.runner_settings import RunnerSettings

    Run = Callable[[Mapping[str, int | float], TradedSpan, RiskSettings], "RealRun"]


class RealTrade(Struct, frozen=True):
    """One closed trade in USDT: net = gross - fees - slippage + funding, with gross before all costs.

    `stop_usdt` is what it would have lost at its stop before costs, at the prices of its opening fills.
    """

    closed_at_ms: int
    gross_usdt: float
    fees_usdt: float
    slippage_usdt: float
    funding_usdt: float
    net_usdt: float
    r_multiple: float
    stop_usdt: float

    @property
    def cost_usdt(self) -> float:
        """Fees and slippage."""
        return self.fees_usdt + self.slippage_usdt

    @property
    def risk_usdt(self) -> float | None:
        """What R is measured in; not known for a trade that earned nothing."""
        return self.net_usdt / self.r_multiple if self.r_multiple != 0.0 else None


class RealRun(Struct, frozen=True):
    """A backtest of one set over one span. `from_ms` is the open of its first candle, 0 without candles."""

    from_ms: int
    end_equity_usdt: float
    day_equities_usdt: list[float]
    trades: list[RealTrade]


def runs_over(
    tape: Tape, strategies: Mapping[str, Strategy], name: str, settings: RunnerSettings, engine: str = "auto"
) -> Run:
    """Return the function that runs one set over a span with given costs and limits; it raises like `backtest`."""

    def run(values: Mapping[str, int | float], span: TradedSpan, risk: RiskSettings) -> RealRun:
        chosen = replace(settings, parameters={**settings.parameters, **values}, risk=risk)
        traded = replace(tape, start_ms=span.start_ms, end_ms=span.end_ms)
        return real_run(backtest_tape(traded, strategies, {name: chosen}, engine))

    return run


def real_run(run: Backtest) -> RealRun:
    """Return the trades and the equity of a backtest of one strategy."""
    [summary] = run.summaries
    return RealRun(summary.from_ms, summary.end_equity_usdt, list(summary.day_equities_usdt), _trades(run))


def _trades(run: Backtest) -> list[RealTrade]:
    trades: list[RealTrade] = []
    stops_usdt: dict[str, float] = {}
    at_stop: dict[str, float] = {}
    for item in run.decided:
        match item.event:
            case PositionOpened() as opened:
                stops_usdt[opened.symbol] = opened.stop_price_usdt
                at_stop[opened.symbol] = abs(opened.price_usdt - opened.stop_price_usdt) * opened.quantity_base
            case PositionIncreased() as added:
                distance = abs(added.price_usdt - stops_usdt[added.symbol])
                at_stop[added.symbol] += distance * added.quantity_base
            case Closing() as closed:
                trades.append(
                    RealTrade(
                        closed_at_ms=closed.at_ms,
                        gross_usdt=closed.gross_usdt + closed.slippage_usdt,
                        fees_usdt=closed.fees_usdt,
                        slippage_usdt=closed.slippage_usdt,
                        funding_usdt=closed.funding_usdt,
                        net_usdt=closed.net_usdt,
                        r_multiple=closed.r_multiple,
                        stop_usdt=at_stop.pop(closed.symbol),
                    )
                )
    return trades
