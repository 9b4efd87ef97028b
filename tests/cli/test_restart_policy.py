"""When a process is restarted: after a kill at once, after a failure with a pause, after a damaged log never."""

from __future__ import annotations

import signal

import pytest

from papertape.cli.keeper.restart_policy import (
    FAULTS_REPORTED_MAX,
    KILLS_MAX,
    KILLS_WINDOW_S,
    OWNER_MENDS,
    PAUSE_S_MAX,
    STEADY_S,
    STOPS,
    PermanentStop,
    ProcessRun,
    RestartAfter,
    RestartPolicy,
    describe_exit,
)

SHORT_S = 1.0


def lives(code: int, *lived_s: float) -> list[RestartAfter | PermanentStop]:
    """Return the decision after each of several runs in a row."""
    restarts, at_s, verdicts = RestartPolicy(), 0.0, []
    for seconds in lived_s:
        verdicts.append(restarts.next_step(ProcessRun(code, at_s, at_s + seconds)))
        at_s += seconds
    return verdicts


def pauses(verdicts: list[RestartAfter | PermanentStop]) -> list[float]:
    """Return the pauses of verdicts that are all restarts."""
    return [one.after_s for one in verdicts if isinstance(one, RestartAfter)]


def test_an_end_on_purpose_is_no_fault() -> None:
    assert lives(0, SHORT_S) == [PermanentStop(0)]


@pytest.mark.parametrize("code", STOPS)
def test_a_damaged_log_stops_an_engine_and_not_its_page(code: int) -> None:
    assert lives(code, 100.0) == [PermanentStop(code, STOPS[code])]
    page = RestartPolicy(may_end=False)
    assert [page.next_step(ProcessRun(code, 0.0, 1.0)).after_s for _ in range(100)] == [PAUSE_S_MAX] * 100  # type: ignore[union-attr]


@pytest.mark.parametrize("code", OWNER_MENDS)
def test_what_the_owner_has_to_mend_is_tried_every_five_minutes_and_said_once(code: int) -> None:
    verdicts = lives(code, *([SHORT_S] * 100))
    assert pauses(verdicts) == [PAUSE_S_MAX] * 100
    assert [one.quiet for one in verdicts if isinstance(one, RestartAfter)] == [False] + [True] * 99


@pytest.mark.parametrize("code", [1, 3, 127, -signal.SIGSEGV])
def test_what_can_heal_is_tried_for_ever_with_pauses_that_double_to_five_minutes(code: int) -> None:
    verdicts = lives(code, *([SHORT_S] * 2_000))
    assert pauses(verdicts)[:12] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0]
    assert pauses(verdicts)[11:] == [300.0] * 1_989
    told = [one for one in verdicts if isinstance(one, RestartAfter) and not one.quiet]
    assert len(told) == FAULTS_REPORTED_MAX
    assert "as long as it takes" in told[-1].note


def test_who_was_well_for_a_while_begins_anew() -> None:
    again = lives(1, SHORT_S, SHORT_S, SHORT_S, STEADY_S, SHORT_S, STEADY_S, STEADY_S)
    assert pauses(again)[3:] == [0.25, 0.5, 0.25, 0.25]


def test_a_long_replay_that_ends_in_a_fault_is_no_steady_life() -> None:
    restarts = RestartPolicy()
    verdicts = [restarts.next_step(ProcessRun(1, 0.0, 10.0 * STEADY_S, was_up=False)) for _ in range(4)]
    assert pauses(verdicts) == [0.25, 0.5, 1.0, 2.0]


def test_what_was_told_is_told_to_be_over_once() -> None:
    restarts = RestartPolicy()
    for _ in range(FAULTS_REPORTED_MAX):
        restarts.next_step(ProcessRun(1, 0.0, SHORT_S))
    assert restarts.is_failing
    assert [restarts.settle(), restarts.settle(), restarts.is_failing] == [True, False, False]


def test_a_killed_one_returns_at_once_and_after_pauses_where_it_is_killed_all_the_time() -> None:
    every_s = KILLS_WINDOW_S / (KILLS_MAX - 1) + 0.01
    assert lives(-signal.SIGKILL, *([every_s] * 100)) == [RestartAfter(0.0)] * 100
    often = pauses(lives(-signal.SIGKILL, *([every_s - 0.1] * (KILLS_MAX + 3))))
    assert often == [0.0] * (KILLS_MAX - 1) + [0.25, 0.5, 1.0, 2.0]


def test_ends_are_told_in_words() -> None:
    assert describe_exit(5) == "exited with 5"
    assert describe_exit(-signal.SIGSEGV) == "was killed by SIGSEGV"
    assert describe_exit(-63) == "was killed by signal 63"
