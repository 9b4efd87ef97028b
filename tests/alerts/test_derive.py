"""Which events are reported, how loudly, and that a restarted notifier derives the same alerts."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from papertape.events.facts import (
    GLOBAL_SCOPE,
    AnomalyCleared,
    AnomalyPersists,
    AnomalyRaised,
    EngineStopped,
    Event,
    KillSwitchReset,
    RunnerPaused,
)
from papertape.events.units import DAY_MS, MINUTE_MS
from papertape.projections.alerts.alert import Alert, AlertKind
from papertape.projections.alerts.derive import Alerts
from papertape.projections.alerts.digest import Digest
from papertape.projections.alerts.settings import AlertSettings
from papertape.projections.alerts.texts import NONE_ACTIVE
from papertape.projections.host import fold
from tests.alerts.example_day import (
    A_DAY,
    BOTH_OPEN,
    CASES,
    NEXT_DAY_MS,
    STALE,
    alerts_of,
    last_alert,
    market,
    opened_btc,
    paid,
    tripped,
)
from tests.alerts.random_log import lengths, random_log, seeds
from tests.build import NOON_MS, candle_at, lost, recorded, started


def kinds(events: list[Event], settings: AlertSettings | None = None) -> list[AlertKind]:
    """The kinds told after the market stands."""
    told = alerts_of(recorded([*market(), *events]), Alerts(settings))
    return [alert.kind for alert in told if alert.seq > len(market())]


def test_alerts_before_the_first_candle_show_no_time_or_duration() -> None:
    """Market time begins with the first candle: a command before it stands at 0, which is no time to count from."""
    reset = KillSwitchReset(NOON_MS, GLOBAL_SCOPE, 2, "anna", "a drill")
    told = alerts_of(recorded([started(0), tripped(GLOBAL_SCOPE, "manual", 0), reset]))
    digest = Digest()
    for one, alert in zip(recorded([started(0), tripped(GLOBAL_SCOPE, "manual", 0), reset]), told, strict=True):
        digest.apply(one, alert)
    early = Digest()
    early.apply(recorded([started(0)])[0], told[0])
    for html in (*(alert.html for alert in told), digest.html(), early.html()):
        assert "1970" not in html and not re.search(r"\d{4}d", html), html


@given(seeds, lengths, st.floats(0.0, 1.0))
def test_a_restarted_notifier_derives_exactly_the_same_alerts(seed: int, length: int, share: float) -> None:
    log = random_log(seed, length)
    told, delivered = alerts_of(log), int(share * len(log))
    again = Alerts()
    fold([again], log[:delivered])
    assert alerts_of(log[delivered:], again) == [alert for alert in told if alert.seq > delivered]
    assert len({alert.key for alert in told}) == len(told)


@given(seeds, lengths)
def test_deriving_an_alert_changes_nothing(seed: int, length: int) -> None:
    alerts = Alerts()
    for one in random_log(seed, length):
        alerts.apply(one)
        assert alerts.alert_of(one) == alerts.alert_of(one)


def test_an_alert_has_the_seq_time_and_kind_of_its_event() -> None:
    events = CASES["entry_btc"]
    alert = last_alert(events)
    assert (alert.seq, alert.at_ms, alert.key) == (len(events), NOON_MS, f"{len(events)}:entry")
    assert not alert.urgent
    assert last_alert(CASES["kill_switch"]).urgent


def test_a_kind_can_be_on_silent_or_off() -> None:
    opening = [*market(), *BOTH_OPEN[:2]]

    def last(settings: AlertSettings) -> list[Alert]:
        return [one for one in alerts_of(recorded(opening), Alerts(settings)) if one.kind is AlertKind.ENTRY]

    assert [one.silent for one in last(AlertSettings())] == [False]
    assert [one.silent for one in last(AlertSettings(entry="silent"))] == [True]
    assert last(AlertSettings(entry="off")) == []


def test_every_kind_has_a_loudness() -> None:
    assert {AlertSettings().loudness(kind) for kind in AlertKind} == {"on", "silent"}
    keys = set(AlertSettings.__struct_fields__) - {"funding_paid_usdt_min"}
    assert keys == {kind.value for kind in AlertKind}


def test_a_start_after_a_crash_rings_and_reports_it() -> None:
    crash, planned = [*market(), started()], [*market(), EngineStopped(NOON_MS, "asked"), started()]
    assert not last_alert(crash).silent
    assert "did not shut down cleanly" in last_alert(crash).html
    assert last_alert(planned).silent
    assert "without a stop" not in last_alert(planned).html
    assert kinds(crash[-1:], AlertSettings(start="off")) == []


def test_only_paid_funding_of_at_least_the_limit_is_reported() -> None:
    assert kinds([opened_btc(), paid(-4.99)]) == [AlertKind.ENTRY]
    assert kinds([opened_btc(), paid(-5.0)]) == [AlertKind.ENTRY, AlertKind.FUNDING]
    assert kinds([opened_btc(), paid(500.0)]) == [AlertKind.ENTRY]
    every = AlertSettings(funding_paid_usdt_min=0.0)
    assert kinds([opened_btc(), paid(0.0), paid(-0.01)], every) == [AlertKind.ENTRY, AlertKind.FUNDING]


def test_an_anomaly_is_raised_once_then_repeated_then_cleared() -> None:
    raised = AnomalyRaised(NOON_MS, *STALE)
    persists = AnomalyPersists(NOON_MS, *STALE, NOON_MS)
    cleared = AnomalyCleared(NOON_MS, *STALE)
    assert kinds([raised, raised, raised, persists, cleared, cleared]) == [AlertKind.ANOMALY] * 3
    assert kinds([cleared, persists]) == []
    assert len(kinds([raised, replace(raised, subject="BTCUSDT")])) == 2


def test_stopping_the_last_active_strategy_is_highlighted() -> None:
    first, last = tripped("momentum"), tripped("vwap_rsi")
    told = alerts_of(recorded([*market(), first, last, replace(last, reason="manual")]))[1:]
    assert [NONE_ACTIVE in alert.html for alert in told] == [False, True, False]
    paused = RunnerPaused(NOON_MS, "vwap_rsi", "anna", "holiday")
    assert NONE_ACTIVE in last_alert([*market(), first, paused]).html
    assert "ALL STRATEGIES" in last_alert([*market(), tripped(GLOBAL_SCOPE, "global_loss")]).html


def test_a_trip_lists_the_open_positions_of_its_scope() -> None:
    own = last_alert([*market(), *BOTH_OPEN, tripped("momentum")]).html
    assert "still open: <b>1</b>" in own
    assert "GALAUSDT" not in own
    assert "still open: <b>2</b>" in last_alert([*market(), *BOTH_OPEN, tripped(GLOBAL_SCOPE, "global_loss")]).html


def test_the_daily_summary_is_sent_once_at_five_past_midnight() -> None:
    told = [alert for alert in alerts_of(recorded([*market(), *A_DAY])) if alert.kind is AlertKind.DAILY]
    assert [alert.at_ms for alert in told] == [NEXT_DAY_MS + 5 * MINUTE_MS]
    later = [candle_at(NEXT_DAY_MS + minute * MINUTE_MS) for minute in range(6, 30)]
    assert kinds([*A_DAY, *later]).count(AlertKind.DAILY) == 1


def test_days_without_the_engine_have_no_summary_and_the_last_day_before_keeps_its_own() -> None:
    back_ms = NOON_MS + 3 * DAY_MS
    assert kinds([candle_at(back_ms), candle_at(back_ms + DAY_MS)]) == [AlertKind.DAILY] * 2


def test_a_summary_waits_if_the_same_candle_ends_an_outage() -> None:
    due_ms = NEXT_DAY_MS + 5 * MINUTE_MS
    healed = [lost(NEXT_DAY_MS), replace(CASES["feed_back"][-1], at_ms=NEXT_DAY_MS + 4 * MINUTE_MS)]
    told = kinds([*healed, candle_at(due_ms), candle_at(due_ms + MINUTE_MS)])
    assert told == [AlertKind.FEED, AlertKind.FEED, AlertKind.DAILY]
