"""Machine code that one process made is run by others: from one cache come loops that know nothing of each other."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.research.processes import asked
from tests.research.ways import copy_shared

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

pytest.importorskip("numba", reason="the extra `research` is not installed: nothing is compiled")

TWIN = '''"""Goes with a mean of the closes, quick or slow."""
from msgspec import Struct

NAME = "TWIN"
SERIES = ("5m",)


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    distance_percent: float = 0.1


class State(Struct):
    mean: float = 0.0


class Reading(Struct):
    mean: float = 0.0


def observe(view, params):
    state, close = view.state, view.candle.close
    state.mean = close if state.mean == 0.0 else state.mean + (close - state.mean) * WEIGHT


def enter(view, params, answer):
    away = 100.0 * (view.candle.close / view.state.mean - 1.0)
    if abs(away) < params.distance_percent:
        return 0
    answer.stop_fraction = 0.01
    answer.target_fraction = 0.02
    answer.reading.mean = view.state.mean
    return 1 if away > 0.0 else -1
'''


def test_two_processes_never_name_machine_code_alike(tmp_path: Path) -> None:
    """numba counts names from 1 in each process; of two codes of one name, one could run in place of the other."""
    subject = ["-m", "tests.research.subject", "symbol"]
    first, second = (asked(subject, {"NUMBA_CACHE_DIR": str(tmp_path / name)}) for name in "ab")
    assert first != second


def test_a_replay_from_the_cache_runs_beside_one_that_is_compiled_now(tmp_path: Path) -> None:
    """Two strategies that differ in one number only: the loops are one function over records of one shape."""
    folder, cache = tmp_path / "strategies", tmp_path / "cache"
    folder.mkdir()
    copy_shared(cache)
    shared = {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")}  # Of earlier versions of the kernel too.
    assert any(".evolve-" in path.name for path in shared)
    for name, weight in (("quick", "0.5"), ("slow", "0.1")):
        (folder / f"{name}.py").write_text(TWIN.replace("TWIN", name).replace("WEIGHT", weight), encoding="utf-8")
    subject = ["-m", "tests.research.subject", "replays", str(folder)]
    environment = {"NUMBA_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    assert asked([*subject, "quick"], environment) == [True]
    assert asked([*subject, "slow", "quick"], environment) == [True, True]
    assert len([*tmp_path.rglob("*make_replay*.nbc")]) == 2, "each is compiled once"
    assert shared.items() <= {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")}.items(), (
        "what they share is compiled once for both"
    )
    assert set(cache.rglob("*.evolve-*.nbc")) <= shared.keys()


def test_the_key_of_a_loop_needs_no_pickle_and_knows_what_was_made_part_of_it() -> None:
    from numba import njit  # noqa: PLC0415 - an extra

    from papertape.engine.research.loop_cache import LoopCache  # noqa: PLC0415 - likewise

    def make(step: int, part: Any) -> Any:
        def loop(value: int) -> Any:
            return part, value + step

        return loop

    codegen = njit(make(1, None)).targetctx.codegen()

    def key(step: int, digest: str = "one") -> Any:
        return LoopCache(make(step, threading.Lock()), digest)._index_key(("int64",), codegen)

    assert key(1) == key(1)
    assert key(1) != key(2)
    assert key(1) != key(1, "two")
