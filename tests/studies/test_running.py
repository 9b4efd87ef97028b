"""What a study decides before it runs: the engine of all its tasks, and what it will take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.cli.studies.market import MarketOptions, configured, read_market
from papertape.cli.studies.session import OpenStudy, StudyPlaces, resumable
from papertape.engine.kernel.strategy import never_leave
from papertape.events.errors import SchedulerGone
from papertape.events.units import DAY_MS
from papertape.studies.ledger import TrialLedger
from papertape.studies.pace import Estimate, size_bytes
from papertape.studies.plan import Experiment, make_plan, plan_differences, plan_key, warm_up_ms
from papertape.studies.running import add_trials, sets_engine
from papertape.studies.space import SpaceRequest, build_space
from papertape.studies.store import StudyStore
from tests.cli.research_market import write_market

if TYPE_CHECKING:
    from pathlib import Path


def experiment(folder: Path, *vary: str, engine: str = "auto", candles: str = "x.csv") -> Experiment:
    """The market of a folder with a space."""
    config = write_market(folder)
    options = MarketOptions(config, [f"X={folder / candles}"], [], [], [], "follower", [], None, None, engine)
    market = read_market(configured(options), options)
    space = build_space(SpaceRequest(vary), market.strategy, market.settings.parameters)
    return Experiment(market.strategy, market.settings, market.tape, space, "t", engine)


def test_all_tasks_use_the_engine_that_is_quicker_for_the_whole_study(tmp_path: Path) -> None:
    assert sets_engine(experiment(tmp_path, "volume=1,2"), 7) == "python"
    pytest.importorskip("numba")
    many = experiment(tmp_path, "volume=1:1000:1", "history=1:500:1")
    assert sets_engine(many, 7) == "compiled"
    assert sets_engine(replace(many, engine="python"), 7) == "python"
    printing = replace(many.strategy, source="print(1)")
    assert sets_engine(replace(many, strategy=printing), 7) == "auto"


def test_the_warm_up_is_that_of_the_slowest_set(tmp_path: Path) -> None:
    assert warm_up_ms(experiment(tmp_path, "history=10,48,20")) == 2 * DAY_MS


def test_the_key_covers_what_determines_results_and_nothing_else(tmp_path: Path) -> None:
    plan = make_plan("one", experiment(tmp_path, "volume=1,2"), ("x.csv",))
    assert plan_key(replace(plan, name="two", warnings=(), files=())) == plan_key(plan)
    for name in plan.__struct_fields__:
        if name not in ("name", "warnings", "files"):
            other = replace(plan, **{name: "other"})
            assert plan_key(other) != plan_key(plan), name
            assert any(name in line for line in plan_differences(other, plan))


def test_an_instance_counts_as_its_strategy(tmp_path: Path) -> None:
    found, ledger = experiment(tmp_path, "volume=1,2,3"), TrialLedger(tmp_path)
    assert add_trials(found, ledger, [0, 1]) == 2
    instance = replace(found, strategy=replace(found.strategy, name="twin", of="follower"))
    assert add_trials(instance, ledger, [1, 2]) == 3


def test_a_strategy_that_reads_open_interest_is_doubted_without_it(tmp_path: Path) -> None:
    found = experiment(tmp_path, "volume=1,2")
    assert len(make_plan("one", found).warnings) == 1
    hooks = replace(found.strategy.hooks, on_open_interest=never_leave)
    reading = replace(found, strategy=replace(found.strategy, hooks=hooks))
    expected = "X: no open interest (--open-interest), which follower reads: it may never trade"
    assert make_plan("one", reading).warnings[1:] == (expected,)


def test_a_cluster_that_is_gone_ends_a_study_with_the_line_that_resumes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = experiment(tmp_path, "volume=1,2")
    with StudyStore.create(tmp_path / "one.db", make_plan("one", found), 1) as store:
        study = OpenStudy(found, store, StudyPlaces(tmp_path, tmp_path), "papertape sweep --study one")
        with pytest.raises(SchedulerGone), resumable(study):
            raise SchedulerGone("the scheduler did not answer")
        assert store.state == "interrupted"
    assert "resume with: papertape sweep --study one\n" in capsys.readouterr().err


def test_an_estimate_is_one_line() -> None:
    estimate = Estimate(600, 5, 6_600, 0, 4.2, size_bytes(600, [274.0, 90.0]), 1_200)
    assert estimate.words == "600 sets x 5 folds, about 4 s, 2.0 MB; 1,200 trials so far"
    resumed = replace(estimate, sets=1, folds=1, stored=3_000, seconds=150.0)
    assert resumed.words == "1 set x 1 fold, 3,000 of 6,600 runs are stored, about 2m, 2.0 MB; 1,200 trials so far"
