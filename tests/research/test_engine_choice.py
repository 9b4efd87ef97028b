"""`--engine auto` compiles only where that is quicker, and never for a strategy that prints."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import pytest

from papertape.engine.research.engine_choice import (
    COMPILE_S,
    IMPORT_S,
    SHARED_S,
    check_engine,
    is_worth_compiling,
    is_worth_importing,
    rows_about,
)
from papertape.events.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

DAY_OF_MINUTES, YEAR_OF_MINUTES = 1_440, 525_600


def test_a_day_of_candles_is_not_worth_the_import_of_the_compiler() -> None:
    assert not is_worth_importing("auto", DAY_OF_MINUTES, 1, IMPORT_S)
    assert is_worth_importing("auto", DAY_OF_MINUTES, 1, 0.0), "it is loaded already"
    assert is_worth_importing("auto", YEAR_OF_MINUTES, 1, IMPORT_S)
    assert is_worth_importing("auto", DAY_OF_MINUTES * 30, 4, IMPORT_S)
    assert not is_worth_importing("auto", YEAR_OF_MINUTES, 4, inf), "it is not installed"
    assert is_worth_importing("compiled", DAY_OF_MINUTES, 1, IMPORT_S)
    assert not is_worth_importing("python", YEAR_OF_MINUTES, 4, IMPORT_S)


def test_a_year_of_one_strategy_is_not_worth_a_compilation_but_three_years_are() -> None:
    assert not is_worth_compiling(YEAR_OF_MINUTES, 1, COMPILE_S)
    assert is_worth_compiling(3 * YEAR_OF_MINUTES, 1, COMPILE_S)
    assert not is_worth_compiling(3 * YEAR_OF_MINUTES, 1, COMPILE_S + SHARED_S), "nothing at all is cached"
    assert is_worth_compiling(YEAR_OF_MINUTES, 1, 0.0), "what is cached costs nothing"


def test_the_rows_of_files_are_estimated_by_their_size(tmp_path: Path) -> None:
    row = "1735689600000,94000.1,94010.5,93990.0,94001.2,12.345\n"
    (tmp_path / "a.csv").write_text(row * 1_000, encoding="utf-8")
    assert 500 < rows_about([f"BTCUSDT={tmp_path / 'a.csv'}"]) < 2_000
    assert rows_about([str(tmp_path / "missing.csv")]) == 0


def test_an_engine_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="--engine fast: there are auto, python, compiled"):
        check_engine("fast")
