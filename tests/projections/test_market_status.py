"""Whether the feed delivers, which symbols are not tradable, and which anomalies are open."""

from __future__ import annotations

from papertape.events.facts import (
    AnomalyCleared,
    AnomalyPersists,
    AnomalyRaised,
    ContractDelisted,
    DataRefused,
    EngineStarted,
    Event,
    FeedConnected,
    FeedLost,
    SymbolResumed,
    SymbolSuspended,
)
from papertape.events.units import HOUR_MS
from papertape.projections.folds.market_status import (
    ANOMALIES_MAX,
    AnomalyView,
    FeedView,
    RefusedView,
    SuspendedView,
)
from papertape.projections.folds.portfolio import Portfolio, PortfolioView
from tests.build import DAY_0_MS, recorded

CONNECTED = FeedConnected(DAY_0_MS, "bitget", DAY_0_MS, 1.0)
LOST = FeedLost(DAY_0_MS + HOUR_MS, "bitget", "no network")


def view(*events: Event) -> PortfolioView:
    portfolio = Portfolio()
    for one in recorded(events):
        portfolio.apply(one)
    return portfolio.view()


def test_a_feed_delivers_until_it_is_lost_and_again_when_it_is_back() -> None:
    assert view().feed is None
    assert view(CONNECTED).feed == FeedView("bitget", True, DAY_0_MS, "")
    assert view(CONNECTED, LOST).feed == FeedView("bitget", False, DAY_0_MS + HOUR_MS, "no network")
    assert view(LOST, CONNECTED).feed == FeedView("bitget", True, DAY_0_MS, "")


def test_symbols_are_not_tradable_until_they_are_resumed() -> None:
    held = [SymbolSuspended(DAY_0_MS + number, symbol, "a hole") for number, symbol in enumerate("AB")]
    assert view(*held).suspended == (
        SuspendedView("A", DAY_0_MS, "a hole"),
        SuspendedView("B", DAY_0_MS + 1, "a hole"),
    )
    assert [one.symbol for one in view(*held, SymbolResumed(DAY_0_MS, "A", "healed")).suspended] == ["B"]


def test_a_delisted_symbol_is_not_tradable_and_says_so() -> None:
    found = [SymbolSuspended(DAY_0_MS, "A", "gone"), ContractDelisted(DAY_0_MS + 1, "A", "not listed any more")]
    assert view(*found).suspended == (SuspendedView("A", DAY_0_MS, "delisted: not listed any more"),)
    assert view(*found, SymbolResumed(DAY_0_MS + 2, "A", "back")).suspended == ()


def test_an_anomaly_stays_open_until_it_is_cleared() -> None:
    raised = AnomalyRaised(DAY_0_MS, "clock_skew", "this machine's clock", "3 s ahead")
    assert view(raised).anomalies == (AnomalyView("clock_skew", "this machine's clock", DAY_0_MS, "3 s ahead"),)
    assert view(raised, AnomalyCleared(DAY_0_MS, "clock_skew", "this machine's clock", "right")).anomalies == ()
    renewed = AnomalyPersists(DAY_0_MS + 1, "clock_skew", "this machine's clock", "7 s behind", DAY_0_MS)
    shown = AnomalyView("clock_skew", "this machine's clock", DAY_0_MS, "7 s behind")
    assert view(raised, renewed).anomalies == (shown,)


def test_open_anomalies_are_bounded() -> None:
    many = [AnomalyRaised(DAY_0_MS, "silent", str(number), "") for number in range(ANOMALIES_MAX + 5)]
    anomalies = view(*many).anomalies
    assert (len(anomalies), anomalies[0].subject) == (ANOMALIES_MAX, "5")


def test_refused_data_is_counted_by_reason_since_the_engine_started() -> None:
    def refused(hour: int, reason: str, count: int, newest: str) -> DataRefused:
        return DataRefused(DAY_0_MS + hour * HOUR_MS, "bitget", reason, count, DAY_0_MS, newest)

    events = [refused(1, "stale", 2, "a"), refused(1, "not_json", 1, "b"), refused(2, "stale", 40, "c")]
    at_ms = DAY_0_MS + HOUR_MS
    assert view(*events).refused == (
        RefusedView("not_json", 1, at_ms, 1, "b"),
        RefusedView("stale", 42, at_ms + HOUR_MS, 40, "c"),
    )
    again = EngineStarted(DAY_0_MS, "1", "code", "config")
    assert view(*events, again, events[0]).refused == (RefusedView("stale", 2, at_ms, 2, "a"),)
