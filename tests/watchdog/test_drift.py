"""A promoted strategy that drifts from its promise is reported once when it begins and once when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.events.facts import AnomalyCleared, AnomalyPersists, AnomalyRaised, StudyPromoted
from papertape.projections.alerts.derive import Alerts
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.promised import Promised
from papertape.projections.host import fold
from papertape.projections.watchdog.drift import find_drifts
from tests.build import recorded
from tests.promises import promoted, traded
from tests.sandbox.virtual_time import VirtualClock, run
from tests.watchdog.rig import START_MS, WatchdogRig, opening

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from papertape.events.facts import Event

PACE: StudyPromoted = promoted(trades_per_day=0.0, at_ms=START_MS)


def lived(act: Callable[[WatchdogRig], Awaitable[None]]) -> WatchdogRig:
    """An engine that begins with a promise; then what `act` does to it."""

    async def main(clock: VirtualClock) -> WatchdogRig:
        rig = WatchdogRig(clock)
        await rig.say(promoted(trades_per_day=2_000.0, at_ms=START_MS), *opening())
        await act(rig)
        return rig

    return run(main, START_MS)


def told(rig: WatchdogRig) -> list[AnomalyRaised | AnomalyCleared | AnomalyPersists]:
    return [one for one in rig.told() if isinstance(one, AnomalyRaised | AnomalyCleared | AnomalyPersists)]


def drifts(rig: WatchdogRig) -> list[tuple[type[Event], str, str]]:
    return [(type(one), one.kind, one.subject) for one in told(rig)]


def test_a_bad_run_is_reported_once_without_reminders_and_its_recovery_too() -> None:
    async def act(rig: WatchdogRig) -> None:
        await rig.live(10)
        await rig.say(*traded([-0.7] * 11, START_MS))  # -3.9 R: below 5 %
        await rig.live(5 * 60)
        await rig.say(*traded([4.0] * 3, START_MS))
        await rig.live(60)

    rig = lived(act)
    of_result = [one for one in drifts(rig) if one[1] != "trades_off_promise"]
    assert of_result == [
        (AnomalyRaised, "result_below_promise", "momentum"),
        (AnomalyCleared, "result_below_promise", "momentum"),
    ]
    raised = next(one for one in told(rig) if one.kind == "result_below_promise")
    assert raised.detail.startswith("-3.85 R after 11 trades of set 4,711 of momentum-btc; +5.50 R expected")


def test_a_restart_in_the_middle_changes_nothing() -> None:
    async def act(rig: WatchdogRig) -> None:
        await rig.say(*traded([-3.0] * 11, START_MS))
        await rig.live(30)
        rig.start_watchdog()
        await rig.live(30)

    rig = lived(act)
    assert [one for one in drifts(rig) if "result" in one[1]] == [
        (AnomalyRaised, "result_far_below_promise", "momentum")
    ]


def test_a_result_far_below_covers_the_one_below() -> None:
    portfolio = Portfolio()
    promised = Promised(portfolio)
    fold([portfolio, promised], recorded([PACE, *opening()[1:2], *traded([-3.0] * 11)]))
    problems = [(one.kind.value, one.covered, one.reminds) for one in find_drifts(promised.views())]
    assert problems[:2] == [
        ("result_far_below_promise", False, False),
        ("result_below_promise", True, False),
    ]


def test_the_owner_is_told_in_words() -> None:
    alerts = Alerts()
    detail = "-5.10 R after 11 trades of set 4,711 of momentum-btc; +5.50 R expected"
    (one,) = recorded([AnomalyRaised(START_MS, "result_far_below_promise", "momentum", detail)])
    fold([alerts], [one])
    alert = alerts.alert_of(one)
    assert alert is not None
    assert "result far below promise · momentum" in alert.html
    assert detail in alert.html
