"""`papertape study`: list, show, verify, export and forget the studies beside the log."""

from __future__ import annotations

from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import typer

from papertape.cli.config.overrides import load_config
from papertape.cli.offline.output_files import check_output, whole_file
from papertape.cli.progress import progress_bar
from papertape.cli.render.console import emit, fields_of
from papertape.cli.studies.market import known_strategy
from papertape.cli.studies.session import StudyPlaces, show_document, study_places
from papertape.cli.studies.walkforward import open_study, stored_experiment
from papertape.cli.wiring import note
from papertape.events.errors import UsageError
from papertape.projections.studies.reader import StudyFolder
from papertape.studies.space import space_of
from papertape.studies.verification import sampled_sets, verify_results

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from papertape.studies.space import Space
    from papertape.studies.store import StudyStore

EXPORTED: Final = (".csv", ".parquet")
BESIDE: Final = ("", "-wal", "-shm", ".lock")
DIFFERENT: Final = 1


def list_studies(config_file: Path | None, *, as_json: bool) -> None:
    """Show all studies, the newest first."""
    summaries = StudyFolder(_places(config_file).studies).summaries()
    if as_json:
        emit([fields_of(one) for one in summaries])
        return
    from papertape.cli.render.study_list import print_studies  # noqa: PLC0415 - tables are slow to import.

    print_studies(summaries)


def show_study(name: str, config_file: Path | None, *, as_json: bool) -> None:
    """Show the conclusions of a study. Raise UsageError if it has none yet."""
    with open_study(_places(config_file), name) as store:
        document = store.document()
        if document is None:
            raise UsageError(
                f"study {name} is {store.state} and has no verdict yet; run its command again to resume it"
            )
        show_document(store, document, as_json=as_json)


def verify_study(name: str, config_file: Path | None, engine: str, *, as_json: bool) -> None:
    """Run 1 % of the sets again, fact by fact; exit with 1 if a figure differs."""
    config = load_config(config_file)
    places = study_places(config)
    with open_study(places, name) as store:
        experiment = stored_experiment(store.plan, config, places, engine)
        runs = len(sampled_sets(experiment.space.numbers(), store.key)) * len(store.all_spans())
        with progress_bar("running again", runs) as progress:
            found = verify_results(experiment, store, progress)
        digest = store.digest()
    if as_json:
        emit({**fields_of(found), "digest": digest})
    else:
        from papertape.cli.render.study_list import print_verification  # noqa: PLC0415 - likewise.

        print_verification(name, found, digest)
    if found.differences:
        raise typer.Exit(DIFFERENT)


def export_study(name: str, out: Path, config_file: Path | None) -> None:
    """Write every set over every span to a CSV or Parquet file. Raise UsageError without polars."""
    if out.suffix not in EXPORTED:
        raise UsageError(f"--out {out}: must end in {' or '.join(EXPORTED)}")
    if find_spec("polars") is None:
        raise UsageError("an export needs polars: pip install 'papertape[research]'")
    import polars as pl  # noqa: PLC0415 - an extra, and slow to import.

    config = load_config(config_file)
    places = study_places(config)
    check_output("--out", out, [config.database, places.file(name)])
    with open_study(places, name) as store:
        space = space_of(store.plan.space, known_strategy(store.plan.strategy, config), store.plan.parameters)
        frame = pl.DataFrame(list(_rows(store, space)), infer_schema_length=None)
    packed = BytesIO()  # polars reports a full disk by another error than OSError.
    if out.suffix == ".csv":
        frame.write_csv(packed)
    else:
        frame.write_parquet(packed)
    with whole_file("--out", out) as file:
        file.buffer.write(packed.getbuffer())
    note(f"{len(frame):,} rows, one for each set and window, in {out}")


def forget_study(name: str, config_file: Path | None, *, as_json: bool) -> None:
    """Delete the file of a study; the ledger keeps counting its sets as tried."""
    places = _places(config_file)
    with open_study(places, name) as store:
        plan, path = store.plan, store.path
        trials = places.ledger.count(plan.of or plan.strategy, plan.symbols)
    for suffix in BESIDE:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    if as_json:
        emit({"study": name, "forgotten": True, "trials": trials})
    else:
        typer.echo(f"{path} is deleted; {trials:,} sets of {plan.strategy} on these candles still count as tried")


def _places(config_file: Path | None) -> StudyPlaces:
    return study_places(load_config(config_file))


def _rows(store: StudyStore, space: Space) -> Iterator[dict[str, Any]]:
    """Yield a row for each set over each span: the span, the parameters, the figures."""
    for span_id, span in store.all_spans().items():
        from_ms = store.plan.from_ms if span.start_ms is None else span.start_ms
        until_ms = store.plan.until_ms if span.end_ms is None else span.end_ms
        place = {"span": span_id, "from_ms": from_ms, "until_ms": until_ms}
        for number, result, sharpe in store.rows(span_id):
            figures = result._asdict()
            del figures["day_equities"]
            yield {**place, "set": number, **space.values(number), **figures, "sharpe": sharpe}
