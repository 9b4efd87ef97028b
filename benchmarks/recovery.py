"""The time from the start of a process to a ready engine, and the replay of a whole log without a snapshot."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.log_grower import SYMBOLS, TAIL_EVENTS, LogGrower, grow_logs
from benchmarks.market import strategies
from benchmarks.measure import ROOT, Bench, Result, million, milliseconds
from benchmarks.processes import IMPORTS_SHOWN, environment, imports
from papertape.engine.recovery import recover
from papertape.engine.reducer.snapshot_codec import state_digest
from papertape.events.sqlite_log import SqliteLogReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.engine.reducer.state import EngineState

READY_S, FLATNESS = 0.3, 1.2
PLAIN_S, COMPILED_S = 60.0, 5.0
REPLAYED_CANDLES = 1_000_000
LENGTHS = (10_000, 100_000, 1_000_000)
LONGEST = 5_000_000
QUICK_LENGTHS = (10_000, 60_000)
QUICK_CANDLES = 60_000


def lengths(bench: Bench) -> list[int]:
    """Return the lengths of the logs."""
    if bench.quick:
        return list(QUICK_LENGTHS)
    return [*LENGTHS, LONGEST] if bench.full else list(LENGTHS)


def ready_s(db: Path) -> tuple[float, int]:
    """Return the seconds from the start of a fresh process until it is ready, and the number of replayed events."""
    command = [sys.executable, "-m", "benchmarks.programs.boot_process", str(db)]
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        took = time.perf_counter() - started
    assert words[:1] == ["ready"], f"the process did not become ready: {words}"
    return took, int(words[2])


def boots(logs: dict[int, Path], rounds: int) -> dict[int, float]:
    """Return the median of alternating rounds by length."""
    seconds: dict[int, list[float]] = {events: [] for events in logs}
    for number in range(rounds + 1):
        for events, db in logs.items():
            took, _ = ready_s(db)
            if number > 0:
                seconds[events].append(took)
    return {events: statistics.median(values) for events, values in seconds.items()}


def recovery(bench: Bench) -> Result:
    """Measure the recovery with a snapshot, on logs of very different lengths."""
    result = Result("recovery", "a fresh process to ready: imports, recovery with a snapshot, loop and feed")
    folder = bench.folder / "recovery"
    folder.mkdir()
    logs, _ = grow_logs(folder, lengths(bench))
    rounds = bench.choose(5, 11)
    _kind(result, "stopped", {log.events: log.stopped for log in logs}, rounds)
    killed = {log.events: log.killed for log in logs if log.killed is not None}
    _kind(result, f"killed {TAIL_EVENTS:,} events after its snapshot", killed, rounds)
    probe = [sys.executable, "-X", "importtime", "-m", "benchmarks.programs.boot_process", str(logs[0].stopped)]
    slowest = imports(probe, ROOT)
    shown = ", ".join(f"{name} {milliseconds(seconds)}" for name, seconds in slowest[:IMPORTS_SHOWN])
    result.notes.append(f"Of that imports, under -X importtime {milliseconds(sum(s for _, s in slowest))}: {shown}.")
    result.notes.append(
        f"The log was written by the engine's own loop: {len(SYMBOLS)} symbols, four strategies, none of them stopped."
    )
    return result


def _kind(result: Result, how: str, logs: dict[int, Path], rounds: int) -> None:
    """Add the figures of one kind of log."""
    medians = boots(logs, rounds)
    for events, seconds in medians.items():
        result.add(f"{how}, {events:,} events", milliseconds(seconds), f"< {READY_S:g} s", seconds < READY_S)
    if len(medians) > 1:
        spread = max(medians.values()) / min(medians.values())
        result.add(f"{how}, slowest against quickest", f"{spread:.2f}x", f"<= {FLATNESS:g}x", spread <= FLATNESS)


def replay(bench: Bench) -> Result:
    """Measure the replay without a snapshot, in CPython and compiled."""
    candles = bench.choose(QUICK_CANDLES, REPLAYED_CANDLES)
    result = Result("replay", f"{candles:,} candles with four runners, replayed without a snapshot")
    folder = bench.folder / "replay"
    folder.mkdir()
    grower = LogGrower(folder)
    events = asyncio.run(grower.grow(0, candles, snapshot=False))
    plain, expected = _timed(grower.db, _plain)
    part = candles / REPLAYED_CANDLES
    result.add(
        "the log",
        f"{events:,} events, {grower.candles:,} candles, {grower.db.stat().st_size / events:.0f} bytes per event",
    )
    result.add(
        "CPython",
        f"{plain:.2f} s, {million(candles / plain)} candles",
        f"< {PLAIN_S * part:g} s",
        plain < PLAIN_S * part,
    )
    if find_spec("papertape.engine.research.replay") is None:
        result.add("compiled", "not built", f"< {COMPILED_S:g} s", False)
        return result
    first, _ = _timed(grower.db, _compiled)
    fast, digest = _timed(grower.db, _compiled)
    goal = COMPILED_S * part
    result.add("compiled", f"{fast:.2f} s, {million(candles / fast)} candles", f"< {goal:g} s", fast < goal)
    result.add("compiled, first time in a process (kernel from the cache, or compiled)", f"{first:.2f} s")
    result.add(
        "both reach the state that wrote the log",
        "digest",
        "equal",
        expected == digest == state_digest(grower.world),
    )
    return result


def _timed(db: Path, replay_log: Callable[[SqliteLogReader], EngineState]) -> tuple[float, str]:
    """Return the seconds of a replay and the digest of its final state."""
    reader = SqliteLogReader(db)
    started = time.perf_counter()
    world = replay_log(reader)
    took = time.perf_counter() - started
    reader.close()
    return took, state_digest(world)


def _plain(reader: SqliteLogReader) -> EngineState:
    """Replay with the engine's recovery."""
    return recover(reader, None, strategies()).state


def _compiled(reader: SqliteLogReader) -> EngineState:
    """Replay with the compiled kernel."""
    from papertape.engine.research.replay import replay_compiled  # noqa: PLC0415 - may not be there

    return replay_compiled(reader, strategies())
