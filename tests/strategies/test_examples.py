"""The strategies in `examples/strategies`: short, and each keeps the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from papertape.engine.research.strategy_trial import try_strategy
from papertape.engine.strategy_registry import load_strategy
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

FILES = sorted((REPOSITORY / "examples" / "strategies").glob("*.py"))
LINES_MAX = 60
CANDLES = 1_500


def test_there_are_nine_and_the_first_strategy_of_a_new_project() -> None:
    assert len(FILES) == 9 + 1
    assert "dip_buyer" in {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_is_short_and_keeps_the_contract(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES_MAX
    promises = try_strategy(load_strategy(path), lambda _: None, CANDLES, is_compiled=False)
    assert [promise for promise in promises if promise.kept is False] == []
