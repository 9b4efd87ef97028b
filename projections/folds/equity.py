"""Equity curves: the equity of every strategy, sampled after every candle of one of its symbols.

Q = cash + sum of U, each symbol at its last close (exchange model, section 4). A candle and the events that follow from
it form one group. The sample is taken when the group is complete, which is known when the next candle arrives; a view
taken earlier includes the incomplete newest group. Warm-up candles do not count. Days are UTC days of the candle's open
time and never go back: a candle that arrives after the day has rolled belongs to the current day, as in the engine.
"""

from __future__ import annotations

import copy
from bisect import bisect_left, bisect_right
from itertools import accumulate
from operator import attrgetter
from typing import TYPE_CHECKING

from msgspec import Struct, field

from papertape.events.facts import CandleClosed, RunnerConfigured, Timing
from papertape.events.units import DAY_MS
from papertape.projections.folds.curve import EquityCurve, EquityPoint
from papertape.projections.folds.ledger import Ledger, LedgerAccount
from papertape.projections.folds.total import TotalEquity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from papertape.events.log import Recorded
    from papertape.projections.market_run import MarketRun

    _BeforeMark = Mapping[str, Callable[[int], None]]

DAYS_MAX = 36_600
SPARKLINE_POINTS = 60
_WARM_UP = Timing.WARM_UP
_close = attrgetter("close")


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


class EquityState(Struct):
    """The running state behind an `EquityView`. `moving`: the next candle may change the equity.

    `samples` and `until_ms` cover the complete groups of candles of its `symbols`. `exposure` is that of the samples
    after the first `exposure_samples`. Until the next is `booked`, only candles of held symbols change the equity.
    """

    account: LedgerAccount
    equity_usdt: float
    peak_usdt: float
    trough_usdt: float
    symbols: frozenset[str] = frozenset()
    samples: int = 0
    until_ms: int = 0
    max_drawdown_fraction: float = 0.0
    longest_drawdown_ms: int = 0
    under_since_ms: int = -1
    from_ms: int = 0
    day: int = -1
    day_end_ms: int = 0
    exposure_sum: float = 0.0
    exposure: float = 0.0
    exposure_samples: int = 0
    moving: bool = True
    booked: bool = True
    sampled_ms: int = 0
    past_days: list[float] = field(default_factory=list)
    curve: EquityCurve = field(default_factory=EquityCurve)

    def sample(self, open_ms: int, at_ms: int, closes: Mapping[str, float], *, may_change: bool) -> None:
        """Sample the equity after a candle that is not counted yet; `may_change` tells whether it may have changed."""
        if open_ms >= self.day_end_ms:
            self._roll(open_ms)
        if may_change:
            self._mark(at_ms, closes)
        if may_change or at_ms > self.sampled_ms:
            self.curve.put(at_ms, self.equity_usdt)
            self.sampled_ms = at_ms

    def count(self, candles: int, at_ms: int) -> None:
        """Count candles whose groups are complete, and which close at `at_ms` at the latest."""
        self.samples += candles
        if at_ms > self.until_ms:  # noqa: PLR1730 - max() is slower, and this runs for every candle.
            self.until_ms = at_ms

    def holds(self, symbol: str) -> bool:
        """Return whether a position on a symbol is open."""
        for holding in self.account.holdings:  # noqa: SIM110 - a loop is faster, and this runs for every candle.
            if holding.symbol == symbol:
                return True
        return False

    def _mark(self, at_ms: int, closes: Mapping[str, float]) -> None:
        """Value the open positions at the last closes."""
        account = self.account
        unrealised, notional = account.marked_usdt(closes)
        self.equity_usdt = equity = account.cash_usdt + unrealised
        self.exposure_sum, self.exposure_samples = self._exposures(), self.samples
        self.exposure = notional / equity if equity > 0.0 else 0.0
        self._update_drawdown(at_ms)
        self.moving = bool(account.holdings)
        self.booked = self.is_always_marked

    @property
    def is_always_marked(self) -> bool:
        """Whether it holds a symbol that the configuration dropped, whose candles are not sampled."""
        return any(holding.symbol not in self.symbols for holding in self.account.holdings)

    def _exposures(self) -> float:
        """Return the sum of the exposures of all samples."""
        return self.exposure_sum + self.exposure * (self.samples - self.exposure_samples)

    def _roll(self, open_ms: int) -> None:
        """Start a UTC day: the current equity closes every day before it."""
        day = open_ms // DAY_MS
        if self.day < 0:
            self.from_ms = self.until_ms = open_ms
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

    def fork(self, *, with_curve: bool) -> EquityState:
        """Return a copy that can be sampled independently."""
        twin = copy.copy(self)
        twin.past_days = list(self.past_days)
        twin.curve = self.curve.fork() if with_curve else EquityCurve()
        return twin

    def view(self) -> EquityView:
        """Return the equity curve after the candles that were counted."""
        return EquityView(
            strategy=self.account.strategy,
            capital_usdt=self.account.capital_usdt,
            equity_usdt=self.equity_usdt,
            peak_usdt=self.peak_usdt,
            day_base_usdt=self.past_days[-1] if self.past_days else self.account.capital_usdt,
            drawdown_fraction=self._drawdown(),
            max_drawdown_fraction=self.max_drawdown_fraction,
            longest_drawdown_ms=max(self.longest_drawdown_ms, self._under_ms(self.until_ms)),
            from_ms=self.from_ms,
            until_ms=self.until_ms,
            samples=self.samples,
            gross_exposure_fraction=self._exposures() / self.samples if self.samples else 0.0,
            day_equities_usdt=(*self.past_days, self.equity_usdt) if self.day >= 0 else (),
            curve=self.curve.points(),
        )


class Equity:
    """Fold of all equity curves. Its ledger is public, so that it is folded only once."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._total = TotalEquity()
        self._equities: dict[str, EquityState] = {}
        self._of_symbol: dict[str, tuple[EquityState, ...]] = {}
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
            equity = self._equities[account.strategy]
            equity.moving = equity.booked = True

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

    def take_run(self, run: MarketRun, held_places: Iterable[int]) -> None:
        """Fold the candles of a calm run: only after some of them may an equity change, or a day or an hour begin.

        The candles at `held_places` are those of all symbols with an open position, or more.
        """
        if self._pending is not None:
            self._finish(self._pending)
        self._pending, end, closes = run.candles[-1], len(run.candles) - 1, self.ledger.closes
        if not run.newest.keys() <= closes.keys():
            for candle in run.candles:  # A symbol's place in the order is that of its first candle.
                closes.setdefault(candle.symbol, candle.close)
        counts = [_RunCount(equity, run) for equity in self._equities.values()]
        before_mark = {count.equity.account.strategy: count.until for count in counts}
        until_ms = self._newest_closes(run)
        for place in self._places(counts, held_places, end):
            candle = run.candles[place]
            closes[candle.symbol] = candle.close
            self._until_ms = until_ms[place]
            self._sample(candle, before_mark, place)
        for count in counts:
            count.until(end)
        self._until_ms = until_ms[end]
        closes.update(zip(run.newest, map(_close, run.newest.values()), strict=True))

    @staticmethod
    def _places(counts: Sequence[_RunCount], held_places: Iterable[int], end: int) -> list[int]:
        """Return the places before `end` of the candles after which an equity is sampled with some effect."""
        places = set(held_places)
        for count in counts:
            if count.equity.moving or count.last_open_ms >= count.equity.day_end_ms:
                places.update(count.places if count.equity.is_always_marked else count.firsts)
        return sorted(place for place in places if place < end)

    def _newest_closes(self, run: MarketRun) -> Sequence[int]:
        """Return the close of the newest counted candle before each place of a run."""
        if run.newest.keys() <= self._of_symbol.keys():
            return [self._until_ms, *run.at_ms]
        pairs = zip(run.symbols, run.at_ms, strict=True)
        counted = (at_ms if symbol in self._of_symbol else 0 for symbol, at_ms in pairs)
        return [*accumulate(counted, max, initial=self._until_ms)]

    def from_ms(self, strategy: str) -> int:
        """Return the start of a strategy's equity curve, 0 before its first complete group."""
        return self._equities[strategy].from_ms

    def view(self, strategy: str, *, with_curve: bool = True) -> EquityView:
        """Return one strategy's equity curve, the newest group included. Raises KeyError for an unknown name.

        Without its points, of which there are thousands, it takes a few microseconds.
        """
        equity, candle = self._equities[strategy], self._pending
        twin = equity.fork(with_curve=with_curve)
        if candle is None or candle.symbol not in equity.symbols:
            return twin.view()
        may_change = twin.booked or twin.holds(candle.symbol)
        twin.sample(candle.open_time_ms, candle.at_ms, self.ledger.closes, may_change=may_change)
        twin.count(1, candle.at_ms)
        return twin.view()

    def total(self) -> TotalEquity:
        """Return the equity of all strategies together, the newest group included, as a copy the caller may change."""
        twin, candle = self._total.fork(), self._pending
        if candle is not None:
            twin.put(
                candle.at_ms, sum(view.equity_usdt for view in map(self._newest_view, self._equities)), self._until_ms
            )
        return twin

    def _newest_view(self, strategy: str) -> EquityView:
        return self.view(strategy, with_curve=False)

    def restart_window(self) -> None:
        """Restart the window of the global limit from the current equity, after a reset of the global trip."""
        self._total = self.total()
        self._total.restart()
        self._sampled_ms = 0

    def views(self) -> tuple[EquityView, ...]:
        """Return all equity curves in configured order."""
        return tuple(self.view(strategy) for strategy in self._equities)

    def _finish(self, candle: CandleClosed) -> None:
        """Complete a candle's group."""
        equities = self._of_symbol.get(candle.symbol)
        if equities is None:
            return
        self._sample(candle)
        for equity in equities:
            equity.count(1, candle.at_ms)
        self._until_ms = max(self._until_ms, candle.at_ms)

    def _sample(self, candle: CandleClosed, before_mark: _BeforeMark | None = None, place: int = 0) -> None:
        """Sample the equities that a candle may change, and their total."""
        symbol, at_ms, open_ms = candle.symbol, candle.at_ms, candle.at_ms - candle.timeframe_ms
        closes, sampled, changed = self.ledger.closes, False, False
        for equity in self._of_symbol.get(symbol, ()):
            if equity.moving or open_ms >= equity.day_end_ms:
                sampled = True
                may_change = equity.booked or equity.holds(symbol)
                if may_change:
                    changed = True
                    if before_mark is not None:
                        before_mark[equity.account.strategy](place)
                elif at_ms <= equity.sampled_ms and open_ms < equity.day_end_ms:
                    continue  # It was sampled at this time, and a candle of another symbol changes nothing.
                equity.sample(open_ms, at_ms, closes, may_change=may_change)
        if changed or (sampled and at_ms > self._sampled_ms):
            total_usdt = 0.0
            for equity in self._equities.values():
                total_usdt += equity.equity_usdt
            self._total.put(at_ms, total_usdt, self._until_ms)
            self._sampled_ms = at_ms

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
        equity.symbols = frozenset(account.symbols)
        for symbol in dict.fromkeys((*self._of_symbol, *account.symbols)):
            others = tuple(other for other in self._of_symbol.get(symbol, ()) if other is not equity)
            self._of_symbol[symbol] = (*others, equity) if symbol in equity.symbols else others
            if not self._of_symbol[symbol]:
                del self._of_symbol[symbol]
        equity.moving = equity.booked = True


class _RunCount:
    """Counts the candles of a run for one equity; `places` are theirs, `firsts` the first of them at each time."""

    def __init__(self, equity: EquityState, run: MarketRun) -> None:
        self.equity, self._at_ms = equity, run.at_ms
        self.places = run.places_of(equity.symbols)
        is_whole = len(self.places) == len(run.at_ms)
        self.firsts = run.firsts if is_whole else {run.at_ms[one]: one for one in reversed(self.places)}.values()
        self.last_open_ms = run.candles[self.places[-1]].open_time_ms if self.places else 0
        self._counted = 0

    def until(self, place: int) -> None:
        """Count the candles before a place."""
        counted = bisect_left(self.places, place)
        if counted > self._counted:
            self.equity.count(counted - self._counted, self._at_ms[self.places[counted - 1]])
            self._counted = counted
