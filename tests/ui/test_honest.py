"""What a page says of now is so now: old figures bear their date, and nothing is called right beside what is wrong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import asdict, replace

from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.events.facts import AnomalyRaised, EngineStarted, EngineStopped, FeedConnected, FeedLost, SymbolSuspended
from papertape.projections.text.formats import gain, utc
from papertape.projections.watchdog.checks import AnomalyKind, DetectedProblem
from papertape.projections.watchdog.watchdog import WatchdogView
from tests.events.tape import in_loop
from tests.projections.tape import DAY_MS, candle, configured, opened, recorded, tripped
from tests.ui.given import Elements, visiting
from tests.web.given import Absent, site_of, status

if TYPE_CHECKING:
    from papertape.events.facts import Event
    from papertape.projections.site.ports import EngineStatus, Site

TODAY_MS = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS
FINE = "No problems"


def begun(at_ms: int) -> list[Event]:
    """An engine that trades, with candles up to a moment."""
    minutes = [candle(number, 100.0 + number, start_ms=at_ms - 3 * 60_000) for number in range(3)]
    return [
        EngineStarted(at_ms, "test", "code", "config"),
        replace(configured("momentum"), risk=asdict(RiskSettings())),
        FeedConnected(at_ms, "bitget", at_ms, 1.0),
        *minutes,
    ]


class Answers(Absent):
    """An engine that only says how it is."""

    def __init__(self, said: EngineStatus) -> None:
        self._said = said

    async def status(self) -> EngineStatus:
        return self._said


def live(*events: Event, **changes: object) -> Site:
    """A site with an engine that answers."""
    return site_of(recorded(events), Answers(status(**changes)))


async def text_of(site: Site, address: str) -> str:
    async with visiting(site) as client:
        return Elements((await client.get(address)).text).text


@pytest.mark.parametrize("address", ["/", "/strategy/momentum", "/trades", "/arena"])
@pytest.mark.parametrize("ends", [[], [EngineStopped(TODAY_MS, "the backtest ended")]], ids=["stopped", "backtest"])
@in_loop
async def test_the_day_of_old_figures_is_called_by_its_date(address: str, ends: list[Event]) -> None:
    old_ms = TODAY_MS - 20 * DAY_MS
    text = await text_of(site_of(recorded([*begun(old_ms), *ends])), address)
    assert "Today" not in text
    assert f"{utc(old_ms)[:10]} {gain(0.0)}" in text


@in_loop
async def test_the_day_of_figures_of_this_day_is_today_and_a_page_of_the_past_bears_its_date() -> None:
    site = live(*begun(TODAY_MS + 4 * 60_000))
    assert f"Today {gain(0.0)}" in await text_of(site, "/")
    then = await text_of(site, "/?as_of=6")
    assert "Today" not in then
    assert f"{utc(TODAY_MS)[:10]} {gain(0.0)}" in then


def watchdog_view(kind: AnomalyKind, *, covered: bool = False) -> WatchdogView:
    """A watchdog that sees one thing."""
    return WatchdogView(
        1, 1, (), (DetectedProblem(kind, "BTCUSDT", "the newest candle is 9m old", covered=covered),), ()
    )


@in_loop
async def test_nothing_is_wrong_only_where_nothing_is() -> None:
    assert FINE in await text_of(live(*begun(TODAY_MS)), "/system")


@pytest.mark.parametrize(
    ("events", "said", "words"),
    [
        ([FeedLost(TODAY_MS, "bitget", "timed out")], {}, "bitget timed out"),
        ([EngineStarted(TODAY_MS, "test", "code", "config")], {}, "it has not connected since the start"),
        ([], {"disk_free_bytes": 1_000}, "1,000 bytes are free where the log is"),
        ([], {"ending": True}, "the engine is ending"),
        ([], {"watchdog": watchdog_view(AnomalyKind.DATA_STALE)}, "the newest candle is 9m old"),
        ([], {"watchdog": watchdog_view(AnomalyKind.COMMIT_SLOW)}, "the newest candle is 9m old"),
        ([AnomalyRaised(TODAY_MS, "disk_low", "log", "2 % are free")], {}, "2 % are free"),
        ([SymbolSuspended(TODAY_MS, "BTCUSDT", "delisted")], {}, "BTCUSDT is not tradable"),
        ([tripped("momentum")], {}, "momentum stopped"),
    ],
)
@in_loop
async def test_whatever_is_wrong_is_named_and_nothing_is_called_right_beside_it(
    events: list[Event], said: dict[str, object], words: str
) -> None:
    text = await text_of(live(*begun(TODAY_MS), *events, **said), "/system")
    assert words in text
    assert FINE not in text


@in_loop
async def test_what_was_wrong_then_is_named_on_a_page_of_the_past() -> None:
    site = live(
        *begun(TODAY_MS), FeedLost(TODAY_MS, "bitget", "timed out"), FeedConnected(TODAY_MS, "bitget", TODAY_MS, 1.0)
    )
    assert FINE not in await text_of(site, "/system?as_of=7")
    assert FINE in await text_of(site, "/system?as_of=8")


@in_loop
async def test_without_an_engine_the_feed_is_not_called_connected() -> None:
    events = [*begun(TODAY_MS), EngineStopped(TODAY_MS, "asked to stop")]
    text = await text_of(site_of(recorded(events)), "/system")
    lost = await text_of(site_of(recorded([*events[:-1], FeedLost(TODAY_MS, "bitget", "timed out")])), "/system")
    assert "feed lost bitget timed out" in lost
    assert "● bitget" not in text
    assert "bitget is not connected" in text
    assert FINE not in text


@in_loop
async def test_the_entry_of_a_strategy_is_never_taken_for_the_price_of_a_liquidation() -> None:
    trades = [replace(configured("liquidation"), risk=asdict(RiskSettings())), candle(0, 100.0), opened("liquidation")]
    page = await text_of(site_of(recorded(trades)), "/trades")
    assert "Liquidation price" in page
    assert "Liquidation distance" not in page
