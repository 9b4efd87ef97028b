"""`papertape walkforward`: other folds over the sets of a study, and the verdict anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from papertape.cli.config.overrides import load_config
from papertape.cli.studies.market import known_strategy
from papertape.cli.studies.session import (
    OpenStudy,
    RunningOptions,
    StudyPlaces,
    check_running,
    command_line,
    conduct,
    study_places,
)
from papertape.cli.wiring import note, warn
from papertape.engine.research.engine_choice import check_engine
from papertape.events.errors import UsageError
from papertape.events.names import unknown_name_text
from papertape.projections.studies.reader import StudyFolder
from papertape.studies.conclusion import WalkForward
from papertape.studies.folds import (
    Stretch,
    Windows,
    default_windows,
    duration_ms,
    make_folds,
    parse_matrix,
    warm_up_words,
)
from papertape.studies.plan import Experiment, experiment_of, stretch_of
from papertape.studies.store import StudyStore

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.cli.config.sections import Config
    from papertape.projections.studies.document import StudyPlan


class WindowOptions(Struct, frozen=True):
    """The lengths on the command line, None where they are left to the default."""

    train: str | None
    test: str | None
    embargo: str | None
    anchored: bool
    matrix: str | None


def walk_forward(
    name: str, lengths: WindowOptions, config_file: Path | None, engine: str, options: RunningOptions
) -> None:
    """Add the folds to a study, run what is missing, and conclude; see `conduct` for how it ends."""
    check_running(options)
    check_engine(engine)
    config = load_config(config_file)
    places = study_places(config)
    with open_study(places, name) as store:
        experiment = stored_experiment(store.plan, config, places, engine)
        forward = requested_folds(lengths, stretch_of(experiment))
        conduct(OpenStudy(experiment, store, places, command_line(name)), forward, options)


def open_study(places: StudyPlaces, name: str) -> StudyStore:
    """Return a study to write. Raise UsageError with the nearest name if there is no study of that name."""
    names = StudyFolder(places.studies).names()
    if name not in names:
        raise UsageError(unknown_name_text("study", name, names))
    return StudyStore.open(places.file(name))


def stored_experiment(plan: StudyPlan, config: Config, places: StudyPlaces, engine: str) -> Experiment:
    """Return what a study runs. Raise UsageError if the strategy's code has changed since."""
    strategy = known_strategy(plan.strategy, config)
    strategy = replace(strategy, references=tuple(plan.references.items()))
    return experiment_of(plan, strategy, places.tape_store.get(plan.tape_digest), engine)


def requested_folds(lengths: WindowOptions, stretch: Stretch) -> WalkForward:
    """Return the folds of the given lengths, and those of the matrix that fit."""
    default = default_windows(stretch)
    if default is None and (lengths.train is None or lengths.test is None):
        raise UsageError("too few candles for the default lengths; give --train and --test, such as 3d and 1d")
    train_ms = duration_ms(lengths.train, "--train") if lengths.train is not None else default.train_ms  # type: ignore[union-attr]
    test_ms = duration_ms(lengths.test, "--test") if lengths.test is not None else default.test_ms  # type: ignore[union-attr]
    embargo_ms = default.embargo_ms if default is not None else 0
    if lengths.embargo is not None:
        embargo_ms = duration_ms(lengths.embargo, "--embargo", may_be_zero=True)
    windows = Windows(train_ms, test_ms, embargo_ms, lengths.anchored)
    folds = make_folds(windows, stretch)
    if words := warm_up_words(folds, stretch):
        note(words)
    matrix = []
    for cell_train_ms, cell_test_ms in parse_matrix(lengths.matrix) if lengths.matrix is not None else []:
        cell = replace(windows, train_ms=cell_train_ms, test_ms=cell_test_ms)
        try:
            matrix.append((cell, make_folds(cell, stretch)))
        except UsageError as error:
            warn(f"--matrix {cell.words}: {error}")
    return WalkForward(windows, folds, matrix)
