"""The lag of a real event loop, and the stacks of one that hangs."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

from papertape.engine.loop_lag import (
    FILE_BYTES_MAX,
    HANG_S,
    STACKS_CHARS_MAX,
    LoopLagMonitor,
    format_stacks,
    stacks_file,
)
from tests.patience import stretched

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def a_function_that_blocks(seconds: float) -> None:
    time.sleep(seconds)


async def watched(
    tell: Callable[[str], None], *blocks_s: float, tell_every_s: float = 60.0, hang_s: float = HANG_S
) -> LoopLagMonitor:
    """A loop that blocks for so long, again and again, and lives between."""
    with LoopLagMonitor(asyncio.get_running_loop(), tell, hang_s=hang_s, record_every_s=tell_every_s) as lag:
        await asyncio.sleep(0.3)
        for seconds in blocks_s:
            a_function_that_blocks(seconds)
            await asyncio.sleep(0.3)
    return lag


def test_a_loop_that_hangs_has_its_stacks_written_while_it_hangs() -> None:
    told: list[str] = []
    seen = asyncio.run(watched(told.append, 1.5)).statistics()
    (text,) = told
    assert "a_function_that_blocks" in text and "time.sleep(seconds)" in text
    assert text.index("thread MainThread:") < text.index("thread loop lag:")
    assert text.startswith("the event loop did not respond for ")
    assert (seen.hangs, seen.stacks_recorded) == (1, 1)
    assert seen.max_ms is not None and seen.max_ms > 1_300.0


def test_a_responsive_loop_is_on_time_and_reports_nothing() -> None:
    told: list[str] = []
    seen = asyncio.run(watched(told.append, 0.3, hang_s=stretched(HANG_S))).statistics()
    assert told == [] and seen.hangs == 0
    assert seen.probes >= 3
    assert seen.max_ms is not None and seen.max_ms > 150.0


def test_stacks_are_written_once_a_minute_at_most() -> None:
    told: list[str] = []
    seen = asyncio.run(watched(told.append, 1.2, 1.2)).statistics()
    assert (len(told), seen.hangs) == (1, 2)


def test_stopping_during_a_hang_is_quick() -> None:
    """An engine that shuts down blocks its loop: it ends the watch first, or just does not answer any more."""
    told: list[str] = []

    async def main() -> LoopLagMonitor:
        lag = LoopLagMonitor(asyncio.get_running_loop(), told.append)
        lag.start()
        await asyncio.sleep(0.25)
        a_function_that_blocks(0.3)
        begun_s = time.monotonic()
        lag.stop()
        lag.stop()
        assert time.monotonic() - begun_s < stretched(0.5)
        a_function_that_blocks(1.2)
        return lag

    lag = asyncio.run(main())
    assert told == [] and lag.statistics().hangs == 0
    assert "loop lag" not in [thread.name for thread in threading.enumerate()]


def test_a_closed_loop_ends_the_monitor_silently() -> None:
    told: list[str] = []

    async def main() -> LoopLagMonitor:
        lag = LoopLagMonitor(asyncio.get_running_loop(), told.append)
        lag.start()
        await asyncio.sleep(0.2)
        return lag

    lag = asyncio.run(main())
    time.sleep(1.5)
    assert told == [] and lag.statistics().hangs == 0
    assert not lag._thread.is_alive()


def test_a_file_that_cannot_be_written_is_counted(tmp_path: Path) -> None:
    tell = stacks_file(tmp_path / "no such folder" / "stacks.txt", lambda: "now")
    seen = asyncio.run(watched(tell, 1.2)).statistics()
    assert (seen.hangs, seen.stacks_recorded, seen.failed_records) == (1, 0, 1)


def test_the_file_of_stacks_is_bounded(tmp_path: Path) -> None:
    tell = stacks_file(tmp_path / "stacks.txt", lambda: "12:00")
    for number in range(30):
        tell(f"number {number} " + "x" * (FILE_BYTES_MAX // 10))
    content = (tmp_path / "stacks.txt").read_text()
    assert len(content) <= FILE_BYTES_MAX
    assert content.startswith("== 12:00 number") and "number 29" in content


def test_stacks_are_of_limited_length() -> None:
    def deep(depth: int) -> str:
        return deep(depth - 1) if depth else format_stacks(threading.get_ident())

    text = deep(200)
    assert len(text) <= STACKS_CHARS_MAX
    assert text.startswith("thread MainThread:")
