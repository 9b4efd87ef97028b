"""Derive alerts: decide which event of the log is worth a message, and which message.

Alerts are a function of the log up to the event, so a restarted notifier derives exactly the same alerts again. No
event yields more than one alert; those of `SILENT_EVENTS` yield none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.facts import (
    GLOBAL_SCOPE,
    AnomalyCleared,
    AnomalyPersists,
    AnomalyRaised,
    CandleClosed,
    CloseRequested,
    Closing,
    ConfigurationReloaded,
    ContractDelisted,
    ContractListed,
    DataRefused,
    EngineStarted,
    EngineStopped,
    EpochBegan,
    Event,
    FeedConnected,
    FeedLost,
    FundingPaid,
    FundingRateSettled,
    GapFilled,
    GapFound,
    KillSwitchReset,
    KillSwitchTripped,
    Liquidated,
    OpenInterestObserved,
    OrderCancelled,
    OrderPlaced,
    OrderRejected,
    PositionIncreased,
    PositionOpened,
    PositionReduced,
    RepairTried,
    RunnerConfigured,
    RunnerPaused,
    RunnerResumed,
    SignalReceived,
    StopMoved,
    StrategyFailed,
    StudyPromoted,
    SymbolResumed,
    SymbolSuspended,
    TargetsMoved,
)
from papertape.projections.alerts import texts, trade_texts
from papertape.projections.alerts.alert import Alert, AlertKind
from papertape.projections.alerts.daily import Days, daily_summary
from papertape.projections.alerts.feed_outage import FeedOutage, FeedOutageTracker
from papertape.projections.alerts.settings import AlertSettings
from papertape.projections.folds.contracts import Contracts
from papertape.projections.folds.market_status import DELISTED
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.trades import Trades

if TYPE_CHECKING:
    from papertape.events.log import Recorded
    from papertape.projections.folds.kill_switches import TripView
    from papertape.projections.folds.market_status import AnomalyView
    from papertape.projections.folds.pending_orders import OrderView

SILENT_EVENTS: frozenset[type[Event]] = frozenset(
    {
        ContractListed,
        FundingRateSettled,
        OpenInterestObserved,
        SignalReceived,
        GapFound,
        GapFilled,
        DataRefused,
        OrderPlaced,
        OrderRejected,
        OrderCancelled,
        StopMoved,
        TargetsMoved,
        RunnerConfigured,
        StudyPromoted,
        EpochBegan,
        CloseRequested,
        RepairTried,
    }
)
"""Events shown only in the log and on the dashboard. A gap is reported with the feed or its symbol, an order with its
fill, a request with its outcome, a repair with its anomaly; whoever restores a copy knows about it."""

MOSTLY_SILENT_EVENTS: frozenset[type[Event]] = SILENT_EVENTS | {CandleClosed}
"""A candle is worth an alert only if it ends an outage or makes a daily summary due."""

AlertContent = str | trade_texts.EntryContent | trade_texts.ExitContent
"""The text of an alert, or what its text will say once somebody reads it."""
AlertText = tuple[AlertKind, AlertContent]
CONFIGURATION = "configuration"
"""Who paused a strategy that the configuration no longer names."""

REPORTED_OTHERWISE = frozenset({"ws_disconnected", "kill_switch_global", "all_strategies_stopped", "strategy_failed"})
"""Anomalies that the alert of the feed, kill switch or strategy covers already; only their reminders are sent."""


class PriorState(Struct, frozen=True):
    """What the event removes or changes, as it was before."""

    active: int = 0
    crashed: bool = False
    order: OrderView | None = None
    anomaly: AnomalyView | None = None
    trip: TripView | None = None
    suspended_ms: int | None = None
    filled: int = 0
    delisted: bool = False


class UnwrittenAlert(Struct, frozen=True):
    """An alert whose text may not be written yet."""

    seq: int
    at_ms: int
    kind: AlertKind
    content: AlertContent
    silent: bool

    def write(self) -> Alert:
        """Return the alert with its text."""
        html = self.content if isinstance(self.content, str) else trade_texts.write_text(self.content)
        return Alert(self.seq, self.at_ms, self.kind, html, self.silent)


class Alerts:
    """Fold of the log, and the alert of the last event. `portfolio`, `trades` and `days` are its views."""

    def __init__(self, settings: AlertSettings | None = None) -> None:
        self.portfolio = Portfolio()
        self.trades = Trades()
        self.days = Days(self.portfolio, self.trades)
        self._contracts = Contracts()
        self._derivation = Derivation(settings, self.portfolio, self.trades, self.days, self._contracts)

    def apply(self, recorded: Recorded) -> None:
        """Apply one event."""
        derivation = self._derivation
        derivation.capture_before(recorded.event)
        if type(recorded.event) is not CandleClosed:
            self._contracts.apply(recorded)
            self.trades.apply(recorded)
        self.portfolio.apply(recorded)
        # One event yields one alert: if the feed has news, the summary waits for the next candle.
        self.days.apply(recorded, may_tell=derivation.feed.news is None)

    def alert_of(self, recorded: Recorded, note: str = "") -> Alert | None:
        """Return the alert of the last event; see `Derivation.alert_of`."""
        return self._derivation.alert_of(recorded, note)


class Derivation:
    """Alerts from folds with another owner, who passes each event first to `capture_before`, then to every fold."""

    def __init__(
        self,
        settings: AlertSettings | None,
        portfolio: Portfolio,
        trades: Trades,
        days: Days,
        contracts: Contracts,
    ) -> None:
        """Read the folds. `days` may report a day only if `feed` has no news."""
        self._settings = AlertSettings() if settings is None else settings
        self._portfolio, self._trades, self._days, self._contracts = portfolio, trades, days, contracts
        self.feed = FeedOutageTracker()
        self._running = False
        self._reloaded_ms = -1
        self._filled: dict[str, int] = {}
        self._before = PriorState()

    def capture_before(self, event: Event) -> None:
        """Remember what an event is about to change. For a candle, `feed.take_candle` is enough."""
        kind = type(event)
        if kind is OpenInterestObserved or kind is FundingRateSettled or kind is SignalReceived:
            self.feed.news = None  # These are frequent and change nothing here.
            return
        if kind is not CandleClosed:
            self._before = self._remember(event)
            self._follow(event)
        self.feed.apply(event)

    def may_tell(self, event: Event) -> bool:
        """Return whether the last event may be worth an alert; much cheaper than `alert_of`."""
        return self.feed.news is not None or self._days.due is not None or type(event) not in MOSTLY_SILENT_EVENTS

    def alert_of(self, recorded: Recorded, note: str = "") -> Alert | None:
        """Return the alert of the last event; see `unwritten_alert_of`."""
        alert = self.unwritten_alert_of(recorded, note)
        return None if alert is None else alert.write()

    def unwritten_alert_of(self, recorded: Recorded, note: str = "") -> UnwrittenAlert | None:
        """Return the alert of the last event, or None if it is not worth one or its kind is `off`.

        `note` is a line for a start that the log cannot know, such as the duration of the replay.
        """
        assert recorded.seq == self._portfolio.seq, "an alert belongs to the event that was applied last"
        alert = self._alert_text(recorded, note)
        if alert is None:
            return None
        kind, content = alert
        loudness = self._settings.loudness(kind)
        if loudness == "off":
            return None
        rings = loudness == "on" or (kind is AlertKind.START and self._before.crashed)
        return UnwrittenAlert(recorded.seq, recorded.event.at_ms, kind, content, silent=not rings)

    # ------------------------------------------------------------ the prior state

    def _remember(self, event: Event) -> PriorState:
        match event:
            case PositionOpened():
                return PriorState(order=self._order(event.strategy, event.symbol))
            case KillSwitchTripped() | RunnerPaused() | StrategyFailed():
                return PriorState(active=self._active())
            case KillSwitchReset():
                trips = self._portfolio.switches.active_trips()
                return PriorState(trip=next((trip for trip in trips if trip.trip_seq == event.trip_seq), None))
            case AnomalyRaised() | AnomalyPersists() | AnomalyCleared():
                return PriorState(anomaly=self._anomaly(event.kind, event.subject))
            case SymbolResumed():
                suspended = {one.symbol: one.since_ms for one in self._portfolio.market_status.suspended_symbols()}
                return PriorState(suspended_ms=suspended.get(event.symbol), filled=self._filled.get(event.symbol, 0))
            case ContractDelisted():
                reasons = {one.symbol: one.why for one in self._portfolio.market_status.suspended_symbols()}
                return PriorState(delisted=reasons.get(event.symbol, "").startswith(DELISTED))
            case EngineStarted():
                return PriorState(crashed=self._running)
            case _:
                return PriorState()

    def _follow(self, event: Event) -> None:
        match event:
            case EngineStarted():
                self._running = True
            case EngineStopped():
                self._running = False
            case ConfigurationReloaded():
                self._reloaded_ms = event.at_ms
            case SymbolSuspended() | SymbolResumed():
                self._filled.pop(event.symbol, None)
            case GapFilled():
                self._filled[event.symbol] = self._filled.get(event.symbol, 0) + event.candles
            case _:
                pass

    def _order(self, strategy: str, symbol: str) -> OrderView | None:
        orders = self._portfolio.orders()
        entries = (order for order in orders if order.action == "entry")
        return next((order for order in entries if (order.strategy, order.symbol) == (strategy, symbol)), None)

    def _anomaly(self, kind: str, subject: str) -> AnomalyView | None:
        standing = self._portfolio.market_status.anomalies()
        return next((one for one in standing if (one.kind, one.subject) == (kind, subject)), None)

    def _active(self) -> int:
        switches = self._portfolio.switches
        return sum(switches.standing(name).state == "active" for name in self._portfolio.equity.ledger.accounts)

    @property
    def _none_active(self) -> bool:
        """Whether this event stopped the last active strategy."""
        return self._before.active > 0 and self._active() == 0

    # ------------------------------------------------------------ the alerts

    def _alert_text(self, recorded: Recorded, note: str) -> AlertText | None:
        event = recorded.event
        stamp = texts.Stamp(recorded.seq, event.at_ms)
        if isinstance(event, CandleClosed | FeedConnected | FeedLost):
            return self._feed_alert(stamp) or self._daily_alert(stamp)
        if type(event) in SILENT_EVENTS:
            return None
        return (
            self._trading_alert(event, stamp)
            or self._risk_alert(event, stamp)
            or self._engine_alert(event, stamp, note)
            or self._market_alert(event, stamp)
        )

    def _feed_alert(self, stamp: texts.Stamp) -> AlertText | None:
        news = self.feed.news
        if news is None:
            return None
        if isinstance(news, FeedOutage):
            return AlertKind.FEED, texts.feed_lost_text(stamp, news, self._portfolio.positions())
        return AlertKind.FEED, texts.feed_back_text(stamp, news)

    def _daily_alert(self, stamp: texts.Stamp) -> AlertText | None:
        figures = self._days.due
        if figures is None:
            return None
        return AlertKind.DAILY, daily_summary(stamp, self._days.view(figures))

    def _trading_alert(self, event: Event, stamp: texts.Stamp) -> AlertText | None:
        contracts = self._contracts.by_symbol
        match event:
            case PositionOpened():
                position = self._portfolio.position(event.strategy, event.symbol)
                assert position is not None, "it was opened by this event"
                contract = contracts.get(event.symbol)
                return AlertKind.ENTRY, trade_texts.EntryContent(stamp, position, self._before.order, contract)
            case PositionIncreased():
                return AlertKind.PART, trade_texts.increase_text(stamp, event, contracts)
            case PositionReduced():
                return AlertKind.PART, trade_texts.reduction_text(stamp, event, contracts)
            case Closing():
                (trade,) = self._trades.latest(1)
                account = self._portfolio.account(event.strategy)
                if isinstance(event, Liquidated):
                    return AlertKind.LIQUIDATION, trade_texts.liquidation_text(stamp, trade, account, contracts)
                return AlertKind.EXIT, trade_texts.ExitContent(stamp, trade, account, contracts.get(trade.symbol))
            case FundingPaid() if -event.amount_usdt >= max(self._settings.funding_paid_usdt_min, 1e-9):
                held = self._portfolio.position(event.strategy, event.symbol)
                return AlertKind.FUNDING, trade_texts.funding_text(stamp, event, held)
            case _:
                return None

    def _risk_alert(self, event: Event, stamp: texts.Stamp) -> AlertText | None:
        switches = self._portfolio.switches
        match event:
            case KillSwitchTripped():
                scope = None if event.scope == GLOBAL_SCOPE else event.scope
                held = self._portfolio.positions(scope)
                return AlertKind.KILL_SWITCH, texts.trip_text(stamp, event, held, none_active=self._none_active)
            case KillSwitchReset():
                everything = event.scope == GLOBAL_SCOPE
                remaining = switches.global_trip if everything else switches.standing(event.scope).trip
                return AlertKind.RESET, texts.reset_text(stamp, event, self._before.trip, remaining)
            case RunnerPaused() | RunnerResumed() if self._is_part_of_reload(event):
                return None
            case RunnerPaused():
                held = self._portfolio.positions(event.strategy)
                return AlertKind.PAUSE, texts.pause_text(stamp, event, held, none_active=self._none_active)
            case StrategyFailed():
                held = self._portfolio.positions(event.strategy)
                failed = texts.failed_text(stamp, event, held, none_active=self._none_active)
                return AlertKind.STRATEGY, failed
            case RunnerResumed():
                return AlertKind.PAUSE, texts.resume_text(stamp, event, switches.standing(event.strategy).trip)
            case _:
                return None

    def _is_part_of_reload(self, event: RunnerPaused | RunnerResumed) -> bool:
        """Return whether the alert of a reload has told of this pause, or of its end, already."""
        return event.who == CONFIGURATION and event.at_ms == self._reloaded_ms

    def _engine_alert(self, event: Event, stamp: texts.Stamp, note: str) -> AlertText | None:
        match event:
            case EngineStarted():
                crashed = self._before.crashed
                return AlertKind.START, texts.start_text(stamp, event, self._portfolio.view(), note, crashed=crashed)
            case ConfigurationReloaded():
                return AlertKind.RELOAD, texts.reload_text(stamp, event)
            case EngineStopped():
                return AlertKind.STOP, texts.stop_text(stamp, event.reason, self._portfolio.positions())
            case _:
                return None

    def _market_alert(self, event: Event, stamp: texts.Stamp) -> AlertText | None:
        before = self._before
        match event:
            case SymbolSuspended():
                held = tuple(one for one in self._portfolio.positions() if one.symbol == event.symbol)
                return AlertKind.SYMBOL, texts.suspended_text(stamp, event.symbol, event.reason, held)
            case ContractDelisted() if not before.delisted:
                held = tuple(one for one in self._portfolio.positions() if one.symbol == event.symbol)
                return AlertKind.SYMBOL, texts.delisted_text(stamp, event.symbol, event.reason, held)
            case SymbolResumed():
                html = texts.tradable_text(stamp, event.symbol, event.reason, before.suspended_ms, before.filled)
                return AlertKind.SYMBOL, html
            case AnomalyRaised() | AnomalyCleared() if event.kind in REPORTED_OTHERWISE:
                return None
            case AnomalyRaised() if before.anomaly is None:
                return AlertKind.ANOMALY, texts.raised_text(stamp, event)
            case AnomalyPersists() if before.anomaly is not None:
                return AlertKind.ANOMALY, texts.persists_text(stamp, event)
            case AnomalyCleared() if before.anomaly is not None:
                return AlertKind.ANOMALY, texts.cleared_text(stamp, event, before.anomaly)
            case _:
                return None
