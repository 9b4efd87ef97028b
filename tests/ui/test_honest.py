"""Pages are honest about the present: old figures have their date, and every problem is shown."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import asdict, replace

from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.events.facts import (
    AnomalyRaised,
    EngineStarted,
    EngineStopped,
    FeedConnected,
    FeedLost,
    RunnerPaused,
    StrategyFailed,
    SymbolSuspended,
)
from papertape.events.units import DAY_MS
from papertape.projections.text.formats import gain, utc
from papertape.projections.watchdog.checks import AnomalyKind, DetectedProblem
from papertape.projections.watchdog.watchdog import WatchdogView
from tests.build import candle, configured, opened, recorded, tripped
from tests.events.loop import in_loop
from tests.ui.site_pages import Elements, visiting
from tests.web.site import Absent, site_of, status

if TYPE_CHECKING:
    from papertape.events.facts import Event
    from papertape.projections.site.ports import EngineStatus, Site

TODAY_MS = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS
NO_PROBLEMS = "No problems"


def begun(at_ms: int) -> list[Event]:
    """Return the events of a trading engine, with candles up to a moment."""
    minutes = [candle(number, 100.0 + number, start_ms=at_ms - 3 * 60_000) for number in range(3)]
    return [
        EngineStarted(at_ms, "test", "code", "config"),
        replace(configured("momentum"), risk=asdict(RiskSettings())),
        FeedConnected(at_ms, "bitget", at_ms, 1.0),
        *minutes,
    ]


class Answers(Absent):
    """An engine that only answers with its status."""

    def __init__(self, said: EngineStatus) -> None:
        self._said = said

    async def status(self) -> EngineStatus:
        return self._said


def live(*events: Event, **changes: object) -> Site:
    """Return a site with an engine that answers."""
    return site_of(recorded(events), Answers(status(**changes)))


async def text_of(site: Site, address: str) -> str:
    async with visiting(site) as client:
        return Elements((await client.get(address)).text).text


@pytest.mark.parametrize("address", ["/", "/strategy/momentum", "/trades", "/arena"])
@pytest.mark.parametrize("ends", [[], [EngineStopped(TODAY_MS, "the backtest ended")]], ids=["stopped", "backtest"])
@in_loop
async def test_old_figures_are_labelled_with_their_date(address: str, ends: list[Event]) -> None:
    old_ms = TODAY_MS - 20 * DAY_MS
    text = await text_of(site_of(recorded([*begun(old_ms), *ends])), address)
    assert "Today" not in text
    assert f"{utc(old_ms)[:10]} {gain(0.0)}" in text


@in_loop
async def test_todays_figures_are_labelled_today_and_past_ones_with_their_date() -> None:
    site = live(*begun(TODAY_MS + 4 * 60_000))
    assert f"Today {gain(0.0)}" in await text_of(site, "/")
    then = await text_of(site, "/?as_of=6")
    assert "Today" not in then
    assert f"{utc(TODAY_MS)[:10]} {gain(0.0)}" in then


def watchdog_view(kind: AnomalyKind, *, covered: bool = False) -> WatchdogView:
    """Return the view of a watchdog with one problem."""
    return WatchdogView(
        1, 1, (), (DetectedProblem(kind, "BTCUSDT", "the newest candle is 9m old", covered=covered),), ()
    )


@in_loop
async def test_no_problems_are_shown_only_without_problems() -> None:
    assert NO_PROBLEMS in await text_of(live(*begun(TODAY_MS)), "/system")


@pytest.mark.parametrize(
    ("events", "said", "words"),
    [
        ([FeedLost(TODAY_MS, "bitget", "timed out")], {}, "bitget timed out"),
        ([EngineStarted(TODAY_MS, "test", "code", "config")], {}, "it has not connected since the start"),
        ([], {"disk_free_bytes": 1_000}, "only 1,000 bytes are free on the log's disk"),
        ([], {"ending": True}, "the engine is ending"),
        ([], {"watchdog": watchdog_view(AnomalyKind.DATA_STALE)}, "the newest candle is 9m old"),
        ([], {"watchdog": watchdog_view(AnomalyKind.COMMIT_SLOW)}, "the newest candle is 9m old"),
        ([AnomalyRaised(TODAY_MS, "disk_low", "log", "2 % are free")], {}, "2 % are free"),
        ([SymbolSuspended(TODAY_MS, "BTCUSDT", "delisted")], {}, "BTCUSDT is not tradable"),
        ([tripped("momentum")], {}, "momentum stopped"),
    ],
)
@in_loop
async def test_every_problem_is_shown_and_excludes_no_problems(
    events: list[Event], said: dict[str, object], words: str
) -> None:
    text = await text_of(live(*begun(TODAY_MS), *events, **said), "/system")
    assert words in text
    assert NO_PROBLEMS not in text


@in_loop
async def test_a_past_problem_is_shown_on_the_page_as_of_then() -> None:
    site = live(
        *begun(TODAY_MS), FeedLost(TODAY_MS, "bitget", "timed out"), FeedConnected(TODAY_MS, "bitget", TODAY_MS, 1.0)
    )
    assert NO_PROBLEMS not in await text_of(site, "/system?as_of=7")
    assert NO_PROBLEMS in await text_of(site, "/system?as_of=8")


@in_loop
async def test_without_an_engine_the_feed_is_not_called_connected() -> None:
    events = [*begun(TODAY_MS), EngineStopped(TODAY_MS, "asked to stop")]
    text = await text_of(site_of(recorded(events)), "/system")
    lost = await text_of(site_of(recorded([*events[:-1], FeedLost(TODAY_MS, "bitget", "timed out")])), "/system")
    assert "feed lost bitget timed out" in lost
    assert "● bitget" not in text
    assert "bitget is not connected" in text
    assert NO_PROBLEMS not in text


@in_loop
async def test_a_strategy_named_liquidation_is_not_confused_with_the_liquidation_price() -> None:
    trades = [replace(configured("liquidation"), risk=asdict(RiskSettings())), candle(0, 100.0), opened("liquidation")]
    page = await text_of(site_of(recorded(trades)), "/trades")
    assert "Liquidation price" in page
    assert "Liquidation distance" not in page


@in_loop
async def test_only_tripped_strategies_are_counted_at_the_kill_switch() -> None:
    paused = RunnerPaused(TODAY_MS, "b", "anna", "holiday")
    failed = StrategyFailed(TODAY_MS, "c", "leave", "grid.py:31", "KeyError: 'x'", "BTCUSDT")
    three = [replace(configured(name), risk=asdict(RiskSettings())) for name in ("a", "b", "c")]
    tripped_too = live(*begun(TODAY_MS), *three, paused, failed, tripped("a"))
    assert "Kill switch 1 of 4 : a, session loss" in await text_of(tripped_too, "/")
    risk = await text_of(tripped_too, "/risk")
    assert "b is paused by anna: holiday." in risk
    assert "c is parked: leave failed at grid.py:31" in risk
    assert "Parked 1 of 4 : c, leave failed" in await text_of(live(*begun(TODAY_MS), *three, paused, failed), "/")
    assert "Paused 1 of 4 : b, paused by anna" in await text_of(live(*begun(TODAY_MS), *three, paused), "/")


@in_loop
async def test_a_parked_strategy_says_what_failed_and_how_it_goes_on() -> None:
    failed = StrategyFailed(TODAY_MS, "momentum", "leave", "grid.py:31", "KeyError: 'x'", "BTCUSDT")
    page = await text_of(live(*begun(TODAY_MS), failed), "/strategy/momentum")
    assert "KeyError: 'x'" in page
    assert "papertape resume momentum" in page
    assert "papertape resume" not in await text_of(live(*begun(TODAY_MS)), "/strategy/momentum")
