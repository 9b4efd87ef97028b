"""Settlements and readings that cover none or only a part of the candles are warned of, with both ranges."""

from __future__ import annotations

from pathlib import Path

from papertape.engine.feeds.files.feed import FileFeed, FileSettings
from papertape.engine.ports.clock import ManualClock
from papertape.events.units import HOUR_MS
from tests.build import CANDLE_HEADER, FILE_START_MS, FUNDING_HEADER, candle_rows, minutes, table


def feed(folder: Path, settled_hours: list[int]) -> FileFeed:
    """Ten days of hourly candles, and settlements at these hours."""
    candles = table(folder, "x_BTCUSDT_1h_.csv", CANDLE_HEADER, candle_rows(minutes(240, step_ms=HOUR_MS)))
    rows = [f"{FILE_START_MS + hour * HOUR_MS},0.0001" for hour in settled_hours]
    rates = table(folder, "x_BTCUSDT_funding_.csv", FUNDING_HEADER, rows)
    return FileFeed(FileSettings(candles=(candles,), funding=(rates,)), ManualClock())


def test_settlements_of_another_time_are_warned_of_with_both_ranges(tmp_path: Path) -> None:
    (warning,) = feed(tmp_path, [-80, -72]).warnings()
    assert warning == (
        "BTCUSDT settlements: none of the 2 lies within the candles: they cover 2023-11-11 14:00 to 2023-11-11 22:00 "
        "UTC, the candles cover 2023-11-14 22:00 to 2023-11-24 22:00 UTC"
    )


def test_settlements_of_a_part_are_warned_of_and_those_of_all_are_not(tmp_path: Path) -> None:
    (warning,) = feed(tmp_path, list(range(0, 120, 8))).warnings()
    assert warning.startswith("BTCUSDT settlements cover only part of the candles: they cover 2023-11-14 22:00")
    assert feed(tmp_path, list(range(8, 240, 8))).warnings() == []


def test_only_the_part_that_is_run_has_to_be_covered(tmp_path: Path) -> None:
    partial = feed(tmp_path, list(range(0, 120, 8)))
    assert partial.warnings(FILE_START_MS, FILE_START_MS + 100 * HOUR_MS) == []
    assert "none of the 15" in partial.warnings(FILE_START_MS + 150 * HOUR_MS, None)[0]
