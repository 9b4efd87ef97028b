"""The dog at work in virtual time: what goes wrong is noticed in time, mended, told once, and told to be over."""

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
from papertape.projections.watchdog.checks import ProcessMeasurements
from papertape.projections.watchdog.liveness import Liveness
from papertape.projections.watchdog.watchdog import REPAIR_S_MAX, FoldFollower
from tests.twins.virtual_time import VirtualClock, run
from tests.watchdog.given import (
    HOUR_MS,
    MINUTE_MS,
    START_MS,
    SYMBOLS,
    TIMEFRAMES,
    Kennel,
    candle,
    opening,
    outline,
    story,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def lived(act: Callable[[Kennel], Awaitable[None]], **repairs: Callable[[str], Awaitable[str]]) -> Kennel:
    """An engine that lives for ten minutes; then what `act` does to it."""

    async def main(clock: VirtualClock) -> Kennel:
        kennel = Kennel(clock, repairs)
        await kennel.say(*opening())
        await kennel.live(10)
        await act(kennel)
        return kennel

    return run(main, START_MS)


async def mended(subject: str) -> str:
    return f"mended {subject}"


def test_nothing_is_said_while_all_is_well() -> None:
    async def act(kennel: Kennel) -> None:
        await kennel.live(26 * 60)

    kennel = lived(act)
    assert kennel.told() == []
    view = kennel.dog.view
    assert view.checks > 3_000 and view.anomalies == view.troubles == ()


MEASURED = {
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
def test_what_the_process_measures_is_noticed_mended_told_and_cleared(kind: str) -> None:
    bad, good = MEASURED[kind]

    async def act(kennel: Kennel) -> None:
        kennel.set(**bad)
        await kennel.live(5)
        kennel.set(**good)
        await kennel.live(6)

    kennel = lived(act, **{kind: mended})
    subject = kennel.dog.view.repairs[0].subject
    told = story(kennel.told())
    assert [line.split()[0] for line in told] == ["repair", "raised", "cleared"]
    assert told[1] == f"raised {kind} {subject} 12.0"
    assert kennel.dog.view.repairs[0].detail == f"mended {subject}"
    assert kennel.dog.view.anomalies == ()


def test_a_lost_feed_is_told_within_a_minute_and_mended_before() -> None:
    async def act(kennel: Kennel) -> None:
        kennel.delivering.clear()
        await kennel.say(FeedLost(0, "bitget", "no answer"))
        await kennel.live(3)
        kennel.delivering = dict.fromkeys(SYMBOLS)
        await kennel.say(FeedConnected(0, "bitget", 0, 1.0))
        await kennel.live(7)

    assert story(lived(act, ws_disconnected=mended).told()) == [
        "repair ws_disconnected feed 10.5",
        "raised ws_disconnected feed 12.0",
        "cleared ws_disconnected feed 18.5",
    ]


def test_a_repair_that_helps_spares_the_alarm() -> None:
    async def act(kennel: Kennel) -> None:
        async def reconnect(subject: str) -> str:
            await kennel.say(FeedConnected(0, "bitget", 0, 1.0))
            return f"reconnected {subject}"

        kennel.repairs["ws_disconnected"] = reconnect
        kennel.new_dog()
        await kennel.say(FeedLost(0, "bitget", "no answer"))
        await kennel.live(30)

    assert outline(lived(act).told()) == ["repair ws_disconnected feed"]


def test_one_stale_symbol_is_noticed_after_five_minutes_and_resubscribed() -> None:
    async def act(kennel: Kennel) -> None:
        async def resubscribe(symbol: str) -> str:
            kennel.delivering[symbol] = None
            return "subscribed again"

        kennel.repairs["data_stale"] = resubscribe
        kennel.new_dog()
        del kennel.delivering["GALAUSDT"]
        await kennel.live(20)

    (told,) = story(lived(act).told())
    assert told.startswith("repair data_stale GALAUSDT 15.") or told == "repair data_stale GALAUSDT 14.5"


def test_an_hour_without_any_candle_is_no_progress() -> None:
    async def act(kennel: Kennel) -> None:
        kennel.delivering.clear()
        await kennel.live(70)
        kennel.delivering = dict.fromkeys(SYMBOLS)
        await kennel.live(25)

    told = outline(lived(act).told())
    assert told.count("raised no_progress engine") == told.count("cleared no_progress engine") == 1
    assert told.count("raised strategy_silent momentum") == told.count("cleared strategy_silent momentum") == 1


def test_data_that_is_refused_by_the_thousand_is_told_and_over_an_hour_later() -> None:
    async def act(kennel: Kennel) -> None:
        await kennel.say(DataRefused(0, "bitget", "stale", 5_000, -HOUR_MS, "BTCUSDT: ticker of 1"))
        await kennel.live(180)

    told = outline(lived(act).told())
    assert told[0] == "raised data_refused stale"
    assert told[-1] == "cleared data_refused stale"
    assert len(told) <= 5


def test_the_global_kill_switch_is_told_at_the_next_look_and_cleared_by_a_reset() -> None:
    async def act(kennel: Kennel) -> None:
        await kennel.say(KillSwitchTripped(0, "global", "global_loss", 100.0, 100.0, 50.0, 45.0))
        seq = kennel.log.head.seq
        await kennel.live(2)
        await kennel.say(KillSwitchReset(0, "global", seq, "anna", "seen"))
        await kennel.live(6)

    told = story(lived(act).told())
    assert told == ["raised kill_switch_global all strategies 10.5", "cleared kill_switch_global all strategies 17.5"]


def test_all_strategies_stopped_is_told() -> None:
    async def act(kennel: Kennel) -> None:
        await kennel.say(*(RunnerPaused(0, name, "anna", "holiday") for name in TIMEFRAMES))
        await kennel.live(2)

    assert story(lived(act).told()) == ["raised all_strategies_stopped all strategies 10.5"]


def test_a_restart_in_the_middle_of_an_anomaly_raises_it_no_second_time() -> None:
    async def act(kennel: Kennel) -> None:
        kennel.set(disk_free_bytes=1)
        for _ in range(10):
            await kennel.live(13)
            kennel.new_dog()
        kennel.set(disk_free_bytes=1 << 40)
        await kennel.live(10)

    assert outline(lived(act).told()) == [
        "raised disk_low disk",
        "persists disk_low disk",
        "persists disk_low disk",
        "cleared disk_low disk",
    ]


def test_a_repair_that_fails_or_hangs_is_said_and_stops_nothing() -> None:
    async def act(kennel: Kennel) -> None:
        kennel.set(disk_free_bytes=1, loop_lag_ms=9_000.0)
        await kennel.live(5)

    async def fails(_: str) -> str:
        raise ExchangeUnreachable("nobody there")

    async def hangs(_: str) -> str:
        await asyncio.Event().wait()
        return "never"

    kennel = lived(act, disk_low=fails, loop_lag=hangs)
    tried = [event.detail for event in kennel.told(RepairTried) if isinstance(event, RepairTried)]
    assert tried == ["failed: nobody there", f"failed: it took longer than {REPAIR_S_MAX:g} s"]
    assert outline(kennel.told())[2:] == ["raised disk_low disk", "raised loop_lag event loop"]


def test_a_measurement_that_fails_or_hangs_leaves_what_was_raised_as_it_is() -> None:
    async def act(kennel: Kennel) -> None:
        kennel.set(disk_free_bytes=1)
        await kennel.live(2)

        async def fails() -> ProcessMeasurements:
            raise OSError("no such device")

        async def hangs() -> ProcessMeasurements:
            await asyncio.Event().wait()
            return ProcessMeasurements()

        for measure in (fails, hangs):
            kennel.measure = measure  # type: ignore[method-assign]
            kennel.new_dog()
            await kennel.live(30)
            assert kennel.dog.view.checks > 40

    assert outline(lived(act).told()) == ["raised disk_low disk"]


class Sleeper(VirtualClock):
    """A machine that sleeps for eight hours when it has shown 15 minutes."""

    def now_ms(self) -> int:
        shown_ms = super().now_ms()
        return shown_ms if shown_ms < START_MS + 15 * MINUTE_MS else shown_ms + 8 * HOUR_MS

    def steady_ms(self) -> int:
        return self.now_ms() - START_MS  # The steady clock counts what the machine slept.


def test_a_machine_that_slept_gets_a_moment() -> None:
    async def main(_: VirtualClock) -> Kennel:
        kennel = Kennel(Sleeper(asyncio.get_running_loop(), START_MS))
        await kennel.say(*opening())
        await kennel.live(40)
        return kennel

    kennel = run(main, START_MS)
    assert kennel.told() == [] and kennel.dog.view.checks > 70


def test_the_dog_ends_with_the_bus_and_says_nothing_behind_it() -> None:
    async def main(clock: VirtualClock) -> Kennel:
        kennel = Kennel(clock)
        await kennel.say(*opening())
        kennel.set(disk_free_bytes=1)
        running = asyncio.ensure_future(kennel.dog.run())
        await clock.sleep(10.0)
        kennel.bus.close()
        await asyncio.wait_for(running, 1.0)
        await kennel.dog.inspect()
        return kennel

    assert run(main, START_MS).told() == []


def test_two_who_fold_at_once_fold_every_event_once() -> None:
    async def main(clock: VirtualClock) -> tuple[int, int]:
        kennel = Kennel(clock)
        for number in range(5_000):
            await kennel.say(candle(START_MS + number))
        vitals = Liveness(TIMEFRAMES)
        following = FoldFollower(kennel.log.reader(), kennel.bus, [vitals], clock)
        await asyncio.gather(*(following.catch_up() for _ in range(3)))
        return vitals.candles, following.cursor.seq

    assert run(main, START_MS) == (5_000, 5_000)
