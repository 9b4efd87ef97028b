"""Every alert as the owner reads it, stored in `golden/`. `PAPERTAPE_GOLDEN=write` rewrites the files."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from papertape.events.facts import (
    EVENT_TYPES,
    CloseRequested,
    DataRefused,
    EpochBegan,
    FundingRateSettled,
    GapFilled,
    GapFound,
    OpenInterestObserved,
    OrderRejected,
    RepairTried,
    SignalReceived,
)
from papertape.events.units import HOUR_MS
from papertape.projections.alerts.alert import AlertKind
from papertape.projections.alerts.derive import SILENT_EVENTS, Alerts
from papertape.projections.alerts.digest import Digest, digest_text
from papertape.projections.alerts.heartbeat import heartbeat_text, heartbeat_view
from papertape.projections.alerts.texts import Stamp, fault_text
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.host import fold
from tests.alerts.example_day import (
    A_DAY,
    BOTH_OPEN,
    CASES,
    MOVED,
    alerts_of,
    last_alert,
    market,
    momentum_reset,
    tripped,
)
from tests.alerts.html_rules import faults
from tests.build import (
    NOON_MS,
    cancelled,
    configured,
    listed,
    lost,
    ordered,
    recorded,
    stop_moved,
    targets_moved,
)
from tests.promises import promoted

GOLDEN = Path(__file__).parent / "golden"
NOTE = "123,456 events replayed in 412 ms"


def said_by_the_log(name: str) -> str:
    return last_alert(CASES[name], NOTE).html


def digest() -> str:
    alerts, backlog = Alerts(), Digest()
    trip_seq = len(market()) + len(A_DAY) + 2
    for one in recorded([*market(), *A_DAY, lost(), tripped(), momentum_reset(trip_seq)]):
        alerts.apply(one)
        backlog.apply(one, alerts.alert_of(one))
    return digest_text(backlog.view())


def heartbeat(evaluations: int) -> str:
    portfolio = Portfolio()
    fold([portfolio], recorded([*market(), *BOTH_OPEN, *MOVED]))
    at_ms, age_ms = NOON_MS + HOUR_MS, 34_000
    view = heartbeat_view(portfolio.view(), at_ms=at_ms, evaluations=evaluations, candle_age_ms=age_ms)
    return heartbeat_text(view)


def fault() -> str:
    portfolio = Portfolio()
    fold([portfolio], recorded([*market(), *BOTH_OPEN, *MOVED]))
    return fault_text(Stamp(14, NOON_MS), "LogWriteFailed: no space left on device", portfolio.positions())


QUIET = [
    listed("ETHUSDT", (1, 100), (1, 10_000)),
    configured("funding", ("BTCUSDT",)),
    FundingRateSettled(NOON_MS, "BTCUSDT", 0.0001),
    OpenInterestObserved(NOON_MS, "BTCUSDT", 51_234.5),
    SignalReceived(NOON_MS, "BTCUSDT", "trend", 1.0, "api", "a"),
    GapFound(NOON_MS, "BTCUSDT", NOON_MS - HOUR_MS, NOON_MS, 60),
    GapFilled(NOON_MS, "BTCUSDT", NOON_MS - HOUR_MS, NOON_MS, 60),
    DataRefused(NOON_MS, "bitget", "stale", 12, NOON_MS - HOUR_MS, "BTCUSDT: ticker of 1"),
    ordered(),
    OrderRejected(NOON_MS, "momentum", "BTCUSDT", "short", "max_positions", 0.5, {}),
    cancelled(),
    stop_moved(99.0, 99.5),
    targets_moved((103.0, 1.0)),
    EpochBegan(NOON_MS, 3, "ab12", 9, "anna", "a bad disk"),
    CloseRequested(NOON_MS, "momentum", "BTCUSDT", "anna", "news"),
    RepairTried(NOON_MS, "data_stale", "BTCUSDT", "subscribed again"),
    promoted(),
]
OTHERS = {
    "digest": digest,
    "heartbeat": lambda: heartbeat(240),
    "fault": fault,
}
TEXTS: dict[str, Callable[[], str]] = {**{name: partial(said_by_the_log, name) for name in CASES}, **OTHERS}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_reads_as_its_golden_file(name: str) -> None:
    html = TEXTS[name]()
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("PAPERTAPE_GOLDEN") == "write":
        path.write_text(html + "\n", encoding="utf-8")
    assert html + "\n" == path.read_text(encoding="utf-8")
    assert faults(html) == []


def test_there_is_no_golden_file_without_a_text() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(TEXTS)


def test_every_kind_has_a_golden_text() -> None:
    kinds = {last_alert(events).kind for events in CASES.values()}
    assert kinds | {AlertKind.FAULT} == set(AlertKind)


def test_every_event_type_is_reported_or_deliberately_silent() -> None:
    told = {type(events[-1]) for events in CASES.values()}
    undecided = [kind.__name__ for kind in EVENT_TYPES if (kind in told) == (kind in SILENT_EVENTS)]
    assert not undecided, (
        f"decide on {undecided}: tell it in projections/alerts/derive.py with a case in tests/alerts/example_day.py, "
        "or name it in SILENT_EVENTS"
    )


def test_silent_events_yield_no_alert() -> None:
    assert {type(event) for event in QUIET} == SILENT_EVENTS
    assert [alert.seq for alert in alerts_of(recorded([*market(), *QUIET]))] == [1]


def test_only_the_last_event_has_an_alert() -> None:
    alerts = Alerts()
    first, second = recorded([*market()])[:2]
    fold([alerts], [first, second])
    with pytest.raises(AssertionError, match="applied last"):
        alerts.alert_of(first)
    assert alerts.alert_of(second) is None
