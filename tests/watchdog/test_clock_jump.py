"""A clock that is set raises no false alarm, no age is negative, and the reported skew is right."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from papertape.engine.ports.clock import ManualClock
from papertape.events.facts import AnomalyCleared, AnomalyPersists, AnomalyRaised, FeedLost
from papertape.events.units import HOUR_MS, MINUTE_MS
from papertape.projections.text.event_lines import event_line
from papertape.projections.text.formats import duration
from papertape.projections.watchdog.steady_time import JUMP_MS_MIN, SteadyTime
from tests.sandbox.virtual_time import VirtualClock, run
from tests.watchdog.rig import START_MS, WatchdogRig, opening, outline

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HOURS = [-1.0, 2.0, -30.0, 48.0]
SKEW = "clock_skew this machine's clock"


class SettableClock(VirtualClock):
    """A machine's clock that somebody sets while the steady one goes on."""

    ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


class SettableRig(WatchdogRig):
    """A rig whose machine's clock may be set."""

    def __init__(self, clock: SettableClock) -> None:
        self.settable = clock
        super().__init__(clock)

    def set_clock(self, hours: float) -> None:
        """Show so many hours more or less than is right; the exchange's clock is right."""
        self.settable.ahead_ms = int(hours * HOUR_MS)
        self.set(clock_skew_ms=-float(self.settable.ahead_ms))


def lived(act: Callable[[SettableRig], Awaitable[None]]) -> SettableRig:
    """An engine that was up for three hours before anything happens."""

    async def main(_: VirtualClock) -> SettableRig:
        rig = SettableRig(SettableClock(asyncio.get_running_loop(), START_MS))
        await rig.say(*opening())
        await rig.live(180)
        await act(rig)
        return rig

    return run(main, START_MS)


@pytest.mark.parametrize("hours", HOURS)
def test_a_jump_raises_the_skew_alone_and_it_clears_when_the_clock_is_right_again(hours: float) -> None:
    async def act(rig: SettableRig) -> None:
        rig.set_clock(hours)
        await rig.live(70)
        rig.set_clock(0.0)
        await rig.live(30)

    rig = lived(act)
    assert outline(rig.told()) == [f"raised {SKEW}", f"persists {SKEW}", f"cleared {SKEW}"]
    persists, cleared = rig.told(AnomalyPersists, AnomalyCleared)
    assert isinstance(persists, AnomalyPersists)
    assert persists.at_ms - persists.raised_at_ms == HOUR_MS
    assert isinstance(cleared, AnomalyCleared)
    assert cleared.detail.startswith("after 1h ")


def test_a_clock_set_from_ahead_to_behind_is_reported_again_at_once() -> None:
    async def act(rig: SettableRig) -> None:
        rig.set_clock(-1.0)
        await rig.live(2)
        rig.set_clock(2.0)
        await rig.live(2)

    raised, persists = lived(act).told()
    assert isinstance(raised, AnomalyRaised)
    assert raised.detail == "3600.0 s behind the exchange's"
    assert isinstance(persists, AnomalyPersists)
    assert persists.detail == "7200.0 s ahead of the exchange's"
    assert 0 < persists.at_ms - persists.raised_at_ms <= 4 * MINUTE_MS


@pytest.mark.parametrize("hours", HOURS)
def test_a_clock_jump_does_not_change_the_duration_of_an_anomaly(hours: float) -> None:
    async def act(rig: SettableRig) -> None:
        rig.delivering.clear()
        await rig.say(FeedLost(0, "bitget", "no answer"))
        await rig.live(10)
        rig.set_clock(hours)
        await rig.live(60)

    rig = lived(act)
    persists = [one for one in rig.told(AnomalyPersists) if isinstance(one, AnomalyPersists)]
    lost = next(one for one in persists if one.kind == "ws_disconnected")
    assert lost.at_ms - lost.raised_at_ms == HOUR_MS
    assert lost.detail.startswith("bitget lost for 1h")
    lines = [event_line(one, {}).text for one in rig.recorded]
    assert not [line for line in lines if "for -" in line]


def test_no_duration_is_negative() -> None:
    assert [duration(span_ms) for span_ms in (-1, -7_140_000, -(10**12), 0, 45_000)] == ["0s"] * 4 + ["45s"]


def test_the_timeline_keeps_its_pace_through_jumps_and_converts_times_around_them() -> None:
    clock = ManualClock(START_MS)
    line = SteadyTime(clock)
    clock.advance(10.0)
    recorded_before_ms = clock.now_ms()
    clock.advance(5.0)
    clock.set(7_200.0)
    clock.advance(5.0)
    recorded_behind_ms = clock.now_ms()
    line.update()
    assert line.now_ms() == START_MS + 20_000
    assert (line.to_steady_ms(recorded_before_ms), line.to_steady_ms(recorded_behind_ms)) == (
        START_MS + 10_000,
        START_MS + 20_000,
    )
    assert line.ahead_ms == 7_200_000
    clock.set(-7_200.0)
    clock.advance(30.0)
    line.update()
    assert (line.now_ms(), line.ahead_ms, line.to_steady_ms(clock.now_ms())) == (
        START_MS + 50_000,
        0,
        START_MS + 50_000,
    )


def test_a_clock_that_is_adjusted_slowly_is_followed() -> None:
    clock = ManualClock(START_MS)
    line = SteadyTime(clock)
    for _ in range(100):
        clock.advance(30.0)
        clock.set((JUMP_MS_MIN - 500) / 1_000.0)
        line.update()
    assert (line.now_ms(), line.has_jumped) == (clock.now_ms(), False)
