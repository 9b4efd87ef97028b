"""`papertape study backtest`: one set of a study over the study's own data, recorded as a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from msgspec.structs import replace

from papertape.cli.config.overrides import load_config
from papertape.cli.environment.tasks import run_tasks
from papertape.cli.offline.backtest_log import write_log
from papertape.cli.offline.output_files import check_output, log_files, whole_log
from papertape.cli.progress import progress_bar
from papertape.cli.render.console import emit
from papertape.cli.service.log_admission import ANOTHER, admit_log
from papertape.cli.studies.session import StudyPlaces, study_places
from papertape.cli.studies.walkforward import open_study, stored_experiment
from papertape.engine.research.backtest import backtest_tape
from papertape.engine.research.engine_choice import check_engine
from papertape.engine.startup import make_folder
from papertape.events.errors import UsageError
from papertape.projections.studies.commands import show_log_command
from papertape.projections.studies.reader import LOG_SUFFIX

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.cli.config.sections import Config
    from papertape.studies.plan import Experiment
    from papertape.studies.store import StudyStore


def backtest_set(
    name: str, number: int | None, db: Path | None, config_file: Path | None, engine: str, *, as_json: bool
) -> None:
    """Write the log of one set, by default of the chosen one.

    Raise UsageError if the study has no such set, or if the log exists already.
    """
    check_engine(engine)
    config = load_config(config_file)
    places = study_places(config)
    path = db or places.studies / f"{name}{LOG_SUFFIX}"
    with open_study(places, name) as store:
        _check_log(path, config, places, name)
        chosen = _set_number(store, number)
        experiment = stored_experiment(store.plan, config, places, engine)
    _check_member(experiment, chosen)
    _record(experiment, chosen, path, config)
    if as_json:
        emit({"study": name, "set": chosen, "path": path})
    else:
        typer.echo(f"set {chosen:,} of {name} is recorded in {path}\n  see it: {show_log_command(str(path))}")


def _check_log(path: Path, config: Config, places: StudyPlaces, name: str) -> None:
    """Raise UsageError if a log cannot be written there."""
    if path.exists():
        raise UsageError(f"{path} already exists: see it with `{show_log_command(str(path))}`, or name another by --db")
    make_folder(path)
    check_output("--db", path, [*log_files(config.database), places.file(name)])
    admit_log(path, config, way_on=ANOTHER)


def _set_number(store: StudyStore, number: int | None) -> int:
    """Return the requested set, or the chosen one. Raise UsageError if none was chosen."""
    document = store.document()
    chosen = number if number is not None else None if document is None else document.verdict.chosen_set
    if chosen is None:
        raise UsageError(f"study {store.plan.name} has chosen no set; name one by --set NUMBER")
    return chosen


def _check_member(experiment: Experiment, number: int) -> None:
    if number not in experiment.space.numbers():
        raise UsageError(f"--set {number}: the study has no set with that number")


def _record(experiment: Experiment, number: int, path: Path, config: Config) -> None:
    """Run one set fact by fact over the study's data, and write the run as a log."""
    strategy, settings, tape = experiment.strategy, experiment.settings, experiment.tape
    settings = replace(settings, parameters={**settings.parameters, **experiment.space.values(number)})
    strategies, runners, facts = {strategy.name: strategy}, {strategy.name: settings}, tape.total()
    with progress_bar("running", facts) as on_progress:
        result = backtest_tape(tape, strategies, runners, experiment.engine, on_progress)
    with progress_bar("writing the log", facts) as on_progress, whole_log(path) as half:
        run_tasks(lambda: write_log(result, half, config, on_progress))
