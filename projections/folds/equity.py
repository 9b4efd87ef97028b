"""Equity curves: the equity of every strategy, sampled after every candle of one of its symbols.

Q = cash + sum of U, each symbol at its last close (exchange model, section 4). A candle and the events that follow from
it form one group. The sample is taken when the group is complete, which is known when the next candle arrives; a view
taken earlier includes the incomplete newest group. Warm-up candles do not count. Days are UTC days of the candle's open
time and never go back: a candle that arrives after the day has rolled belongs to the current day, as in the engine.
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from typing import TYPE_CHECKING

from msgspec import Struct, field

from papertape.events.facts import CandleClosed, RunnerConfigured, Timing
from papertape.events.units import DAY_MS
from papertape.projections.folds.curve import EquityCurve, EquityPoint
from papertape.projections.folds.ledger import Ledger, LedgerAccount
from papertape.projections.folds.total import TotalEquity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.events.log import Recorded

DAYS_MAX = 36_600
SPARKLINE_POINTS = 60
_WARM_UP = Timing.WARM_UP


class EquityView(Struct, frozen=True):
    """One strategy's equity curve. Drawdowns are fractions of the peak, sampled after every candle.

    `day_equities_usdt` has one value for each calendar day from the first candle to the last; `from_ms` is the first
    candle's open and `until_ms` the last one's close, both 0 before the first candle. `gross_exposure_fraction` is the
    mean of notional / equity over all samples.
    """

    strategy: str
    capital_usdt: float
    equity_usdt: float
    peak_usdt: float
    day_base_usdt: float
    drawdown_fraction: float
    max_drawdown_fraction: float
    longest_drawdown_ms: int
    from_ms: int
    until_ms: int
    samples: int
    gross_exposure_fraction: float
    day_equities_usdt: tuple[float, ...]
    curve: tuple[EquityPoint, ...]

    def sparkline(self, points: int = SPARKLINE_POINTS) -> tuple[float, ...]:
        """Return the equity in USDT at `points` evenly spaced times; the first value is the capital."""
        if points < 2 or self.until_ms <= self.from_ms:
            return (self.capital_usdt, self.equity_usdt)
        times = [point.at_ms for point in self.curve]
        step = (self.until_ms - self.from_ms) / (points - 1)
        places = [bisect_right(times, self.from_ms + i * step) for i in range(points - 1)]
        values = [self.curve[at - 1].equity_usdt if at else self.capital_usdt for at in places]
        return (*values, self.equity_usdt)


class SymbolSampler(Struct):
    """One symbol's candles, and the accounts whose equity is sampled after each of them.

    `candles` and `until_ms` cover complete groups. While no account is `awake` and the day has not rolled, a candle
    cannot change any equity, so it is only counted here.
    """

    equities: tuple[EquityState, ...] = ()
    candles: int = 0
    until_ms: int = 0
    awake: bool = True
    day_end_ms: int = 0


class EquityState(Struct):
    """The running state behind an `EquityView`. `moving`: the next candle may change the equity.

    `exposure` is that of the last sample. Until the next is `booked`, only candles of held symbols change the equity.
    It has as many samples as its `samplers` have candles, less `before`, and reaches at least to `floor_ms`.
    """

    account: LedgerAccount
    equity_usdt: float
    peak_usdt: float
    trough_usdt: float
    samplers: tuple[SymbolSampler, ...] = ()
    before: int = 0
    floor_ms: int = 0
    max_drawdown_fraction: float = 0.0
    longest_drawdown_ms: int = 0
    under_since_ms: int = -1
    from_ms: int = 0
    day: int = -1
    day_end_ms: int = 0
    exposure_sum: float = 0.0
    moving: bool = True
    exposure: float = 0.0
    booked: bool = True
    sampled_ms: int = 0
    past_days: list[float] = field(default_factory=list)
    curve: EquityCurve = field(default_factory=EquityCurve)

    def sample(self, symbol: str, open_ms: int, at_ms: int, closes: Mapping[str, float]) -> bool:
        """Sample the equity after a candle that the sampler has not counted yet; return whether it may have changed."""
        if open_ms >= self.day_end_ms:
            self._roll(open_ms)
        may_change = self.booked or self._holds(symbol)
        if may_change:
            self._mark(at_ms, closes)
        self.exposure_sum += self.exposure
        if may_change or at_ms > self.sampled_ms:
            self.curve.put(at_ms, self.equity_usdt)
            self.sampled_ms = at_ms
        return may_change

    def _holds(self, symbol: str) -> bool:
        for holding in self.account.holdings:  # noqa: SIM110 - a loop is faster, and this runs for every candle.
            if holding.symbol == symbol:
                return True
        return False

    def _mark(self, at_ms: int, closes: Mapping[str, float]) -> None:
        """Value the open positions at the last closes."""
        account = self.account
        unrealised, notional = account.marked_usdt(closes)
        self.equity_usdt = equity = account.cash_usdt + unrealised
        self.exposure = notional / equity if equity > 0.0 else 0.0
        self._update_drawdown(at_ms)
        self.moving = bool(account.holdings)
        # A symbol that the configuration dropped may be held, and its candles are not sampled: mark every time.
        self.booked = any(holding.symbol not in account.symbols for holding in account.holdings)

    @property
    def until_ms(self) -> int:
        """The close of the newest candle that counts; before one, the first candle's open."""
        newest_ms = self.floor_ms
        for sampler in self.samplers:
            newest_ms = max(newest_ms, sampler.until_ms)
        return newest_ms

    @property
    def samples(self) -> int:
        """The number of candles that count."""
        return sum(sampler.candles for sampler in self.samplers) - self.before

    def _roll(self, open_ms: int) -> None:
        """Start a UTC day: the current equity closes every day before it."""
        day = open_ms // DAY_MS
        if self.day < 0:
            self.from_ms = self.floor_ms = open_ms
        else:
            days = min(day - self.day, DAYS_MAX - len(self.past_days))
            self.past_days.extend([self.equity_usdt] * days)
        self.day = day
        self.day_end_ms = (day + 1) * DAY_MS

    def _update_drawdown(self, at_ms: int) -> None:
        """Update the drawdown, which lasts from the last sample at the peak to the first one back at it."""
        if self.equity_usdt >= self.peak_usdt:
            self.longest_drawdown_ms = max(self.longest_drawdown_ms, self._under_ms(at_ms))
            self.peak_usdt = self.trough_usdt = self.equity_usdt
            self.under_since_ms = -1
            return
        if self.under_since_ms < 0:
            self.under_since_ms = self.until_ms
        if self.equity_usdt < self.trough_usdt:
            self.trough_usdt = self.equity_usdt
            self.max_drawdown_fraction = max(self.max_drawdown_fraction, self._drawdown())

    def _drawdown(self) -> float:
        """Return DD = (H - Q)/H."""
        return (self.peak_usdt - self.equity_usdt) / self.peak_usdt if self.peak_usdt > 0.0 else 0.0

    def _under_ms(self, at_ms: int) -> int:
        return at_ms - self.under_since_ms if self.under_since_ms >= 0 else 0

    def fork(self) -> EquityState:
        """Return a copy that can be sampled independently."""
        twin = copy.copy(self)
        twin.past_days = list(self.past_days)
        twin.curve = self.curve.fork()
        return twin

    def view(self, until_ms: int, samples: int) -> EquityView:
        """Return the equity curve after `samples` candles up to `until_ms`."""
        return EquityView(
            strategy=self.account.strategy,
            capital_usdt=self.account.capital_usdt,
            equity_usdt=self.equity_usdt,
            peak_usdt=self.peak_usdt,
            day_base_usdt=self.past_days[-1] if self.past_days else self.account.capital_usdt,
            drawdown_fraction=self._drawdown(),
            max_drawdown_fraction=self.max_drawdown_fraction,
            longest_drawdown_ms=max(self.longest_drawdown_ms, self._under_ms(until_ms)),
            from_ms=self.from_ms,
            until_ms=until_ms,
            samples=samples,
            gross_exposure_fraction=self.exposure_sum / samples if samples else 0.0,
            day_equities_usdt=(*self.past_days, self.equity_usdt) if self.day >= 0 else (),
            curve=self.curve.points(),
        )


class Equity:
    """Fold of all equity curves. Its ledger is public, so that it is folded only once."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._total = TotalEquity()
        self._equities: dict[str, EquityState] = {}
        self._samplers: dict[str, SymbolSampler] = {}
        self._pending: CandleClosed | None = None
        self._until_ms = 0
        """The close of the newest counted candle."""
        self._sampled_ms = 0
        """Up to here the total has been sampled since the accounts last changed otherwise."""

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        event = recorded.event
        if type(event) is CandleClosed:
            self.take_candle(event)
            return
        if isinstance(event, RunnerConfigured):
            self._configure(recorded)
            return
        account = self.ledger.book(recorded)
        if account is not None:
            self._wake(self._equities[account.strategy])

    def take_candle(self, candle: CandleClosed) -> None:
        """Fold a candle."""
        if self._pending is not None:
            self._finish(self._pending)
        self._pending = candle
        if candle.timing is _WARM_UP:  # It is no sample, but it changes a price.
            self._pending = None
            for equity in self._equities.values():
                equity.booked = True
        self.ledger.closes[candle.symbol] = candle.close

    def from_ms(self, strategy: str) -> int:
        """Return the start of a strategy's equity curve, 0 before its first complete group."""
        return self._equities[strategy].from_ms

    def view(self, strategy: str) -> EquityView:
        """Return one strategy's equity curve, the newest group included. Raises KeyError for an unknown name."""
        equity, candle = self._equities[strategy], self._pending
        if candle is None or candle.symbol not in equity.account.symbols:
            return equity.view(equity.until_ms, equity.samples)
        twin = equity.fork()
        twin.sample(candle.symbol, candle.open_time_ms, candle.at_ms, self.ledger.closes)
        return twin.view(max(twin.until_ms, candle.at_ms), twin.samples + 1)

    def total(self) -> TotalEquity:
        """Return the equity of all strategies together, the newest group included, as a copy the caller may change."""
        twin, candle = self._total.fork(), self._pending
        if candle is not None:
            twin.put(candle.at_ms, sum(view.equity_usdt for view in self.views()), self._until_ms)
        return twin

    def restart_window(self) -> None:
        """Restart the window of the global limit from the current equity, after a reset of the global trip."""
        self._total = self.total()
        self._total.restart()
        self._sampled_ms = 0

    def views(self) -> tuple[EquityView, ...]:
        """Return all equity curves in configured order."""
        return tuple(self.view(strategy) for strategy in self._equities)

    def _finish(self, candle: CandleClosed) -> None:
        """Complete a candle's group. This is the hot path: if no equity can move, the candle is only counted."""
        sampler = self._samplers.get(candle.symbol)
        if sampler is None:
            return
        at_ms = candle.at_ms
        open_ms = at_ms - candle.timeframe_ms
        if sampler.awake or open_ms >= sampler.day_end_ms:
            self._sample(sampler, candle.symbol, open_ms, at_ms)
        sampler.candles += 1
        if at_ms > sampler.until_ms:
            sampler.until_ms = at_ms
            if at_ms > self._until_ms:  # noqa: PLR1730 - max() is slower, and this runs for every candle.
                self._until_ms = at_ms

    def _sample(self, sampler: SymbolSampler, symbol: str, open_ms: int, at_ms: int) -> None:
        closes, awake, changed, day_end_ms = self.ledger.closes, False, False, 0
        for equity in sampler.equities:
            if equity.moving or open_ms >= equity.day_end_ms:
                changed |= equity.sample(symbol, open_ms, at_ms, closes)
                awake = awake or equity.moving
            if not day_end_ms or equity.day_end_ms < day_end_ms:
                day_end_ms = equity.day_end_ms
        if changed or at_ms > self._sampled_ms:
            total_usdt = 0.0
            for equity in self._equities.values():
                total_usdt += equity.equity_usdt
            self._total.put(at_ms, total_usdt, self._until_ms)
            self._sampled_ms = at_ms
        sampler.awake, sampler.day_end_ms = awake, day_end_ms or open_ms + DAY_MS

    def _wake(self, equity: EquityState) -> None:
        equity.moving = equity.booked = True
        for sampler in equity.samplers:
            sampler.awake = True

    def _configure(self, recorded: Recorded) -> None:
        """Add an equity curve, or change the symbols of an existing one."""
        if self._pending is not None:
            # The candle before an account's configuration does not count for it.
            self._finish(self._pending)
            self._pending = None
        account = self.ledger.book(recorded)
        if account is None:
            return
        equity = self._equities.get(account.strategy)
        if equity is None:
            cash = account.cash_usdt
            equity = self._equities[account.strategy] = EquityState(account, cash, peak_usdt=cash, trough_usdt=cash)
            self._total.widen(cash)
            self._sampled_ms = 0
        self._assign_samplers(equity)
        self._wake(equity)

    def _assign_samplers(self, equity: EquityState) -> None:
        """Attach an equity curve to the samplers of its symbols; samples counted so far stay counted."""
        samples, equity.floor_ms = equity.samples, equity.until_ms if equity.day >= 0 else 0
        for sampler in equity.samplers:
            sampler.equities = tuple(other for other in sampler.equities if other is not equity)
        equity.samplers = tuple(self._samplers.setdefault(symbol, SymbolSampler()) for symbol in equity.account.symbols)
        for sampler in equity.samplers:
            sampler.equities = (*sampler.equities, equity)
        equity.before = sum(sampler.candles for sampler in equity.samplers) - samples
