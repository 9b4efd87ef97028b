"""Liveness, readiness and idleness, with the reasons if the engine is not ready."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from papertape.events.facts import EngineStarted, EngineStopped, Event, FeedConnected, FeedLost, KillSwitchTripped
from papertape.projections.site.ports import EngineStatus
from papertape.projections.site.readiness import BEHIND_EVENTS_MAX, DISK_BYTES_MIN, readiness
from papertape.projections.watchdog.anomalies import AnomalyCase
from papertape.projections.watchdog.checks import AnomalyKind, DetectedProblem
from papertape.projections.watchdog.watchdog import WatchdogView
from tests.build import DAY_0_MS, candle, configured, recorded, tripped
from tests.events.loop import in_loop
from tests.telegram.bot_rig import views_of
from tests.web.site import BEARER, ListTimeline, client_of, example_day, gate_of, site_of, status

RUNNING: list[Event] = [
    EngineStarted(DAY_0_MS, "1", "code", "config"),
    configured("momentum"),
    FeedConnected(DAY_0_MS, "sim", 0, 1.0),
    candle(0, 100.0),
]
LOST = FeedLost(DAY_0_MS, "sim", "no route to host")
STALE = DetectedProblem(AnomalyKind.DATA_STALE, "BTCUSDT", "no candle for 6m")
GLOBAL = KillSwitchTripped(DAY_0_MS, "global", "manual", 1.0, 1.0, 1.0, 0.0, "anna", "odd")


def watchdog_view(*troubles: DetectedProblem) -> WatchdogView:
    """Return a watchdog's view with these problems."""
    anomalies: tuple[AnomalyCase, ...] = ()
    return WatchdogView(1, 1, anomalies, troubles, ())


CASES: dict[str, tuple[list[Event], EngineStatus | None, list[str], str]] = {
    "it trades": (RUNNING, status(watchdog=watchdog_view()), [], ""),
    "without a watchdog too": (RUNNING, status(), [], ""),
    "no log": ([], None, ["no_log"], ""),
    "a fault": (RUNNING, None, ["stopped_by_fault"], ""),
    "stopped on purpose": ([*RUNNING, EngineStopped(1, "asked to stop")], None, ["no_engine"], ""),
    "the backtest is over": ([*RUNNING, EngineStopped(1, "the backtest ended")], None, [], "the backtest ended"),
    "the market is over, the engine gone": (
        [*RUNNING, EngineStopped(1, "the market ended")],
        None,
        [],
        "the market ended",
    ),
    "the market is over, the engine up": ([*RUNNING, LOST], status(market_ended=True), [], "the market ended"),
    "started again, not connected": ([*RUNNING, RUNNING[0]], status(), ["feed_lost"], ""),
    "the feed is lost": ([*RUNNING, LOST], status(), ["feed_lost"], ""),
    "the feed is back": ([*RUNNING, LOST, RUNNING[2]], status(), [], ""),
    "a symbol is stale": (RUNNING, status(watchdog=watchdog_view(STALE)), ["feed_stale"], ""),
    "too early to tell": (RUNNING, status(watchdog=watchdog_view(replace(STALE, covered=True))), [], ""),
    "no room": (RUNNING, status(disk_free_bytes=DISK_BYTES_MIN - 1), ["log_not_writable"], ""),
    "ending": (RUNNING, status(ending=True), ["stopping"], ""),
    "all stopped": ([*RUNNING, GLOBAL], status(), [], "the global kill switch is tripped"),
    "the only one stopped": ([*RUNNING, tripped("momentum")], status(), [], "no strategy may open a position"),
}


@pytest.mark.parametrize("name", CASES)
def test_readiness(name: str) -> None:
    events, engine, codes, idle = CASES[name]
    found = readiness(views_of(events), engine, len(events))
    assert [one.code for one in found.reasons] == codes
    assert found.ready is (not codes)
    assert idle in found.idle if idle else found.idle == ""
    assert all(one.text for one in found.reasons)


def test_views_far_behind_are_not_ready_and_report_their_lag() -> None:
    found = readiness(views_of(RUNNING), status(), 4 + BEHIND_EVENTS_MAX + 1)
    assert [(one.code, one.text) for one in found.reasons] == [("recovering", "reading the log: 4/10,005")]
    assert not found.ready
    unread = readiness(views_of(RUNNING), None, 5)
    assert [one.code for one in unread.reasons] == ["recovering"], "how it ended was not read yet"


class EngineWithStatus:
    """An engine with a given status."""

    def __init__(self, what: EngineStatus | None) -> None:
        self.what = what

    async def status(self) -> EngineStatus | None:
        return self.what


def site_saying(events: list[Event], what: EngineStatus | None) -> Any:
    """Return a site whose engine has this status."""
    return replace(site_of(recorded(events)), engine=EngineWithStatus(what))


@pytest.mark.system
@in_loop
async def test_the_status_code_matches_the_readiness() -> None:
    for events, engine, codes, _ in CASES.values():
        async with client_of(site_saying(events, engine), gate_of(reading_open=False)) as client:
            ready = await client.get("/ready")
            assert (ready.status_code, ready.json()["ready"]) == ((503, False) if codes else (200, True))
            assert (await client.get("/live")).json() == {"live": True}
            health = await client.get("/health", headers=BEARER)
            assert health.status_code == ready.status_code
            assert health.json()["ready"] == ready.json()
            assert health.json()["web"]["streams_open"] == 0
            told = (await client.get("/api/v1/status", headers=BEARER)).json()
            assert told["ready"] == ready.json()["ready"]
            assert told["as_of"]["seq"] == told["head_seq"] == len(events)


@in_loop
async def test_metrics_are_those_of_the_views() -> None:
    site = site_of(example_day())
    timeline = site.timeline
    assert isinstance(timeline, ListTimeline)
    hostile = 'momentum"} 1\npapertape_ready{x="\\'
    timeline.grow(recorded([configured(hostile)], timeline.head_seq + 1))
    async with client_of(site) as client:
        lines = (await client.get("/metrics")).text.splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    portfolio = timeline.views.portfolio
    assert float(found["papertape_log_head_seq"]) == timeline.head_seq
    assert float(found["papertape_web_tasks"]) >= 1.0
    for account in portfolio.accounts()[:2]:
        assert float(found[f'papertape_equity_usdt{{strategy="{account.strategy}"}}']) == account.equity_usdt
        assert float(found[f'papertape_state{{state="{account.state}",strategy="{account.strategy}"}}']) == 1.0
    assert sum(line.startswith("papertape_ready") for line in lines) == 1
