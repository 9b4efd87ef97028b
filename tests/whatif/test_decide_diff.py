"""`decide-diff`: the same decisions of the same code, and every difference of another one, with its cause."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from papertape.cli.offline.output_files import whole_log
from papertape.cli.whatif.decide_again import DecideOptions, DecisionReport, decide_again
from papertape.cli.whatif.decision_diff import Outcomes
from papertape.cli.whatif.decisions_file import read_decisions
from papertape.events.errors import ConfigError, LogDamaged, PortableDamaged, UsageError
from papertape.events.facts import (
    CandleClosed,
    KillSwitchReset,
    KillSwitchTripped,
    PositionOpened,
    RunnerConfigured,
    RunnerPaused,
    SignalReceived,
    StrategyFailed,
    Timing,
)
from papertape.projections.host import fold
from papertape.projections.text.event_views import strategy_of
from papertape.projections.text.formats import utc
from tests.engine.logs import damage, recorded
from tests.engine.processes import ok, papertape
from tests.support import needs_data, path_of
from tests.whatif.history import STOP, History, decisions, edit, eventful_history, own_folder, plain_history, rows

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

REAL = (
    *("backtest", "--engine", "python", "--strategy", "momentum", "vwap_rsi"),
    *("--from", "2025-03-01", "--to", "2025-04-10"),
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the owner's configuration, in which commands run."""
    monkeypatch.chdir(tmp_path)
    own_folder(tmp_path)
    return tmp_path


def again(log: Path, *sets: str, **options: Any) -> DecisionReport:
    return decide_again(log, DecideOptions(sets=sets, **options))


def causes(report: DecisionReport) -> list[str]:
    """The texts of all causes, in order of appearance."""
    return list(dict.fromkeys(cause.text for direct in report.differences for cause in direct.causes))


def decided(log: Path, folder: Path, *sets: str, **options: Any) -> list[Any]:
    """What is decided again, by way of a file."""
    again(log, *sets, write=folder / "decided", **options)
    rows = read_decisions(folder / "decided")
    (folder / "decided").unlink()
    return decisions([event for seq in rows.rows for event in rows.on(seq)])


# ---------------------------------------------------------------- the same code


def test_the_same_code_decides_the_same(home: Path) -> None:
    log = eventful_history(home / "own").write(home / "log.db")
    events = [one.event for one in recorded(log)]
    for kind in (RunnerPaused, KillSwitchTripped, KillSwitchReset, SignalReceived):
        assert any(isinstance(event, kind) for event in events)
    assert any(isinstance(event, CandleClosed) and event.timing is Timing.LATE for event in events)
    assert sum(isinstance(event, RunnerConfigured) for event in events) == 4
    found = again(log)
    assert (found.equal, found.differences, found.refused, found.followed) == (True, (), (), {})
    assert found.expected_decisions == found.decided_decisions > 100
    assert decided(log, home) == decisions(events)
    for pair in found.results:
        assert pair.expected == pair.decided


def test_the_results_are_those_of_the_arena(home: Path) -> None:
    log = plain_history(home / "own").write(home / "log.db")
    ranked = {row["strategy"]: row for row in json.loads(ok(home, "arena", "--db", "log.db", "--json"))}
    found = {pair.strategy: pair.expected for pair in again(log).results}
    for name, row in ranked.items():
        own = found[name]
        assert own is not None
        assert own.trades == row["trades"]
        assert own.net_usdt == pytest.approx(row["equity_usdt"] - 10_000.0)
        assert own.max_drawdown_percent == pytest.approx(row["max_drawdown_percent"])
    total = found[""]
    assert total is not None
    assert total.net_usdt == pytest.approx(sum(row["equity_usdt"] - 10_000.0 for row in ranked.values()))


# ---------------------------------------------------------------- other settings


@needs_data
def test_another_parameter_decides_as_a_backtest_under_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    market = ("--candles", f"BTCUSDT={path_of('binance_BTCUSDT_5m_2024-12-31_2025-09-30.csv.gz')}")
    ok(tmp_path, *REAL, *market, "--db", "log.db")
    ok(tmp_path, *REAL, *market, "--db", "other.db", "--set", "momentum.sl_percent=0.8", "vwap_rsi.risk.leverage=2")
    log, other = tmp_path / "log.db", tmp_path / "other.db"
    assert again(log).equal
    sets = ("momentum.sl_percent=0.8", "vwap_rsi.risk.leverage=2")
    found = again(log, *sets)
    assert causes(found) != []
    assert set(causes(found)) == {"momentum.sl_percent: 0.3 -> 0.8", "vwap_rsi.risk.leverage: 3 -> 2"}
    assert {cause.kind for one in found.differences for cause in one.causes} == {"parameter", "limit"}
    outcomes = Outcomes()
    fold([outcomes], recorded(other))
    assert {pair.strategy: pair.decided for pair in found.results} == outcomes.by_strategy()
    assert decided(log, tmp_path, *sets) == decisions([one.event for one in recorded(other)])


def test_a_difference_stands_before_what_follows_from_it(home: Path) -> None:
    log = plain_history(home / "own").write(home / "log.db")
    found = again(log, "scripted.stop_percent=2.5")
    assert {one.strategy for one in found.differences} == {"scripted"}
    assert causes(found) == ["scripted.stop_percent: 1 -> 2.5"]
    first, count = found.differences[0], 0
    assert {"quantity_base", "stop_fraction"} <= {one.name for one in first.differences[0].fields}
    assert [one.seq for one in found.differences] == sorted(one.seq for one in found.differences)
    for direct in found.differences:
        count += len(direct.differences) + len(direct.consequences)
        assert all(one.seq >= direct.seq for one in direct.consequences)
    assert count == found.count == found.results[0].differences
    assert sum(len(one.consequences) for one in found.differences) > 0
    opened = next(one for one in recorded(log) if isinstance(one.event, PositionOpened) and one.seq > first.seq)
    assert any("opened" in (one.decided or "") for one in first.consequences), opened


def test_a_limit_that_trips_is_the_cause_of_what_is_missing_afterwards(home: Path) -> None:
    log = plain_history(home / "own").write(home / "log.db")
    found = again(log, "scripted.risk.max_session_loss_percent=0.5")
    assert causes(found) == ["scripted.risk.max_session_loss_percent: 100 -> 0.5"]
    trip = found.differences[0]
    assert "kill switch" in (trip.differences[0].decided or "")
    assert len(found.differences) == 1, "everything else follows from the trip"
    assert {one.decided for one in trip.consequences if one.expected and "order: " in one.expected} == {None}


def test_a_global_trip_stops_strategies_whose_settings_did_not_change(home: Path) -> None:
    log = plain_history(home / "own").write(home / "log.db")
    found = again(log, "risk.global_max_loss_percent=0.5")
    assert all("global_max_loss_percent: 100 -> 0.5" in text for text in causes(found))
    assert found.differences[0].strategy == "global"
    assert len(found.differences) == 1
    assert {"scripted", "second"} <= {one.strategy for one in found.differences[0].consequences}


def test_a_reset_ends_the_trip_of_this_side_and_a_kill_that_does_not_fit_is_named(home: Path) -> None:
    log = eventful_history(home / "own").write(home / "log.db")
    found = again(log, "scripted.risk.max_session_loss_percent=0.5")
    assert ["already" in one.reason for one in found.refused] == [True]
    resets = [one.seq for one in recorded(log) if isinstance(one.event, KillSwitchReset)]
    made = decided(log, home, "scripted.risk.max_session_loss_percent=0.5")
    reset_ms = next(one.event.at_ms for one in recorded(log) if one.seq == resets[0])
    assert any(event.at_ms > reset_ms and strategy_of(event) == "scripted" for event in made)


def test_a_file_is_the_whole_other_configuration(home: Path) -> None:
    log = plain_history(home / "own").write(home / "log.db")
    (home / "one.toml").write_text(
        '[strategies]\nfolders = ["own"]\nenabled = ["second"]\n[strategies.second]\nstop_percent = 0.5\n'
        "target_percent = 3.0\n[risk]\nmax_session_loss_percent = 100.0\nmax_daily_loss_percent = 100.0\n"
        "global_max_loss_percent = 100.0\n"
    )
    found = again(log, config=home / "one.toml")
    results = {pair.strategy: pair for pair in found.results}
    assert results["scripted"].decided is None
    assert results["second"].expected == results["second"].decided
    assert causes(found) == ["scripted runs on one side only"]


def test_a_period_leaves_what_was_before_it_as_recorded(home: Path) -> None:
    log = plain_history(home / "own").write(home / "log.db")
    whole = again(log, "scripted.stop_percent=2.5")
    middle_ms = recorded(log)[len(recorded(log)) // 2].event.at_ms
    moment = utc(middle_ms).replace(" ", "T")
    found = again(log, "scripted.stop_percent=2.5", start=moment)
    assert 0 < found.count < whole.count
    assert all(one.at_ms >= found.from_ms for one in found.differences if found.from_ms)
    until = again(log, "scripted.stop_percent=2.5", end=moment)
    assert until.count < whole.count
    assert all(one.at_ms <= until.until_ms for one in until.differences if until.until_ms)


# ---------------------------------------------------------------- other code


def test_an_edited_file_is_named_and_the_other_strategy_decides_the_same(home: Path) -> None:
    log = eventful_history(home / "own").write(home / "log.db")
    edit(home / "own", "scripted", STOP, STOP.replace("100.0", "50.0"))
    found = again(log)
    assert not found.equal
    assert {one.strategy for one in found.differences} == {"scripted"}
    assert all(cause.kind == "code" for one in found.differences for cause in one.causes)
    assert all(text.startswith("scripted: another scripted.py (") for text in causes(found))


def test_code_that_decides_as_before_is_no_cause_beside_a_changed_parameter(home: Path) -> None:
    log = plain_history(home / "own").write(home / "log.db")
    edit(home / "own", "scripted", STOP, f"{STOP}  # as ever")
    assert again(log).equal
    assert causes(again(log, "scripted.stop_percent=2.5")) == ["scripted.stop_percent: 1 -> 2.5"]
    edit(home / "own", "scripted", STOP, STOP.replace("100.0", "50.0"))
    both = causes(again(log, "scripted.target_percent=2.5"))
    assert both[0] == "scripted.target_percent: 1.5 -> 2.5"
    assert both[1].startswith("scripted: another scripted.py")


def test_a_strategy_without_its_file_is_followed(home: Path) -> None:
    log = eventful_history(home / "own").write(home / "log.db")
    (home / "own" / "second.py").unlink()
    (home / "papertape.toml").write_text('[strategies]\nfolders = ["own"]\n')
    found = again(log)
    assert (found.equal, found.followed) == (True, {"second": "its file is missing"})
    assert found.expected_decisions == found.decided_decisions
    assert {one.strategy for one in again(log, "scripted.stop_percent=2.5").differences} == {"scripted"}


def test_a_hook_that_failed_is_called_again_once_its_file_is_another(home: Path) -> None:
    own = home / "own"
    edit(own, "scripted", STOP, "answer.stop_fraction = params.stop_percent / (view.candle.close * 0.0)")
    log = plain_history(own).write(home / "log.db")
    assert any(isinstance(one.event, StrategyFailed) for one in recorded(log))
    assert again(log).equal
    edit(own, "scripted", "(view.candle.close * 0.0)", "100.0")
    found = again(log)
    assert found.differences[0].causes[0].kind == "code"
    assert any("ZeroDivisionError" in (one.expected or "") for one in found.differences[0].differences)
    assert any(pair.decided.trades > 0 for pair in found.results if pair.strategy == "scripted" and pair.decided)


def test_two_versions_are_compared_by_a_file(home: Path) -> None:
    log, file = eventful_history(home / "own").write(home / "log.db"), home / "decisions"
    written = again(log, write=file)
    assert again(log, expect=file).equal
    assert file.stat().st_size < log.stat().st_size / 4
    edit(home / "own", "scripted", STOP, STOP.replace("100.0", "50.0"))
    found, recorded_side = again(log, expect=file), again(log)
    assert found.expected_decisions == written.decided_decisions
    assert found.count == recorded_side.count > 0
    assert all(text.startswith("scripted: another scripted.py (") for text in causes(found))
    again(log, write=file)
    assert again(log, expect=file).equal, "the file holds what the edited version decides, not what was recorded"
    assert causes(again(log, "second.stop_percent=2.5", expect=file))[0] == "second.stop_percent: 0.5 -> 2.5"


# ---------------------------------------------------------------- errors


def test_damage_and_wrong_files_are_named(home: Path) -> None:
    log, file = plain_history(home / "own").write(home / "log.db"), home / "decisions"
    again(log, write=file)
    whole = file.read_bytes()
    for torn in (whole[:-20], whole[: len(whole) // 2], b"", b"no gzip at all", whole[:100] + b"\0\0" + whole[102:]):
        file.write_bytes(torn)
        with pytest.raises(PortableDamaged, match="decisions"):
            again(log, expect=file)
    with pytest.raises(UsageError, match="cannot be read"):
        again(log, expect=home / "none")
    file.write_bytes(whole)
    with pytest.raises(UsageError, match="names its own period"):
        again(log, expect=file, start="2024-01-01")
    history = History(home / "own")
    history.feed(0.0, 0.4)
    with pytest.raises(UsageError, match="another log"):
        again(history.write(home / "short.db"), expect=file)
    damage(log, "UPDATE commits SET events = x'00' WHERE seq = (SELECT seq FROM commits LIMIT 1 OFFSET 9)")
    with pytest.raises(LogDamaged, match="damaged at seq"):
        again(log)


@pytest.mark.parametrize(
    ("one", "kind", "words"),
    [
        ("scripted.stop_percents=1", ConfigError, "stop_percent"),
        ("scripted.stop_percent=-1", ConfigError, "stop_percent"),
        ("momentum.sl_percent=1", UsageError, "the log has: scripted, second"),
        ("feed.speed=1", UsageError, "can be changed for a recorded log"),
        ("scripted", UsageError, "KEY=VALUE"),
    ],
)
def test_a_key_that_cannot_be_changed_is_refused(home: Path, one: str, kind: type[Exception], words: str) -> None:
    log = plain_history(home / "own").write(home / "log.db")
    with pytest.raises(kind, match=words):
        again(log, one)


def test_the_command_prints_both_results_and_exits_with_6(home: Path) -> None:
    plain_history(home / "own").write(home / "log.db")
    assert "Every decision is the same." in ok(home, "decide-diff", "log.db")
    before = rows(home / "log.db")
    done = papertape(home, "decide-diff", "log.db", "--set", "scripted.stop_percent=2.5", COLUMNS="100")
    assert done.returncode == 6
    for words in ("changed parameter  scripted.stop_percent: 1 -> 2.5", "consequences, because", "together", " → "):
        assert words in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    as_json = papertape(home, "decide-diff", "log.db", "--set", "scripted.stop_percent=2.5", "--json")
    found = json.loads(as_json.stdout)
    assert (as_json.returncode, found["equal"]) == (6, False)
    assert found["count"] == sum(len(one["differences"]) + len(one["consequences"]) for one in found["differences"])
    assert rows(home / "log.db") == before


def test_a_file_that_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    left, other = tmp_path / ".log.db.999999999.half", tmp_path / ".log.db.1.half"
    for path in (left, left.with_name(f"{left.name}-wal"), other):
        path.touch()
    with whole_log(tmp_path / "log.db") as half:
        half.touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "log.db"]
