"""The messages of feed, watchdog and alerts together: few, whatever flaps or persists."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from papertape.events.facts import AnomalyPersists, FeedConnected, FeedLost
from papertape.events.units import HOUR_MS
from papertape.projections.alerts.alert import AlertKind
from papertape.projections.alerts.markup import plain_text
from tests.alerts.example_day import alerts_of
from tests.sandbox.virtual_time import VirtualClock, run
from tests.watchdog.rig import START_MS, WatchdogRig, opening

if TYPE_CHECKING:
    from papertape.projections.alerts.alert import Alert

HOURS_MESSAGES_MAX = 5


def messages(rig: WatchdogRig) -> list[Alert]:
    """What was told, without the start and the summary of a day."""
    told = alerts_of(rig.recorded)
    return [one for one in told if one.kind not in (AlertKind.START, AlertKind.DAILY)]


async def lost(_: str = "") -> str:
    return "connected again"


async def flapping(rig: WatchdogRig, on_s: float, off_s: float, hours: float) -> None:
    """The feed is lost and back, again and again; without it there are no candles."""
    symbols = rig.delivering
    until_ms = START_MS + hours * HOUR_MS
    while (now_ms := rig.clock.now_ms()) < until_ms:
        await rig.say(FeedLost(now_ms, "bitget", "no message for 20 s"))
        rig.delivering = {}
        await asyncio.sleep(off_s)
        now_ms = rig.clock.now_ms()
        await rig.say(FeedConnected(now_ms, "bitget", now_ms, 1.0))
        rig.delivering = symbols
        await asyncio.sleep(on_s)


@pytest.mark.parametrize(("on_s", "off_s"), [(20.0, 20.0), (70.0, 70.0), (400.0, 70.0), (70.0, 400.0), (5.0, 5.0)])
def test_a_feed_that_flaps_for_an_hour_is_five_messages_at_most(on_s: float, off_s: float) -> None:
    async def main(clock: VirtualClock) -> list[Alert]:
        rig = WatchdogRig(clock, {"ws_disconnected": lost})
        await rig.say(*opening())
        flaps = asyncio.ensure_future(flapping(rig, on_s, off_s, 1.0))
        await rig.live(60.0)
        await flaps
        return messages(rig)

    told = run(main, START_MS)
    assert 1 <= len(told) <= HOURS_MESSAGES_MAX, [plain_text(one.html) for one in told]


def test_a_feed_lost_for_six_hours_causes_one_alert_at_most_six_reminders_and_one_recovery() -> None:
    async def main(clock: VirtualClock) -> WatchdogRig:
        rig = WatchdogRig(clock, {"ws_disconnected": lost})
        await rig.say(*opening())
        await rig.live(10.0)
        await rig.say(FeedLost(clock.now_ms(), "bitget", "no message for 20 s"))
        rig.delivering, symbols = {}, rig.delivering
        await rig.live(6 * 60.0)
        await rig.say(FeedConnected(clock.now_ms(), "bitget", clock.now_ms(), 1.0))
        rig.delivering = symbols
        await rig.live(70.0)
        return rig

    rig = run(main, START_MS)
    told = messages(rig)
    reminders = rig.told(AnomalyPersists)
    texts = [plain_text(one.html) for one in told]
    assert "LOST" in texts[0]
    assert sum("back after 6h" in text for text in texts) == 1, texts
    kinds = {event.kind for event in reminders if isinstance(event, AnomalyPersists)}
    assert len(reminders) <= 6 * len(kinds)
    assert len(told) <= 1 + 6 + 1, texts
