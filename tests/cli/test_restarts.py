"""When a process is started again: a killed one at once, a faulty one after a pause, a hopeless one never."""

from __future__ import annotations

import signal

import pytest

from cli.restarts import (
    FAULTS_IN_A_ROW_MAX,
    KILLS_MAX,
    KILLS_WINDOW_S,
    NOT_MENDED,
    PAUSE_S_MAX,
    STEADY_S,
    Again,
    Life,
    NoMore,
    Restarts,
    how,
)

SHORT_S = 1.0


def lives(code: int, *lived_s: float) -> list[Again | NoMore]:
    """What is decided after each of the lives, one right behind the other."""
    restarts, at_s, verdicts = Restarts(), 0.0, []
    for seconds in lived_s:
        verdicts.append(restarts.after(Life(code, at_s, at_s + seconds)))
        at_s += seconds
    return verdicts


def test_an_end_on_purpose_is_no_fault() -> None:
    assert lives(0, SHORT_S) == [NoMore(0)]


@pytest.mark.parametrize("code", NOT_MENDED)
def test_what_a_restart_cannot_mend_is_not_tried_again(code: int) -> None:
    (verdict,) = lives(code, 100.0)
    assert isinstance(verdict, NoMore)
    assert (verdict.code, "a restart cannot mend" in verdict.why) == (code, True)


def test_pauses_double_and_faults_that_come_back_at_once_end_it() -> None:
    *pauses, last = lives(1, *([SHORT_S] * FAULTS_IN_A_ROW_MAX))
    assert pauses == [Again(0.25), Again(0.5), Again(1.0), Again(2.0)]
    assert last == NoMore(1, "it ended 5 times within 30 s of its start")


def test_who_was_well_for_a_while_begins_anew() -> None:
    again = lives(1, SHORT_S, SHORT_S, SHORT_S, STEADY_S, SHORT_S, STEADY_S, STEADY_S)
    assert again[3:] == [Again(0.25), Again(0.5), Again(0.25), Again(0.25)]


def test_no_pause_is_longer_than_the_longest() -> None:
    assert all(one.after_s <= PAUSE_S_MAX for one in lives(1, *([STEADY_S] * 50)) if isinstance(one, Again))


def test_a_killed_one_returns_at_once_however_often_unless_it_is_killed_all_the_time() -> None:
    every_s = KILLS_WINDOW_S / (KILLS_MAX - 1) + 0.01
    assert lives(-signal.SIGKILL, *([every_s] * 100)) == [Again(0.0)] * 100
    *before, last = lives(-signal.SIGKILL, *([every_s - 0.1] * KILLS_MAX))
    assert before == [Again(0.0)] * (KILLS_MAX - 1)
    assert isinstance(last, NoMore)
    assert last.why == "it was killed 20 times within 60 s"


def test_ends_are_told_in_words() -> None:
    assert how(5) == "ended with 5"
    assert how(-signal.SIGSEGV) == "was ended by SIGSEGV"
    assert how(-63) == "was ended by signal 63"
