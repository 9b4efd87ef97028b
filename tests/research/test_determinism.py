"""The same facts give the same decisions in every process, whatever its hash seed and its time zone."""

from __future__ import annotations

import pytest

from tests.research.processes import answer, begin

pytestmark = pytest.mark.system

PLACES = (("0", "UTC"), ("1", "America/St_Johns"), ("4242", "Pacific/Kiritimati"))


def test_hash_seed_and_time_zone_change_nothing() -> None:
    subject = ["-m", "tests.research.subject", "decisions"]
    running = [begin(subject, {"PYTHONHASHSEED": seed, "TZ": zone}) for seed, zone in PLACES]
    assert len({answer(process) for process in running}) == 1
