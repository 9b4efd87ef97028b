"""The folds behind every answer, created in one place."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from papertape.events.facts import (
    CandleClosed,
    ConfigurationReloaded,
    ContractListed,
    EngineStarted,
    EngineStopped,
    Event,
    OrderCancelled,
    OrderRejected,
    RunnerConfigured,
    Timing,
)
from papertape.events.log import EventStretch, Recorded
from papertape.projections.alerts.alert import Alert
from papertape.projections.alerts.daily import Days
from papertape.projections.alerts.derive import Derivation, UnwrittenAlert
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
from papertape.projections.market_run import CANDLES_MIN, CandleStretch, MarketRun
from papertape.projections.text.event_lines import is_notable

RECENT_EVENTS_MAX: Final = 100
ALERTS_MAX: Final = 50
CONFIGURATIONS_MAX: Final = 200
"""Per strategy. A start adds one only if it changes something."""
_SETUP_FACTS: Final[frozenset[type[Event]]] = frozenset({ContractListed, RunnerConfigured})
"""They change what the next candle of a symbol means to the folds that take candles once per stretch."""


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
        self._alerts: deque[UnwrittenAlert] = deque(maxlen=ALERTS_MAX)
        self._derivation = Derivation(settings, self.portfolio, self.trades, self.days, self.contracts)
        self._feed = self._derivation.feed
        self._timeframes_ms = dict(timeframes_ms or {})
        self._due: dict[str, list[tuple[int, tuple[str, str]]]] = {}

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
    def alerts(self) -> tuple[Alert, ...]:
        """The last alerts as the owner receives them, oldest first."""
        return tuple(alert.write() for alert in self._alerts)

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
            self._take_candle(recorded, event)
            self.coverage.take_candle(event)
            if event.timing is not Timing.WARM_UP:
                self._mark_fresh(event, recorded.recorded_at_ms)
        else:
            self._take_fact(recorded)
        self._derive_alert(recorded)

    def take_names(self, events: Iterable[Recorded]) -> None:
        """Learn names, contracts and closes from some events of a log that is not folded: no figure is known then."""
        for recorded in events:
            event = recorded.event
            if type(event) is CandleClosed:
                self.portfolio.at_ms = max(self.portfolio.at_ms, event.at_ms)
                if event.timing is not Timing.WARM_UP:
                    self._mark_fresh(event, recorded.recorded_at_ms)
            elif isinstance(event, RunnerConfigured):
                self.runners[event.strategy] = event
            self.contracts.apply(recorded)
            self.portfolio.seq = recorded.seq

    def take(self, stretch: EventStretch) -> None:
        """Fold a stretch of the log: the same as one event after the other, several times as fast."""
        columns = CandleStretch(stretch)
        if columns.are_calm(self.portfolio.at_ms) and not columns.kinds & _SETUP_FACTS:
            self._take_calm(columns)
        elif len(stretch) < 2 * CANDLES_MIN:
            for recorded in stretch.recorded():
                self.apply(recorded)
        else:
            middle = len(stretch) // 2
            self.take(stretch.cut(0, middle))
            self.take(stretch.cut(middle, len(stretch)))

    def _take_calm(self, columns: CandleStretch) -> None:
        """Fold a stretch whose candles are calm; folds that need only the newest ones take them once, at the end."""
        begin, length = 0, len(columns.stretch)
        for place in (*columns.other_places, length):
            if begin < place:
                self._take_facts(columns, begin, place)
            if place < length:
                recorded = columns.stretch.recorded_at(place)
                self._take_fact(recorded)
                self._derive_alert(recorded)
            begin = place + 1
        self.coverage.take_candles(columns)
        self._mark_all_fresh(columns)

    def _take_facts(self, columns: CandleStretch, begin: int, end: int) -> None:
        """Fold consecutive market facts at once, but one by one what may make an alert or a sample."""
        while begin < end:
            run = None
            if end - begin >= CANDLES_MIN and self._feed.is_silent:
                run = MarketRun(columns, begin, end)
                begin = run.place_at(self._next_ms(run))
                self._take_run(run if begin == end else MarketRun(columns, run.begin, begin))
            stop = end if run is None else min(begin + 1, end)
            for place in range(begin, stop):
                recorded = columns.stretch.recorded_at(place)
                if type(recorded.event) is CandleClosed:
                    self._take_candle(recorded, recorded.event)
                else:
                    self._take_fact(recorded)
                self._derive_alert(recorded)
            begin = stop

    def _next_ms(self, run: MarketRun) -> int:
        """Return the close from which on a candle needs a look of its own."""
        timeframe_ms = run.candles[0].timeframe_ms if run.candles else 0
        return self.days.next_ms(timeframe_ms)

    def _take_run(self, run: MarketRun) -> None:
        self._feed.take_run(run)
        if run.candles:
            self.buy_and_hold.take_run(run)
        self.portfolio.take_run(run, self.resting.follow_stops)
        self.days.due = None
        if run.candles:
            self.promised.take_run(run)

    def _take_candle(self, recorded: Recorded, candle: CandleClosed) -> None:
        """Fold a candle, except into folds that need only the newest candle of each symbol."""
        self._feed.take_candle(candle)
        self.portfolio.apply(recorded)
        self.resting.apply(recorded)
        self.promised.apply(recorded)
        if candle.timing is not Timing.WARM_UP:
            self.buy_and_hold.take_candle(candle)

    def _take_fact(self, recorded: Recorded) -> None:
        """Fold an event other than a candle."""
        self._derivation.capture_before(recorded.event)
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

    def _derive_alert(self, recorded: Recorded) -> None:
        """Keep the alert that the last event is worth, if any."""
        # One event yields at most one alert: if the feed has news, the daily summary waits for the next candle.
        self.days.apply(recorded, may_tell=self._feed.news is None)
        if self._derivation.may_tell(recorded.event):
            self._store_alert(recorded)

    def _store_alert(self, recorded: Recorded) -> None:
        alert = self._derivation.unwritten_alert_of(recorded)
        if alert is not None:
            self._alerts.append(alert)

    def _mark_fresh(self, candle: CandleClosed, recorded_at_ms: int) -> None:
        """Note a candle other than warm-up, and the evaluations that it was due for."""
        symbol, at_ms = candle.symbol, candle.at_ms
        self._seen_ms[symbol], self._heard_ms[symbol] = max(self._seen_ms.get(symbol, 0), at_ms), recorded_at_ms
        if candle.timing is Timing.LATE:
            self._late_ms[symbol] = at_ms
        self._mark_evaluated(symbol, at_ms)

    def _mark_evaluated(self, symbol: str, at_ms: int) -> None:
        for timeframe_ms, key in self._due.get(symbol, ()):
            if at_ms % timeframe_ms == 0:
                self.evaluated_ms[key] = at_ms

    def _mark_all_fresh(self, columns: CandleStretch) -> None:
        """Note the candles of a calm stretch, and the evaluations that they were due for."""
        newest_ms = dict(zip(columns.symbols, columns.at_ms, strict=True))
        self._seen_ms.update(newest_ms)
        self._heard_ms.update(zip(columns.symbols, columns.recorded_at_ms, strict=True))
        due = [(timeframe_ms, key) for symbol in newest_ms for timeframe_ms, key in self._due.get(symbol, ())]
        if all(key in self.evaluated_ms for _, key in due):
            due_ms = {
                one: columns.newest_multiples_ms(one) for one in dict.fromkeys(timeframe_ms for timeframe_ms, _ in due)
            }
            for timeframe_ms, key in due:
                if key[1] in due_ms[timeframe_ms]:
                    self.evaluated_ms[key] = due_ms[timeframe_ms][key[1]]
        else:  # A first evaluation has a place of its own in the order.
            for symbol, at_ms in zip(columns.symbols, columns.at_ms, strict=True):
                self._mark_evaluated(symbol, at_ms)

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
        self._due = {}
        for name, runner in self.runners.items():
            for symbol in runner.symbols:
                timeframe_ms, key = self._timeframes_ms.get(name, 1), (name, symbol)
                self._due.setdefault(symbol, []).append((timeframe_ms, key))
