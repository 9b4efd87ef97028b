"""Trials are counted once each, whatever becomes of their studies."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from papertape.events.errors import StudyForeign
from papertape.studies.ledger import TrialLedger
from papertape.studies.store import StudyStore
from tests.studies.chores import plan

if TYPE_CHECKING:
    from pathlib import Path


def sets(*lookbacks: int) -> list[dict[str, int | float]]:
    """Sets of two parameters."""
    return [{"lookback": lookback, "sl_percent": 0.5} for lookback in lookbacks]


def test_a_set_counts_once_for_its_strategy_and_symbols(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path)
    assert ledger.count("momentum", ["BTCUSDT"]) == 0
    assert ledger.add("momentum", "code", ["BTCUSDT"], sets(1, 2, 3)) == 3
    assert ledger.add("momentum", "code", ["BTCUSDT"], sets(3, 4)) == 4
    assert ledger.add("momentum", "code", ["BTCUSDT"], [{"sl_percent": 0.5, "lookback": 4}]) == 4
    assert ledger.add("momentum", "code", ["ETHUSDT"], sets(1)) == 1
    assert ledger.add("vwap_rsi", "code", ["BTCUSDT"], sets(1)) == 1
    assert TrialLedger(tmp_path).count("momentum", ["BTCUSDT"]) == 4


def test_an_edited_strategy_is_another_trial_of_the_same_idea(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path)
    ledger.add("momentum", "code", ["BTCUSDT"], sets(1, 2))
    assert ledger.add("momentum", "edited code", ["BTCUSDT"], sets(1, 2)) == 4


def test_deleting_a_study_lowers_no_count(tmp_path: Path) -> None:
    path = tmp_path / "small.db"
    StudyStore.create(path, plan(), 1).close()
    TrialLedger(tmp_path).add("momentum", "code", ["BTCUSDT"], sets(1, 2))
    path.unlink()
    assert TrialLedger(tmp_path).count("momentum", ["BTCUSDT"]) == 2


def test_a_newer_ledger_is_refused(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path)
    ledger.add("momentum", "code", ["BTCUSDT"], sets(1))
    with closing(sqlite3.connect(ledger.path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(StudyForeign, match="format 2"):
        ledger.count("momentum", ["BTCUSDT"])
