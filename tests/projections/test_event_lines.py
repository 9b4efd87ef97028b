"""Given an event, then its line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from papertape.events.facts import (
    EVENT_TYPES,
    GLOBAL_SCOPE,
    AnomalyCleared,
    AnomalyPersists,
    AnomalyRaised,
    CandleClosed,
    CloseRequested,
    Closing,
    ConfigurationReloaded,
    ContractDelisted,
    DataRefused,
    EngineStarted,
    EngineStopped,
    EpochBegan,
    Event,
    FeedConnected,
    FeedLost,
    FundingRateSettled,
    GapFilled,
    GapFound,
    KillSwitchTripped,
    Liquidated,
    OpenInterestObserved,
    OrderRejected,
    RepairTried,
    RunnerPaused,
    RunnerResumed,
    SignalReceived,
    StrategyFailed,
    SymbolResumed,
    SymbolSuspended,
    Timing,
    type_name,
)
from papertape.events.log import Recorded
from papertape.events.units import HOUR_MS, MINUTE_MS
from papertape.projections.folds.contracts import Contracts
from papertape.projections.host import fold
from papertape.projections.text.event_lines import ICONS, event_line, is_notable, line
from tests.build import (
    DAY_0_MS,
    cancelled,
    candle,
    closed,
    closed_rest,
    configured,
    funding_paid,
    increased,
    liquidated_whole,
    listed,
    opened,
    ordered,
    recorded,
    reduced,
    reset,
    stop_moved,
    targets_moved,
    tripped,
)
from tests.promises import promoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.events.facts import ContractListed


def contracts() -> Mapping[str, ContractListed]:
    view = Contracts()
    fold([view], recorded([listed("BTCUSDT", (1, 10), (1, 10_000)), listed("GALAUSDT", (1, 100_000), (1, 1))]))
    return view.by_symbol


def text_of(event: Event) -> str:
    return event_line(Recorded(1, 0, 0, event), contracts()).text


LIQUIDATED = liquidated_whole(
    DAY_0_MS + HOUR_MS, "momentum", "BTCUSDT", "short", "liquidation", 1.0, DAY_0_MS, 100.0, 133.0, 133.0, 0.0,
    -33.0, 0.06, 0.0, 0.05, -33.06, -16.53, ambiguous=False,
)  # fmt: skip
GALA = CandleClosed(DAY_0_MS, "GALAUSDT", MINUTE_MS, 0.00384, 0.00385, 0.00383, 0.00384, 1_500.0, Timing.LATE)

LINES: list[tuple[Event, str]] = [
    (listed("BTCUSDT", (1, 10), (1, 10_000)), "BTCUSDT is traded in 1m candles, tick 0.1, lot 0.0001 (configuration)"),
    (GALA, "GALAUSDT closed at 0.00384, open 0.00384, high 0.00385, low 0.00383, volume 1,500, late"),
    (candle(0, 84_018.7), "BTCUSDT closed at 84,018.7, open 84,018.7, high 84,018.7, low 84,018.7, volume 1"),
    (FundingRateSettled(DAY_0_MS, "BTCUSDT", 0.0001), "BTCUSDT funding settled at +0.0100 %"),
    (OpenInterestObserved(DAY_0_MS, "BTCUSDT", 51_234.5), "BTCUSDT open interest 51,234.5 coins"),
    (
        SignalReceived(DAY_0_MS, "BTCUSDT", "trend", -0.25, "tradingview", "a"),
        "BTCUSDT signal trend -0.25 from tradingview",
    ),
    (FeedConnected(DAY_0_MS, "bitget", DAY_0_MS, 1.0), "feed bitget connected"),
    (FeedConnected(DAY_0_MS, "sim", DAY_0_MS, 60.0), "feed sim connected, at 60 times real time"),
    (FeedConnected(DAY_0_MS, "file", DAY_0_MS, 0.0), "feed file connected, as fast as possible"),
    (FeedLost(DAY_0_MS, "bitget", "no pong"), "feed bitget lost: no pong"),
    (
        GapFound(DAY_0_MS, "BTCUSDT", DAY_0_MS, DAY_0_MS + MINUTE_MS, 1),
        "BTCUSDT is missing 1 candle from 2025-01-01 00:00 to 2025-01-01 00:01 UTC",
    ),
    (
        GapFilled(DAY_0_MS, "BTCUSDT", DAY_0_MS, DAY_0_MS + HOUR_MS, 60),
        "BTCUSDT received 60 late candles, from 2025-01-01 00:00 to 2025-01-01 01:00 UTC",
    ),
    (
        DataRefused(DAY_0_MS + HOUR_MS, "bitget", "not_json", 1_200, DAY_0_MS, "ws://x: <html>"),
        "bitget refused data 1,200 times in 1h, not json: ws://x: <html>",
    ),
    (
        ordered(),
        ("LONG BTCUSDT: momentum order: buy 0.1000 (about 100.0) at the next open: signal, score 0.75, risk 10.00"),
    ),
    (ordered("exit"), "LONG BTCUSDT: momentum order: close 0.1000 at the next open: signal"),
    (
        OrderRejected(DAY_0_MS, "momentum", "BTCUSDT", "short", "max_positions", 0.5, {}),
        "SHORT BTCUSDT: signal of momentum refused, the maximum number of positions is open, score 0.50",
    ),
    (
        OrderRejected(DAY_0_MS, "momentum", "BTCUSDT", "short", "max_positions", 0.0, {}),
        "SHORT BTCUSDT: signal of momentum refused, the maximum number of positions is open",
    ),
    (cancelled(), "LONG BTCUSDT: entry of momentum cancelled, the next candle arrived late"),
    (
        ordered(kind="limit", price_usdt=99.5, expires_at_ms=DAY_0_MS + 5 * MINUTE_MS),
        (
            "LONG BTCUSDT: momentum limit order: buy 0.1000 at 99.5, expires 2025-01-01 00:05 UTC: signal, score 0.75, "
            "risk 10.00"
        ),
    ),
    (
        ordered("add", kind="stop", price_usdt=101.0, rung=2),
        "LONG BTCUSDT: momentum stop order, add 2: buy 0.1000 at 101.0",
    ),
    (
        ordered("reduce", reduce_fraction=0.25),
        "LONG BTCUSDT: momentum order: close 25 % of the position at the next open",
    ),
    (
        OrderRejected(DAY_0_MS, "turtle", "BTCUSDT", "long", "units", 0.0, {}, "change"),
        "LONG BTCUSDT: change of orders by turtle refused, the position would become larger than the strategy allows",
    ),
    (
        cancelled(action="add", rung=3, reason="position_closed"),
        "LONG BTCUSDT: add 3 of momentum cancelled, the position was closed",
    ),
    (
        cancelled(action="target", rung=2, reason="below_minimum"),
        "LONG BTCUSDT: target 2 of momentum cancelled, the size is below the exchange's minimum",
    ),
    (stop_moved(97.0, 98.5), "LONG BTCUSDT: momentum moved the stop from 97.0 to 98.5"),
    (
        stop_moved(97.0, 97.0, (0.01, 0.02, 0.005)),
        "LONG BTCUSDT: momentum leaves the stop at 97.0, trailing by 1 % once 2 % ahead, break-even once 0.5 % ahead",
    ),
    (stop_moved(97.0, 97.0), "LONG BTCUSDT: momentum leaves the stop at 97.0, no longer trailing"),
    (
        targets_moved((103.0, 0.5), (105.0, 0.5)),
        "LONG BTCUSDT: momentum set the targets 103.0 for 50 %, 105.0 for 50 %",
    ),
    (targets_moved(), "LONG BTCUSDT: momentum removed its targets"),
    (
        opened(kind="limit", targets=((102.0, 0.4), (104.0, 0.6))),
        (
            "LONG BTCUSDT: momentum opened 1.0000 at 100.0 by a limit order (100.00 USDT), stop 99.0, "
            "targets 102.0 for 40 %, 104.0 for 60 %, fee 0.06"
        ),
    ),
    (
        opened(targets=()),
        "LONG BTCUSDT: momentum opened 1.0000 at 100.0 (100.00 USDT), stop 99.0, fee 0.06",
    ),
    (
        increased((1.0, 100.0), 1.0, 98.0),
        "LONG BTCUSDT: momentum added 1.0000 at 98.0 by a limit order, now 2.0000 at an average of 99.0, fee 0.02",
    ),
    (
        reduced((2.0, 99.0), 1.0, 102.0),
        "LONG BTCUSDT: momentum closed 1.0000 at 102.0: target 1, +2.95 USDT, 1.0000 still open",
    ),
    (
        closed_rest([reduced((2.0, 99.0), 1.0, 102.0)], 2.0, (1.0, 99.0), 97.0, "trailing_stop"),
        "LONG BTCUSDT: momentum closed at 97.0: trailing stop, +0.83 USDT in 2 parts (+0.42 %, +0.42 R) after 1h",
    ),
    (
        opened(),
        "LONG BTCUSDT: momentum opened 1.0000 at 100.0 (100.00 USDT), stop 99.0, target 102.0, fee 0.06",
    ),
    (closed(5.0), "LONG BTCUSDT: momentum closed at 105.0: stop, +4.88 USDT (+4.88 %, +2.44 R) after 1h"),
    (
        closed(-1_500.0, reason="rsi_exit", ambiguous=True),
        (
            "LONG BTCUSDT: momentum closed at -1,400.0: rsi exit, -1,500.12 USDT (-1500.12 %, -750.06 R) after 1h"
            ", stop and target in one candle"
        ),
    ),
    (LIQUIDATED, "SHORT BTCUSDT: momentum was liquidated at 133.0, -33.06 USDT (-33.06 %, -16.53 R) after 1h"),
    (funding_paid(-0.42), "LONG BTCUSDT: momentum paid funding -0.42 USDT at a rate of +0.0100 %"),
    (funding_paid(0.0042), "LONG BTCUSDT: momentum received funding +0.0042 USDT at a rate of +0.0100 %"),
    (
        tripped("momentum"),
        "momentum stopped, kill switch: session loss 5.02 % of 10,000.00 reached the limit of 5 %",
    ),
    (
        KillSwitchTripped(DAY_0_MS, GLOBAL_SCOPE, "global_loss", 40_000.0, 40_000.0, 22_000.0, 45.0),
        "all strategies stopped, global kill switch: global loss 45 % of 40,000.00 reached the limit of 45 %",
    ),
    (
        tripped("momentum", "manual", 9_900.0),
        "momentum stopped, kill switch: tripped by hand at an equity of 9,900.00",
    ),
    (reset("momentum", 7), "momentum reset by anna: looked at it (trip 7)"),
    (EngineStarted(DAY_0_MS, "1.0", "abc", "def"), "engine 1.0 started, code abc, config def"),
    (EngineStopped(DAY_0_MS, "asked to"), "engine stopped: asked to"),
    (
        EpochBegan(DAY_0_MS, 120, "ab12", 1_900, "anna", "a bad disk"),
        "restored from a backup by anna: a bad disk; the events after seq 120, up to 1,900, are set aside",
    ),
    (
        promoted(),
        ("momentum follows set 4,711 of the study momentum-btc (BET); it promises 2.00 trades a day, +0.50 R a trade"),
    ),
    (
        promoted(verdict="NO", against_advice="a try", mean_r=None),
        (
            "momentum follows set 4,711 of the study momentum-btc (NO), against advice: a try; "
            "it promises 2.00 trades a day"
        ),
    ),
    (configured(symbols=("A", "B")), "momentum runs on A, B with 10,000.00 USDT at leverage 3"),
    (SymbolSuspended(DAY_0_MS, "BTCUSDT", "candles are missing"), "BTCUSDT is not tradable: candles are missing"),
    (
        ContractDelisted(DAY_0_MS, "BTCUSDT", "the exchange no longer lists it"),
        (
            "BTCUSDT is delisted: the exchange no longer lists it; open positions are settled at its last close "
            "24 h after its last candle, or when they are closed"
        ),
    ),
    (SymbolResumed(DAY_0_MS, "BTCUSDT", "all is there"), "BTCUSDT is tradable again: all is there"),
    (CloseRequested(DAY_0_MS, "momentum", "BTCUSDT", "anna", "news"), "BTCUSDT: anna asks momentum to close: news"),
    (
        AnomalyPersists(DAY_0_MS + HOUR_MS, "data_stale", "BTCUSDT", "nothing new", DAY_0_MS),
        "data stale, BTCUSDT, persists after 1h: nothing new",
    ),
    (
        RepairTried(DAY_0_MS, "data_stale", "BTCUSDT", "subscribed again"),
        "repair attempted for data stale, BTCUSDT: subscribed again",
    ),
    (
        ConfigurationReloaded(DAY_0_MS, "anna", "calmer", "5c0e", ("risk.leverage: 3 -> 2", "groups.X: a -> b")),
        "configuration reloaded by anna: calmer; risk.leverage: 3 -> 2; groups.X: a -> b",
    ),
    (RunnerPaused(DAY_0_MS, "momentum", "anna", "holiday"), "momentum paused by anna: holiday"),
    (RunnerResumed(DAY_0_MS, "momentum", "anna", "back"), "momentum resumed by anna: back"),
    (
        StrategyFailed(DAY_0_MS, "grid", "leave", "grid.py:31", "KeyError: 'x'", "BTCUSDT"),
        "grid is parked: leave failed at grid.py:31 on BTCUSDT, 2025-01-01 00:00 UTC: KeyError: 'x'",
    ),
    (
        StrategyFailed(DAY_0_MS, "grid", "", "", "its file is missing"),
        "grid is parked: its file is missing",
    ),
    (AnomalyRaised(DAY_0_MS, "feed_stale", "BTCUSDT", "6 min old"), "feed stale, BTCUSDT: 6 min old"),
    (AnomalyCleared(DAY_0_MS, "feed_stale", "BTCUSDT", "fresh"), "cleared: feed stale, BTCUSDT: fresh"),
]


@pytest.mark.parametrize(
    ("event", "text"), LINES, ids=lambda value: type_name(value) if isinstance(value, Event) else ""
)
def test_an_event_in_words(event: Event, text: str) -> None:
    assert text_of(event) == text


def test_every_event_type_has_its_own_words_and_an_example_here() -> None:
    shown = {type(event) for event, _ in LINES}
    without = [
        kind.__name__ for kind in EVENT_TYPES if line.dispatch(kind) is line.dispatch(Event) or kind not in shown
    ]
    assert not without, f"add words and an example for {without}"


def test_an_event_without_words_is_refused_by_name() -> None:
    class CometSeen(Event, frozen=True):
        """An event type without words."""

    with pytest.raises(TypeError, match="CometSeen has no words"):
        text_of(CometSeen(0))


def test_every_kind_has_its_own_icon() -> None:
    kinds = {event_line(Recorded(1, 0, 0, event), contracts()).kind for event, _ in LINES}
    assert kinds == set(ICONS)
    assert len(set(ICONS.values())) == len(ICONS)


def test_an_unknown_contract_still_shows_a_small_price() -> None:
    assert text_of(candle(0, 0.00384, "NEWUSDT")).startswith("NEWUSDT closed at 0.00384,")


def test_a_win_and_a_loss_have_different_kinds() -> None:
    assert [line(closed(gross), {}).kind for gross in (5.0, -5.0)] == ["won", "lost"]
    assert issubclass(Liquidated, Closing)


def test_market_data_is_not_notable() -> None:
    dull = {type(event) for event, _ in LINES if not is_notable(event)}
    assert dull == {CandleClosed, FundingRateSettled, OpenInterestObserved, SignalReceived}
