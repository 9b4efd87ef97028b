"""Equity over time: every strategy's course, sampled after every candle of a symbol of its account.

Q = cash + sum of U, each symbol at its last close (exchange model, section 4). A candle and the events that
follow from it form one group; the sample is taken when the group is complete, which is known when the next
candle comes. A view taken before that includes the newest group as far as it goes. Warm-up candles count
for nothing. Days are UTC days of the candle's open time and never go back: a candle that arrives after the
day has rolled belongs to the current day, as in the engine.
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
    """One strategy's course. Drawdowns are fractions of the peak, sampled after every candle.

    `day_equities_usdt` has one value for every calendar day from the first candle's to the last's;
    `from_ms` is the first candle's open and `until_ms` the last one's close, both 0 before any candle.
    `gross_exposure_fraction` is the mean of notional / equity over all samples.
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
        """Equity in USDT at `points` evenly spaced times; it starts at the capital and holds between changes."""
        if points < 2 or self.until_ms <= self.from_ms:
            return (self.capital_usdt, self.equity_usdt)
        times = [point.at_ms for point in self.curve]
        step = (self.until_ms - self.from_ms) / (points - 1)
        found = [bisect_right(times, self.from_ms + i * step) for i in range(points - 1)]
        values = [self.curve[at - 1].equity_usdt if at else self.capital_usdt for at in found]
        return (*values, self.equity_usdt)


class SymbolSampler(Struct):
    """One symbol's stream of candles, and the courses that are sampled after each.

    `candles` and `until_ms` count those whose group is complete. While no course is `awake` and the day has
    not rolled, a candle cannot change any equity: then it is only counted here.
    """

    courses: tuple[EquityState, ...] = ()
    candles: int = 0
    until_ms: int = 0
    awake: bool = True
    day_end_ms: int = 0


class EquityState(Struct):
    """The running state behind an `EquityView`. `moving`: the next candle may change the equity.

    Its candles are those of its `lanes` less `before`, and it reaches at least to `floor_ms`.
    """

    account: LedgerAccount
    equity_usdt: float
    peak_usdt: float
    trough_usdt: float
    lanes: tuple[SymbolSampler, ...] = ()
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
    past_days: list[float] = field(default_factory=list)
    curve: EquityCurve = field(default_factory=EquityCurve)

    def sample(self, open_ms: int, at_ms: int, closes: Mapping[str, float]) -> None:
        """Take the equity after a candle; its lane has not counted it yet."""
        if open_ms >= self.day_end_ms:
            self._roll(open_ms)
        account = self.account
        unrealised, notional = account.marked_usdt(closes)
        self.equity_usdt = equity = account.cash_usdt + unrealised
        if equity > 0.0:
            self.exposure_sum += notional / equity
        self._take_drawdown(at_ms)
        self.curve.put(at_ms, equity)
        self.moving = bool(account.holdings)

    @property
    def until_ms(self) -> int:
        """The close of the newest candle that counts, the first candle's open before there is one."""
        newest_ms = self.floor_ms
        for lane in self.lanes:
            newest_ms = max(newest_ms, lane.until_ms)
        return newest_ms

    @property
    def samples(self) -> int:
        """How many candles count."""
        return sum(lane.candles for lane in self.lanes) - self.before

    def _roll(self, open_ms: int) -> None:
        """A new UTC day: the equity as it stands closes every day before it."""
        day = open_ms // DAY_MS
        if self.day < 0:
            self.from_ms = self.floor_ms = open_ms
        else:
            days = min(day - self.day, DAYS_MAX - len(self.past_days))
            self.past_days.extend([self.equity_usdt] * days)
        self.day = day
        self.day_end_ms = (day + 1) * DAY_MS

    def _take_drawdown(self, at_ms: int) -> None:
        """A drawdown lasts from the last sample at the peak to the first one back at it."""
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
        """DD = (H - Q)/H."""
        return (self.peak_usdt - self.equity_usdt) / self.peak_usdt if self.peak_usdt > 0.0 else 0.0

    def _under_ms(self, at_ms: int) -> int:
        return at_ms - self.under_since_ms if self.under_since_ms >= 0 else 0

    def fork(self) -> EquityState:
        """A copy that can take a sample without touching this one."""
        twin = copy.copy(self)
        twin.past_days = list(self.past_days)
        twin.curve = self.curve.fork()
        return twin

    def view(self, until_ms: int, samples: int) -> EquityView:
        """The course as it stands after `samples` candles up to `until_ms`."""
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
    """Fold of all courses; the ledger it stands on is public, so that it is folded once."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._total = TotalEquity()
        self._courses: dict[str, EquityState] = {}
        self._lanes: dict[str, SymbolSampler] = {}
        self._pending: CandleClosed | None = None

    def apply(self, recorded: Recorded) -> None:
        """Take one event."""
        event = recorded.event
        if type(event) is CandleClosed:
            if self._pending is not None:
                self._finish(self._pending)
            self._pending = event if event.timing is not _WARM_UP else None
            self.ledger.mark(event)
            return
        if isinstance(event, RunnerConfigured):
            self._configure(recorded)
            return
        account = self.ledger.book(recorded)
        if account is not None:
            self._wake(self._courses[account.strategy])

    def from_ms(self, strategy: str) -> int:
        """Return the start of a strategy's equity curve, 0 before its first complete group."""
        return self._courses[strategy].from_ms

    def view(self, strategy: str) -> EquityView:
        """The course of one strategy, the newest group included. Raises KeyError for an unknown name."""
        course, candle = self._courses[strategy], self._pending
        if candle is None or candle.symbol not in course.account.symbols:
            return course.view(course.until_ms, course.samples)
        twin = course.fork()
        twin.sample(candle.open_time_ms, candle.at_ms, self.ledger.closes)
        return twin.view(max(twin.until_ms, candle.at_ms), twin.samples + 1)

    def total(self) -> TotalEquity:
        """The course of all strategies together, the newest group included. It may be changed by whoever asked."""
        twin, candle = self._total.fork(), self._pending
        if candle is not None:
            twin.put(candle.at_ms, sum(view.equity_usdt for view in self.views()), self._until_ms())
        return twin

    def restart_window(self) -> None:
        """A human ended the global trip: the window of its limit starts again from the equity as it stands."""
        self._total = self.total()
        self._total.restart()

    def views(self) -> tuple[EquityView, ...]:
        """All courses in configured order."""
        return tuple(self.view(strategy) for strategy in self._courses)

    def _finish(self, candle: CandleClosed) -> None:
        """The candle's group is complete. The hot path: where nobody moves, the candle is only counted."""
        lane = self._lanes.get(candle.symbol)
        if lane is None:
            return
        at_ms = candle.at_ms
        open_ms = at_ms - candle.timeframe_ms
        if lane.awake or open_ms >= lane.day_end_ms:
            self._sample(lane, open_ms, at_ms)
        lane.candles += 1
        if at_ms > lane.until_ms:  # noqa: PLR1730 - max() is slower, and this runs for every candle.
            lane.until_ms = at_ms

    def _sample(self, lane: SymbolSampler, open_ms: int, at_ms: int) -> None:
        for course in lane.courses:
            if course.moving or open_ms >= course.day_end_ms:
                course.sample(open_ms, at_ms, self.ledger.closes)
        total_usdt = sum(course.equity_usdt for course in self._courses.values())
        self._total.put(at_ms, total_usdt, self._until_ms())
        lane.awake = any(course.moving for course in lane.courses)
        lane.day_end_ms = min((course.day_end_ms for course in lane.courses), default=open_ms + DAY_MS)

    def _until_ms(self) -> int:
        """The close of the newest candle that is counted."""
        return max((lane.until_ms for lane in self._lanes.values()), default=0)

    def _wake(self, course: EquityState) -> None:
        course.moving = True
        for lane in course.lanes:
            lane.awake = True

    def _configure(self, recorded: Recorded) -> None:
        """A new course, or new symbols for an old one."""
        if self._pending is not None:
            # An account does not take part in the candle before its configuration.
            self._finish(self._pending)
            self._pending = None
        account = self.ledger.book(recorded)
        if account is None:
            return
        course = self._courses.get(account.strategy)
        if course is None:
            cash = account.cash_usdt
            course = self._courses[account.strategy] = EquityState(account, cash, peak_usdt=cash, trough_usdt=cash)
            self._total.widen(cash)
        self._assign_lanes(course)
        self._wake(course)

    def _assign_lanes(self, course: EquityState) -> None:
        """Put a course on the lanes of its symbols; what it has counted so far stays counted."""
        samples, course.floor_ms = course.samples, course.until_ms if course.day >= 0 else 0
        for lane in course.lanes:
            lane.courses = tuple(other for other in lane.courses if other is not course)
        course.lanes = tuple(self._lanes.setdefault(symbol, SymbolSampler()) for symbol in course.account.symbols)
        for lane in course.lanes:
            lane.courses = (*lane.courses, course)
        course.before = sum(lane.candles for lane in course.lanes) - samples
