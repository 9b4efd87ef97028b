"""/why: the conditions of an entry, met or not, as `papertape why` and the pages show them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from papertape.cli.app import app
from papertape.cli.explainer import make_explainer
from papertape.engine.runner_settings import RunnerSettings, runner_configurations
from papertape.engine.strategy_registry import load_strategies
from papertape.events.log import Entry
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.alerts.markup import plain_text
from papertape.projections.host import fold
from papertape.projections.site.views import Views
from papertape.projections.telegram.answers import QueryHandler, RuntimeInfo
from papertape.projections.telegram.parse import CauseQuery
from papertape.projections.text.formats import reading
from papertape.projections.text.reasons import reason_words
from tests.build import DAY_0_MS
from tests.cli.written_log import FILL, ORDER, REJECTED, entries, write_log
from tests.sandbox.virtual_time import VirtualClock, run

if TYPE_CHECKING:
    from papertape.projections.telegram.answers import ChatAnswer

GOLDEN = Path(__file__).parent / "golden"
STRATEGIES = load_strategies()


def why_in_chat(db: Path, seq: int, seen_until: int | None = None, *, changed: bool = False) -> str:
    """The chat's answer, from views that have come to `seen_until`. `changed`: the strategies are others now."""

    async def ask(clock: VirtualClock) -> ChatAnswer:
        reader, views = SqliteLogReader(db), Views()
        fold([views], reader.read(0, reader.head().seq if seen_until is None else seen_until))
        outside = RuntimeInfo(explain=make_explainer({} if changed else STRATEGIES))
        answer = QueryHandler(views, outside, reader, clock).answer(CauseQuery(seq), reader.head().seq)
        reader.close()
        return answer

    return run(ask).html


def why_by_cli(db: Path, seq: int) -> list[dict[str, Any]]:
    """The links of `papertape why --json`."""
    shown = CliRunner().invoke(app, ["why", str(seq), "--db", str(db), "--json"])
    assert shown.exit_code == 0, shown.output
    links: list[dict[str, Any]] = json.loads(shown.stdout)["links"]
    return links


@pytest.mark.parametrize("seq", [ORDER, FILL, REJECTED])
def test_the_chat_shows_the_conditions_that_papertape_why_shows(tmp_path: Path, seq: int) -> None:
    db = write_log(tmp_path / "log.db")
    said = plain_text(why_in_chat(db, seq))
    conditions = [one for link in why_by_cli(db, seq) for one in link["conditions"]]
    assert conditions
    for one in conditions:
        mark, numbers = "✓" if one["met"] else "✗", (reading(one["value"]), one["relation"], reading(one["threshold"]))
        assert f"{mark} {reason_words(one['name'])}: {' '.join(numbers)}" in said.splitlines()
    assert conditions[0]["threshold"] == 31.0


def test_a_why_reads_as_its_golden_file(tmp_path: Path) -> None:
    said = why_in_chat(write_log(tmp_path / "log.db"), FILL)
    golden = GOLDEN / "why.txt"
    if os.environ.get("PAPERTAPE_GOLDEN") == "write":
        golden.write_text(said + "\n", encoding="utf-8")
    assert said + "\n" == golden.read_text(encoding="utf-8")


def test_parameters_are_those_in_force_at_the_event(tmp_path: Path) -> None:
    later = RunnerSettings(parameters={"trend_adx_threshold": 99.0})
    changed = runner_configurations(STRATEGIES, ("BTCUSDT",), DAY_0_MS, {"momentum": later})
    said = why_in_chat(write_log(tmp_path / "log.db", [*entries(), [Entry(changed[0])]]), FILL)
    assert said == why_in_chat(write_log(tmp_path / "other.db"), FILL)
    assert "✓ 15m ADX: 31.5 &gt;= 31\n" in said


def test_without_conditions_the_readings_are_shown_with_the_reason(tmp_path: Path) -> None:
    db = write_log(tmp_path / "log.db")
    gone = why_in_chat(db, ORDER, changed=True)
    assert "momentum: this strategy is not installed here, so its conditions are not shown" in gone
    assert "adx 15m <code>31.5</code>" in gone
    behind = why_in_chat(db, ORDER, seen_until=ORDER - 1)
    assert "✓" not in behind, "views that have not come there do not know what was configured"
    assert "adx 15m <code>31.5</code>" in behind
