"""The watchdog in virtual time: problems are detected in time, repaired, reported once, and cleared."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from papertape.events.errors import ExchangeUnreachable
from papertape.events.facts import (
    DataRefused,
    FeedConnected,
    FeedLost,
    KillSwitchReset,
    KillSwitchTripped,
    RepairTried,
    RunnerPaused,
)
from papertape.events.units import HOUR_MS, MINUTE_MS
from papertape.projections.watchdog.checks import ProcessMeasurements
from papertape.projections.watchdog.liveness import Liveness
from papertape.projections.watchdog.watchdog import REPAIR_S_MAX, FoldFollower
from tests.build import candle_at
from tests.sandbox.virtual_time import VirtualClock, run
from tests.watchdog.rig import START_MS, SYMBOLS, TIMEFRAMES, WatchdogRig, opening, outline, story

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def lived(act: Callable[[WatchdogRig], Awaitable[None]], **repairs: Callable[[str], Awaitable[str]]) -> WatchdogRig:
    """An engine that lives for ten minutes; then what `act` does to it."""

    async def main(clock: VirtualClock) -> WatchdogRig:
        rig = WatchdogRig(clock, repairs)
        await rig.say(*opening())
        await rig.live(10)
        await act(rig)
        return rig

    return run(main, START_MS)


async def mended(subject: str) -> str:
    return f"mended {subject}"


def test_nothing_is_reported_while_all_is_well() -> None:
    async def act(rig: WatchdogRig) -> None:
        await rig.live(26 * 60)

    rig = lived(act)
    assert rig.told() == []
    view = rig.watchdog.view
    assert view.checks > 3_000 and not view.anomalies and not view.troubles


MEASURED: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "commit_slow": ({"commit_latency_ms": 5_000.0}, {"commit_latency_ms": 2.0}),
    "disk_low": ({"disk_free_bytes": 10}, {"disk_free_bytes": 10**12}),
    "clock_skew": ({"clock_skew_ms": 9_000.0}, {"clock_skew_ms": 9.0}),
    "alerts_stuck": ({"oldest_alert_age_s": 4_000.0}, {"oldest_alert_age_s": 0.0}),
    "projection_behind": ({"projection_lag_events": {"x": 1 << 30}}, {"projection_lag_events": {"x": 0}}),
    "loop_lag": ({"loop_lag_ms": 2_000.0}, {"loop_lag_ms": 1.0}),
    "wal_growing": ({"wal_blocked_bytes": 1 << 30}, {"wal_blocked_bytes": 0}),
    "log_not_read_back": ({"read_back_failure": "no memory"}, {"read_back_failure": ""}),
    "backup_old": ({"backup_age_s": 100_000.0}, {"backup_age_s": 1.0}),
    "task_dead": ({"dead_tasks": ("x",)}, {"dead_tasks": ()}),
}


@pytest.mark.parametrize("kind", MEASURED)
def test_a_measured_problem_is_repaired_reported_and_cleared(kind: str) -> None:
    bad, good = MEASURED[kind]

    async def act(rig: WatchdogRig) -> None:
        rig.set(**bad)
        await rig.live(5)
        rig.set(**good)
        await rig.live(6)

    rig = lived(act, **{kind: mended})
    subject = rig.watchdog.view.repairs[0].subject
    told = story(rig.told())
    assert [line.split()[0] for line in told] == ["repair", "raised", "cleared"]
    assert told[1] == f"raised {kind} {subject} 12.0"
    assert rig.watchdog.view.repairs[0].detail == f"mended {subject}"
    assert rig.watchdog.view.anomalies == ()


def test_a_lost_feed_is_repaired_first_and_reported_within_a_minute() -> None:
    async def act(rig: WatchdogRig) -> None:
        rig.delivering.clear()
        await rig.say(FeedLost(0, "bitget", "no answer"))
        await rig.live(3)
        rig.delivering = dict.fromkeys(SYMBOLS)
        await rig.say(FeedConnected(0, "bitget", 0, 1.0))
        await rig.live(7)

    assert story(lived(act, ws_disconnected=mended).told()) == [
        "repair ws_disconnected feed 10.5",
        "raised ws_disconnected feed 12.0",
        "cleared ws_disconnected feed 18.5",
    ]


def test_a_successful_repair_prevents_the_alarm() -> None:
    async def act(rig: WatchdogRig) -> None:
        async def reconnect(subject: str) -> str:
            await rig.say(FeedConnected(0, "bitget", 0, 1.0))
            return f"reconnected {subject}"

        rig.repairs["ws_disconnected"] = reconnect
        rig.start_watchdog()
        await rig.say(FeedLost(0, "bitget", "no answer"))
        await rig.live(30)

    assert outline(lived(act).told()) == ["repair ws_disconnected feed"]


def test_one_stale_symbol_is_noticed_after_five_minutes_and_resubscribed() -> None:
    async def act(rig: WatchdogRig) -> None:
        async def resubscribe(symbol: str) -> str:
            rig.delivering[symbol] = None
            return "subscribed again"

        rig.repairs["data_stale"] = resubscribe
        rig.start_watchdog()
        del rig.delivering["GALAUSDT"]
        await rig.live(20)

    (told,) = story(lived(act).told())
    assert told.startswith("repair data_stale GALAUSDT 15.") or told == "repair data_stale GALAUSDT 14.5"


def test_an_hour_without_any_candle_is_no_progress() -> None:
    async def act(rig: WatchdogRig) -> None:
        rig.delivering.clear()
        await rig.live(70)
        rig.delivering = dict.fromkeys(SYMBOLS)
        await rig.live(25)

    told = outline(lived(act).told())
    assert told.count("raised no_progress engine") == told.count("cleared no_progress engine") == 1
    assert told.count("raised strategy_silent momentum") == told.count("cleared strategy_silent momentum") == 1


def test_mass_refusals_are_reported_and_cleared_an_hour_later() -> None:
    async def act(rig: WatchdogRig) -> None:
        await rig.say(DataRefused(0, "bitget", "stale", 5_000, -HOUR_MS, "BTCUSDT: ticker of 1"))
        await rig.live(180)

    told = outline(lived(act).told())
    assert told[0] == "raised data_refused stale"
    assert told[-1] == "cleared data_refused stale"
    assert len(told) <= 5


def test_a_global_trip_is_raised_at_the_next_check_and_cleared_by_a_reset() -> None:
    async def act(rig: WatchdogRig) -> None:
        await rig.say(KillSwitchTripped(0, "global", "global_loss", 100.0, 100.0, 50.0, 45.0))
        seq = rig.log.head.seq
        await rig.live(2)
        await rig.say(KillSwitchReset(0, "global", seq, "anna", "seen"))
        await rig.live(6)

    told = story(lived(act).told())
    assert told == ["raised kill_switch_global all strategies 10.5", "cleared kill_switch_global all strategies 17.5"]


def test_all_strategies_stopped_is_reported() -> None:
    async def act(rig: WatchdogRig) -> None:
        await rig.say(*(RunnerPaused(0, name, "anna", "holiday") for name in TIMEFRAMES))
        await rig.live(2)

    assert story(lived(act).told()) == ["raised all_strategies_stopped all strategies 10.5"]


def test_a_restart_during_an_anomaly_does_not_raise_it_again() -> None:
    async def act(rig: WatchdogRig) -> None:
        rig.set(disk_free_bytes=1)
        for _ in range(10):
            await rig.live(13)
            rig.start_watchdog()
        rig.set(disk_free_bytes=1 << 40)
        await rig.live(10)

    assert outline(lived(act).told()) == [
        "raised disk_low disk",
        "persists disk_low disk",
        "persists disk_low disk",
        "cleared disk_low disk",
    ]


def test_a_failing_or_hanging_repair_is_reported_and_stops_nothing() -> None:
    async def act(rig: WatchdogRig) -> None:
        rig.set(disk_free_bytes=1, loop_lag_ms=9_000.0)
        await rig.live(5)

    async def fails(_: str) -> str:
        raise ExchangeUnreachable("nobody there")

    async def hangs(_: str) -> str:
        await asyncio.Event().wait()
        return "never"

    rig = lived(act, disk_low=fails, loop_lag=hangs)
    tried = [event.detail for event in rig.told(RepairTried) if isinstance(event, RepairTried)]
    assert tried == ["failed: nobody there", f"failed: it took longer than {REPAIR_S_MAX:g} s"]
    assert outline(rig.told())[2:] == ["raised disk_low disk", "raised loop_lag event loop"]


def test_a_failing_or_hanging_measurement_keeps_anomalies_open() -> None:
    async def act(rig: WatchdogRig) -> None:
        rig.set(disk_free_bytes=1)
        await rig.live(2)

        async def fails() -> ProcessMeasurements:
            raise OSError("no such device")

        async def hangs() -> ProcessMeasurements:
            await asyncio.Event().wait()
            return ProcessMeasurements()

        for measure in (fails, hangs):
            rig.measure = measure  # type: ignore[method-assign]
            rig.start_watchdog()
            await rig.live(30)
            assert rig.watchdog.view.checks > 40

    assert outline(lived(act).told()) == ["raised disk_low disk"]


class Sleeper(VirtualClock):
    """A machine that sleeps for eight hours when it has shown 15 minutes."""

    def now_ms(self) -> int:
        shown_ms = super().now_ms()
        return shown_ms if shown_ms < START_MS + 15 * MINUTE_MS else shown_ms + 8 * HOUR_MS

    def steady_ms(self) -> int:
        return self.now_ms() - START_MS  # The steady clock counts what the machine slept.


def test_after_a_sleep_the_feed_gets_time_to_catch_up() -> None:
    async def main(_: VirtualClock) -> WatchdogRig:
        rig = WatchdogRig(Sleeper(asyncio.get_running_loop(), START_MS))
        await rig.say(*opening())
        await rig.live(40)
        return rig

    rig = run(main, START_MS)
    assert rig.told() == [] and rig.watchdog.view.checks > 70


def test_the_watchdog_ends_with_the_bus_and_reports_nothing_after_it() -> None:
    async def main(clock: VirtualClock) -> WatchdogRig:
        rig = WatchdogRig(clock)
        await rig.say(*opening())
        rig.set(disk_free_bytes=1)
        running = asyncio.ensure_future(rig.watchdog.run())
        await clock.sleep(10.0)
        rig.bus.close()
        await asyncio.wait_for(running, 1.0)
        await rig.watchdog.inspect()
        return rig

    assert run(main, START_MS).told() == []


def test_concurrent_followers_fold_every_event_once() -> None:
    async def main(clock: VirtualClock) -> tuple[int, int]:
        rig = WatchdogRig(clock)
        for number in range(5_000):
            await rig.say(candle_at(START_MS + number))
        vitals = Liveness(TIMEFRAMES)
        following = FoldFollower(rig.log.reader(), rig.bus, [vitals], clock)
        await asyncio.gather(*(following.catch_up() for _ in range(3)))
        return vitals.candles, following.cursor.seq

    assert run(main, START_MS) == (5_000, 5_000)
