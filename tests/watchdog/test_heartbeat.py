"""The heartbeat: sent hourly with progress, not without it, and pinged to an external switch."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct

from papertape.events.errors import ConfigError, ExchangeUnreachable
from papertape.events.units import HOUR_MS, MINUTE_MS
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.watchdog.heartbeat import Heartbeat, HeartbeatSender
from papertape.projections.watchdog.liveness import Liveness
from papertape.projections.watchdog.settings import heartbeat_s
from papertape.projections.watchdog.watchdog import FoldFollower
from tests.sandbox.virtual_time import run
from tests.watchdog.rig import SETTINGS, START_MS, SYMBOLS, TIMEFRAMES, WatchdogRig, opening

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.sandbox.virtual_time import VirtualClock


class Beating(Struct):
    """An engine with a heart; what it sent and how often it pinged."""

    rig: WatchdogRig
    heart: HeartbeatSender
    sent: list[Heartbeat]
    pings: list[int]
    fails: bool = False
    ended: bool = False


def beating(act: Callable[[Beating], Awaitable[None]], interval_s: float = 3_600.0) -> Beating:
    async def main(clock: VirtualClock) -> Beating:
        rig = WatchdogRig(clock)
        vitals, portfolio = Liveness(TIMEFRAMES), Portfolio()
        following = FoldFollower(rig.log.reader(), rig.bus, [vitals, portfolio], rig.clock)

        async def send(beat: Heartbeat) -> None:
            if made.fails:
                raise ExchangeUnreachable("nobody there")
            made.sent.append(beat)

        async def ping() -> None:
            if made.fails:
                raise TimeoutError
            made.pings.append(clock.now_ms())

        heart = HeartbeatSender(following, vitals, portfolio, clock, send, interval_s, ping, lambda: made.ended)
        made = Beating(rig, heart, [], [])
        await rig.say(*opening(at_ms=clock.now_ms()))
        running = asyncio.ensure_future(heart.run())
        await act(made)
        rig.bus.close()
        await asyncio.wait_for(running, 1.0)
        return made

    return run(main, START_MS + 10 * MINUTE_MS)


def test_a_heartbeat_reports_the_engine_every_hour_on_the_hour() -> None:
    async def act(made: Beating) -> None:
        await made.rig.live(3 * 60 + 20)

    made = beating(act)
    assert [beat.at_ms - START_MS for beat in made.sent] == [HOUR_MS, 2 * HOUR_MS, 3 * HOUR_MS]
    beat = made.sent[1]
    assert (beat.equity_usdt, beat.capital_usdt, beat.day_result_usdt, beat.open_positions) == (20_000, 20_000, 0, 0)
    assert (beat.strategies_active, beat.strategies) == (2, 2)
    assert beat.evaluations == 2 * (4 + 12)
    assert beat.candles == 2 * 60 <= beat.events
    assert beat.last_candle_age_ms == 58_000 and beat.seq > 0
    assert made.pings == [one.at_ms for one in made.sent]


def test_an_hour_without_progress_sends_no_heartbeat_and_no_ping() -> None:
    async def act(made: Beating) -> None:
        await made.rig.live(60)
        made.rig.delivering.clear()
        await made.rig.live(4 * 60)
        made.rig.delivering = dict.fromkeys(SYMBOLS)
        await made.rig.live(60)

    made = beating(act)
    assert [(beat.at_ms - START_MS) // HOUR_MS for beat in made.sent] == [1, 2, 6]
    assert len(made.pings) == 3
    assert made.heart.view.without_progress == 3


def test_a_new_engine_beats_in_its_first_hour() -> None:
    async def act(made: Beating) -> None:
        made.rig.delivering.clear()
        await made.rig.live(55)

    assert len(beating(act).sent) == 1


def test_the_heartbeat_continues_after_a_market_was_played_to_its_end() -> None:
    async def act(made: Beating) -> None:
        made.ended = True
        made.rig.delivering.clear()
        await made.rig.live(3 * 60)

    assert [beat.market_ended for beat in beating(act).sent] == [True] * 3


def test_a_message_that_fails_stops_nothing() -> None:
    async def act(made: Beating) -> None:
        made.fails = True
        await made.rig.live(2 * 60)
        made.fails = False
        await made.rig.live(60)

    view = beating(act).heart.view
    assert (view.failed_sends, view.failed_pings, view.beats) == (2, 2, 3)
    assert view.last is not None


def test_the_environment_overrides_the_configured_interval() -> None:
    assert heartbeat_s(SETTINGS, {}) == heartbeat_s(SETTINGS, {"HEARTBEAT_INTERVAL": " "}) == 3_600.0
    assert heartbeat_s(SETTINGS, {"HEARTBEAT_INTERVAL": "600"}) == 600.0


@pytest.mark.parametrize("given", ["hourly", "nan", "inf", "0", "-5", "59", "86401"])
def test_an_invalid_interval_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match=r"HEARTBEAT_INTERVAL = .*: must be 60 to 86400 s"):
        heartbeat_s(SETTINGS, {"HEARTBEAT_INTERVAL": given})
