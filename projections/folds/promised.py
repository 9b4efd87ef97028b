"""What promoted studies promised, beside what their strategies do: the drift alarm.

A promise begins with `StudyPromoted` and ends when its strategy is configured with other parameters. Only trades that
were opened since count. Days are market time with candles on time in which the strategy may open positions: an engine
that is down, a pause and a kill switch make nobody late.
"""

from __future__ import annotations

from bisect import bisect_left
from math import exp, isfinite, lgamma, log
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct, field, structs

from papertape.events.facts import (
    CandleClosed,
    Closing,
    PositionIncreased,
    PositionOpened,
    ResultBand,
    RunnerConfigured,
    StudyPromoted,
    Timing,
)
from papertape.events.units import DAY_MS
from papertape.projections.text.formats import signed
from papertape.projections.text.reasons import reason_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from papertape.events.log import Recorded
    from papertape.projections.folds.portfolio import Portfolio
    from papertape.projections.market_run import MarketRun

JUDGED_TRADES_MIN: Final = 10
"""So many trades must be closed before they are judged; too few trades are noticed without any."""
TRADES_PROBABILITY_MIN: Final = 0.01
"""A number of trades is off if one as far out, on either side, is less probable than this."""
COST_RATIO_MAX: Final = 1.5

DriftKind = Literal["result_far_below_promise", "result_below_promise", "trades_off_promise", "costs_above_promise"]


class DriftView(Struct, frozen=True):
    """One way in which a strategy does not do what its study promised."""

    kind: DriftKind
    text: str

    @property
    def words(self) -> str:
        """Return the whole finding: `result below promise, -4.20 R after 12 trades ...`."""
        return f"{reason_words(self.kind)}, {self.text}"


class PromiseView(Struct, frozen=True):
    """A promise beside the result since `since_ms`; None means "not promised" or "no trade yet".

    `promised_result_r` is the median after as many trades; 1, 5 and 95 % of the sequences drawn from the study's trades
    are below the three `below_..._r`. Results and costs are in R, results net of costs; `drifts` has the worst first.
    """

    study: str
    study_digest: str
    set_number: int
    verdict: str
    against_advice: str
    since_ms: int
    days: float
    trades: int
    result_r: float
    promised_result_r: float | None
    below_1_percent_r: float | None
    below_5_percent_r: float | None
    below_95_percent_r: float | None
    promised_trades_per_day: float
    trades_per_day: float | None
    promised_win_rate: float
    win_rate: float | None
    promised_mean_r: float | None
    mean_r: float | None
    promised_cost_per_trade_r: float | None
    cost_per_trade_r: float | None
    drawdown_95_fraction: float | None
    drifts: tuple[DriftView, ...]

    @property
    def words(self) -> str:
        """Return the promised and the actual result as the arena shows them: `+2.40 / -1.10 R`."""
        if not self.trades:
            return "no trade yet"
        promised = "none" if self.promised_result_r is None else signed(self.promised_result_r)
        return f"{promised} / {signed(self.result_r)} R"


class _Tally(Struct):
    """The sums since a promise. `risks_usdt` has the amount at risk in every position that was opened since."""

    event: StudyPromoted
    since_ms: int
    traded_ms: int = 0
    trades: int = 0
    wins: int = 0
    result_r: float = 0.0
    cost_r: float = 0.0
    risks_usdt: dict[str, float] = field(default_factory=dict)


class Promised:
    """Fold of the promises, on top of a portfolio that the owner folds first."""

    def __init__(self, portfolio: Portfolio) -> None:
        self._portfolio = portfolio
        self._tallies: dict[str, _Tally] = {}
        self._until_ms = 0

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        event = recorded.event
        if type(event) is CandleClosed:
            if event.at_ms > self._until_ms:
                self._pass_time(event)
            return
        match event:
            case StudyPromoted():
                self._tallies[event.strategy] = _Tally(event, self._until_ms or event.at_ms)
            case RunnerConfigured() if (tally := self._tallies.get(event.strategy)) is not None:
                if tally.event.parameters != event.parameters:
                    del self._tallies[event.strategy]
            case PositionOpened() if event.strategy in self._tallies:
                self._tallies[event.strategy].risks_usdt[event.symbol] = event.risk_usdt
            case PositionIncreased() if (tally := self._tallies.get(event.strategy)) is not None:
                if event.symbol in tally.risks_usdt:
                    tally.risks_usdt[event.symbol] += event.risk_usdt
            case Closing() if (tally := self._tallies.get(event.strategy)) is not None:
                _close(tally, event)
            case _:
                pass

    def take_run(self, run: MarketRun) -> None:
        """Fold the candles of a calm run."""
        for place in run.firsts:
            if run.at_ms[place] > self._until_ms:
                self._pass_time(run.candles[place])

    def _pass_time(self, candle: CandleClosed) -> None:
        """Count the time of a candle for every strategy that may open positions in it."""
        passed_ms = min(candle.at_ms - self._until_ms, candle.timeframe_ms)
        self._until_ms = candle.at_ms
        if candle.timing is not Timing.ON_TIME:
            return
        for name, tally in self._tallies.items():
            if self._portfolio.switches.standing(name).state == "active":
                tally.since_ms = tally.since_ms if tally.traded_ms else candle.open_time_ms
                tally.traded_ms += passed_ms

    def views(self) -> dict[str, PromiseView]:
        """Return the promises that hold, by strategy."""
        return {name: _view(tally) for name, tally in self._tallies.items()}

    def of(self, strategy: str) -> PromiseView | None:
        """Return the promise of a strategy, if there is one."""
        tally = self._tallies.get(strategy)
        return None if tally is None else _view(tally)


def _close(tally: _Tally, event: Closing) -> None:
    risk_usdt = tally.risks_usdt.pop(event.symbol, None)
    if risk_usdt is None:
        return
    tally.trades += 1
    tally.wins += event.net_usdt > 0.0
    tally.result_r += event.r_multiple if isfinite(event.r_multiple) else 0.0
    if risk_usdt > 0.0:
        tally.cost_r += (event.fees_usdt + event.slippage_usdt) / risk_usdt


def _view(tally: _Tally) -> PromiseView:
    promise, trades, days = tally.event, tally.trades, tally.traded_ms / DAY_MS
    band = band_at(promise.bands, trades)
    view = PromiseView(
        study=promise.study,
        study_digest=promise.study_digest,
        set_number=promise.set_number,
        verdict=promise.verdict,
        against_advice=promise.against_advice,
        since_ms=tally.since_ms,
        days=days,
        trades=trades,
        result_r=tally.result_r,
        promised_result_r=None if band is None else band.percent_50_r,
        below_1_percent_r=None if band is None else band.percent_1_r,
        below_5_percent_r=None if band is None else band.percent_5_r,
        below_95_percent_r=None if band is None else band.percent_95_r,
        promised_trades_per_day=promise.trades_per_day,
        trades_per_day=trades / days if days > 0.0 else None,
        promised_win_rate=promise.win_rate,
        win_rate=tally.wins / trades if trades else None,
        promised_mean_r=promise.mean_r,
        mean_r=tally.result_r / trades if trades else None,
        promised_cost_per_trade_r=promise.cost_per_trade_r,
        cost_per_trade_r=tally.cost_r / trades if trades else None,
        drawdown_95_fraction=promise.drawdown_95_fraction,
        drifts=(),
    )
    return structs.replace(view, drifts=tuple(_drifts(view, band)))


def _drifts(view: PromiseView, band: ResultBand | None) -> Iterator[DriftView]:
    after = f"after {view.trades:,} trades of set {view.set_number:,} of {view.study}"
    result = f"{signed(view.result_r)} R"
    is_judged = view.trades >= JUDGED_TRADES_MIN
    if is_judged and band is not None and view.result_r < band.percent_5_r:
        expected = (
            f"{signed(band.percent_50_r)} R expected, 5 % of random sequences are below {signed(band.percent_5_r)}"
        )
        text = f"{result} {after}; {expected}"
        if view.result_r < band.percent_1_r:
            worst = f"{text}, 1 % are below {signed(band.percent_1_r)}"
            yield DriftView("result_far_below_promise", worst)
        yield DriftView("result_below_promise", text)
    expected_trades = view.promised_trades_per_day * view.days
    is_few = view.trades < expected_trades
    if (is_few or is_judged) and poisson_tail(view.trades, expected_trades) < TRADES_PROBABILITY_MIN / 2.0:
        text = f"{view.trades:,} trades in {view.days:.1f} days; {expected_trades:,.1f} were expected"
        yield DriftView("trades_off_promise", text)
    cost_r, promised_r = view.cost_per_trade_r, view.promised_cost_per_trade_r
    if is_judged and cost_r is not None and promised_r is not None and cost_r > COST_RATIO_MAX * promised_r:
        yield DriftView("costs_above_promise", f"{cost_r:.3f} R a trade {after}; {promised_r:.3f} R was promised")


def band_at(bands: Sequence[ResultBand], trades: int) -> ResultBand | None:
    """Return the band after so many trades, on the line between its neighbours; None before the first, past the last.

    `bands` are in the order of their trades.
    """
    at = bisect_left(bands, trades, key=lambda band: band.trades)
    if at == len(bands) or trades < bands[0].trades:
        return None
    above = bands[at]
    if above.trades == trades:
        return above
    below = bands[at - 1]
    share = (trades - below.trades) / (above.trades - below.trades)
    pairs = zip(structs.astuple(below)[1:], structs.astuple(above)[1:], strict=True)
    return ResultBand(trades, *(low + share * (high - low) for low, high in pairs))


def poisson_tail(count: int, expected: float) -> float:
    """Return the probability of `count` events or of one further away from `expected`, on the side of `count`.

    The smaller of P(X <= count) and P(X >= count) for a Poisson distribution, at most 1.
    """
    if expected <= 0.0:
        return 1.0 if count == 0 else 0.0
    term = exp(count * log(expected) - expected - lgamma(count + 1))
    total, number = 0.0, count
    while term > total * 1e-16:
        total += term
        if count < expected:
            term *= number / expected
            number -= 1
        else:
            number += 1
            term *= expected / number
    return min(total, 1.0)
