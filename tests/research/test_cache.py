"""Compiled code on the disk: whoever compiled it, it is run for the strategy it was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.research.processes import asked

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("numba", reason="the extra `research` is not installed: nothing is compiled")


def test_a_loop_from_the_cache_runs_beside_one_that_is_compiled_now(tmp_path: Path) -> None:
    """numba counts names from 1 in each process: without care the two would bear the same ones."""
    environment = {"NUMBA_CACHE_DIR": str(tmp_path)}
    assert asked(["-m", "tests.research.subject", "loops", "funding"], environment) == [True]
    assert asked(["-m", "tests.research.subject", "loops", "vwap_rsi", "funding"], environment) == [True, True]
    indices = [path.name for path in tmp_path.rglob("*make_advance*.nbi")]
    assert len(indices) == 2, "each strategy has a file of its own, so that no two processes write to the same one"
