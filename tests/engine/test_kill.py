"""kill -9 at any instant: nothing acknowledged is lost, nothing happens twice, and the result is the same."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from papertape.cli.render.event_json import json_fields
from papertape.events.facts import CandleClosed, FundingRateSettled, OpenInterestObserved
from papertape.events.failpoints import FAILPOINTS
from tests.engine.logs import digest, recorded, story, trades_csv
from tests.engine.processes import kill_until_done, ok, run_and_kill
from tests.patience import PATIENCE_S
from tests.support import PROVING

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

KILLS = 25 if PROVING else 12
FACTS = (CandleClosed, FundingRateSettled, OpenInterestObserved)


def market(days: int, *sets: str) -> tuple[str, ...]:
    return (
        "run", "--feed", "sim", "--speed", "max", "--until-end", "--json", "--db", "log.db", "--set",
        f"feed.sim.days={days}", "feed.sim.warm_up_days=1", *sets,
    )  # fmt: skip


LONG = market(3, "engine.snapshot_every_events=1500")
SHORT = market(1, "engine.snapshot_every_events=500", "feed.sim.symbols=BTCUSDT")


def outcome(folder: Path) -> tuple[str, str, list[Any]]:
    """Digest of the state, the trades, and all that happened."""
    db = folder / "log.db"
    return digest(db), trades_csv(db), story(db)


def undisturbed(folder: Path, arguments: tuple[str, ...]) -> tuple[str, str, list[Any]]:
    ok(folder, *arguments)
    return outcome(folder)


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, list[Any]]:
    """How the long market ends when nobody is killed."""
    return undisturbed(tmp_path_factory.mktemp("long"), LONG)


@pytest.fixture(scope="module")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, list[Any]]:
    """How the short market ends when nobody is killed."""
    return undisturbed(tmp_path_factory.mktemp("short"), SHORT)


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (3, 4))])
def test_a_run_killed_at_random_instants_ends_as_if_it_had_never_been(
    long_run: tuple[str, str, list[Any]], tmp_path: Path, seed: int
) -> None:
    told = kill_until_done(tmp_path, seed, KILLS, *LONG)
    assert outcome(tmp_path) == long_run
    assert_nothing_told_was_lost(tmp_path, told)


def assert_nothing_told_was_lost(folder: Path, told: list[dict[str, Any]]) -> None:
    events = recorded(folder / "log.db")
    held = {item.seq: json.loads(msgspec.json.encode(json_fields(item))) for item in events}
    assert told
    assert all(held[event["seq"]] == event for event in told)
    facts = Counter(
        (type(item.event), item.event.symbol, item.event.at_ms) for item in events if isinstance(item.event, FACTS)
    )
    assert set(facts.values()) == {1}


@pytest.mark.parametrize("failpoint", FAILPOINTS)
@pytest.mark.parametrize("nth", [1, 3])
def test_a_run_killed_at_a_failpoint_ends_as_if_it_had_never_been(
    short_run: tuple[str, str, list[Any]], tmp_path: Path, failpoint: str, nth: int
) -> None:
    """The place `during_recovery` is reached once a start: there every start dies, but the log grows no older."""
    starts, reach = (nth, 1) if failpoint == "during_recovery" else (1, nth)
    told: list[dict[str, Any]] = []
    for _ in range(starts):
        code, events = run_and_kill(tmp_path, PATIENCE_S, *SHORT, PAPERTAPE_FAILPOINT=f"{failpoint}:{reach}")
        assert code == -9, "the failpoint was never reached"
        told += events
    _, events = run_and_kill(tmp_path, PATIENCE_S, *SHORT)
    assert outcome(tmp_path) == short_run
    assert_nothing_told_was_lost(tmp_path, told + events)
