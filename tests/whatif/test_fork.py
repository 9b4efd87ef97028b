"""`fork`: a branch is the original up to a moment, then what a run under the other configuration would have decided."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from papertape.cli.log_comparison import compare_logs
from papertape.cli.service.engine import refuse_foreign
from papertape.cli.service.page import is_backtest
from papertape.cli.whatif.fork_log import ForkOptions, fork_log
from papertape.engine.reducer.reducer import groups, is_decision
from papertape.engine.reducer.state import new_state
from papertape.engine.strategy_registry import load_all_strategies
from papertape.engine.verify import verify
from papertape.events.errors import ConfigError, LogDamaged, UsageError
from papertape.events.facts import (
    ConfigurationReloaded,
    EngineStopped,
    FeedConnected,
    KillSwitchReset,
    RunnerConfigured,
)
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.text.formats import utc
from tests.engine.logs import damage, recorded, recovered
from tests.engine.processes import command, environment, ok, papertape
from tests.patience import PATIENCE_S
from tests.support import feed, needs_data, path_of, take
from tests.whatif.history import eventful_history, inputs, own_folder, plain_history, rows

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.events.log import Recorded

pytestmark = pytest.mark.system

SET = "scripted.stop_percent=2.5"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the owner's configuration, in which commands run."""
    monkeypatch.chdir(tmp_path)
    own_folder(tmp_path)
    return tmp_path


def forked(log: Path, at: str, *sets: str, to: str = "branch.db", **options: Any) -> Path:
    target = log.with_name(to)
    fork_log(log, ForkOptions(at, sets, target, **options), as_json=False)
    return target


def middle(log: Path) -> int:
    """The last seq of a group in the middle of a log, behind which a row does not end."""
    events, ends = recorded(log), {row[0] + row[1] - 1 for row in rows(log)}
    found = [group[-1].seq for group in groups(events) if len(group) > 1 and group[-1].seq not in ends]
    return found[len(found) // 2]


def kept(log: Path, at_seq: int) -> list[Recorded]:
    return [one for one in recorded(log) if one.seq <= at_seq]


def test_up_to_the_moment_it_is_the_original_row_for_row(home: Path) -> None:
    log = eventful_history(home / "own").write(home / "log.db")
    at = middle(log)
    branch = forked(log, str(at), SET)
    assert kept(branch, at) == kept(log, at)
    whole = [row for row in rows(log) if row[0] + row[1] - 1 <= at]
    assert rows(branch)[: len(whole)] == whole
    end = whole[-1][0] + whole[-1][1] - 1
    branch = forked(log, str(end), SET, to="row.db")
    assert rows(branch)[: len(whole)] == whole
    with closing(SqliteLogReader(branch)) as reader, closing(SqliteLogReader(log)) as original:
        assert reader.hash_at(end) == original.hash_at(end) is not None


def test_behind_it_is_what_an_engine_decides_after_a_reload(home: Path) -> None:
    """A world that takes the same inputs after the same reload writes the same events, with the same causes."""
    log = plain_history(home / "own").write(home / "log.db")
    at = middle(log)
    branch = recorded(forked(log, str(at), SET))
    history = plain_history(home / "own")
    world, story = new_state(history.strategies), list[Any]()
    for group in groups(kept(log, at)):
        take(world, story, group[0].event)
    reload = next(one.event for one in branch if isinstance(one.event, ConfigurationReloaded))
    take(world, story, reload)
    before = world.runner("scripted").configured
    take(world, story, replace(before, at_ms=reload.at_ms, parameters={**before.parameters, "stop_percent": 2.5}))
    feed(world, story, [one.event for one in recorded(log) if one.seq > at and not is_decision(one.event)])
    assert [(one.seq, one.cause, one.event) for one in branch[:-2]] == [
        (one.seq, one.cause, one.event) for one in story
    ]
    assert [one.event for one in branch] != [one.event for one in recorded(log)]


def test_commands_stay_and_the_branch_is_proved_by_verify(home: Path) -> None:
    log = eventful_history(home / "own").write(home / "log.db")
    at = recorded(log)[len(recorded(log)) // 10].seq
    branch = forked(log, str(at), SET)
    made = [one.event for one in recorded(branch)[:-2]]
    original, changed = inputs([one.event for one in recorded(log)]), inputs(made)
    for kind in (KillSwitchReset, RunnerConfigured):
        original = [one for one in original if not isinstance(one, kind)]
        changed = [one for one in changed if not isinstance(one, kind)]
    trips = [one for one in changed if one not in original]
    assert [type(one).__name__ for one in trips] == ["ConfigurationReloaded", "KillSwitchTripped"], (
        "it names other equity"
    )
    assert any(isinstance(one, KillSwitchReset) for one in made)
    scripted = [one for one in made if isinstance(one, RunnerConfigured) and one.strategy == "scripted"]
    assert [one.parameters["stop_percent"] for one in scripted] == [1.0, 2.5, 2.5], "the reload behind it keeps it"
    assert [one.risk["leverage"] for one in scripted] == [3.0, 3.0, 2.0]
    with closing(SqliteLogReader(branch)) as reader:
        assert verify(reader, None, load_all_strategies([home / "own"])).difference is None
    times = {one.seq: one.recorded_at_ms for one in recorded(log)}
    assert {one.recorded_at_ms for one in recorded(branch)} <= set(times.values())


def test_it_says_where_it_comes_from_and_no_engine_continues_it(home: Path) -> None:
    log = plain_history(home / "own").write(home / "log.db")
    at = middle(log)
    branch = forked(log, str(at), SET)
    events = [one.event for one in recorded(branch)]
    reload = next(one for one in events if isinstance(one, ConfigurationReloaded))
    assert (reload.why, reload.changes) == (
        f"what-if branch of {log} at seq {at}",
        ("scripted.stop_percent: 1 -> 2.5",),
    )
    assert isinstance(events[-2], FeedConnected)
    assert isinstance(events[-1], EngineStopped)
    assert is_backtest(branch)
    assert not is_backtest(log)
    with pytest.raises(ConfigError, match="is a what-if branch, which no engine continues"):
        refuse_foreign(recovered(branch).state, "sim", branch)
    head = len(events)
    done = papertape(home, "run", "--feed", "sim", "--speed", "max", "--until-end", "--db", "branch.db")
    assert done.returncode == 4
    done = papertape(home, "kill", "--why", "a test", "--db", "branch.db")
    assert (done.returncode, "takes no commands" in done.stderr) == (1, True)
    assert len(recorded(branch)) == head


def test_it_is_compared_like_any_log_and_the_command_says_how(home: Path) -> None:
    log = plain_history(home / "own").write(home / "log.db")
    at_ms = kept(log, middle(log))[-1].event.at_ms
    said = ok(home, "fork", "log.db", "--at", utc(at_ms).replace(" ", "T"), "--set", SET)
    name = next(path.name for path in home.glob("log-fork-*.db"))
    assert f"compare  papertape compare log.db {name}" in said
    assert f"open     papertape ui --db {name} --compare log.db" in said
    assert "scripted.stop_percent: 1 -> 2.5" in said
    found = compare_logs(log, home / name, None)
    assert found.difference is not None
    assert (found.difference.scope, found.equal) == ("scripted", False)
    assert [(one.name, one.a, one.b) for one in found.difference.settings if one.name != "code_digest"] == [
        ("parameters.stop_percent", 1.0, 2.5)
    ]
    assert found.difference.at_ms > at_ms
    as_json = json.loads(ok(home, "fork", "log.db", "--at", "#9", "--set", SET, "--json", "--to", "other.db"))
    assert as_json["at_seq"] >= 9
    assert len(recorded(home / "other.db")) == as_json["seq"]


@needs_data
def test_a_branch_before_the_first_candle_is_the_backtest_under_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = f"BTCUSDT={path_of('binance_BTCUSDT_5m_2024-12-31_2025-09-30.csv.gz')}"
    run = ("backtest", "--engine", "python", "--strategy", "momentum", "--candles", files, "--to", "2025-01-25")
    ok(tmp_path, *run, "--db", "log.db")
    ok(tmp_path, *run, "--db", "other.db", "--set", "momentum.sl_percent=0.8")
    branch = forked(tmp_path / "log.db", "3", "momentum.sl_percent=0.8")
    assert compare_logs(branch, tmp_path / "other.db", None).equal
    assert not compare_logs(branch, tmp_path / "log.db", None).equal


# ---------------------------------------------------------------- refusals and damage


def test_what_cannot_be_branched_is_refused_and_leaves_nothing(home: Path) -> None:
    log = eventful_history(home / "own").write(home / "log.db")
    head, before = len(recorded(log)), sorted(home.iterdir())
    for at, sets, words in (
        (str(head + 1), (SET,), f"the log contains events 1 to {head}"),
        ("2019-01-01", (SET,), "the log begins later"),
        ("yesterday", (SET,), "not a time"),
        ("200", ("scripted.stop_percent=1.0",), "already applies at seq"),
        ("200", ("scripted.risk.capital_usdt=5",), "needs a log of its own"),
    ):
        with pytest.raises((UsageError, ConfigError), match=words):
            forked(log, at, *sets)
    branch = forked(log, "200", SET)
    whole = branch.read_bytes()
    with pytest.raises(UsageError, match="already exists"):
        forked(log, "200", SET)
    assert branch.read_bytes() == whole
    for path in home.glob("branch.db*"):
        path.unlink()
    (home / "own" / "second.py").unlink()
    (home / "papertape.toml").write_text('[strategies]\nfolders = ["own"]\n')
    with pytest.raises(ConfigError, match="second cannot decide in a branch: its file is missing"):
        forked(log, "200", SET)
    damage(log, "UPDATE commits SET events = x'00' WHERE seq = (SELECT seq FROM commits LIMIT 1 OFFSET 9)")
    with pytest.raises(LogDamaged, match="damaged at seq"):
        forked(log, "200", SET)
    assert [path for path in sorted(home.iterdir()) if not path.name.startswith("own")] == [
        path for path in before if not path.name.startswith("own")
    ]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_writer_leaves_nothing_under_the_name(home: Path, how: signal.Signals) -> None:
    plain_history(home / "own", candles=1_500).write(home / "log.db")
    arguments = ("fork", "log.db", "--at", "200", "--set", SET, "--to", "branch.db")
    process = subprocess.Popen(command(*arguments), cwd=home, env=environment())
    deadline = time.monotonic() + PATIENCE_S
    while not list(home.glob(".branch.db.*.half.head")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, how)
    assert process.wait(PATIENCE_S) != 0
    assert list(home.glob("branch.db*")) == []
    assert (list(home.glob(".branch.db.*")) != []) == (how is signal.SIGKILL)
    ok(home, *arguments)
    assert list(home.glob(".branch.db.*")) == []
    assert len(recorded(home / "branch.db")) > 1_500
