"""A strategy's file, run by itself, shows its orders."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.docs.blocks import blocks_of
from tests.patience import PATIENCE_S
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path


def orders_of(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    return done.stdout


@pytest.mark.system
def test_a_built_in_strategy_shows_its_orders_with_their_conditions() -> None:
    shown = orders_of("-m", "papertape.engine.strategies.momentum")
    assert "entry long  signal\n      x 15m ADX: " in shown


@pytest.mark.system
def test_an_own_strategy_in_a_file_shows_its_orders(tmp_path: Path) -> None:
    path = tmp_path / "three_down.py"
    (example,) = (one for one in blocks_of(REPOSITORY / "docs" / "strategies.md") if one.title.endswith(path.name))
    path.write_text(example.text)
    assert orders_of(str(path)).startswith("Buy what has fallen three candles in a row.\n\n01-01 ")
