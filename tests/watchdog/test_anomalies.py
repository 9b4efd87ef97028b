"""Raised once, repeated every hour, cleared after a calm period; and no pattern of on and off causes a storm."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from papertape.events.facts import AnomalyCleared, AnomalyPersists, AnomalyRaised, Event, RepairTried
from papertape.events.log import Recorded
from papertape.events.units import HOUR_MS, MINUTE_MS
from papertape.projections.watchdog.anomalies import CASES_MAX, STANDING_MAX, Anomalies, AnomalyCase, AnomalyTimings
from papertape.projections.watchdog.checks import AnomalyKind, DetectedProblem
from tests.support import examples
from tests.watchdog.rig import SETTINGS, START_MS, TOLD, outline, story

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

RULES = AnomalyTimings.of(SETTINGS)
EVERY_MS = 30_000
LOST = DetectedProblem(AnomalyKind.WS_DISCONNECTED, "feed", "no answer")
LOOKS_A_DAY = 24 * HOUR_MS // EVERY_MS


class Machine(Struct):
    """The state machine with its log; `restart` leaves it nothing but the log."""

    events: list[Event] = []
    state: Anomalies = Anomalies(RULES)
    now_ms: int = START_MS

    def restart(self) -> None:
        self.state = Anomalies(RULES)
        for event in self.events:
            self.state.apply(Recorded(1, event.at_ms, 0, event))

    def tell(self, events: Iterable[Event]) -> None:
        for event in events:
            self.events.append(event)
            self.state.apply(Recorded(1, event.at_ms, 0, event))

    def look(
        self, problems: Sequence[DetectedProblem], repairable: Collection[str] = (), unknown: Collection[str] = ()
    ) -> None:
        """One look of the dog."""
        for one in self.state.to_repair(problems, self.now_ms, repairable):
            self.tell([RepairTried(self.now_ms, one.kind.value, one.subject, "reconnected")])
        self.tell(self.state.to_report(problems, self.now_ms, unknown))
        self.now_ms += EVERY_MS


def played(pattern: Iterable[bool], repairable: Collection[str] = (), restarts: Collection[int] = ()) -> Machine:
    """A problem that is there or not at each look."""
    machine = Machine([], Anomalies(RULES))
    for number, wrong in enumerate(pattern):
        if number in restarts:
            machine.restart()
        machine.look([LOST] if wrong else [], repairable)
    return machine


def looks(minutes: float, is_wrong: Callable[[float], bool]) -> list[bool]:
    """What each look sees of something that is wrong at some seconds."""
    return [is_wrong(number * EVERY_MS / 1_000.0) for number in range(int(minutes * MINUTE_MS / EVERY_MS))]


def in_any_hour(events: Sequence[Event], kinds: type | tuple[type, ...]) -> int:
    """The most events of some kinds within an hour."""
    times = [event.at_ms for event in events if isinstance(event, kinds)]
    return max((sum(1 for other in times if 0 <= other - at_ms <= HOUR_MS) for at_ms in times), default=0)


def test_an_anomaly_of_six_hours_is_raised_once_with_at_most_six_reminders_and_cleared_once() -> None:
    machine = played(looks(7 * 60, lambda s: s < 6 * 3_600))
    assert story(machine.events) == [
        "raised ws_disconnected feed 0.0",
        *(f"persists ws_disconnected feed {hour * 60}.0" for hour in range(1, 6)),
        "cleared ws_disconnected feed 365.0",
    ]
    last = machine.events[-1]
    assert isinstance(last, AnomalyCleared) and last.detail == "after 6h"


def is_off(offset_s: int, second: float) -> bool:
    return second < 3_600 and (second + offset_s) // 20 % 2 == 0


def test_a_feed_that_flaps_every_twenty_seconds_for_an_hour_makes_five_events_at_most() -> None:
    for offset_s in range(0, 40, 5):
        flaps = partial(is_off, offset_s)
        machine = played(looks(120, flaps), ["ws_disconnected"])
        assert 2 <= len(machine.events) <= 5, story(machine.events)
        assert outline(machine.events)[-1] == "cleared ws_disconnected feed"


def test_a_returning_anomaly_needs_a_longer_calm_period() -> None:
    machine = played(looks(200, lambda s: s % 600 < 30))
    raised = [event for event in machine.events if isinstance(event, AnomalyRaised)]
    assert len(raised) <= 4


@given(runs=st.lists(st.integers(1, 150), min_size=1, max_size=40), repairs=st.booleans())
@examples(150)
def test_no_pattern_of_on_and_off_makes_more_than_five_facts_an_hour(runs: list[int], repairs: bool) -> None:
    pattern = [number % 2 == 0 for number, length in enumerate(runs) for _ in range(length)][:LOOKS_A_DAY]
    machine = played(pattern, ["ws_disconnected"] if repairs else [])
    assert in_any_hour(machine.events, (AnomalyRaised, AnomalyCleared, AnomalyPersists)) <= 5, story(machine.events)
    assert in_any_hour(machine.events, RepairTried) <= 4, story(machine.events)


@given(runs=st.lists(st.integers(1, 40), min_size=4, max_size=40))
@examples(60)
def test_facts_alternate_and_every_raise_waits_for_the_cooldown(runs: list[int]) -> None:
    events = played(number % 2 == 0 for number, length in enumerate(runs) for _ in range(length)).events
    standing = False
    cleared_at_ms = -(1 << 60)
    for event in events:
        match event:
            case AnomalyRaised():
                assert not standing and event.at_ms - cleared_at_ms >= RULES.cooldown_ms
                standing = True
            case AnomalyPersists():
                assert standing
            case AnomalyCleared():
                assert standing
                standing, cleared_at_ms = False, event.at_ms


@given(wrong_looks=st.integers(100, 900), restart=st.integers(1, 899), repairs=st.booleans())
@examples(60)
def test_a_restart_in_the_middle_of_an_anomaly_changes_nothing(wrong_looks: int, restart: int, repairs: bool) -> None:
    pattern = [True] * wrong_looks + [False] * 20
    repairable = ["ws_disconnected"] if repairs else []
    undisturbed = played(pattern, repairable)
    restarted = played(pattern, repairable, [min(restart, wrong_looks - 1)])
    assert story(restarted.events) == story(undisturbed.events)


def test_a_restart_restarts_the_calm_period_only() -> None:
    pattern = [True] * 10 + [False] * 30
    assert outline(played(pattern, restarts=[15]).events) == outline(played(pattern).events)


# ---------------------------------------------------------------- repairs


def test_a_first_repair_gets_some_time_before_anything_is_raised() -> None:
    assert story(played([True] * 3 + [False] * 9, ["ws_disconnected"]).events) == ["repair ws_disconnected feed 0.0"]
    assert story(played([True] * 9, ["ws_disconnected"]).events) == [
        "repair ws_disconnected feed 0.0",
        "raised ws_disconnected feed 1.5",
    ]


def test_a_repaired_problem_that_returns_within_the_hour_is_raised_at_once() -> None:
    pattern = [True] + [False] * 20 + [True]
    assert story(played(pattern, ["ws_disconnected"]).events) == [
        "repair ws_disconnected feed 0.0",
        "repair ws_disconnected feed 10.5",
        "raised ws_disconnected feed 10.5",
    ]


def test_repairs_are_tried_again_with_each_reminder_only() -> None:
    machine = played(looks(3 * 60, lambda _: True), ["ws_disconnected"])
    tried = [line for line in story(machine.events) if line.startswith("repair")]
    assert tried == [f"repair ws_disconnected feed {minute}" for minute in ("0.0", "61.5", "121.5")]


# ---------------------------------------------------------------- the rest


def test_a_covered_problem_raises_nothing_and_keeps_its_anomaly_open() -> None:
    covered = DetectedProblem(LOST.kind, LOST.subject, LOST.detail, covered=True)
    machine = Machine([], Anomalies(RULES))
    for problem in [covered] * 100 + [LOST] + [covered] * 100:
        machine.look([problem], ["ws_disconnected"])
    assert outline(machine.events) == ["repair ws_disconnected feed"]
    machine.look([LOST])
    for _ in range(500):
        machine.look([covered])
    assert outline(machine.events)[1:] == ["raised ws_disconnected feed"]


def test_an_unmeasured_anomaly_keeps_its_state() -> None:
    machine = Machine([], Anomalies(RULES))
    machine.look([DetectedProblem(AnomalyKind.DISK_LOW, "disk", "full")])
    for _ in range(100):
        machine.look([], unknown=[AnomalyKind.DISK_LOW])
    assert outline(machine.events) == ["raised disk_low disk"]
    for _ in range(12):
        machine.look([])
    assert outline(machine.events) == ["raised disk_low disk", "cleared disk_low disk"]


def test_every_subject_has_its_own_state() -> None:
    machine = Machine([], Anomalies(RULES))
    btc, gala = (DetectedProblem(AnomalyKind.DATA_STALE, symbol, "") for symbol in ("BTCUSDT", "GALAUSDT"))
    for problems in [[btc]] * 3 + [[btc, gala]] * 3:
        machine.look(problems)
    assert outline(machine.events) == ["raised data_stale BTCUSDT", "raised data_stale GALAUSDT"]


def test_anomalies_of_other_kinds_are_ignored() -> None:
    machine = Machine([], Anomalies(RULES))
    machine.tell([AnomalyRaised(START_MS, "something_else", "x", "")])
    for _ in range(50):
        machine.look([])
    assert len(machine.events) == 1 and machine.state.open_cases() == ()


def test_a_clock_set_back_delays_nothing_for_long() -> None:
    machine = played([True] * 3 + [False] * 11)
    machine.now_ms -= 24 * HOUR_MS
    for wrong in [True] * 3 + [False] * 3:
        machine.look([LOST] if wrong else [])
    machine.now_ms -= 24 * HOUR_MS
    for _ in range(40):
        machine.look([])
    assert outline(machine.events) == ["raised ws_disconnected feed", "cleared ws_disconnected feed"] * 2


def test_the_number_of_open_anomalies_is_bounded() -> None:
    machine = Machine([], Anomalies(RULES))
    many = [
        DetectedProblem(AnomalyKind.TASK_DEAD, f"task {number}", "x" * 10_000) for number in range(STANDING_MAX + 50)
    ]
    machine.look(many)
    machine.look(many)
    assert len(machine.events) == STANDING_MAX == len(machine.state.open_cases())
    assert all(isinstance(event, TOLD) and len(event.detail) <= 500 for event in machine.events)


def test_the_number_of_known_cases_is_bounded() -> None:
    machine = Machine([], Anomalies(RULES))
    machine.look([LOST])
    machine.tell(RepairTried(START_MS, "task_dead", f"task {number}", "") for number in range(2 * CASES_MAX))
    assert len(machine.state._cases) == CASES_MAX
    assert [case.kind for case in machine.state.open_cases()] == ["ws_disconnected"]


def test_the_calm_period_grows_up_to_a_reminders_time() -> None:
    times = [RULES.calm_of(AnomalyCase("a", "b", returns=returns)) // 1_000 for returns in range(5)]
    assert times == [300, 900, 2_700, 3_600, 3_600]


def test_a_text_that_always_changes_is_reported_at_most_twice_between_two_reminders() -> None:
    machine = Machine([], Anomalies(RULES))
    for number in range(3 * 60 * 2):
        machine.look(
            [DetectedProblem(AnomalyKind.LOOP_LAG, "event loop", f"{10 ** (number % 5)} ms late", renews=True)]
        )
    assert in_any_hour(machine.events, AnomalyPersists) <= 4, story(machine.events)
    assert len(machine.events) >= 6


def test_a_slightly_changed_number_is_not_reported_again() -> None:
    machine = Machine([], Anomalies(RULES))
    for number in range(100):
        machine.look([DetectedProblem(AnomalyKind.DISK_LOW, "disk", f"0.{99 - number % 40} GB are free", renews=True)])
    assert outline(machine.events) == ["raised disk_low disk"]
