"""The measurements of the process."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from msgspec.structs import asdict

from papertape.engine.process_health import SAMPLES_MAX, WINDOW_S, Latencies, ProcessHealthProbe
from papertape.projections.watchdog.checks import ProcessMeasurements


class Stopwatch:
    """A clock in seconds that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_latencies_of_the_last_minutes_are_ranked() -> None:
    latencies = Latencies(Stopwatch())
    assert latencies.p99_ms() is None
    for number in range(200):
        latencies.add(number / 1_000.0)
    assert latencies.p99_ms() == pytest.approx(197.0)


def test_a_single_slow_commit_of_a_few_is_seen_and_forgotten_after_the_window() -> None:
    clock = Stopwatch()
    latencies = Latencies(clock)
    with latencies.time_block():
        clock.now_s += 3.0
    latencies.add(0.001)
    assert latencies.p99_ms() == pytest.approx(3_000.0)
    clock.now_s += WINDOW_S + 1.0
    assert latencies.p99_ms() is None


def test_a_commit_that_fails_is_measured_too() -> None:
    clock = Stopwatch()
    latencies = Latencies(clock)

    def fails() -> None:
        with latencies.time_block():
            clock.now_s += 2.0
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fails()
    assert latencies.p99_ms() == pytest.approx(2_000.0)


def test_the_ring_is_bounded() -> None:
    latencies = Latencies(Stopwatch())
    for _ in range(3 * SAMPLES_MAX):
        latencies.add(0.1)
    assert len(latencies._samples) == SAMPLES_MAX


def test_free_space_is_that_of_the_logs_folder_and_unknown_where_there_is_none(tmp_path: Path) -> None:
    latencies = Latencies()
    latencies.add(0.002)
    known = asyncio.run(ProcessHealthProbe(tmp_path, latencies).measure())
    assert known.disk_free_bytes is not None and 0 < known.disk_free_bytes <= shutil.disk_usage(tmp_path).total
    assert known.commit_latency_ms == pytest.approx(2.0) and known.loop_lag_ms is None
    assert asyncio.run(ProcessHealthProbe(tmp_path / "gone", Latencies()).measure()).disk_free_bytes is None


def test_the_probe_returns_what_the_watchdog_measures(tmp_path: Path) -> None:
    signs = asyncio.run(ProcessHealthProbe(tmp_path, Latencies()).measure())
    assert ProcessMeasurements(**asdict(signs)).disk_free_bytes == signs.disk_free_bytes
