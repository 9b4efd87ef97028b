"""When an engine counts as hung, by the test's own clock."""

from __future__ import annotations

from papertape.cli.keeper.hang_detector import PROBES_MIN, HangDetector


class Patient:
    """An engine that answers or not, and a clock."""

    def __init__(self) -> None:
        self.now_s, self.is_well, self.asked = 1_000.0, True, 0
        self.pulse = HangDetector(self.answers, 60.0, lambda: self.now_s)

    def answers(self) -> bool:
        self.asked += 1
        return self.is_well

    def gone_after(self, seconds: float, step_s: float = 1.0) -> bool:
        """Return whether it counts as hung after repeated probes."""
        for _ in range(round(seconds / step_s)):
            self.now_s += step_s
            gone = self.pulse.is_hung()
        return gone


def test_silence_of_a_minute_is_one_that_hangs_and_a_word_in_between_is_none() -> None:
    patient = Patient()
    assert not patient.gone_after(300.0)
    assert patient.asked == 30, "it is asked every ten seconds, not at every look"
    patient.is_well = False
    assert not patient.gone_after(50.0)
    patient.is_well = True
    assert not patient.gone_after(10.0)
    patient.is_well = False
    assert not patient.gone_after(50.0)
    assert patient.gone_after(10.0)


def test_one_that_starts_is_heard_within_two_seconds() -> None:
    patient = Patient()
    patient.is_well = False
    assert not patient.gone_after(100.0)
    patient.is_well = True
    assert not patient.gone_after(2.0)
    patient.is_well = False
    assert patient.gone_after(60.0)


def test_a_keeper_that_slept_for_an_hour_asks_first() -> None:
    patient = Patient()
    assert not patient.gone_after(10.0)
    patient.is_well = False
    for _ in range(PROBES_MIN - 1):
        assert not patient.gone_after(3_600.0, 3_600.0)


def test_a_new_life_is_waited_for_however_long_it_starts() -> None:
    patient = Patient()
    assert not patient.gone_after(10.0)
    patient.is_well = False
    patient.pulse.begin()
    assert not patient.gone_after(36_000.0, 10.0)
