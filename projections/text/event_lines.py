"""Every event as one readable line of English: `event_line` for the log and the live view.

Prices have the decimals of the contract's tick, results have a sign, the side of a position comes first, and reasons
are spelled out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from typing import TYPE_CHECKING, Literal, assert_never

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
    Timing,
)
from papertape.projections.text.fill_words import closing_words, increase_words, opening_words, reduction_words
from papertape.projections.text.formats import (
    duration,
    gain,
    introduced,
    money,
    price,
    quantity,
    rate_percent,
    signed,
    utc,
)
from papertape.projections.text.order_words import (
    cancelled_words,
    order_words,
    position_name,
    score_words,
    stop_moved_words,
    targets_words,
)
from papertape.projections.text.reasons import (
    failure_words,
    pause_words,
    reason_words,
    trip_words,
)

if TYPE_CHECKING:
    from papertape.events.log import Recorded

Contracts = Mapping[str, ContractListed]
Kind = Literal["market", "feed", "order", "entry", "won", "lost", "funding", "alarm", "good", "engine"]
ICONS: dict[Kind, str] = {
    "market": "·",
    "feed": "~",
    "order": "?",
    "entry": ">",
    "won": "+",
    "lost": "-",
    "funding": "%",
    "alarm": "!",
    "good": "o",
    "engine": "#",
}
_TIMING = {Timing.ON_TIME: "", Timing.LATE: ", late", Timing.WARM_UP: ", warm-up"}
NO_TARGETS = "removed its targets"
BACKGROUND_EVENTS = (CandleClosed, FundingRateSettled, OpenInterestObserved, SignalReceived)


class EventLine(Struct, frozen=True):
    """One event in words. `kind` selects the colour, `icon` is a single character for a terminal."""

    kind: Kind
    text: str

    @property
    def icon(self) -> str:
        """The character of the kind."""
        return ICONS[self.kind]


def event_line(recorded: Recorded, contracts: Contracts) -> EventLine:
    """Return the line of a recorded event."""
    return line(recorded.event, contracts)


def is_notable(event: Event) -> bool:
    """Return whether an event is worth showing to a person: all except the steady stream of market data and signals."""
    return not isinstance(event, BACKGROUND_EVENTS)


@singledispatch
def line(event: Event, _: Contracts) -> EventLine:
    """Return the line of an event. Raises TypeError for a type without words."""
    raise TypeError(f"{type(event).__name__} has no words: add them in projections/text/event_lines.py")


# ---------------------------------------------------------------- market


@line.register
def _contract_listed(event: ContractListed, _: Contracts) -> EventLine:
    own = {event.symbol: event}
    tick = price(event.tick_numerator / event.tick_denominator, event.symbol, own)
    lot = quantity(event.lot_numerator / event.lot_denominator, event.symbol, own)
    text = f"{event.symbol} is traded in {duration(event.timeframe_ms)} candles, tick {tick}, lot {lot}"
    return EventLine("market", f"{text} ({event.source})")


@line.register
def _contract_delisted(event: ContractDelisted, _: Contracts) -> EventLine:
    when = "open positions are settled at its last close 24 h after its last candle, or when they are closed"
    return EventLine("alarm", f"{event.symbol} is delisted: {event.reason}; {when}")


@line.register
def _candle_closed(event: CandleClosed, contracts: Contracts) -> EventLine:
    prices = (event.close, event.open, event.high, event.low)
    close, first, high, low = (price(value, event.symbol, contracts) for value in prices)
    text = f"{event.symbol} closed at {close}, open {first}, high {high}, low {low}, volume {event.volume:,.10g}"
    return EventLine("market", text + _TIMING[event.timing])


@line.register
def _funding_rate_settled(event: FundingRateSettled, _: Contracts) -> EventLine:
    return EventLine("market", f"{event.symbol} funding settled at {rate_percent(event.rate)}")


@line.register
def _open_interest_observed(event: OpenInterestObserved, _: Contracts) -> EventLine:
    return EventLine("market", f"{event.symbol} open interest {event.open_interest_base:,.10g} coins")


@line.register
def _signal_received(event: SignalReceived, _: Contracts) -> EventLine:
    return EventLine("market", f"{event.symbol} signal {event.name} {event.value:,.10g} from {event.source}")


@line.register
def _feed_connected(event: FeedConnected, _: Contracts) -> EventLine:
    pace = "as fast as possible" if event.speed == 0.0 else f"at {event.speed:g} times real time"
    return EventLine("feed", f"feed {event.feed} connected" + ("" if event.speed == 1.0 else f", {pace}"))


@line.register
def _feed_lost(event: FeedLost, _: Contracts) -> EventLine:
    return EventLine("alarm", f"feed {event.feed} lost: {event.reason}")


@line.register
def _gap_found(event: GapFound, _: Contracts) -> EventLine:
    span = f"from {utc(event.from_ms)} to {utc(event.until_ms)} UTC"
    return EventLine("alarm", f"{event.symbol} is missing {_count(event.missing_candles, 'candle')} {span}")


@line.register
def _gap_filled(event: GapFilled, _: Contracts) -> EventLine:
    span = f"from {utc(event.from_ms)} to {utc(event.until_ms)} UTC"
    return EventLine("feed", f"{event.symbol} received {_count(event.candles, 'late candle')}, {span}")


@line.register
def _data_refused(event: DataRefused, _: Contracts) -> EventLine:
    times, lasted = _count(event.count, "time"), duration(event.at_ms - event.since_ms)
    return EventLine(
        "feed", f"{event.feed} refused data {times} in {lasted}, {reason_words(event.reason)}: {event.newest}"
    )


@line.register
def _symbol_suspended(event: SymbolSuspended, _: Contracts) -> EventLine:
    return EventLine("alarm", f"{event.symbol} is not tradable: {event.reason}")


@line.register
def _symbol_resumed(event: SymbolResumed, _: Contracts) -> EventLine:
    return EventLine("good", f"{event.symbol} is tradable again: {event.reason}")


# ---------------------------------------------------------------- trading


@line.register
def _order_placed(event: OrderPlaced, contracts: Contracts) -> EventLine:
    text = f"{position_name(event)}: {event.strategy} {order_words(event, contracts)}"
    match event.action:
        case "entry":
            text += f": {reason_words(event.reason)}{score_words(event.score)}, risk {money(event.risk_usdt)}"
        case "exit":
            text += f": {reason_words(event.reason)}"
        case "add" | "reduce" | "target":
            pass
        case _:
            assert_never(event.action)
    return EventLine("order", text)


@line.register
def _order_rejected(event: OrderRejected, _: Contracts) -> EventLine:
    match event.action:
        case "entry":
            start, end = f"signal of {event.strategy}", score_words(event.score)
        case "change":
            start, end = f"change of orders by {event.strategy}", ""
        case _:
            assert_never(event.action)
    return EventLine("order", f"{position_name(event)}: {start} refused, {reason_words(event.reason)}{end}")


@line.register
def _order_cancelled(event: OrderCancelled, _: Contracts) -> EventLine:
    what = f"{cancelled_words(event.action, event.rung)} of {event.strategy}"
    return EventLine("order", f"{position_name(event)}: {what} cancelled, {reason_words(event.reason)}")


@line.register
def _stop_moved(event: StopMoved, contracts: Contracts) -> EventLine:
    return EventLine("order", f"{position_name(event)}: {event.strategy} {stop_moved_words(event, contracts)}")


@line.register
def _targets_moved(event: TargetsMoved, contracts: Contracts) -> EventLine:
    named = targets_words(event.targets, event.symbol, contracts)
    return EventLine("order", f"{position_name(event)}: {event.strategy} {f'set the {named}' if named else NO_TARGETS}")


@line.register
def _position_opened(event: PositionOpened, contracts: Contracts) -> EventLine:
    return EventLine("entry", f"{position_name(event)}: {event.strategy} {opening_words(event, contracts)}")


@line.register
def _position_increased(event: PositionIncreased, contracts: Contracts) -> EventLine:
    return EventLine("entry", f"{position_name(event)}: {event.strategy} {increase_words(event, contracts)}")


@line.register
def _position_reduced(event: PositionReduced, contracts: Contracts) -> EventLine:
    kind: Kind = "won" if event.net_usdt > 0.0 else "lost"
    return EventLine(kind, f"{position_name(event)}: {event.strategy} {reduction_words(event, contracts)}")


@line.register
def _closing(event: Closing, contracts: Contracts) -> EventLine:
    kind: Kind = "won" if event.net_usdt > 0.0 else "lost"
    return EventLine(kind, f"{position_name(event)}: {event.strategy} {closing_words(event, contracts)}")


@line.register
def _funding_paid(event: FundingPaid, _: Contracts) -> EventLine:
    verb = "received" if event.amount_usdt > 0.0 else "paid"
    text = f"{position_name(event)}: {event.strategy} {verb} funding {gain(event.amount_usdt)} USDT"
    return EventLine("funding", f"{text} at a rate of {rate_percent(event.rate)}")


# ---------------------------------------------------------------- risk and operation


@line.register
def _kill_switch_tripped(event: KillSwitchTripped, _: Contracts) -> EventLine:
    return EventLine("alarm", f"{_scope(event.scope)} stopped, {trip_words(event)}")


@line.register
def _kill_switch_reset(event: KillSwitchReset, _: Contracts) -> EventLine:
    return EventLine("good", f"{_scope(event.scope)} reset by {event.who}: {event.why} (trip {event.trip_seq:,})")


@line.register
def _engine_started(event: EngineStarted, _: Contracts) -> EventLine:
    return EventLine(
        "engine", f"engine {event.version} started, code {event.code_digest}, config {event.config_digest}"
    )


@line.register
def _engine_stopped(event: EngineStopped, _: Contracts) -> EventLine:
    return EventLine("engine", f"engine stopped: {event.reason}")


@line.register
def _epoch_began(event: EpochBegan, _: Contracts) -> EventLine:
    lost = f"the events after seq {event.restored_seq:,}, up to {event.replaced_seq:,}, are set aside"
    return EventLine("engine", f"restored from a backup by {event.who}: {event.why}; {lost}")


@line.register
def _configuration_reloaded(event: ConfigurationReloaded, _: Contracts) -> EventLine:
    changes = f"; {'; '.join(event.changes)}" if event.changes else ""
    return EventLine("engine", f"configuration reloaded by {event.who}: {event.why}{changes}")


@line.register
def _runner_configured(event: RunnerConfigured, _: Contracts) -> EventLine:
    capital, leverage = event.risk.get("capital_usdt"), event.risk.get("leverage")
    money_text = f" with {money(capital)} USDT" if capital is not None else ""
    leverage_text = f" at leverage {leverage:g}" if leverage is not None else ""
    name = introduced(event.strategy, event.of)
    return EventLine("engine", f"{name} runs on {', '.join(event.symbols)}{money_text}{leverage_text}")


@line.register
def _study_promoted(event: StudyPromoted, _: Contracts) -> EventLine:
    against = f", against advice: {event.against_advice}" if event.against_advice else ""
    result = f", {signed(event.mean_r)} R a trade" if event.mean_r is not None else ""
    promise = f"promises {event.trades_per_day:.2f} trades a day{result}"
    of = f"set {event.set_number:,} of the study {event.study} ({event.verdict})"
    return EventLine("alarm" if against else "engine", f"{event.strategy} follows {of}{against}; it {promise}")


@line.register
def _runner_paused(event: RunnerPaused, _: Contracts) -> EventLine:
    return EventLine("alarm", f"{event.strategy} {pause_words(event)}")


@line.register
def _runner_resumed(event: RunnerResumed, _: Contracts) -> EventLine:
    return EventLine("good", f"{event.strategy} resumed by {event.who}: {event.why}")


@line.register
def _strategy_failed(event: StrategyFailed, _: Contracts) -> EventLine:
    return EventLine("alarm", f"{event.strategy} is parked: {failure_words(event)}")


@line.register
def _anomaly_raised(event: AnomalyRaised, _: Contracts) -> EventLine:
    return EventLine("alarm", f"{reason_words(event.kind)}, {event.subject}: {event.detail}")


@line.register
def _anomaly_cleared(event: AnomalyCleared, _: Contracts) -> EventLine:
    return EventLine("good", f"cleared: {reason_words(event.kind)}, {event.subject}: {event.detail}")


@line.register
def _anomaly_persists(event: AnomalyPersists, _: Contracts) -> EventLine:
    age = duration(event.at_ms - event.raised_at_ms)
    return EventLine("alarm", f"{reason_words(event.kind)}, {event.subject}, persists after {age}: {event.detail}")


@line.register
def _repair_tried(event: RepairTried, _: Contracts) -> EventLine:
    return EventLine("engine", f"repair attempted for {reason_words(event.kind)}, {event.subject}: {event.detail}")


@line.register
def _close_requested(event: CloseRequested, _: Contracts) -> EventLine:
    return EventLine("order", f"{event.symbol}: {event.who} asks {event.strategy} to close: {event.why}")


def _scope(scope: str) -> str:
    return "all strategies" if scope == GLOBAL_SCOPE else scope


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
