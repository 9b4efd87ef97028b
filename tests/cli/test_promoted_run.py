"""From a study to paper with the real program: promote, run over files, read the arena."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from papertape.events.facts import CandleClosed, Closing, RunnerConfigured, StudyPromoted
from tests.build import FIVE_MINUTES_MS, table
from tests.cli.studies_to_promote import conclusions, write
from tests.engine.logs import recorded
from tests.engine.processes import ok
from tests.reducer.random_market import Recipe, market

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

EAGER = {"trend_adx_threshold": 5.0, "exit_adx_threshold": 12.0, "volume_confirmation_multiplier": 0.6}
TOML = """
[engine]
db = "data/papertape.db"
[strategies]
enabled = ["momentum"]
"""


def write_candles(folder: Path) -> Path:
    candles = [one for one in market(Recipe(3, 1, 400, FIVE_MINUTES_MS)).events() if isinstance(one, CandleClosed)]
    rows = [f"{one.open_time_ms},{one.open},{one.high},{one.low},{one.close},{one.volume}" for one in candles]
    return table(folder, "market.csv", "open_time_ms,open,high,low,close,volume", rows)


def test_a_promoted_study_is_recorded_and_compared_with_its_trades(tmp_path: Path) -> None:
    (tmp_path / "papertape.toml").write_text(TOML)
    write(tmp_path, conclusions("NO"), parameters=EAGER, symbols=("XUSDT",))
    write_candles(tmp_path)
    ok(tmp_path, "promote", "momentum-btc", "--against-advice", "a try")
    ok(tmp_path, "run", "--candles", "XUSDT=market.csv", "--until-end", "--speed", "max")
    events = [item.event for item in recorded(tmp_path / "data" / "papertape.db")]
    kinds = [type(event) for event in events]
    assert kinds.index(StudyPromoted) + 1 == kinds.index(RunnerConfigured)
    trades = sum(isinstance(event, Closing) for event in events)
    assert trades > 0
    (row,) = json.loads(ok(tmp_path, "arena", "--json"))
    promise = row["promise"]
    assert (promise["trades"], promise["against_advice"], promise["verdict"]) == (trades, "a try", "NO")
