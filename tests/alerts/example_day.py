"""Sample logs: a common beginning, and for every alert a short tape whose last event is worth it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from papertape.events.facts import (
    GLOBAL_SCOPE,
    AnomalyCleared,
    AnomalyPersists,
    AnomalyRaised,
    ConfigurationReloaded,
    ContractDelisted,
    EngineStopped,
    FeedConnected,
    FundingPaid,
    GapFilled,
    KillSwitchReset,
    KillSwitchTripped,
    Liquidated,
    OrderPlaced,
    PositionClosed,
    PositionOpened,
    RunnerPaused,
    RunnerResumed,
    Side,
    StrategyFailed,
    SymbolResumed,
    SymbolSuspended,
    Timing,
    TripReason,
)
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS
from papertape.projections.alerts.derive import Alerts
from tests.build import (
    BTC,
    CLOSES,
    DAY_0_MS,
    GALA,
    NOON_MS,
    candle_at,
    closed_rest,
    closed_whole,
    configured,
    connected,
    increased,
    liquidated_whole,
    listed,
    lost,
    opened,
    opened_whole,
    recorded,
    reduced,
    reset,
    started,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from papertape.events.facts import Event
    from papertape.events.log import Recorded
    from papertape.projections.alerts.alert import Alert


def market() -> list[Event]:
    """Two symbols and two strategies, running; noon of the first day."""
    return [
        started(),
        listed(BTC, (1, 10), (1, 10_000)),
        listed(GALA, (1, 100_000), (1, 1)),
        configured("momentum", (BTC, GALA)),
        configured("vwap_rsi", (BTC, GALA)),
        FeedConnected(DAY_0_MS, "bitget", DAY_0_MS, 1.0),
        candle_at(NOON_MS, BTC),
        candle_at(NOON_MS, GALA),
    ]


def ordered(symbol: str, side: Side, strategy: str = "momentum", **more: Any) -> OrderPlaced:
    return OrderPlaced(
        NOON_MS, strategy, symbol, "entry", side, "signal", 0.1, CLOSES[symbol], 0.003, 0.006, 49.99, 0.75, {}, **more
    )


def opened_btc(strategy: str = "momentum") -> PositionOpened:
    """LONG 0.1983 BTC: risk 50, margin a third of the notional."""
    price = 84_060.7
    return opened_whole(
        NOON_MS, strategy, BTC, "long", 0.1983, price, 84_018.7, 10.0, 8.33, 83_808.5, 84_565.1, 56_600.9, 5_556.41,
        50.0,
    )  # fmt: skip


def opened_gala(strategy: str = "vwap_rsi") -> PositionOpened:
    """SHORT GALA at a price below a cent."""
    return opened_whole(
        NOON_MS, strategy, GALA, "short", 1_302_083.0, 0.00384, 0.00384, 3.0, 2.5, 0.00385, 0.00381, 0.00508, 1_666.67,
        20.83,
    )  # fmt: skip


def closed_btc() -> PositionClosed:
    """At the target after 25 minutes."""
    gross = 0.1983 * (84_565.1 - 84_060.7)
    fees, funding = 20.06, -1.67
    net = gross - fees + funding
    return closed_whole(
        NOON_MS + 25 * MINUTE_MS, "momentum", BTC, "long", "target", 0.1983, NOON_MS, 84_060.7, 84_565.1, 84_607.4,
        10.06, gross, fees, funding, 16.7, net, net / 50.0, ambiguous=False,
    )  # fmt: skip


def closed_gala() -> PositionClosed:
    """At the stop, with the target in the same candle."""
    gross = -1_302_083.0 * 0.00001
    net = gross - 6.01
    return closed_whole(
        NOON_MS + 3 * MINUTE_MS, "vwap_rsi", GALA, "short", "stop", 1_302_083.0, NOON_MS, 0.00384, 0.00385, 0.00385,
        3.01, gross, 6.01, 0.0, 2.5, net, net / 20.83, ambiguous=True,
    )  # fmt: skip


def liquidated() -> Liquidated:
    return liquidated_whole(
        NOON_MS + 2 * HOUR_MS, "momentum", BTC, "long", "liquidation", 0.1983, NOON_MS, 84_060.7, 56_600.9, 56_600.9,
        0.0, -5_556.41, 10.0, -1.67, 8.33, -5_568.08, -111.36, ambiguous=False,
    )  # fmt: skip


def liquidated_gala() -> Liquidated:
    """The short position, at a price below a cent."""
    gross = -1_666.67
    net = gross - 3.0
    return liquidated_whole(
        NOON_MS + 2 * HOUR_MS, "vwap_rsi", GALA, "short", "liquidation", 1_302_083.0, NOON_MS, 0.00384, 0.00508,
        0.00508, 0.0, gross, 3.0, 0.0, 2.5, net, net / 20.83, ambiguous=False,
    )  # fmt: skip


def paid_gala() -> FundingPaid:
    at_ms = DAY_0_MS + 16 * HOUR_MS
    return FundingPaid(at_ms, "vwap_rsi", GALA, "short", at_ms, -0.001285, 1_302_083.0, 0.00384, -6.43)


def paid(amount_usdt: float = -6.42) -> FundingPaid:
    at_ms = DAY_0_MS + 16 * HOUR_MS
    return FundingPaid(at_ms, "momentum", BTC, "long", at_ms, 0.000385, 0.1983, 84_100.0, amount_usdt)


def tripped(
    scope: str = "momentum", reason: TripReason = "session_loss", at_ms: int = NOON_MS + HOUR_MS
) -> KillSwitchTripped:
    if scope == GLOBAL_SCOPE:
        return KillSwitchTripped(at_ms, scope, reason, 20_480.5, 20_480.5, 11_240.25, 45.0)
    if reason == "manual":
        return KillSwitchTripped(at_ms, scope, reason, 10_000.0, 10_120.0, 9_871.4, 0.0, "anna", "news at 14:00")
    return KillSwitchTripped(at_ms, scope, reason, 10_000.0, 10_120.0, 9_498.0, 5.0)


OPENED_BTC = opened(
    quantity_base=0.2, price_usdt=84_060.7, fee_usdt=10.09, at_ms=NOON_MS + MINUTE_MS, kind="limit",
    candle_open_ms=NOON_MS, targets=((84_565.1, 0.5), (85_069.4, 0.5)), stop_usdt=83_808.5,
)  # fmt: skip
ADDED_BTC = increased((0.2, 84_060.7), 0.1, 83_900.0, 2, fee_usdt=1.68, at_ms=NOON_MS + 5 * MINUTE_MS)
GROWN = (ADDED_BTC.position_base, ADDED_BTC.entry_price_usdt)
REDUCED_BTC = reduced(GROWN, 0.15, 84_565.1, fee_usdt=2.54, paid=(11.77, 0.0, 0.06), at_ms=NOON_MS + 20 * MINUTE_MS)
CLOSED_BTC = closed_rest(
    [REDUCED_BTC], 0.3, (GROWN[0] - 0.15, GROWN[1]), 84_300.0, "trailing_stop", 7.59, (5.885, 0.0, 0.03),
    at_ms=NOON_MS + 25 * MINUTE_MS,
)  # fmt: skip
IN_PARTS: list[Event] = [
    ordered(BTC, "long", kind="limit", price_usdt=84_060.7, trail_fraction=0.01),
    OPENED_BTC,
    ADDED_BTC,
    REDUCED_BTC,
]

BOTH_OPEN = [ordered(BTC, "long"), opened_btc(), ordered(GALA, "short", "vwap_rsi"), opened_gala()]
MOVED = [candle_at(NOON_MS + MINUTE_MS, BTC, 84_112.3), candle_at(NOON_MS + MINUTE_MS, GALA, 0.00383)]
TRIP_SEQ = len(market()) + 1


def momentum_reset(trip_seq: int = TRIP_SEQ) -> KillSwitchReset:
    return reset("momentum", trip_seq, NOON_MS + 3 * HOUR_MS, "the stop was too tight, changed")


def late(minutes: int, from_ms: int = NOON_MS + HOUR_MS) -> list[Event]:
    """So many minutes of both symbols, after the fact."""
    times = [from_ms + (minute + 1) * MINUTE_MS for minute in range(minutes)]
    return [candle_at(at_ms, symbol, timing=Timing.LATE) for at_ms in times for symbol in (BTC, GALA)]


BACK_MS = NOON_MS + HOUR_MS + 12 * MINUTE_MS
GAPS: list[Event] = [GapFilled(BACK_MS, symbol, NOON_MS + HOUR_MS, BACK_MS, 12) for symbol in (BTC, GALA)]
STALE = ("data_stale", GALA, "its newest candle is 6 min old")

NEXT_DAY_MS = DAY_0_MS + DAY_MS
A_DAY: list[Event] = [
    *BOTH_OPEN,
    candle_at(NOON_MS + 3 * MINUTE_MS, GALA, 0.00385),
    closed_gala(),
    candle_at(NOON_MS + 25 * MINUTE_MS, BTC, 84_607.4),
    closed_btc(),
    tripped("vwap_rsi", "daily_loss"),
    ordered(GALA, "short"),
    opened_gala("momentum"),
    *[candle_at(NEXT_DAY_MS + minute * MINUTE_MS, symbol) for minute in range(6) for symbol in (BTC, GALA)][:-1],
]

CASES: dict[str, list[Event]] = {
    "start_new_log": [started()],
    "start_again": [*market(), *BOTH_OPEN, *MOVED, tripped(), EngineStopped(NOON_MS + 2 * HOUR_MS, "asked to stop"),
                    started(NOON_MS + 3 * HOUR_MS)],
    "start_after_crash": [*market(), RunnerPaused(NOON_MS, "vwap_rsi", "anna", "holiday"), started(NOON_MS + HOUR_MS)],
    "stop": [*market(), *BOTH_OPEN, *MOVED, EngineStopped(NOON_MS + HOUR_MS, "asked to stop")],
    "entry_btc": [*market(), ordered(BTC, "long"), opened_btc()],
    "entry_gala": [*market(), ordered(GALA, "short", "vwap_rsi"), opened_gala()],
    "entry_limit": [*market(), *IN_PARTS[:2]],
    "part_added": [*market(), *IN_PARTS[:3]],
    "part_closed": [*market(), *IN_PARTS],
    "exit_parts": [*market(), *IN_PARTS, CLOSED_BTC],
    "exit_btc": [*market(), *BOTH_OPEN, candle_at(NOON_MS + 25 * MINUTE_MS, BTC, 84_607.4), closed_btc()],
    "exit_gala": [*market(), *BOTH_OPEN, candle_at(NOON_MS + 3 * MINUTE_MS, GALA, 0.00385), closed_gala()],
    "liquidation": [*market(), *BOTH_OPEN, candle_at(NOON_MS + 2 * HOUR_MS, BTC, 56_000.0), liquidated()],
    "liquidation_gala": [*market(), *BOTH_OPEN, candle_at(NOON_MS + 2 * HOUR_MS, GALA, 0.00509), liquidated_gala()],
    "funding": [*market(), *BOTH_OPEN, paid(-1.67), paid()],
    "funding_gala": [*market(), *BOTH_OPEN, paid_gala()],
    "kill_switch": [*market(), *BOTH_OPEN, *MOVED, tripped()],
    "kill_switch_last_active": [*market(), tripped("vwap_rsi"), tripped()],
    "kill_switch_global": [*market(), *BOTH_OPEN, *MOVED, tripped(GLOBAL_SCOPE, "global_loss")],
    "kill_switch_manual": [*market(), tripped("vwap_rsi", "manual")],
    "reset": [*market(), tripped(), momentum_reset()],
    "reset_still_held": [*market(), tripped(), tripped(GLOBAL_SCOPE, "global_loss"), momentum_reset()],
    "reload": [
        *market(),
        *BOTH_OPEN,
        ConfigurationReloaded(
            NOON_MS, "anna", "calmer", "5c0e", ("risk.leverage: 3 -> 2", "strategies.funding: opens no more positions")
        ),
    ],
    "pause": [*market(), *BOTH_OPEN, *MOVED, RunnerPaused(NOON_MS + HOUR_MS, "momentum", "anna", "holiday")],
    "resume": [*market(), RunnerPaused(NOON_MS, "momentum", "anna", "holiday"),
               RunnerResumed(NOON_MS + HOUR_MS, "momentum", "anna", "back again")],
    "strategy": [*market(), *BOTH_OPEN, *MOVED,
                 StrategyFailed(NOON_MS + HOUR_MS, "momentum", "leave", "momentum.py:31", "KeyError: 'x'", "BTCUSDT")],
    "feed_lost": [*market(), *BOTH_OPEN, *MOVED, lost()],
    "feed_back": [*market(), lost(), *late(12), *GAPS, connected(BACK_MS)],
    "feed_back_absence": [*market(), EngineStopped(NOON_MS, "asked to stop"), started(BACK_MS),
                          *late(72, NOON_MS), connected(BACK_MS)],
    "symbol_suspended": [*market(), *BOTH_OPEN, *MOVED,
                         SymbolSuspended(NOON_MS + HOUR_MS, GALA, "its candles are missing: the answer was empty")],
    "symbol_delisted": [*market(), *BOTH_OPEN, *MOVED, SymbolSuspended(NOON_MS + HOUR_MS, GALA, "it is gone"),
                        ContractDelisted(NOON_MS + 2 * HOUR_MS, GALA, "the exchange no longer lists it")],
    "symbol_resumed": [*market(), SymbolSuspended(NOON_MS, GALA, "its candles are missing"), GAPS[1],
                       SymbolResumed(BACK_MS, GALA, "its candles are there again")],
    "anomaly_raised": [*market(), AnomalyRaised(NOON_MS, *STALE)],
    "anomaly_persists": [*market(), AnomalyRaised(NOON_MS, *STALE),
                         AnomalyPersists(NOON_MS + HOUR_MS, "data_stale", GALA, "still nothing new", NOON_MS)],
    "anomaly_cleared": [*market(), AnomalyRaised(NOON_MS, *STALE),
                        AnomalyCleared(NOON_MS + 65 * MINUTE_MS, "data_stale", GALA, "a new candle came")],
    "anomaly_cleared_in_a_word": [*market(), AnomalyRaised(NOON_MS, *STALE),
                                  AnomalyCleared(NOON_MS + 2 * MINUTE_MS, "data_stale", GALA, "after 1m")],
    "no_progress": [*market(), AnomalyRaised(NOON_MS, "no_progress", "engine", "no candle of any symbol for 1h")],
    "daily": [*market(), *A_DAY],
}  # fmt: skip
"""The last event of each is told; the golden text has the case's name."""


def alerts_of(log: Iterable[Recorded], alerts: Alerts | None = None) -> list[Alert]:
    """Every alert of a log."""
    folded = Alerts() if alerts is None else alerts
    told = []
    for one in log:
        folded.apply(one)
        if (alert := folded.alert_of(one)) is not None:
            told.append(alert)
    return told


def last_alert(events: Iterable[Event], note: str = "") -> Alert:
    """Return the alert of the last event."""
    alerts, log = Alerts(), recorded(events)
    for one in log:
        alerts.apply(one)
    alert = alerts.alert_of(log[-1], note)
    assert alert is not None, f"{log[-1].event} yields no alert"
    return alert
