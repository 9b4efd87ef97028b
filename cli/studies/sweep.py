"""`papertape sweep`: every set of a space over recorded candles and their folds, ending in the verdict."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from papertape.cli.studies.market import MarketOptions, configured, read_market
from papertape.cli.studies.session import (
    OpenStudy,
    RunningOptions,
    StudyPlaces,
    check_running,
    command_line,
    conduct,
    now_ms,
    study_places,
)
from papertape.cli.studies.space_file import TypedSpace, chosen_space
from papertape.cli.wiring import note, warn
from papertape.engine.research.engine_choice import check_engine
from papertape.events.durable import make_folder
from papertape.events.errors import UsageError
from papertape.projections.studies.reader import LEDGER, StudyFolder
from papertape.projections.text.formats import utc
from papertape.studies.conclusion import WalkForward
from papertape.studies.folds import default_windows, make_folds, warm_up_words
from papertape.studies.plan import Experiment, make_plan, plan_key, stretch_of
from papertape.studies.store import StudyStore

if TYPE_CHECKING:
    from papertape.projections.studies.document import StudyPlan

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
DAY_CHARS: Final = 10
STUDIES_A_DAY_MAX: Final = 1_000


class SweepOptions(Struct, frozen=True):
    """The options of the command line."""

    market: MarketOptions
    space: TypedSpace
    study: str | None
    running: RunningOptions


def sweep(options: SweepOptions) -> None:
    """Run the study to its verdict; see `conduct` for how it ends."""
    check_running(options.running)
    check_name(options.study)
    check_engine(options.market.engine)
    config = configured(options.market)
    places = study_places(config)
    market = read_market(config, options.market)
    space = chosen_space(options.space, config, market)
    digest = places.tape_store.put(market.tape)
    experiment = Experiment(market.strategy, market.settings, market.tape, space, digest, options.market.engine)
    forward = default_walk_forward(experiment)
    plan = make_plan(options.study or "", experiment, market.files)
    plan = named_plan(plan, options.study, places)
    for text in plan.warnings:
        warn(text)
    make_folder(places.studies)
    with StudyStore.create(places.file(plan.name), plan, now_ms()) as store:
        conduct(OpenStudy(experiment, store, places, command_line(plan.name)), forward, options.running)


def default_walk_forward(experiment: Experiment) -> WalkForward:
    """Return folds of the default lengths, none for candles of a few days."""
    stretch = stretch_of(experiment)
    windows = default_windows(stretch)
    if windows is None:
        note("too few candles for a walk-forward, which needs six days after the warm-up")
        return WalkForward(None, [])
    folds = make_folds(windows, stretch)
    if words := warm_up_words(folds, stretch):
        note(words)
    return WalkForward(windows, folds)


def check_name(name: str | None) -> None:
    """Raise UsageError for a name that no study can have."""
    if name is not None and (not NAME.fullmatch(name) or name == LEDGER):
        raise UsageError(f"--study {name}: a study's name has up to 64 letters, digits, - and _")


def named_plan(plan: StudyPlan, name: str | None, places: StudyPlaces) -> StudyPlan:
    """Return the plan under a name: the given one, else strategy and date with a number if another study has that."""
    if name is not None:
        return replace(plan, name=name)
    key, folder = plan_key(plan), StudyFolder(places.studies)
    taken = {one: folder.study(one).key for one in folder.names()}
    base = f"{plan.strategy}-{utc(now_ms())[:DAY_CHARS]}"
    names = (base if number == 1 else f"{base}-{number}" for number in range(1, STUDIES_A_DAY_MAX))
    return replace(plan, name=next(one for one in names if taken.get(one, key) == key))
