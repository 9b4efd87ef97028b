"""The commands of research, end to end: sweep, walk forward, and what can be done with the study they leave."""

from __future__ import annotations

import csv
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from papertape.events.units import DAY_MS
from tests.build import DAY_0_MS
from tests.cli.research_market import call, lines_of, study_of, sweep_line, write_market

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

NO_GATE_PASSED = 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A market of eight days."""
    found = tmp_path_factory.mktemp("research")
    write_market(found)
    return found


@pytest.fixture(scope="module")
def study(folder: Path) -> dict[str, Any]:
    """The study `first` of four sets, as the sweep told it."""
    result = call(*sweep_line(folder, "--study", "first", "--json"))
    assert result.exit_code == NO_GATE_PASSED
    told = lines_of(result)
    assert [line["type"] for line in told].count("study") == 1
    assert told[-1]["type"] == "study"
    return {**told[-1], "told": told}


def in_folder(folder: Path, *arguments: str) -> tuple[str, ...]:
    return (*arguments, "--config", f"{folder / 'papertape.toml'}")


def test_a_sweep_announces_itself_and_hides_results_until_the_verdict(study: dict[str, Any]) -> None:
    told = study["told"]
    assert {line["type"] for line in told} == {"chunk", "estimate", "study"}
    (estimate,) = [line for line in told if line["type"] == "estimate"]
    assert (estimate["sets"], estimate["folds"], estimate["runs"], estimate["trials"]) == (4, 3, 28, 0)
    chunks = [line for line in told if line["type"] == "chunk"]
    assert {name for line in chunks for name in line} == {"type", "span", "first", "last", "sets", "seconds", "machine"}
    assert sum(line["sets"] for line in chunks) == 28


def test_a_sweep_ends_in_a_verdict_over_default_folds(study: dict[str, Any]) -> None:
    plan, document = study["plan"], study["document"]
    assert document["verdict"]["outcome"] in ("CANNOT SAY", "NO")
    assert [gate["name"] for gate in document["verdict"]["gates"]][:2] == ["enough", "costs"]
    assert document["trials"] == 4
    assert (document["train_ms"], document["test_ms"], len(document["folds"])) == (5 * DAY_MS - DAY_MS, DAY_MS, 3)
    assert document["folds"][-1]["test_until_ms"] == DAY_0_MS + 8 * DAY_MS
    assert plan["strategy"] == "follower"
    assert plan["warnings"] == [
        "X: no funding rates (--funding), so positions pay no funding: the results are optimistic"
    ]


def test_the_same_command_resumes_and_finds_nothing_left_to_do(folder: Path, study: dict[str, Any]) -> None:
    result = call(*sweep_line(folder, "--study", "first", "--json"))
    (again,) = lines_of(result)
    assert again["document"] == study["document"]


def test_another_study_under_the_same_name_is_refused_with_what_differs(folder: Path, study: dict[str, Any]) -> None:
    result = call(*sweep_line(folder, "--study", "first", "--set", "risk.leverage=5"))
    assert result.exit_code == 1
    assert f"holds the study {study['key']}" in result.stderr
    assert "risk.leverage was 3.0, now 5.0. Give this one another name" in result.stderr


def test_a_name_of_its_own_is_strategy_and_date_and_counts_on(folder: Path) -> None:
    first = study_of(call(*sweep_line(folder, "--json", vary=("volume=50",))))
    assert first["study"].startswith("follower-20")
    assert study_of(call(*sweep_line(folder, "--json", vary=("volume=50",))))["study"] == first["study"]
    assert study_of(call(*sweep_line(folder, "--json", vary=("volume=51",))))["study"] == f"{first['study']}-2"


def test_a_walk_forward_adds_windows_and_concludes_anew(
    folder: Path, study: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    options = ("--train", "3d", "--test", "2d", "--anchored", "--matrix", "2d,3d,9d x 1d", "--engine", "python")
    result = call(*in_folder(folder, "walkforward", "first", *options, "--jobs", "1", "--json"))
    document = study_of(result)["document"]
    assert [fold["train_from_ms"] for fold in document["folds"]] == [DAY_0_MS + DAY_MS] * 2
    assert [(fold["test_from_ms"] - DAY_0_MS) // DAY_MS for fold in document["folds"]] == [4, 6]
    assert [cell["train_ms"] // DAY_MS for cell in document["matrix"]] == [2, 3]
    assert "9d, test 1d, anchored: a fold needs 10d of candles" in caplog.text
    assert (
        study_of(call(*sweep_line(folder, "--study", "first", "--json")))["document"]["folds"]
        == study["document"]["folds"]
    )


def test_a_fold_is_exactly_a_backtest_of_its_period(folder: Path, study: dict[str, Any]) -> None:
    fold = next(fold for fold in study["document"]["folds"] if fold["test_trades"])
    chosen = [f"strategies.follower.{name}={value}" for name, value in fold["parameters"].items()]
    period = ("--from", str(fold["test_from_ms"]), "--to", str(fold["test_until_ms"]))
    market = ("--candles", f"X={folder / 'x.csv'}", "--strategy", "follower", "--engine", "python")
    result = call(*in_folder(folder, "backtest", *market, *period, "--set", *chosen, "--json"))
    (run,) = lines_of(result)[0]["strategies"]
    assert run["performance"]["trades"] == fold["test_trades"]
    assert run["performance"]["end_equity_usdt"] - 10_000.0 == pytest.approx(fold["test_net_usdt"])


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_verdict_fits_the_terminal(
    folder: Path, study: dict[str, Any], columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    shown = call(*in_folder(folder, "study", "show", "first")).stdout
    commands = ("study file:", "promote")
    widest = max(len(line.rstrip()) for line in shown.splitlines() if not any(word in line for word in commands))
    assert widest <= int(columns)
    verdict = study["document"]["verdict"]
    assert shown.startswith(f"{verdict['outcome']}: ")
    for title in (gate["title"] for gate in verdict["gates"]):
        assert title in shown
    assert "Out of sample, fold by fold" in shown
    assert "buy & hold" in shown
    assert "\x1b" not in shown


def test_studies_are_listed_with_their_verdicts(folder: Path, study: dict[str, Any]) -> None:
    shown = call(*in_folder(folder, "study", "list")).stdout
    assert "first" in shown
    assert study["document"]["verdict"]["outcome"] in shown


def test_an_unknown_study_is_refused_with_the_nearest_name(folder: Path, study: dict[str, Any]) -> None:
    assert study["study"] == "first"
    for verb in (("study", "show"), ("study", "verify"), ("study", "forget"), ("walkforward",)):
        result = call(*in_folder(folder, *verb, "frst"))
        assert result.exit_code == 2
        assert "there is no study 'frst'; did you mean first?" in result.stderr


def test_an_export_has_a_row_for_each_set_and_window(folder: Path, study: dict[str, Any]) -> None:
    out = folder / "sets.csv"
    assert call(*in_folder(folder, "study", "export", "first", "--out", str(out))).exit_code == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    whole = [row for row in rows if row["span"] == "0"]
    assert [(row["set"], row["sl_percent"], row["volume"]) for row in whole] == [
        ("0", "0.4", "50.0"), ("1", "0.4", "60.0"), ("2", "0.8", "50.0"), ("3", "0.8", "60.0"),
    ]  # fmt: skip
    assert len(rows) % len(whole) == 0
    assert {row["from_ms"] for row in whole} == {str(study["plan"]["from_ms"])}
    assert (
        "must end in .csv or .parquet" in call(*in_folder(folder, "study", "export", "first", "--out", "x.txt")).stderr
    )


def test_verify_runs_sets_again_and_finds_a_changed_figure(tmp_path: Path) -> None:
    write_market(tmp_path)
    assert call(*sweep_line(tmp_path, "--study", "small", vary=("volume=50,60",))).exit_code == 1
    verify = in_folder(tmp_path, "study", "verify", "small", "--engine", "python")
    assert "2 sets run again fact by fact, 14 runs: all figures are equal" in call(*verify).stdout
    with closing(sqlite3.connect(tmp_path / "data" / "studies" / "small.db")) as connection, connection:
        connection.execute("UPDATE result SET wins = wins + 1 WHERE span = 2 AND number = 1")
    result = call(*verify)
    assert result.exit_code == 1
    assert "set 1, span 2: wins is" in result.stdout


def test_what_is_forgotten_still_counts_as_tried(tmp_path: Path) -> None:
    write_market(tmp_path)
    study_of(call(*sweep_line(tmp_path, "--study", "gone", "--json", vary=("volume=50,60",))))
    result = call(*in_folder(tmp_path, "study", "forget", "gone"))
    assert "2 sets of follower on these candles still count as tried" in result.stdout
    assert not list((tmp_path / "data" / "studies").glob("gone*"))
    line = sweep_line(
        tmp_path, "--study", "new", "--json", "--set", "strategies.follower.sl_percent=0.6", vary=("volume=60",)
    )
    assert study_of(call(*line))["document"]["trials"] == 3


# ---------------------------------------------------------------- failure cases


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--vary", "sl_percent=10:60:10"), "60 is outside the range of sl_percent: above 0 to 50 %"),
        (("--link", "tp_percent = 100 * sl_percent"), "is outside the range of tp_percent: above 0 to 50 %"),
        (("--where", "volume > 500"), "no set is left: none of the 4 sets"),
        (("--study", "../x"), "a study's name has up to 64 letters"),
        (("--study", "ledger"), "a study's name has up to 64 letters"),
        (("--jobs", "2", "--scheduler", "tcp://127.0.0.1:1"), "--jobs is for this machine"),
    ],
)
def test_a_sweep_that_cannot_be_run_is_refused_before_anything_is_stored(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    write_market(tmp_path, days=2)
    result = call(
        *sweep_line(tmp_path, *arguments, vary=() if arguments[0] == "--vary" else ("sl_percent=0.5,1", "volume=50,60"))
    )
    assert result.exit_code == 2
    assert words in result.stderr
    assert not list(tmp_path.glob("data/studies/*.db"))


def test_one_set_and_candles_of_a_few_days_get_an_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    write_market(tmp_path, days=3)
    result = call(*sweep_line(tmp_path, "--json", vary=("volume=50",)))
    document = study_of(result)["document"]
    assert document["verdict"]["outcome"] == "CANNOT SAY"
    assert document["folds"] == []
    assert "too few candles for a walk-forward" in caplog.text


def test_sets_that_never_trade_cannot_be_judged(tmp_path: Path) -> None:
    write_market(tmp_path)
    document = study_of(call(*sweep_line(tmp_path, "--json", vary=("volume=500,600",))))["document"]
    assert document["verdict"]["outcome"] == "CANNOT SAY"
    assert document["verdict"]["chosen_set"] is None
    assert document["costs"]["trades"] == 0


def test_folds_begin_after_the_warm_up_or_are_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    write_market(tmp_path)
    result = call(*sweep_line(tmp_path, "--study", "slow", "--json", vary=("history=20,37",)))
    assert study_of(result)["document"]["folds"][0]["train_from_ms"] == DAY_0_MS + 2 * DAY_MS
    assert "the first fold begins 2025-01-03 00:00 UTC, after a warm-up of 1d 13h" in caplog.text
    options = ("--train", "6d", "--test", "1d", "--engine", "python")
    refused = call(*in_folder(tmp_path, "walkforward", "slow", *options))
    assert refused.exit_code == 2
    assert "a fold needs 7d of candles, but there are 8d, of which 1d 13h warm up the indicators" in refused.stderr


def test_holes_in_the_candles_are_a_warning_of_the_study(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_market(tmp_path, days=3, holes=3)
    result = call(*sweep_line(tmp_path, "--json", vary=("volume=50",)))
    assert study_of(result)["plan"]["warnings"][0] == "X: 3 of 72 candles are missing (4.2 %)"
    assert "X: 3 of 72 candles are missing" in caplog.text


def test_sets_that_failed_are_tried_again_in_a_process_of_their_own(tmp_path: Path) -> None:
    write_market(tmp_path)
    line = sweep_line(tmp_path, "--study", "again", "--json")
    before = study_of(call(*line))["document"]
    with closing(sqlite3.connect(tmp_path / "data" / "studies" / "again.db")) as connection, connection:
        connection.execute("DELETE FROM result WHERE span = 1 AND number = 2")
        connection.execute("DELETE FROM days WHERE span = 1 AND number = 2")
        connection.execute("INSERT INTO failed VALUES (1, 2, 2, 'its process ended with SIGSEGV')")
    result = call(*line)
    assert "could not be run" not in result.stderr
    chunks = [told for told in lines_of(result) if told["type"] == "chunk"]
    assert [(told["span"], told["first"]) for told in chunks] == [(1, 2)]
    assert study_of(result)["document"]["digest"] == before["digest"]
