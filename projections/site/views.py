"""The folds behind every answer, created in one place."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import chain, pairwise, repeat
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from papertape.events.facts import (
    CandleClosed,
    ConfigurationReloaded,
    EngineStarted,
    EngineStopped,
    OrderCancelled,
    OrderRejected,
    RunnerConfigured,
    Timing,
)
from papertape.events.log import EventStretch, Recorded
from papertape.projections.alerts.alert import Alert
from papertape.projections.alerts.daily import Days
from papertape.projections.alerts.derive import Derivation
from papertape.projections.alerts.settings import AlertSettings
from papertape.projections.folds.arena import Arena
from papertape.projections.folds.buy_and_hold import BuyAndHold
from papertape.projections.folds.contracts import Contracts
from papertape.projections.folds.coverage import Coverage
from papertape.projections.folds.epochs import Epochs
from papertape.projections.folds.limits import Limits
from papertape.projections.folds.marks import EquityMarkers
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.promised import Promised
from papertape.projections.folds.resting_prices import RestingPrices
from papertape.projections.folds.signals import Signals
from papertape.projections.folds.trades import Trades
from papertape.projections.market_run import MarketRun, parts
from papertape.projections.text.event_lines import is_notable

RECENT_EVENTS_MAX: Final = 100
ALERTS_MAX: Final = 50
CONFIGURATIONS_MAX: Final = 200
"""Per strategy. A start adds one only if it changes something."""


class RejectedSignal(Struct, frozen=True):
    """The last signal of a strategy on a symbol without a fill: when in market time, and why."""

    at_ms: int
    side: str
    reason: str
    seq: int


class EffectiveConfiguration(Struct, frozen=True):
    """A configuration of a strategy, in force from `seq` on."""

    seq: int
    event: RunnerConfigured


class CandleFreshness(Struct, frozen=True):
    """A symbol's newest candle other than warm-up, and its newest late candle, in market time; 0 without one.

    `heard_at_ms` is the machine's clock when the newest candle was recorded.
    """

    at_ms: int = 0
    late_at_ms: int = 0
    heard_at_ms: int = 0

    def age_ms(self, now_ms: int) -> int:
        """Return how long ago the newest candle was recorded, by the machine's clock."""
        return max(now_ms - self.heard_at_ms, 0)


class Views:
    """The folds behind every answer. `timeframes_ms` says on whose close each strategy is evaluated.

    `settings` says which kinds of alerts the owner receives.
    """

    def __init__(self, timeframes_ms: Mapping[str, int] | None = None, settings: AlertSettings | None = None) -> None:
        self.portfolio = Portfolio()
        self.trades = Trades(self.portfolio.excursions)
        self.days = Days(self.portfolio, self.trades)
        self.promised = Promised(self.portfolio)
        self.arena = Arena(self.portfolio, self.trades, self.promised)
        self.contracts = Contracts()
        self.limits = Limits(self.portfolio)
        self.coverage = Coverage(self.portfolio)
        self.marks = EquityMarkers(self.portfolio)
        self.epochs = Epochs(self.portfolio)
        self.buy_and_hold = BuyAndHold(self.portfolio)
        self.signals = Signals()
        self.resting = RestingPrices(self.portfolio)
        self.started: EngineStarted | None = None
        self.stopped: EngineStopped | None = None
        """The stop of the engine that started last; None while it runs, and if it did not record its stop."""
        self.runners: dict[str, RunnerConfigured] = {}
        self._configured: dict[str, deque[EffectiveConfiguration]] = {}
        self.refusals: dict[tuple[str, str], RejectedSignal] = {}
        self.evaluated_ms: dict[tuple[str, str], int] = {}
        """The newest close on which a strategy was evaluated for a symbol, in market time."""
        self._seen_ms: dict[str, int] = {}
        self._late_ms: dict[str, int] = {}
        self._heard_ms: dict[str, int] = {}
        self.recent: deque[Recorded] = deque(maxlen=RECENT_EVENTS_MAX)
        """The last notable events, oldest first."""
        self.alerts: deque[Alert] = deque(maxlen=ALERTS_MAX)
        """The last alerts as the owner receives them, oldest first."""
        self._derivation = Derivation(settings, self.portfolio, self.trades, self.days, self.contracts)
        self._feed = self._derivation.feed
        self._timeframes_ms = dict(timeframes_ms or {})
        self._due: dict[str, list[tuple[int, tuple[str, str]]]] = {}
        self._due_keys: dict[int, dict[str, list[tuple[str, str]]]] = {}

    @property
    def seq(self) -> int:
        """The last folded event."""
        return self.portfolio.seq

    @property
    def at_ms(self) -> int:
        """Market time."""
        return self.portfolio.at_ms

    @property
    def connected(self) -> bool:
        """Whether the feed of the engine that started last delivers."""
        return self.portfolio.market_status.connected

    @property
    def freshness(self) -> dict[str, CandleFreshness]:
        """The freshness of every symbol that had a candle."""
        late_ms, heard_ms = self._late_ms, self._heard_ms
        return {one: CandleFreshness(at, late_ms.get(one, 0), heard_ms[one]) for one, at in self._seen_ms.items()}

    @property
    def newest_close_ms(self) -> int:
        """The newest close of a candle other than a warm-up candle; 0 without one."""
        return max(self._seen_ms.values(), default=0)

    @property
    def heard(self) -> CandleFreshness:
        """The candle that was recorded last, of any symbol."""
        return max(self.freshness.values(), key=lambda seen: seen.heard_at_ms, default=CandleFreshness())

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies in configured order."""
        return tuple(self.runners)

    def in_force(self, strategy: str, seq: int) -> RunnerConfigured | None:
        """Return a strategy's configuration at an event; None if it is no longer known."""
        earlier = (one.event for one in reversed(self._configured.get(strategy, ())) if one.seq <= seq)
        return next(earlier, None)

    def add_strategy(self, name: str, timeframe_ms: int) -> None:
        """Learn on whose close a strategy is evaluated that a reload is about to start."""
        self._timeframes_ms.setdefault(name, timeframe_ms)

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        event = recorded.event
        if type(event) is CandleClosed:
            self._feed.take_candle(event)
            self.portfolio.apply(recorded)
            self.resting.apply(recorded)
            self.coverage.take_candle(event)
            self.promised.apply(recorded)
            if event.timing is not Timing.WARM_UP:
                self._fold_candle(event, recorded.recorded_at_ms)
        else:
            self._derivation.capture_before(event)
            self.portfolio.apply(recorded)
            self.contracts.apply(recorded)
            self.trades.apply(recorded)
            self.limits.apply(recorded)
            self.coverage.apply(recorded)
            self.promised.apply(recorded)
            self.marks.apply(recorded)
            self.epochs.apply(recorded)
            self.signals.apply(recorded)
            self.resting.apply(recorded)
            self._fold_fact(recorded)
        # One event yields at most one alert: if the feed has news, the daily summary waits for the next candle.
        self.days.apply(recorded, may_tell=self._feed.news is None)
        if self._derivation.may_tell(event):
            self._store_alert(recorded)

    def take(self, stretch: EventStretch) -> None:
        """Fold a stretch of the log: the same as one event after the other, several times as fast."""
        for part in parts(stretch):
            if isinstance(part, MarketRun):
                self._take_run(part)
            else:
                self.apply(part)

    def _take_run(self, run: MarketRun) -> None:
        """Fold a run of market facts; one by one what may make an alert or a sample, and what is not calm."""
        if self._feed.is_silent and run.is_calm(self.portfolio.at_ms):
            calm, others = run.split(self._next_ms(run))
            self._take_calm(calm)
            if len(others):
                self.apply(next(others.recorded()))
                self.take(others.cut(1, len(others)))
            return
        for recorded in run.recorded():
            self.apply(recorded)

    def _next_ms(self, run: MarketRun) -> int:
        """Return the close from which on a candle needs a look of its own."""
        timeframe_ms = run.candles[0].timeframe_ms if run.candles else 0
        return min(self.days.next_ms(timeframe_ms), self.buy_and_hold.due_ms)

    def _take_calm(self, run: MarketRun) -> None:
        self._feed.take_run(run)
        self.portfolio.take_run(run, self.resting.follow_stops)
        self.days.due = None
        if run.candles:
            self.coverage.take_run(run)
            self.promised.take_run(run)
            self.buy_and_hold.take_run(run)
            self._mark_fresh(run)

    def _store_alert(self, recorded: Recorded) -> None:
        alert = self._derivation.alert_of(recorded)
        if alert is not None:
            self.alerts.append(alert)

    def _fold_candle(self, candle: CandleClosed, recorded_at_ms: int) -> None:
        self.buy_and_hold.take_candle(candle)
        symbol, at_ms = candle.symbol, candle.at_ms
        self._seen_ms[symbol], self._heard_ms[symbol] = max(self._seen_ms.get(symbol, 0), at_ms), recorded_at_ms
        if candle.timing is Timing.LATE:
            self._late_ms[symbol] = at_ms
        for timeframe_ms, key in self._due.get(symbol, ()):
            if at_ms % timeframe_ms == 0:
                self.evaluated_ms[key] = at_ms

    def _mark_fresh(self, run: MarketRun) -> None:
        """Note the newest candles of a calm run, and the evaluations that they were due for."""
        self._seen_ms.update(zip(run.symbols, run.at_ms, strict=True))
        self._heard_ms.update(zip(run.symbols, run.recorded_at_ms, strict=True))
        for begin, end in pairwise((*run.firsts, len(run.symbols))):
            at_ms, symbols = run.at_ms[begin], run.symbols[begin:end]
            due = [keys for timeframe_ms, keys in self._due_keys.items() if at_ms % timeframe_ms == 0]
            if len(due) == 1:
                keys = chain.from_iterable(map(due[0].get, symbols, repeat(())))
                self.evaluated_ms.update(dict.fromkeys(keys, at_ms))
            elif due:
                for symbol in symbols:
                    for timeframe_ms, key in self._due.get(symbol, ()):
                        if at_ms % timeframe_ms == 0:
                            self.evaluated_ms[key] = at_ms

    def _fold_fact(self, recorded: Recorded) -> None:
        event = recorded.event
        match event:
            case EngineStarted():
                self.started, self.stopped = event, None
            case EngineStopped():
                self.stopped = event
            case ConfigurationReloaded() if self.started is not None:
                self.started = replace(self.started, config_digest=event.config_digest)
            case RunnerConfigured():
                history = self._configured.setdefault(event.strategy, deque(maxlen=CONFIGURATIONS_MAX))
                history.append(EffectiveConfiguration(recorded.seq, event))
                self._configure(event)
            case OrderRejected(action="entry") | OrderCancelled(action="entry"):
                refusal = RejectedSignal(event.at_ms, event.side, event.reason, recorded.seq)
                self.refusals[event.strategy, event.symbol] = refusal
            case _:
                pass
        if is_notable(event):
            self.recent.append(recorded)

    def _configure(self, event: RunnerConfigured) -> None:
        self.runners[event.strategy] = event
        self._due, self._due_keys = {}, {}
        for name, runner in self.runners.items():
            for symbol in runner.symbols:
                timeframe_ms, key = self._timeframes_ms.get(name, 1), (name, symbol)
                self._due.setdefault(symbol, []).append((timeframe_ms, key))
                self._due_keys.setdefault(timeframe_ms, {}).setdefault(symbol, []).append(key)
