"""kill -9 at any instant: nothing acknowledged is lost, nothing comes twice, and the end is the same."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from events.failpoints import FAILPOINTS
from tests.engine.processes import kill_until_done, ok, run_and_kill

KILLS = 34
MARKET = (
    "run", "--feed", "sim", "--speed", "max", "--until-end", "--json", "--db", "log.db",
    "--set", "feed.sim.days=4", "feed.sim.warm_up_days=1", "engine.snapshot_every_events=1500",
)  # fmt: skip
FACTS = ("CandleClosed", "FundingRateSettled", "OpenInterestObserved")
LIFE = ("EngineStarted", "EngineStopped", "RunnerConfigured", "FeedConnected", "FeedLost", "GapFilled")


def story(folder: Path) -> list[dict[str, Any]]:
    """The log without what tells of starts and connections, and without the numbers these have shifted."""
    lines = ok(folder, "log", "--db", "log.db", "--all", "--json", "--limit", "1000000").splitlines()
    events = [json.loads(line) for line in lines]
    return [{k: v for k, v in event.items() if k not in ("seq", "cause")} for event in events if event["type"] not in LIFE]


def outcome(folder: Path) -> tuple[str, str]:
    """Digest of the state, and the trades."""
    ok(folder, "trades", "--db", "log.db", "--csv", "trades.csv")
    return ok(folder, "replay", "--db", "log.db", "--digest"), (folder / "trades.csv").read_text()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    ok(folder, *MARKET)
    return folder


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_run_killed_at_random_instants_ends_as_if_it_had_never_been(
    undisturbed: Path, tmp_path: Path, seed: int
) -> None:
    kills, told = kill_until_done(tmp_path, seed, KILLS, *MARKET)
    assert kills >= KILLS // 2, "the market was too short to be killed often"
    assert outcome(tmp_path) == outcome(undisturbed)
    assert story(tmp_path) == story(undisturbed)
    assert_nothing_told_was_lost(tmp_path, told)


def assert_nothing_told_was_lost(folder: Path, told: list[dict[str, Any]]) -> None:
    lines = ok(folder, "log", "--db", "log.db", "--all", "--json", "--limit", "1000000").splitlines()
    held = {event["seq"]: event for event in map(json.loads, lines)}
    assert told
    assert all(held[event["seq"]] == event for event in told)
    facts = Counter((e["type"], e["symbol"], e["at_ms"]) for e in held.values() if e["type"] in FACTS)
    assert set(facts.values()) == {1}


@pytest.mark.parametrize("failpoint", FAILPOINTS)
@pytest.mark.parametrize("nth", [1, 3])
def test_a_run_killed_at_a_failpoint_ends_as_if_it_had_never_been(
    undisturbed: Path, tmp_path: Path, failpoint: str, nth: int
) -> None:
    for _ in range(1 if failpoint != "during_recovery" else 2):
        code, told = run_and_kill(tmp_path, 60.0, *MARKET, PAPERTAPE_FAILPOINT=f"{failpoint}:{nth}")
    if failpoint != "during_recovery" or nth == 1:
        assert code == -9, "the failpoint was never reached"
    ok(tmp_path, *MARKET)
    assert outcome(tmp_path) == outcome(undisturbed)
    assert_nothing_told_was_lost(tmp_path, told or _all_told(tmp_path))


def _all_told(folder: Path) -> list[dict[str, Any]]:
    lines = ok(folder, "log", "--db", "log.db", "--all", "--json", "--limit", "1000000").splitlines()
    return [json.loads(line) for line in lines]
