"""`papertape compare` on logs of real engines."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from papertape.cli.log_comparison import compare_logs as compared_of
from papertape.cli.service.page_comparison import CACHED_S_MIN, LogComparer
from papertape.projections.folds.log_diff import Comparison
from tests.engine.processes import ok, papertape, run_and_kill

pytestmark = pytest.mark.system

SIM = (
    "run", "--feed", "sim", "--speed", "max", "--until-end", "--json", "--seed", "1", "--set", "feed.sim.days=1",
    "feed.sim.symbols=BTCUSDT,DOGEUSDT",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write logs of one market: undisturbed, killed and restarted, with another limit, with other outages."""
    made = tmp_path_factory.mktemp("logs")
    ok(made, *SIM, "--db", "a.db")
    run_and_kill(made, 1.5, *SIM, "--db", "killed.db")
    ok(made, *SIM, "--db", "killed.db")
    ok(made, *SIM, "risk.leverage=2", "--db", "leverage.db")
    ok(made, *SIM, "feed.sim.outage_every_hours=2", "--db", "outages.db")
    return made


def compared(folder: Path, a: str, b: str) -> tuple[int, dict[str, Any]]:
    done = papertape(folder, "compare", a, b, "--json")
    return done.returncode, json.loads(done.stdout)


def test_a_run_that_was_killed_decided_the_same(folder: Path) -> None:
    code, found = compared(folder, "a.db", "killed.db")
    assert (code, found["equal"], found["difference"]) == (0, True, None)
    assert found["a"]["decisions"] == found["b"]["decisions"] > 10
    assert "The same strategies made the same decisions." in ok(folder, "compare", "a.db", "killed.db")


def test_another_leverage_is_named_as_what_the_strategy_ran_under(folder: Path) -> None:
    code, found = compared(folder, "a.db", "leverage.db")
    difference = found["difference"]
    assert (code, found["equal"], difference["kind"], difference["market"]) == (1, False, "other", None)
    assert difference["settings"] == [{"name": "risk.leverage", "a": 3.0, "b": 2.0}]
    assert "quantity_base" in [one["name"] for one in difference["fields"]]
    assert difference["reasons_a"]["conditions"] == difference["reasons_b"]["conditions"] != []
    assert difference["reasons_a"]["causes"][0]["type"] == "CandleClosed"


def test_an_entry_that_one_log_missed_says_why_it_was_missed(folder: Path) -> None:
    code, found = compared(folder, "a.db", "outages.db")
    difference = found["difference"]
    assert (code, difference["kind"], difference["settings"]) == (1, "only_a", [])
    assert difference["market"]["b"].endswith(", late")
    assert difference["reasons_b"]["holds"] == ["the candle was late, and a late candle opens no position"]
    assert [one["met"] for one in difference["reasons_b"]["conditions"]]
    shown = papertape(folder, "compare", "a.db", "outages.db").stdout
    assert "held back: the candle was late" in shown
    assert "B  no such decision; " in shown


def test_a_log_is_only_looked_at(folder: Path, tmp_path: Path) -> None:
    for name in ("a.db", "leverage.db"):
        shutil.copy(folder / name, tmp_path / name)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    papertape(tmp_path, "compare", "a.db", "leverage.db")
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("missing", [("a.db", "none.db"), ("none.db", "a.db")])
def test_a_log_that_is_not_there_is_named(folder: Path, missing: tuple[str, str]) -> None:
    done = papertape(folder, "compare", *missing)
    assert (done.returncode, "none.db" in done.stderr) == (2, True)


def test_a_page_is_given_a_comparison_that_is_worked_out_rarely(folder: Path, tmp_path: Path) -> None:
    for name in ("a.db", "leverage.db"):
        shutil.copy(folder / name, tmp_path / name)
    now_s = [100.0]
    comparer = LogComparer(tmp_path / "a.db", tmp_path / "leverage.db", None, lambda: now_s[0])

    async def asked() -> list[Comparison]:
        first = list(await asyncio.gather(*(comparer.comparison() for _ in range(3))))
        now_s[0] += CACHED_S_MIN - 0.1
        first.append(await comparer.comparison())
        now_s[0] += 0.2
        return [*first, await comparer.comparison()]

    *kept, new = asyncio.run(asked())
    assert all(one is kept[0] for one in kept)
    assert new is not kept[0]
    assert new == kept[0] == compared_of(tmp_path / "a.db", tmp_path / "leverage.db", None)
