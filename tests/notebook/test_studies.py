"""Studies of a notebook are those of the command: the same file, the same numbers, in typed frames."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl
import pytest

import papertape as pt
from papertape.events.errors import StudyDiffers, UsageError
from papertape.events.units import DAY_MS
from papertape.projections.studies.document import Document
from tests.cli.research_market import call, lines_of, study_of, sweep_line, write_market

if TYPE_CHECKING:
    from pathlib import Path

VARY = {"sl_percent": [0.4, 0.8], "volume": "50:60:10"}
HEAT_CELLS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with candles, a strategy, and the study of a notebook in it."""
    folder = tmp_path_factory.mktemp("notebook")
    write_market(folder)
    return folder


@pytest.fixture(autouse=True)
def _here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def sweep_here(vary: Any = VARY, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="X: no funding rates")
        return pt.sweep("own/follower.py", "X=x.csv", vary, **{"study": "first", "engine": "python", **options})


@pytest.fixture(scope="module")
def study(folder: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return sweep_here()


def test_the_command_takes_the_study_for_its_own_and_shows_the_same_verdict(folder: Path, study: Any) -> None:
    shown = study_of(call("study", "show", "first", "--config", f"{folder / 'papertape.toml'}", "--json"))
    assert msgspec.convert(shown["document"], Document) == study.document
    (again,) = lines_of(call(*sweep_line(folder, "--study", "first", "--json")))
    assert again["document"] == shown["document"]
    assert again["plan"]["files"] == ["X=x.csv"]


def test_a_study_of_the_command_opens_by_name_and_by_path_with_its_tape(folder: Path, study: Any) -> None:
    study_of(call(*sweep_line(folder, "--study", "theirs", "--json")))
    for theirs in (pt.study("theirs"), pt.study(folder / "data" / "studies" / "theirs.db", strategy="own/follower.py")):
        assert theirs.sets.equals(study.sets)
        assert theirs.folds.equals(study.folds)
        assert theirs.backtest(3).trades.equals(study.backtest(3).trades)


def test_sets_have_their_parameters_and_the_figures_of_a_backtest(study: Any) -> None:
    sets = study.sets
    assert sets.select("number", "sl_percent", "volume").rows() == [
        (0, 0.4, 50.0), (1, 0.4, 60.0), (2, 0.8, 50.0), (3, 0.8, 60.0),
    ]  # fmt: skip
    assert sets.schema["sharpe"] == pl.Float64 and sets.schema["trades"] == pl.Int64
    run = pt.backtest("own/follower.py", "X=x.csv", engine="python", parameters={"sl_percent": 0.8, "volume": 50.0})
    row = sets.row(2, named=True)
    assert (row["trades"], row["end_equity_usdt"]) == (run.metrics["trades"][0], run.equity["equity_usdt"][-1])
    assert study.backtest(2).trades.equals(run.trades)


def test_days_are_the_day_ends_of_the_equity(study: Any) -> None:
    days = study.days(1)
    assert days.schema == {"date": pl.Date, "equity_usdt": pl.Float64}
    day = pl.col("time").dt.offset_by("-1ms").dt.date()  # A candle that closes at midnight ends its day.
    last = study.backtest(1).equity.group_by(day.alias("date"), maintain_order=True).last()
    assert days["date"].to_list() == last["date"].to_list()
    assert days["equity_usdt"].to_list() == last["equity_usdt"].to_list()


def test_folds_gates_and_costs_are_those_of_the_document(study: Any) -> None:
    document = study.document
    assert study.gates["title"].to_list() == [gate.title for gate in document.verdict.gates]
    assert study.gates.schema["limit"] == pl.Float64
    folds = study.folds
    assert folds["test_from"].dt.epoch("ms").to_list() == [fold.test_from_ms for fold in document.folds]
    assert folds["sl_percent"].to_list() == [fold.parameters.get("sl_percent") for fold in document.folds]
    assert study.costs == document.costs


def test_a_notebook_shows_the_verdict_first_then_the_gates_then_the_curve(study: Any) -> None:
    shown = study._repr_html_()
    places = [shown.index(text) for text in (study.verdict.outcome, study.gates["title"][-1], "<polyline")]
    assert places == sorted(places)
    assert repr(study).startswith(study.verdict.headline)


def test_a_heat_map_has_a_cell_for_each_set_that_was_run(study: Any) -> None:
    assert study.plot_heatmap("sl_percent", "volume").svg.count("<rect") == HEAT_CELLS
    drawn = sweep_here({**VARY, "tp_percent": [0.5, 0.6]}, where="tp_percent > 0.5", study=None)
    assert drawn.name.startswith("follower-20")
    assert drawn.plot_heatmap("volume", "sl_percent", "net").svg.count("<rect") == HEAT_CELLS


def test_windows_of_other_lengths_and_a_file_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "mine.db"
    found = sweep_here(train="3d", test="2d", study=path, link=("tp_percent = 2 * sl_percent",))
    assert (found.document.train_ms, found.document.test_ms) == (3 * DAY_MS, 2 * DAY_MS)
    assert found.path == path and (tmp_path / "tapes").is_dir()
    assert pt.study(path).document == found.document
    with pytest.raises(StudyDiffers, match=r"risk.leverage was 3.0, now 5.0"):
        sweep_here(study=path, link=("tp_percent = 2 * sl_percent",), risk={"leverage": 5})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"vary": {"sl": [1]}}, "vary sl=1: "),
        ({"vary": {"sl_percent": "10:60:10"}}, "60 is outside the range of sl_percent: above 0 to 50 %"),
        ({"vary": {}}, "nothing varies: add vary NAME=FIRST:LAST:STEP"),
        ({"where": ["volume > 500"]}, "no set is left"),
        ({"train": "x", "test": "1d"}, "train x: write a duration"),
        ({"study": "-"}, "study -: a study's name"),
        ({"jobs": 0}, "jobs 0: at least 1"),
        ({"start": "2030-01-01"}, "no candle opens in the period"),
    ],
)
def test_mistakes_are_named_in_words_of_python(options: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as raised:
        sweep_here(**options)
    assert text in str(raised.value) and not str(raised.value).startswith("--")


def test_what_a_study_does_not_have_is_named(study: Any) -> None:
    with pytest.raises(UsageError, match="no study 'frst'"):
        pt.study("frst")
    with pytest.raises(UsageError, match="has no set 9"):
        study.backtest(9)
    with pytest.raises(UsageError, match="no varied parameter 'volum'"):
        study.plot_heatmap("volum")


def test_the_chosen_set_is_the_default(study: Any) -> None:
    if study.verdict.chosen_set is None:
        with pytest.raises(UsageError, match="chose no set"):
            _ = study.trades
    else:
        assert study.trades.equals(study.backtest(study.verdict.chosen_set).trades)
        assert study.metrics["trades"][0] == study.trades.height
