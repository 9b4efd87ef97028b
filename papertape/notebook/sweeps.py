"""`pt.sweep`: many sets of parameters over files or frames, to the verdict, as the command of the same name does."""

from __future__ import annotations

import re
import warnings
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from papertape.cli.studies.session import now_ms
from papertape.cli.studies.sweep import check_name, default_walk_forward, named_plan
from papertape.cli.studies.walkforward import WindowOptions, requested_folds
from papertape.cli.wiring import check_period, note
from papertape.engine.research.engine_choice import check_engine
from papertape.engine.research.tape import tape_of
from papertape.engine.runner_settings import late_reference_warnings, split_by_timeframe
from papertape.events.durable import make_folder
from papertape.events.errors import UsageError
from papertape.notebook.backtests import chosen_strategies, runner_settings, utc_ms
from papertape.notebook.market import feed_of
from papertape.notebook.studies import StudyResults, places_of
from papertape.studies.conclusion import conclude_study
from papertape.studies.executors.local import local_executor
from papertape.studies.plan import Experiment, make_plan, stretch_of
from papertape.studies.running import StudyRun
from papertape.studies.space import SpaceRequest, build_space
from papertape.studies.store import StudyStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from papertape.cli.studies.session import StudyPlaces
    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.research.tape import Tape
    from papertape.engine.runner_settings import RunnerSettings
    from papertape.notebook.backtests import Moment
    from papertape.notebook.market import Sources
    from papertape.studies.conclusion import WalkForward

    Values = str | int | float | Sequence[int | float]

OPTION = re.compile(r"--(?=(?:vary|link|where|draw|funding|train|test|embargo|study)\b)")


def sweep(
    strategy: str | Path,
    candles: Sources,
    vary: Mapping[str, Values],
    *,
    link: Sequence[str] = (),
    where: Sequence[str] = (),
    draw: int | None = None,
    seed: int = 0,
    parameters: Mapping[str, int | float] | None = None,
    risk: Mapping[str, int | float] | None = None,
    funding: Sources | None = None,
    open_interest: Sources | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    train: str | None = None,
    test: str | None = None,
    embargo: str | None = None,
    study: str | Path | None = None,
    jobs: int = 1,
    engine: str = "auto",
) -> StudyResults:
    """Try many sets of parameters, walk forward, and say whether the strategy deserves money.

    `vary` has the values of each varied parameter: a list, or a text such as "0.2:1.2:0.1". `link`, `where`, `draw` and
    `seed` are those of the command; strategy, market, parameters and risk those of `pt.backtest`. `train`, `test` and
    `embargo` are lengths such as "90d". The study is kept in ./data/studies beside those of the command, under the
    strategy's name and the date, or as the name or the path that `study` gives: the same call resumes it, and every set
    counts as tried. `jobs` above 1 runs processes; a script then needs `if __name__ == "__main__"`.

    Raise UsageError for an invalid parameter, value, length or name, and the errors of `pt.backtest`.
    """
    with _in_words_of_python():
        places, name = places_of(study)
        check_name(name)
        check_engine(engine)
        if jobs < 1:
            raise UsageError(f"jobs {jobs}: at least 1")
        if not isinstance(strategy, str | Path):
            raise UsageError("a study sweeps one strategy")
        [chosen] = chosen_strategies(strategy).values()
        settings = runner_settings(parameters, risk)
        request = SpaceRequest(_varied(vary), _texts(link), _texts(where), draw, seed)
        space = build_space(request, chosen, settings.parameters)
        tape = _tape(chosen, settings, candles, funding, open_interest, start, end)
        experiment = Experiment(chosen, settings, tape, space, places.tape_store.put(tape), engine)
        forward = _walk_forward(experiment, WindowOptions(train, test, embargo, anchored=False, matrix=None))
        plan = named_plan(make_plan(name or "", experiment, _files(candles, funding, open_interest)), name, places)
    for line in plan.warnings:
        warnings.warn(OPTION.sub("", line), stacklevel=2)
    make_folder(places.studies)
    with StudyStore.create(places.file(plan.name), plan, now_ms()) as store:
        for line in _conduct(experiment, store, places, forward, jobs):
            warnings.warn(line, stacklevel=2)
    return StudyResults(places, plan.name, lambda _: experiment)


def _conduct(
    experiment: Experiment, store: StudyStore, places: StudyPlaces, forward: WalkForward, jobs: int
) -> list[str]:
    """Run what is missing, conclude, and store; return the sets that failed. An interrupted study can be resumed."""
    apart, tapes = store.begin(now_ms()), places.tape_store
    run = StudyRun(experiment, store, places.ledger, forward.all_folds())
    try:
        if run.missing():
            with closing(local_executor(tapes, 1, apart=apart)) as executor:
                run.measure(executor)
            note(run.estimate(jobs).words)
            with closing(local_executor(tapes, jobs, apart=apart)) as executor:
                run.run(executor)
        document = conclude_study(run, forward)
    except KeyboardInterrupt:
        store.set_state("interrupted", now_ms())
        raise
    store.save_document(document, now_ms())
    store.set_state("complete", now_ms())
    return [f"sets {one.numbers[0]:,} to {one.numbers[-1]:,} failed: {one.error}" for one in store.failures()]


def _tape(
    strategy: Strategy,
    settings: RunnerSettings,
    candles: Sources,
    funding: Sources | None,
    open_interest: Sources | None,
    start: Moment | None,
    end: Moment | None,
) -> Tape:
    """Return the market of files and frames. Warn of what is doubtful about it."""
    start_ms, end_ms = utc_ms(start, "start"), utc_ms(end, "end")
    with feed_of(candles, funding, open_interest) as feed:
        tables = list(feed.candles.values())
        named = {strategy.name: strategy}
        split_by_timeframe(named, list(named), tables[0].timeframe_ms)
        check_period(tables, start_ms, end_ms)
        late = late_reference_warnings(named, dict.fromkeys(named, settings), list(feed.candles))
        for line in (*feed.warnings(start_ms, end_ms), *late):
            warnings.warn(line, stacklevel=3)
        return tape_of(feed, start_ms, end_ms)


def _walk_forward(experiment: Experiment, lengths: WindowOptions) -> WalkForward:
    if lengths.train is None and lengths.test is None and lengths.embargo is None:
        return default_walk_forward(experiment)
    return requested_folds(lengths, stretch_of(experiment))


def _varied(vary: Mapping[str, Values]) -> tuple[str, ...]:
    """Return the varied parameters as a command line names them."""
    return tuple(f"{name}={_typed(values)}" for name, values in vary.items())


def _typed(values: Values) -> str:
    return str(values) if isinstance(values, str | int | float) else ",".join(map(str, values))


def _texts(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _files(*markets: Sources | None) -> list[str]:
    """Return the names of the files among the sources of a market."""
    every = [one for market in markets for one in _listed(market)]
    return [str(one) for one in every if isinstance(one, str | Path)]


def _listed(market: Sources | None) -> Sequence[object]:
    if market is None or isinstance(market, str | Path):
        return [] if market is None else [market]
    if hasattr(market, "values"):
        return list(market.values())
    return list(market)


@contextmanager
def _in_words_of_python() -> Iterator[None]:
    """Name an argument in an error as Python does, `vary` instead of `--vary`."""
    try:
        yield
    except UsageError as error:
        raise UsageError(OPTION.sub("", str(error))) from None
